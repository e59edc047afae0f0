"""The two sizes of the book: the shipped sample on a laptop, or the real data.

Everything that differs between them is a field of `Profile`; no other module asks which one it is.
"""

import os
import random
import sys
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from helpers.files import InputError


@dataclass(frozen=True)
class Profile:
    """Which data a run uses. Names are keys of the loaders in `taxonomy` and `helpers.data`."""

    name: str
    taxonomy: str
    corpus: str
    benchmarks: tuple[str, ...]
    sentences: str
    requisitions: str
    competency_groups: tuple[str, ...]
    encoder: str = "all-MiniLM-L6-v2"
    seed: int = 0


PROFILES = {
    "sample": Profile("sample", "sample", "sample", ("sample-tech", "sample-general"), "sample", "sample", ("sample",)),
    "full": Profile(
        "full", "esco-v1.1.0", "job-ads", ("tech", "house", "techwolf"), "synthetic", "esco", ("semantic", "field")
    ),
}


def get_profile(name: str | None = None) -> Profile:
    """The profile of that name; without one, of the variable SKILLBOOK_PROFILE (default: sample)."""
    name = name or os.environ.get("SKILLBOOK_PROFILE") or "sample"
    if name not in PROFILES:
        raise InputError(f"no profile {name!r}; choose one of: {', '.join(PROFILES)}")
    return PROFILES[name]


def profile_of_benchmark(benchmark: str) -> Profile:
    """The profile whose data a benchmark belongs to."""
    for profile in PROFILES.values():
        if benchmark in profile.benchmarks:
            return profile
    known = ", ".join(name for profile in PROFILES.values() for name in profile.benchmarks)
    raise InputError(f"no benchmark {benchmark!r}; choose one of: {known}")


def start(name: str | None = None) -> Profile:
    """Begin a chapter: fix every seed, pin the threads, and say in one line what the cells below run on.

    On Colab without a GPU, a second line says where to get one.
    """
    import torch

    profile = get_profile(name)
    random.seed(profile.seed)
    np.random.seed(profile.seed)
    torch.manual_seed(profile.seed)
    # The order of a sum depends on the number of threads: two give the same digits on every laptop.
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    data = f"profile: {profile.name} | taxonomy: {profile.taxonomy} | encoder: {profile.encoder} | seed: {profile.seed}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("skillbook", "torch", "sentence-transformers"))
    print(f"{data} | device: {device} | {versions}")
    if device == "cpu" and "google.colab" in sys.modules:
        print("a GPU makes chapters 05 and 07 and the full profile faster: Runtime > Change runtime type > T4 GPU")
    return profile
