"""What the chapters' measurements share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.data.benchmarks import load_benchmark
from helpers.evaluation import r_precision_at_k
from helpers.extraction.ranking import Ranking
from helpers.files import InputError, atomic_write
from helpers.profiles import Profile
from helpers.taxonomy import Taxonomy


def benchmarks_of(profile: Profile, split: str, taxonomy: Taxonomy) -> list:
    """The profile's benchmarks that have this split and are there; what is missing is said."""
    found = []
    for name in profile.benchmarks:
        try:
            found.append(load_benchmark(name, split, taxonomy))
        except (FileNotFoundError, InputError) as error:
            print(f"left out: {error}")
    return found


def rp5_among(ranking: Ranking, gold: Sequence[np.ndarray], kept: np.ndarray) -> np.ndarray:
    """RP@5 of each sentence when only the kept labels (a mask) are in the list, in the same order.

    Gold labels that are not kept do not count, nor do sentences left without one.
    """
    ranks = []
    for order, labels in zip(ranking.indices, gold, strict=True):
        place = np.cumsum(kept[order])[np.argsort(order)]
        ranks.append(place[labels[kept[labels]]].astype(float))
    return r_precision_at_k([r for r in ranks if len(r)], 5)


def write_record(record: dict, path: Path) -> None:
    """Write a JSON record, whole or not at all."""
    with atomic_write(path) as file:
        json.dump(record, file, indent=1, ensure_ascii=False)
        file.write("\n")
