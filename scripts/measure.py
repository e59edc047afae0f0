"""Measured runs of a chapter, into results/: each with its provenance, skipped when it is there already.

    python scripts/measure.py --profile sample|full [CH]

A chapter's measurements are one function below. Delete a file in results/ to have it measured again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from measure_03 import chapter_03
from measure_04 import chapter_04
from measure_05 import chapter_05
from measure_06 import chapter_06
from measure_07 import chapter_07
from measure_08 import chapter_08
from measure_09 import chapter_09
from measure_10 import chapter_10
from measure_11 import chapter_11
from measuring import benchmarks_of, rp5_among, write_record

from helpers.data.benchmarks import Benchmark, without_leaked
from helpers.data.corpora import load_corpus
from helpers.evaluation import (
    bootstrap_interval,
    evaluate,
    paired_test,
    precision_recall_sets,
    r_precision_at_k,
    ratio_interval,
)
from helpers.extraction.matching import (
    MIN_SIMILARITY,
    LiteralMatcher,
    LiteralRanker,
    alternative_names,
    normalise,
    preferred_names,
    reliable_names,
)
from helpers.extraction.ranking import Ranker, package_versions, read_run, run_benchmark, write_run
from helpers.files import InputError
from helpers.profiles import PROFILES, Profile
from helpers.taxonomy import Taxonomy, load_taxonomy

RESULTS = Path(__file__).resolve().parent.parent / "results"


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
            parts = [without_leaked(b) if split == "validation" else b for b in splits]
            counts = pd.concat([precision_recall_sets(matcher.labels(b.sentences), b.gold) for b in parts])
            curve[split].append(
                {"min_similarity": threshold, "n_names": matcher.n_names, **precision_and_recall(counts)}
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
    write_record(record, path)
    chosen = next(point for point in curve["test"] if point["min_similarity"] == MIN_SIMILARITY)
    print(f"{path.name:<48} precision {chosen['precision']:.3f}, recall {chosen['recall']:.3f} on test")


def precision_and_recall(counts: pd.DataFrame) -> dict:
    """Micro-averaged precision and recall with their intervals, from the table of `precision_recall_sets`."""
    total = counts.sum()
    return {
        "predicted": int(total["predicted"]),
        "gold": int(total["gold"]),
        "hits": int(total["hits"]),
        "precision": round(total["hits"] / max(total["predicted"], 1), 4),
        "precision_interval_95": [round(x, 4) for x in ratio_interval(counts["hits"], counts["predicted"])],
        "recall": round(total["hits"] / total["gold"], 4),
        "recall_interval_95": [round(x, 4) for x in ratio_interval(counts["hits"], counts["gold"])],
    }


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
    write_record(record, path)


def chapter_02(profile: Profile, folder: Path) -> None:
    """Distant labels: how many sentences each skill gets from the corpus, and what they are worth on the benchmarks."""
    taxonomy = load_taxonomy(profile.taxonomy)
    every = preferred_names(taxonomy) + alternative_names(taxonomy)
    names = {
        "preferred labels": preferred_names(taxonomy),
        "preferred labels, no ordinary words": reliable_names(taxonomy, 1.01),
        "reliable names": reliable_names(taxonomy),
        "names of one skill only, no ordinary words": reliable_names(taxonomy, 0.0),
        "every name": every,
    }
    matchers = {subset: LiteralMatcher(pairs) for subset, pairs in names.items()}
    path = folder / "distant-labels.json"
    if not path.exists():
        write_record(distant_labels(profile, taxonomy, matchers), path)
        print(path.name)
    path = folder / "literal-on-benchmarks.json"
    if not path.exists():
        write_record(literal_on_benchmarks(profile, taxonomy, matchers, every), path)
        print(path.name)


def provenance(profile: Profile, taxonomy: Taxonomy) -> dict:
    """What every record of chapter 02 begins with. No model is used, so there is no encoder and no GPU."""
    return {
        "profile": profile.name,
        "device": "cpu",
        "taxonomy_sha256": taxonomy.sha256,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": package_versions(),
    }


def distant_labels(profile: Profile, taxonomy: Taxonomy, matchers: dict[str, LiteralMatcher]) -> dict:
    """Sentences per skill in the corpus, and which gold labels of the test splits have any: figures and labels only."""
    corpus = load_corpus(profile.corpus)
    tests = benchmarks_of(profile, "test", taxonomy)
    record = provenance(profile, taxonomy) | {
        "corpus": corpus.name,
        "corpus_sha256": corpus.sha256,
        "benchmark_sha256": {f"{b.name} test": b.sha256 for b in tests},
        "n_sentences": len(corpus),
        "n_skills": len(taxonomy),
    }
    for subset in ("reliable names", "every name"):
        labels = matchers[subset].labels(corpus.sentences)
        found = np.bincount(np.concatenate(labels), minlength=len(taxonomy))
        sizes, n_skills = np.unique(found, return_counts=True)
        record[subset] = {
            "n_names": matchers[subset].n_names,
            "sentences_with_a_label": sum(1 for part in labels if len(part)),
            "skills_reached": int((found > 0).sum()),
            "share_at_most_10": round(float((found <= 10).mean()), 4),
            "share_at_least_100": round(float((found >= 100).mean()), 4),
            "mean_per_skill": round(float(found.mean()), 3),
            "mean_per_reached_skill": round(float(found[found > 0].mean()), 2),
            "largest": [[taxonomy.labels[i], int(found[i])] for i in np.argsort(-found, kind="stable")[:15]],
            "skills_by_sentences": [[int(size), int(n)] for size, n in zip(sizes, n_skills, strict=True)],
            "gold_reached": {b.name: gold_reached(b, found > 0) for b in tests},
        }
    return record


def gold_reached(benchmark: Benchmark, reached: np.ndarray) -> dict:
    """How much of a benchmark could be found if every reached skill (a mask) were always found, and no other."""
    gold = np.unique(np.concatenate(benchmark.gold))
    ceiling = oracle_rp5([reached[labels] for labels in benchmark.gold])
    return {
        "labels": len(gold),
        "labels_reached": int(reached[gold].sum()),
        "pairs": benchmark.n_pairs,
        "pairs_reached": int(sum(reached[labels].sum() for labels in benchmark.gold)),
        "oracle_rp5": interval_of(ceiling),
    }


def oracle_rp5(found: Sequence[np.ndarray]) -> np.ndarray:
    """RP@5 of each sentence if the gold labels that can be found (masks) come first, and the others never."""
    return r_precision_at_k([np.where(mask, np.cumsum(mask), np.inf) for mask in found], 5)


def interval_of(values: np.ndarray) -> dict:
    """Mean of values per query and its bootstrap interval, times 100."""
    low, high = bootstrap_interval(values)
    return {"mean": round(100 * float(values.mean()), 3), "interval_95": [round(100 * low, 3), round(100 * high, 3)]}


def difference_of(first: np.ndarray, second: np.ndarray) -> dict:
    """What two systems differ by on the same sentences, times 100, with its paired interval and p-value."""
    test = paired_test(first, second)
    return {
        "difference": round(100 * test.difference, 3),
        "interval_95": [round(100 * test.low, 3), round(100 * test.high, 3)],
        "p_value": round(test.p_value, 4),
    }


COMPARED = (
    ("oracle, every name", "lexical"),
    ("literal", "oracle, reliable names"),
    ("perfect classifiers, reliable names", "zero-shot"),
    ("perfect classifiers, every name", "zero-shot"),
)


def literal_on_benchmarks(
    profile: Profile, taxonomy: Taxonomy, matchers: dict[str, LiteralMatcher], every: list[tuple[str, int]]
) -> dict:
    """On the test splits: precision and recall of each set of names, the oracle's RP@5, the names most often wrong.

    And what two systems differ by on the same sentences (`COMPARED`). "Perfect classifiers" are right about every
    skill that has a sentence in the corpus, and never find another.
    """
    tests = benchmarks_of(profile, "test", taxonomy)
    corpus = load_corpus(profile.corpus)
    reached = {
        subset: np.isin(np.arange(len(taxonomy)), np.concatenate(matchers[subset].labels(corpus.sentences)))
        for subset in ("reliable names", "every name")
    }
    labels = {subset: [m.labels(b.sentences) for b in tests] for subset, m in matchers.items()}
    subsets = {}
    for subset, parts in labels.items():
        counts = pd.concat([precision_recall_sets(part, b.gold) for part, b in zip(parts, tests, strict=True)])
        subsets[subset] = {"n_names": matchers[subset].n_names, **precision_and_recall(counts)}
    keys: dict[int, set[str]] = {}
    for name, skill in every:
        keys.setdefault(skill, set()).add(normalise(name))
    oracle, measured, differences = {}, {}, {}
    for number, b in enumerate(tests):
        found = {
            subset: [np.isin(g, p) for g, p in zip(b.gold, labels[subset][number], strict=True)]
            for subset in ("reliable names", "every name")
        }
        found["every name, inside longer ones too"] = [
            np.array([any(f" {key} " in f" {normalise(text)} " for key in keys[skill]) for skill in gold.tolist()])
            for text, gold in zip(b.sentences, b.gold, strict=True)
        ]
        runs = {m: RESULTS / profile.name / "00" / f"{b.name}-test-{m}.csv.gz" for m in rankers(profile, taxonomy)}
        real = {
            method: evaluate(read_run(path, b), b).per_query["rp@5"].to_numpy()
            for method, path in runs.items()
            if path.exists()
        }
        ideal = {kind: oracle_rp5(masks) for kind, masks in found.items()}
        perfect = {kind: oracle_rp5([mask[labels] for labels in b.gold]) for kind, mask in reached.items()}
        measured[b.name] = {method: interval_of(values) for method, values in real.items()}
        oracle[b.name] = {kind: interval_of(values) for kind, values in ideal.items()}
        systems = real | {f"oracle, {kind}": values for kind, values in ideal.items()}
        systems |= {f"perfect classifiers, {kind}": values for kind, values in perfect.items()}
        differences[b.name] = {
            f"{first} minus {second}": difference_of(systems[first], systems[second])
            for first, second in COMPARED
            if first in systems and second in systems
        }
    return provenance(profile, taxonomy) | {
        "split": "test",
        "corpus_sha256": corpus.sha256,
        "benchmark_sha256": {f"{b.name} test": b.sha256 for b in tests},
        "precision_and_recall": subsets,
        "oracle_rp5": oracle,
        "measured_rp5": measured,
        "paired_differences_rp5": differences,
        "most_often_wrong": {
            subset: wrong_names(matchers[subset], tests, every) for subset in ("reliable names", "every name")
        },
    }


def wrong_names(matcher: LiteralMatcher, tests: Sequence[Benchmark], every: list[tuple[str, int]]) -> list[list]:
    """The ten names with the most matches that annotators do not confirm: name, skill, wrong and all matches.

    A name is written as the taxonomy writes it, never as a sentence does.
    """
    written = {(normalise(name), skill): name for name, skill in reversed(every)}
    counts: dict[tuple[str, int], list[int]] = {}
    for benchmark in tests:
        for text, gold in zip(benchmark.sentences, benchmark.gold, strict=True):
            for key, skill in {(normalise(text[s.start : s.end]), s.skill) for s in matcher.spans(text)}:
                count = counts.setdefault((key, skill), [0, 0])
                count[0] += skill not in gold
                count[1] += 1
    worst = sorted(counts.items(), key=lambda item: (-item[1][0], item[1][1], item[0]))[:10]
    labels = tests[0].taxonomy.labels
    return [[written[key], labels[key[1]], *count] for key, count in worst if count[0]]


CHAPTERS: dict[str, Callable[[Profile, Path], None]] = {
    "00": chapter_00,
    "01": chapter_01,
    "02": chapter_02,
    "03": chapter_03,
    "04": chapter_04,
    "05": chapter_05,
    "06": chapter_06,
    "07": chapter_07,
    "08": chapter_08,
    "09": chapter_09,
    "10": chapter_10,
    "11": chapter_11,
}


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
