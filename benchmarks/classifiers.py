"""Related skills and classifiers at the size of the real taxonomy, beside what a plain loop would take.

    python benchmarks/classifiers.py

Neighbours on ESCO if it is there, else on the sample. The classifiers learn from SYNTHETIC sentences: random vectors,
with as many positives for each skill as a log-normal distribution gives that has the paper's two known figures
(75.1% of 13,891 skills with ten or fewer sentences, 365 on average).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np
from rapidfuzz.distance import Levenshtein

from helpers.encoders import encode, load_encoder
from helpers.extraction.classifiers import train_classifiers
from helpers.extraction.negatives import Sampler, nearest_by_embedding, nearest_by_spelling, related_skills
from helpers.profiles import PROFILES
from helpers.taxonomy import Taxonomy, load_taxonomy

N_LOOP = 100  # skills that the plain loops do; their time is scaled up


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and by how much the process's peak memory grew, in GB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    function()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return time.perf_counter() - begun, grown / 1e6


def loop_siblings(taxonomy: Taxonomy) -> None:
    """Compare the parents of two skills, pair by pair."""
    for skill in range(N_LOOP):
        [other for other in range(len(taxonomy)) if set(taxonomy.broader[skill]) & set(taxonomy.broader[other])]


def loop_spelling(labels: tuple[str, ...]) -> None:
    """Sort all labels by their distance, one skill after the other."""
    for label in labels[:N_LOOP]:
        sorted(range(len(labels)), key=lambda j: Levenshtein.distance(label, labels[j]))[1:101]


def loop_embedding(embeddings: np.ndarray) -> None:
    """Sort all labels by their cosine, one skill after the other."""
    for vector in embeddings[:N_LOOP]:
        sorted(range(len(embeddings)), key=lambda j: -float(vector @ embeddings[j]))[1:101]


def synthetic_positives(n_skills: int, n_sentences: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Sentences of each skill: the counts as the paper's, the sentences drawn blindly."""
    sigma = 0.6776 + np.sqrt(0.6776**2 + 2 * (np.log(365) - np.log(10)))  # from P(X <= 10) = 0.751 and E(X) = 365
    counts = rng.lognormal(np.log(365) - sigma**2 / 2, sigma, n_skills).round().astype(int)
    counts = np.maximum(counts, 1)  # every skill is to have a classifier
    print(f"synthetic: {100 * np.mean(counts <= 10):.1f}% with ten or fewer, {counts.mean():.0f} on average")
    return [np.sort(rng.choice(n_sentences, min(n, n_sentences // 2), replace=False)) for n in counts]


def main() -> None:
    try:
        taxonomy = load_taxonomy(PROFILES["full"].taxonomy)
    except FileNotFoundError as error:
        print(f"{error}\n-> measuring on the sample instead")
        taxonomy = load_taxonomy(PROFILES["sample"].taxonomy)
    embeddings = encode(load_encoder(), taxonomy.labels)
    print(f"{taxonomy.name}: {len(taxonomy):,} skills, label embeddings given")
    total = peak = 0.0
    for name, ours, loop in (
        ("siblings", lambda: related_skills(["siblings"], taxonomy), lambda: loop_siblings(taxonomy)),
        ("levenshtein", lambda: nearest_by_spelling(taxonomy.labels), lambda: loop_spelling(taxonomy.labels)),
        ("embedding", lambda: nearest_by_embedding(embeddings), lambda: loop_embedding(embeddings)),
    ):
        seconds, memory = timed(ours)
        naive = timed(loop)[0] * len(taxonomy) / N_LOOP
        total, peak = total + seconds, peak + memory
        print(
            f"{name:<12} {seconds:6.1f} s   "
            f"a plain loop {naive:7.0f} s (scaled up), {naive / seconds:6.0f} times as long"
        )
    print(f"all three    {total:6.1f} s, {peak:.2f} GB more than before")

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(100_000, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sampler = Sampler(synthetic_positives(13_891, len(vectors), rng))
    for n_jobs in (1, -1):
        result = []
        seconds, _ = timed(lambda: result.append(train_classifiers(vectors, sampler, n_jobs=n_jobs)))  # noqa: B023
        facts = result[0].facts
        pairs = facts["n_positives"] + facts["n_negatives"]
        print(
            f"SYNTHETIC: {facts['n_trained']:,} classifiers, {pairs:,} training sentences, n_jobs {n_jobs}: "
            f"{seconds:.0f} s"
        )
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
