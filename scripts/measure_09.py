"""Chapter 09's measurements: one table of all run files, where rankers differ, answers, swapped names, simulations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from measuring import benchmarks_of, write_record

from helpers.data.benchmarks import NO_SKILL_LABELS, Benchmark, load_annotations, without_leaked
from helpers.data.corpora import load_asking, load_corpus
from helpers.encoders import load_encoder
from helpers.evaluation import (
    bootstrap_interval,
    compare,
    evaluate,
    holm,
    paired_test,
    precision_recall_sets,
    r_precision_at_k,
    ratio_interval,
    recall_at_k,
)
from helpers.extraction.decision import Decision, fit_decision, has_skill, train_detector
from helpers.extraction.matching import LiteralMatcher, reliable_names
from helpers.extraction.methods import make_ranker
from helpers.extraction.ranking import Ranker, Ranking, Run, package_versions, ranks_of, read_run
from helpers.profiles import Profile
from helpers.taxonomy import Taxonomy, load_taxonomy

RESULTS = Path(__file__).resolve().parent.parent / "results"
TOP = 5
# Run files of the chapters, and what this chapter calls them.
RUNS = {
    "00/{}-test-literal": "literal",
    "00/{}-test-lexical": "lexical",
    "03/{}-test-corpus-all": "classifiers",
    "03/{}-test-corpus+descriptions-all": "classifiers, descriptions too",
    "00/{}-test-zero-shot": "zero-shot",
    "05/runs/{}-descriptions-augmented-label-1": "bi-encoder, descriptions",
    "05/runs/{}-altlabels-augmented-label-1": "bi-encoder, alternative labels",
    "05/runs/{}-sentences-augmented-mix-1": "bi-encoder, LLM sentences",
}


def chapter_09(profile: Profile, folder: Path) -> None:
    """One record for each question; what is there is not measured again."""
    taxonomy = load_taxonomy(profile.taxonomy)
    tests = benchmarks_of(profile, "test", taxonomy)
    facts = {
        "profile": profile.name,
        "taxonomy_sha256": taxonomy.sha256,
        "benchmark_sha256": {b.name: b.sha256 for b in tests},
        "encoder": profile.encoder,
        "device": load_encoder(profile.encoder).device.type,
        "seed": profile.seed,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": package_versions(),
    }
    questions = {"table": table, "slices": slices, "decision": decision, "swaps": swaps, "words": words}
    questions["simulation"] = simulation
    for name, measure in questions.items():
        path = folder / f"{name}.json"
        if not path.exists():
            write_record(facts | measure(profile, taxonomy, tests), path)
            print(path.name, flush=True)


def runs_of(profile: Profile, benchmark: Benchmark) -> dict[str, Run]:
    """The runs that the chapters left for a benchmark, by name."""
    paths = {name: RESULTS / profile.name / f"{file.format(benchmark.name)}.csv.gz" for file, name in RUNS.items()}
    return {name: read_run(path, benchmark) for name, path in paths.items() if path.exists()}


def percents(values: Sequence[float]) -> list[float]:
    return [round(100 * float(value), 2) for value in values]


def table(profile: Profile, taxonomy: Taxonomy, tests: Sequence[Benchmark]) -> dict:
    """Metrics of every run with their intervals, and every pair of runs."""
    found: dict = {"metrics": {}, "pairs_rp@5": {}}
    for benchmark in tests:
        scored = {name: evaluate(run, benchmark) for name, run in runs_of(profile, benchmark).items()}
        found["metrics"][benchmark.name] = {
            name: {
                metric: percents((metrics.mean[metric], *interval))
                for metric, interval in metrics.intervals().items()
                if metric in ("mrr", "map", "rp@1", "rp@5", "rp@10")
            }
            for name, metrics in scored.items()
        }
        pairs = compare(scored).round(6)
        found["pairs_rp@5"][benchmark.name] = pairs.to_dict(orient="records")
    return found


def slices(profile: Profile, taxonomy: Taxonomy, tests: Sequence[Benchmark]) -> dict:
    """Recall at 5 of the gold pairs of a kind, for every run: hits over pairs, resampled by sentence.

    A skill is frequent or rare by the sentences of the corpus that name it; it is explicit in a sentence that holds one
    of its reliable names. Classifiers have seen a skill if the corpus names it at all.
    """
    matcher = LiteralMatcher(reliable_names(taxonomy))
    named = np.bincount(np.concatenate(matcher.labels(load_corpus(profile.corpus).sentences)), minlength=len(taxonomy))
    knowledge = np.array([kind == "knowledge" for kind in taxonomy.types])
    labels = {
        "knowledge": knowledge,
        "competence": ~knowledge,
        "never named in the corpus": named == 0,
        "named 1 to 9 times": (named > 0) & (named < 10),
        "named 10 times or more": named >= 10,
    }
    found = {}
    for benchmark in tests:
        explicit = [
            np.isin(gold, there)
            for gold, there in zip(benchmark.gold, matcher.labels(benchmark.sentences), strict=True)
        ]
        masks = {name: [mask[gold] for gold in benchmark.gold] for name, mask in labels.items()}
        masks |= {"explicit": explicit, "implicit": [~mask for mask in explicit]}
        masks["one label"] = [np.full(len(gold), len(gold) == 1) for gold in benchmark.gold]
        masks["several labels"] = [~mask for mask in masks["one label"]]
        runs = runs_of(profile, benchmark)
        found[benchmark.name] = {
            kind: {"pairs": int(sum(m.sum() for m in mask))}
            | {name: recall_of(run, mask) for name, run in runs.items()}
            for kind, mask in masks.items()
        }
    return {"recall@5": found}


def recall_of(run: Run, masks: Sequence[np.ndarray]) -> list[float]:
    hits = np.array([(ranks[mask] <= TOP).sum() for ranks, mask in zip(run.gold_ranks, masks, strict=True)])
    totals = np.array([mask.sum() for mask in masks])
    kept = totals > 0
    return percents((hits.sum() / totals.sum(), *ratio_interval(hits[kept], totals[kept])))


LOSSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)


def decision(profile: Profile, taxonomy: Taxonomy, tests: Sequence[Benchmark]) -> dict:
    """The detector on sentences that it was not trained on, and what answers gain and lose, for every loss allowed."""
    train, asks = load_asking(profile.corpus)
    dev, truth = load_asking(profile.corpus, "dev")
    detector = train_detector(train, asks, load_encoder(profile.encoder))
    given = has_skill(detector, dev)
    bins = np.minimum((given * 10).astype(int), 9)
    found = {
        "detector": {
            "trained_on": len(train),
            "asking": percents([asks.mean()])[0],
            "dev": len(dev),
            "dev_without_skill": int((~truth).sum()),
            "auc": round(float((given[truth][:, None] > given[~truth]).mean()), 4),
            "calibration": [
                {
                    "n": int((bins == b).sum()),
                    "mean_probability": percents([given[bins == b].mean()])[0],
                    "share_asking": percents([truth[bins == b].mean()])[0],
                }
                for b in range(10)
                if (bins == b).any()
            ],
        },
        "methods": {},
    }
    validation = [without_leaked(b) for b in benchmarks_of(profile, "validation", taxonomy)]
    unclear = {b.name: underspecified(b) for b in tests}
    free = [text for text, asked in zip(dev, truth, strict=True) if not asked]
    for method in ("lexical", "zero-shot"):
        ranker = make_ranker(method, profile, taxonomy)
        found["methods"][method] = [
            {"loss": loss} | answers(fit_decision(detector, ranker, validation, loss), ranker, tests, free, unclear)
            for loss in LOSSES
        ]
    return found


def answers(
    made: Decision, ranker: Ranker, tests: Sequence[Benchmark], free: Sequence[str], unclear: dict[str, list[str]]
) -> dict:
    """What comes out of a decision: empty answers where no skill is asked for, recall lost and precision won."""
    record: dict = {"sentence": made.sentence, "score": made.score}
    silent, by_detector = empty(made, ranker, free)
    record |= {"empty": percents([silent.mean()])[0], "empty_by_detector": percents([by_detector.mean()])[0]}
    record["empty_interval"] = percents(bootstrap_interval(silent))
    for benchmark in tests:
        ranking = ranker.rank(benchmark.sentences, TOP)
        kept = made.keep(benchmark.sentences, ranking)
        named = Ranking(np.where(kept, ranking.indices, -1), ranking.scores)
        before, after = (recall_at_k(ranks_of(r, benchmark.gold), TOP) for r in (ranking, named))
        sets = {
            "top 5": precision_recall_sets(list(ranking.indices), benchmark.gold),
            "answer": precision_recall_sets([row[row >= 0] for row in named.indices], benchmark.gold),
        }
        record[benchmark.name] = {
            "recall@5": percents([before.mean(), after.mean()]),
            "relative_loss": percents((1 - after.sum() / before.sum(), *loss_interval(before, after))),
            "named_a_sentence": round(float(kept.sum(axis=1).mean()), 2),
            "underspecified": len(unclear[benchmark.name]),
            "underspecified_empty": int(empty(made, ranker, unclear[benchmark.name])[0].sum()),
        }
        for name, counts in sets.items():
            hits, predicted, gold = (counts[column].to_numpy() for column in ("hits", "predicted", "gold"))
            record[benchmark.name][name] = {
                "precision": percents((hits.sum() / max(predicted.sum(), 1), *ratio_interval(hits, predicted))),
                "recall": percents((hits.sum() / gold.sum(), *ratio_interval(hits, gold))),
                "F1": percents(
                    (2 * hits.sum() / (predicted + gold).sum(), *ratio_interval(2 * hits, predicted + gold))
                ),
            }
    return record


def loss_interval(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """95% interval of the share of recall that is lost, by resampling sentences."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(before), size=(9999, len(before)))
    return tuple(np.percentile(1 - after[drawn].sum(axis=1) / before[drawn].sum(axis=1), [2.5, 97.5]))


def empty(made: Decision, ranker: Ranker, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n,): no skill is named, and the detector alone would have seen to it."""
    if not sentences:
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    kept = made.keep(sentences, ranker.rank(sentences, TOP))
    return ~kept.any(axis=1), has_skill(made.detector, sentences) < made.sentence


def underspecified(benchmark: Benchmark) -> list[str]:
    """Sentences of the split whose only labels are UNDERSPECIFIED: something is asked for, nobody can say what."""
    rows = load_annotations(benchmark.name, benchmark.split)
    labels = rows.groupby(rows["sentence"].str.strip())["label"].agg(set)
    return [text for text, found in labels.items() if found == {NO_SKILL_LABELS[0]}]


# What is put in front of a sentence. Each group's words stand for it; the first of a kind is what it is compared with.
SWAPS = {
    "pronoun": {"they": ("They write:",), "he": ("He writes:",), "she": ("She writes:",)},
    "name": {
        "English, men": ("James writes:", "Oliver writes:", "Thomas writes:"),
        "English, women": ("Emma writes:", "Charlotte writes:", "Alice writes:"),
        "Arabic, men": ("Ahmed writes:", "Omar writes:", "Youssef writes:"),
        "Arabic, women": ("Fatima writes:", "Aisha writes:", "Layla writes:"),
        "Polish, men": ("Piotr writes:", "Tomasz writes:", "Marek writes:"),
        "Polish, women": ("Agnieszka writes:", "Katarzyna writes:", "Ewa writes:"),
    },
    "nationality": {
        "Belgian": ("A Belgian candidate writes:",),
        "Turkish": ("A Turkish candidate writes:",),
        "Nigerian": ("A Nigerian candidate writes:",),
        "Indian": ("An Indian candidate writes:",),
        "Romanian": ("A Romanian candidate writes:",),
    },
    "age": {
        "25": ("A candidate aged 25 writes:",),
        "40": ("A candidate aged 40 writes:",),
        "60": ("A candidate aged 60 writes:",),
    },
}
MOST = 150  # sentences of a benchmark, at random: each is encoded for every wording


def drawn_sentences(profile: Profile, tests: Sequence[Benchmark]) -> tuple[list[str], list[np.ndarray]]:
    """At most MOST sentences of each benchmark, at random, and their gold labels."""
    rng = np.random.default_rng(profile.seed)
    texts, gold = [], []
    for benchmark in tests:
        chosen = rng.permutation(len(benchmark.sentences))[:MOST]
        texts += [benchmark.sentences[i] for i in chosen]
        gold += [benchmark.gold[i] for i in chosen]
    return texts, gold


def swaps(profile: Profile, taxonomy: Taxonomy, tests: Sequence[Benchmark]) -> dict:
    """How often words about the writer change the top 5, beside the same number of words that say nothing.

    For every group: the share of sentences whose top 5 are other skills than with "Somebody writes:", and RP@5; then
    every group of a kind against its first, both paired by sentence, Holm over all of them.
    """
    ranker = make_ranker("zero-shot", profile, taxonomy)
    texts, gold = drawn_sentences(profile, tests)

    def top(front: str) -> Ranking:
        return ranker.rank([f"{front} {text}" for text in texts], TOP)

    def scores(fronts: Sequence[str], against: Ranking) -> tuple[np.ndarray, np.ndarray]:
        """For each sentence: share of the top 5 that is another, and RP@5; means over the wordings of a group."""
        other, right = [], []
        for ranking in map(top, fronts):
            same = [len(np.intersect1d(a, b)) for a, b in zip(ranking.indices, against.indices, strict=True)]
            other.append(1 - np.array(same) / TOP)
            right.append(r_precision_at_k(ranks_of(ranking, gold), TOP))
        return np.mean(other, axis=0), np.mean(right, axis=0)

    plain = top("Somebody writes:")
    wordings = {"other words that say nothing": scores(("Someone states:",), plain)}
    groups = {kind: {g: scores(words, plain) for g, words in those.items()} for kind, those in SWAPS.items()}
    shares = {
        name: {"top_5_changed": percents(((other > 0).mean(), *bootstrap_interval(other > 0)))}
        | {"skills_changed": percents((other.mean(), *bootstrap_interval(other)))}
        | {"rp@5": percents((right.mean(), *bootstrap_interval(right)))}
        for name, (other, right) in (
            wordings | {f"{kind}: {g}": found for kind, those in groups.items() for g, found in those.items()}
        ).items()
    }
    tests_made = []
    for kind, those in groups.items():
        first, *others = those
        for group in others:
            for what, column in (("skills_changed", 0), ("rp@5", 1)):
                test = paired_test(those[group][column], those[first][column])
                tests_made.append(
                    {"kind": kind, "group": group, "against": first, "what": what}
                    | {"difference": percents((test.difference, test.low, test.high)), "p_value": test.p_value}
                )
    for test, adjusted in zip(tests_made, holm([test["p_value"] for test in tests_made]), strict=True):
        test["p_holm"] = round(float(adjusted), 4)
    return {"method": "zero-shot", "sentences": len(texts), "groups": shares, "tests": tests_made}


def words(profile: Profile, taxonomy: Taxonomy, tests: Sequence[Benchmark]) -> dict:
    """Does a nationality bring in the skills that bear its name? How many do, and their share of all top 5."""
    ranker = make_ranker("zero-shot", profile, taxonomy)
    texts, _ = drawn_sentences(profile, tests)
    found = {}
    for word, (front,) in SWAPS["nationality"].items():
        bearing = np.array([word.lower() in label.lower().split() for label in taxonomy.labels])
        share = bearing[ranker.rank([f"{front} {text}" for text in texts], TOP).indices].mean(axis=1)
        found[word] = {
            "labels": int(bearing.sum()),
            "of_the_top_5": percents((share.mean(), *bootstrap_interval(share))),
        }
    return {"method": "zero-shot", "sentences": len(texts), "nationality": found}


TIMES = 400


def simulation(profile: Profile, taxonomy: Taxonomy, tests: Sequence[Benchmark]) -> dict:
    """Do the intervals hold the truth in 95 of 100 cases, and does the paired test cry wolf in 5?

    Sentences' RP@5 of a run are taken for all there is; samples of n of them are drawn with replacement, so that the
    truth is known. For the test, two systems are alike: which of a pair of runs a value is from is drawn for each
    sentence.
    """
    benchmark = tests[0]
    runs = runs_of(profile, benchmark)
    a, b = (evaluate(runs[name], benchmark).per_query["rp@5"].to_numpy() for name in ("zero-shot", "lexical"))
    rng = np.random.default_rng(profile.seed)
    rows = []
    for n in (25, 75, 200):
        held = wolf = paired_held = 0
        for _ in range(TIMES):
            drawn = rng.integers(len(a), size=n)
            low, high = bootstrap_interval(a[drawn])
            held += low <= a.mean() <= high
            test = paired_test(a[drawn], b[drawn])
            paired_held += test.low <= (a - b).mean() <= test.high
            flip = rng.random(n) < 0.5
            first, second = np.where(flip, a[drawn], b[drawn]), np.where(flip, b[drawn], a[drawn])
            wolf += paired_test(first, second).p_value < 0.05
        shares = percents((held / TIMES, paired_held / TIMES, wolf / TIMES))
        names = ("interval_holds", "paired_interval_holds", "false_positives")
        rows.append({"n": n} | dict(zip(names, shares, strict=True)))
    return {"benchmark": benchmark.name, "times": TIMES, "rows": rows}
