"""Matching and ranking by one process and by two workers, small data and large; one run.

    python benchmarks/scaling.py

Both have the automaton and the encoder in memory before the clock runs. Seconds are the best of three rounds that take
turns; what counts is their ratios. `make results CH=10` measures two million sentences, memory and torchrun as well.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from distributed import Client

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from measure_10 import ENCODED, QUIET, SIZES, compared

from helpers.profiles import PROFILES
from helpers.scaling import match, rank


def main() -> None:
    profile = PROFILES["sample"]
    tasks = {
        "match": (partial(match, taxonomy=profile.taxonomy), SIZES),
        "rank": (partial(rank, taxonomy=profile.taxonomy, encoder=profile.encoder), ENCODED),
    }
    with tempfile.TemporaryDirectory() as folder, Client(n_workers=2, threads_per_worker=1, **QUIET) as client:
        for name, (task, sizes) in tasks.items():
            compared(profile, Path(folder), client, name, task, sizes)


if __name__ == "__main__":
    main()
