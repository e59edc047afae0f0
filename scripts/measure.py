"""Measured runs of a chapter, into results/: each with its provenance, skipped when it is there already.

    python scripts/measure.py --profile sample|full [CH]

A chapter's measurements are one function below. Delete a file in results/ to have it measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data.benchmarks import Benchmark, load_benchmark
from helpers.evaluation import evaluate, paired_test, precision_recall_sets, r_precision_at_k, ratio_interval
from helpers.extraction.matching import (
    MIN_SIMILARITY,
    LiteralMatcher,
    LiteralRanker,
    alternative_names,
    preferred_names,
    reliable_names,
)
from helpers.extraction.ranking import Ranker, Ranking, package_versions, run_benchmark, write_run
from helpers.files import InputError, atomic_write
from helpers.profiles import PROFILES, Profile
from helpers.taxonomy import Taxonomy, load_taxonomy

RESULTS = Path(__file__).resolve().parent.parent / "results"


def benchmarks_of(profile: Profile, split: str, taxonomy: Taxonomy) -> list:
    """The profile's benchmarks that have this split and are there; what is missing is said."""
    found = []
    for name in profile.benchmarks:
        try:
            found.append(load_benchmark(name, split, taxonomy))
        except (FileNotFoundError, InputError) as error:
            print(f"left out: {error}")
    return found


def rankers(profile: Profile, taxonomy: Taxonomy) -> dict[str, Callable[[], Ranker]]:
    """The rankers that need no training, made when they are asked for."""
    from helpers.encoders import load_encoder
    from helpers.extraction.contrastive import BiEncoder
    from helpers.extraction.lexical import LexicalRanker

    return {
        "lexical": lambda: LexicalRanker(taxonomy),
        "literal": lambda: LiteralRanker(LiteralMatcher(reliable_names(taxonomy)), taxonomy),
        "zero-shot": lambda: BiEncoder(load_encoder(profile.encoder), taxonomy),
    }


def without_leaked(validation: Benchmark, taxonomy: Taxonomy) -> tuple[list[str], list]:
    """Sentences and gold of a validation split without those that stand in the test split too (TECH has eight)."""
    test = set(load_benchmark(validation.name, "test", taxonomy).sentences)
    kept = [pair for pair in zip(validation.sentences, validation.gold, strict=True) if pair[0] not in test]
    return [sentence for sentence, _ in kept], [gold for _, gold in kept]


def chapter_00(profile: Profile, folder: Path) -> None:
    """Run files of the untrained rankers on every benchmark split, and the precision-recall curve of names."""
    taxonomy = load_taxonomy(profile.taxonomy)
    for split in ("validation", "test"):
        for benchmark in benchmarks_of(profile, split, taxonomy):
            for method, make in rankers(profile, taxonomy).items():
                path = folder / f"{benchmark.name}-{split}-{method}.csv.gz"
                if path.exists():
                    continue
                encoder = profile.encoder if method == "zero-shot" else None
                ranker = make()
                device = ranker.encoder.device.type if encoder else "cpu"
                facts = {"method": method, "profile": profile.name, "encoder": encoder, "seed": profile.seed}
                run = run_benchmark(ranker, benchmark, **facts, device=device)
                write_run(run, benchmark, path)
                print(f"{path.name:<48} RP@5 {100 * evaluate(run, benchmark).mean['rp@5']:.1f}")
    literal_curve(profile, taxonomy, folder / "literal-precision-recall.json")


def literal_curve(profile: Profile, taxonomy: Taxonomy, path: Path) -> None:
    """Precision and recall of literal matching over all benchmarks together, as the similarity threshold falls."""
    if path.exists():
        return
    thresholds = (1.01, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.2, 0.0)
    matchers = {threshold: LiteralMatcher(reliable_names(taxonomy, threshold)) for threshold in thresholds}
    matchers["every name"] = LiteralMatcher(preferred_names(taxonomy) + alternative_names(taxonomy))
    curve: dict[str, list] = {}
    hashes: dict[str, str] = {}
    for split in ("validation", "test"):
        splits = benchmarks_of(profile, split, taxonomy)
        curve[split] = []
        hashes |= {f"{b.name} {split}": b.sha256 for b in splits}
        for threshold, matcher in matchers.items():
            parts = [without_leaked(b, taxonomy) if split == "validation" else (b.sentences, b.gold) for b in splits]
            counts = pd.concat([precision_recall_sets(matcher.labels(texts), gold) for texts, gold in parts])
            total = counts.sum()
            curve[split].append(
                {
                    "min_similarity": threshold,
                    "n_names": matcher.n_names,
                    "predicted": int(total["predicted"]),
                    "gold": int(total["gold"]),
                    "hits": int(total["hits"]),
                    "precision": round(total["hits"] / max(total["predicted"], 1), 4),
                    "precision_interval_95": [round(x, 4) for x in ratio_interval(counts["hits"], counts["predicted"])],
                    "recall": round(total["hits"] / total["gold"], 4),
                    "recall_interval_95": [round(x, 4) for x in ratio_interval(counts["hits"], counts["gold"])],
                }
            )
    record = {
        "profile": profile.name,
        "benchmark_sha256": hashes,
        "taxonomy_sha256": taxonomy.sha256,
        "chosen": MIN_SIMILARITY,
        "chosen_by": "highest recall on validation at precision >= 0.77, ties to the higher precision; "
        "validation sentences that stand in a test split too are left out",
        "versions": package_versions(),
        "curve": curve,
    }
    with atomic_write(path) as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    chosen = next(point for point in curve["test"] if point["min_similarity"] == MIN_SIMILARITY)
    print(f"{path.name:<48} precision {chosen['precision']:.3f}, recall {chosen['recall']:.3f} on test")


LABEL_SPACES = {"sample": (300, 400, 500), "full": (500, 2_000, 13_891)}


def chapter_01(profile: Profile, folder: Path) -> None:
    """The label-space experiment: RP@5 when the gold labels compete with few or many others, five draws each."""
    path = folder / "label-space.json"
    if path.exists():
        return
    taxonomy = load_taxonomy(profile.taxonomy)
    methods = {name: make() for name, make in rankers(profile, taxonomy).items() if name != "literal"}
    rows = []
    for benchmark in benchmarks_of(profile, "test", taxonomy):
        needed = np.unique(np.concatenate(benchmark.gold))
        others = np.setdiff1d(np.arange(len(taxonomy)), needed)
        whole = {name: ranker.rank(benchmark.sentences, len(taxonomy)) for name, ranker in methods.items()}
        for size in LABEL_SPACES[profile.name]:
            if size < len(needed):
                print(f"left out: {benchmark.name} has {len(needed)} gold labels, more than {size}")
                continue
            for seed in range(5):
                drawn = np.random.default_rng(seed).choice(others, size - len(needed), replace=False)
                kept = np.isin(np.arange(len(taxonomy)), np.concatenate([needed, drawn]))
                values = {name: rp5_among(whole[name], benchmark.gold, kept) for name in methods}
                test = paired_test(values["lexical"], values["zero-shot"], seed)
                rows.append(
                    {
                        "benchmark": benchmark.name,
                        "n_labels": size,
                        "seed": seed,
                        **{name: round(100 * float(value.mean()), 2) for name, value in values.items()},
                        "lexical_minus_zero_shot": round(100 * test.difference, 2),
                        "interval_95": [round(100 * test.low, 2), round(100 * test.high, 2)],
                        "p_value": round(test.p_value, 4),
                    }
                )
            print(rows[-1])
    record = {
        "profile": profile.name,
        "split": "test",
        "metric": "RP@5, times 100",
        "encoder": profile.encoder,
        "device": "cpu",
        "taxonomy_sha256": taxonomy.sha256,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": package_versions(),
        "rows": rows,
    }
    with atomic_write(path) as file:
        json.dump(record, file, indent=1)
        file.write("\n")


def rp5_among(ranking: Ranking, gold: Sequence[np.ndarray], kept: np.ndarray) -> np.ndarray:
    """RP@5 of each sentence when only the kept labels (a mask) are in the list, in the same order."""
    ranks = []
    for order, labels in zip(ranking.indices, gold, strict=True):
        place = np.cumsum(kept[order])[np.argsort(order)]
        ranks.append(place[labels].astype(float))
    return r_precision_at_k(ranks, 5)


CHAPTERS: dict[str, Callable[[Profile, Path], None]] = {"00": chapter_00, "01": chapter_01}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=PROFILES, required=True)
    parser.add_argument("chapter", nargs="?", help=f"one of {', '.join(CHAPTERS)}; all without it")
    arguments = parser.parse_args()
    if arguments.chapter and arguments.chapter not in CHAPTERS:
        parser.error(f"chapter {arguments.chapter} has no measurements; these have: {', '.join(CHAPTERS)}")
    for chapter in [arguments.chapter] if arguments.chapter else CHAPTERS:
        folder = RESULTS / arguments.profile / chapter
        folder.mkdir(parents=True, exist_ok=True)
        try:
            CHAPTERS[chapter](PROFILES[arguments.profile], folder)
        except (InputError, FileNotFoundError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
