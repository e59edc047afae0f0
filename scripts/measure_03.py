"""Chapter 03's measurements: how hard negatives, their share, C and the number of negatives change the classifiers.

One line of JSON for each setting, appended as it comes, so an interrupted search goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from measuring import benchmarks_of, rp5_among, write_record

from helpers.data.benchmarks import Benchmark, without_leaked
from helpers.data.corpora import Corpus, load_corpus
from helpers.encoders import encode, load_encoder
from helpers.evaluation import bootstrap_interval, evaluate, paired_test, r_precision_at_k
from helpers.extraction.classifiers import PAPER_C, PAPER_HARD_FRACTION, ClassifierRanker, train_classifiers
from helpers.extraction.contrastive import BiEncoder
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.matching import LiteralMatcher, reliable_names
from helpers.extraction.negatives import NEGATIVES_PER_POSITIVE, STRATEGIES, Sampler, positives_of, related_skills
from helpers.extraction.ranking import Ranker, Run, package_versions, run_benchmark, write_run
from helpers.files import InputError, atomic_write
from helpers.profiles import Profile
from helpers.taxonomy import Taxonomy, load_taxonomy

SEEDS = range(5)
FEW_SEEDS = range(3)  # where every skill has a classifier, and one setting takes a minute
CS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # figure 2 of paper 1; 0 is the baseline, without a strategy
PER_POSITIVE = (1, 2, 5, 10, 20, 50)
SYSTEMS = {  # table 3 of paper 1
    "uniform": (),
    "all": STRATEGIES,
    "without embedding": ("siblings", "levenshtein"),
    "without levenshtein": ("siblings", "embedding"),
    "without siblings": ("levenshtein", "embedding"),
}


@dataclass(frozen=True, eq=False)
class Bench:
    """What all settings of one corpus share: training sentences, their embeddings, related skills, benchmarks."""

    profile: Profile
    taxonomy: Taxonomy
    positives: list[np.ndarray]
    embeddings: np.ndarray
    related: dict[str, Sequence[np.ndarray]]
    validation: list[Benchmark]
    test: list[Benchmark]


PAPER_TABLE_1 = {  # the skills of paper 1's table 1, and the names it gives for two strategies
    "disarm land mine": {
        "levenshtein": ["find land mines", "search for land mines", "identify land mines", "dismantle machines"],
        "embedding": [
            "repair mine machinery", "handle mining plant waste", "management of mine ventilation",
            "construct road base",
        ],
    },
    "Haskell": {
        "levenshtein": ["add smell", "upsell", "sink wells", "speak well"],
        "embedding": ["PostgreSQL", "Erlang", "JavaScript", "C++"],
    },
    "manage musical staff": {
        "levenshtein": [
            "manage musical groups", "manage musical events", "manage musicians", "manage educational staff",
        ],
        "embedding": [
            "manage agricultural staff", "manage staff", "manage dental staff", "manage educational staff",
        ],
    },
}  # fmt: skip


def table_1(profile: Profile, path: Path) -> None:
    """Related skills as in paper 1's table 1, and where in the taxonomy the names stand that the paper shows."""
    taxonomy = load_taxonomy(profile.taxonomy)
    if path.exists() or not set(PAPER_TABLE_1) <= set(taxonomy.labels):
        return
    related = related_skills(STRATEGIES, taxonomy, load_encoder(profile.encoder))
    ours = {
        label: {s: [taxonomy.labels[i] for i in related[s][taxonomy.index_of[label]][:5]] for s in STRATEGIES}
        for label in PAPER_TABLE_1
    }
    rows = []
    for label, lists in PAPER_TABLE_1.items():
        for strategy, names in lists.items():
            found = {taxonomy.labels[i] for i in related[strategy][taxonomy.index_of[label]]}
            for name in names:
                owners = [name] if name in taxonomy.index_of else []
                owners += [taxonomy.labels[i] for i, alts in enumerate(taxonomy.alt_labels) if name in alts]
                rows.append(
                    {
                        "skill": label,
                        "strategy": strategy,
                        "name": name,
                        "is a preferred label": name in taxonomy.index_of,
                        "names the skills": owners,
                        "one of them is among our 100": bool(found & set(owners)),
                    }
                )
    record = {
        "taxonomy_sha256": taxonomy.sha256,
        "encoder": profile.encoder,
        "n_siblings": {label: len(related["siblings"][taxonomy.index_of[label]]) for label in PAPER_TABLE_1},
        "ours": ours,
        "paper": rows,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": package_versions(),
    }
    write_record(record, path)


def chapter_03(profile: Profile, folder: Path) -> None:
    """Figure 2 and table 3 of paper 1 on the profile's corpus, on the same with the taxonomy's own descriptions,
    and with every description as a positive of its own skill."""
    table_1(profile, folder / "related.json")
    for name, own in (("corpus", False), ("corpus+descriptions", False), ("corpus+own-description", True)):
        summary = folder / f"{name}.json"
        if summary.exists():
            continue
        corpus = load_corpus(profile.corpus + ("+descriptions" if "+" in name else ""))
        bench, facts = prepare(profile, corpus, own)
        search = Search(bench, folder / f"{name}.jsonl", corpus.sha256, FEW_SEEDS if own else SEEDS)
        record = {
            "profile": profile.name,
            "corpus": corpus.name,
            "each_description_is_a_positive_of_its_skill": own,
            "corpus_sha256": corpus.sha256,
            "taxonomy_sha256": bench.taxonomy.sha256,
            "benchmark_sha256": {f"{b.name} {b.split}": b.sha256 for b in bench.validation + bench.test},
            "encoder": profile.encoder,
            "device": load_encoder(profile.encoder).device.type,
            "seeds": list(search.seeds),
            **facts,
            **measure(bench, search, folder, name, whole=not own),
            "date": datetime.now(UTC).date().isoformat(),
            "versions": package_versions(),
        }
        write_record(record, summary)


def prepare(profile: Profile, corpus: Corpus, own: bool) -> tuple[Bench, dict]:
    """Label the corpus, and say how far its labels reach."""
    taxonomy = load_taxonomy(profile.taxonomy)
    encoder = load_encoder(profile.encoder)
    labels = LiteralMatcher(reliable_names(taxonomy)).labels(corpus.sentences)
    if own:
        skill_of = {identity: skill for skill, identity in enumerate(taxonomy.ids)}
        labels = [
            np.union1d(found, skill_of[identity]) if identity in skill_of else found
            for identity, found in zip(corpus.ids, labels, strict=True)
        ]
    labelled = [row for row, found in enumerate(labels) if len(found)]
    positives = positives_of([labels[row] for row in labelled], len(taxonomy))
    counts = np.array([len(found) for found in positives])
    test = benchmarks_of(profile, "test", taxonomy)
    bench = Bench(
        profile,
        taxonomy,
        positives,
        encode(encoder, [corpus.sentences[row] for row in labelled]),
        related_skills(STRATEGIES, taxonomy, encoder),
        [without_leaked(b) for b in benchmarks_of(profile, "validation", taxonomy)],
        test,
    )
    reached = counts > 0
    facts = {
        "n_sentences": len(corpus),
        "n_labelled": len(labelled),
        "n_skills_with_a_positive": int(reached.sum()),
        "positives_per_skill": round(float(counts.mean()), 3),
        "share_of_skills_with_at_most_10": round(float((counts <= 10).mean()), 4),
        "gold_pairs_with_a_classifier": {b.name: round(float(reached[np.concatenate(b.gold)].mean()), 4) for b in test},
        "ceiling_rp@5": {b.name: round(100 * ceiling(b, reached), 2) for b in test},
    }
    return bench, facts


def ceiling(benchmark: Benchmark, reached: np.ndarray) -> float:
    """RP@5 of a ranker that puts the gold labels it was trained for first, and never finds the others."""
    known = [reached[gold] for gold in benchmark.gold]
    return float(r_precision_at_k([np.where(k, np.cumsum(k), np.inf) for k in known], 5).mean())


class Search:
    """Settings measured so far, a line of JSON each in a file that begins with what they were measured on."""

    def __init__(self, bench: Bench, path: Path, corpus_sha256: str, seeds: Sequence[int]) -> None:
        self.bench = bench
        self.path = path
        self.seeds = seeds
        head = {
            "corpus_sha256": corpus_sha256,
            "taxonomy_sha256": bench.taxonomy.sha256,
            "encoder": bench.profile.encoder,
            "seeds": list(seeds),
            "benchmark_sha256": {f"{b.name} {b.split}": b.sha256 for b in bench.validation + bench.test},
        }
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]  # the last may have been cut off
        if whole and whole[0] != head:
            raise InputError(f"{path}: measured on other data; remove it to measure again")
        self.done = {self._key(row): row for row in whole[1:]}
        with atomic_write(path) as file:
            file.writelines(json.dumps(row) + "\n" for row in whole or [head])

    def __call__(
        self,
        split: str,
        strategies: Sequence[str] = (),
        fraction: float = 0.0,
        c: float = PAPER_C,
        per_positive: int = NEGATIVES_PER_POSITIVE,
    ) -> dict:
        """Metrics of one setting on one split, for each seed, and RP@5 of each sentence averaged over the seeds."""
        setting = {
            "split": split,
            "strategies": list(strategies),
            "hard_fraction": fraction,
            "c": c,
            "per_positive": per_positive,
        }
        if self._key(setting) in self.done:
            return self.done[self._key(setting)]
        benchmarks = getattr(self.bench, split)
        results: dict = {b.name: {"mrr": [], "rp@5": [], "rp@10": [], "rp@5 covered": []} for b in benchmarks}
        per_query: dict = {b.name: [] for b in benchmarks}
        facts: dict = {}
        for seed in self.seeds:
            ranker, facts = self.train(setting, seed)
            for b in benchmarks:
                run = run_benchmark(ranker, b)
                metrics = evaluate(run, b)
                for metric in ("mrr", "rp@5", "rp@10"):
                    results[b.name][metric].append(round(100 * metrics.mean[metric], 3))
                covered = evaluate(run, b, only=ranker.classifiers.trained)
                results[b.name]["rp@5 covered"].append(round(100 * covered.mean["rp@5"], 3))
                per_query[b.name].append(metrics.per_query["rp@5"].to_numpy())
        row = {
            **setting,
            "drawn": {name: facts[name] for name in ("n_negatives", "n_hard", "n_fallback", "n_missing")},
            "n_unconverged": facts["n_unconverged"],
            "results": results,
            "rp@5 per sentence": {name: np.mean(rows, axis=0).round(4).tolist() for name, rows in per_query.items()},
        }
        self.done[self._key(setting)] = row
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(*setting.values(), f"RP@5 {100 * pooled(row).mean():.1f}")
        return row

    def train(self, setting: dict, seed: int) -> tuple[ClassifierRanker, dict]:
        """Classifiers of one setting and seed."""
        related = {name: self.bench.related[name] for name in setting["strategies"]}
        sampler = Sampler(self.bench.positives, related, setting["hard_fraction"], setting["per_positive"], seed=seed)
        classifiers = train_classifiers(self.bench.embeddings, sampler, setting["c"])
        encoder = load_encoder(self.bench.profile.encoder)
        return ClassifierRanker(encoder, self.bench.taxonomy, classifiers), classifiers.facts

    @staticmethod
    def _key(row: dict) -> str:
        return json.dumps([row[name] for name in ("split", "strategies", "hard_fraction", "c", "per_positive")])


def pooled(row: dict) -> np.ndarray:
    """RP@5 of each sentence of all benchmarks, one after the other."""
    return np.concatenate(list(row["rp@5 per sentence"].values()))


def measure(bench: Bench, search: Search, folder: Path, name: str, whole: bool) -> dict:
    """Choose C, then the share of hard negatives, on validation; then the ablation on test."""
    by_c = {c: pooled(search("validation", c=c)).mean() for c in CS}
    c = max(by_c, key=by_c.get)
    for other in CS if whole else ():  # is the best C another with hard negatives?
        search("validation", STRATEGIES, PAPER_HARD_FRACTION, other)
    best = {}
    for strategies in (*((strategy,) for strategy in STRATEGIES), STRATEGIES) if whole else (STRATEGIES,):
        for chosen in (PAPER_C, c) if whole else (c,):
            for fraction in FRACTIONS:
                search("validation", strategies, fraction, chosen)
        values = {f: pooled(search("validation", strategies, f, c)).mean() for f in FRACTIONS}
        best["+".join(strategies)] = max(values, key=values.get)
    if whole:
        for k in PER_POSITIVE:
            search("validation", c=c, per_positive=k)
    fraction = best["+".join(STRATEGIES)]
    tables = {}
    for title, (table_c, table_fraction) in {
        "as in the paper": (PAPER_C, PAPER_HARD_FRACTION),
        "chosen on validation": (c, fraction),
    }.items():
        systems = SYSTEMS if whole else {system: SYSTEMS[system] for system in ("uniform", "all")}
        tables[title] = table_3(bench, search, systems, table_c, table_fraction)
    for b in bench.test:
        keep_run(bench, search, b, folder / f"{b.name}-test-{name}-all.csv.gz", search("test", STRATEGIES, fraction, c))
    reached = np.array([len(found) > 0 for found in bench.positives])
    untrained = {}
    for method, ranker in {
        "lexical": LexicalRanker(bench.taxonomy),
        "zero-shot": BiEncoder(load_encoder(bench.profile.encoder), bench.taxonomy),
    }.items():
        for b in bench.test:
            run = run_benchmark(ranker, b)
            ranking = ranker.rank(b.sentences, len(bench.taxonomy))
            values = {
                "rp@5": evaluate(run, b).mean["rp@5"],
                "rp@5 covered": evaluate(run, b, only=reached).mean["rp@5"],
                # A classifier's list begins with the skills that have one: the fair comparison on covered labels.
                "rp@5 covered, among the trained": rp5_among(ranking, b.gold, reached).mean(),
            }
            untrained.setdefault(method, {})[b.name] = {k: round(100 * v, 2) for k, v in values.items()}
    return {
        "chosen_by": "RP@5 on the validation sentences of all benchmarks together (none that is in its test split "
        "too), averaged over the seeds; C first, with uniform negatives, then the share of hard ones",
        "c": c,
        "hard_fraction": fraction,
        "best_fraction_of_each": best,
        "tables": tables,
        "untrained": untrained,
    }


def table_3(bench: Bench, search: Search, systems: dict[str, tuple[str, ...]], c: float, fraction: float) -> dict:
    """None, all, and each strategy left out, on test; each against none, and against the lexical floor, in pairs."""
    floor = {b.name: evaluate(run_benchmark(LexicalRanker(bench.taxonomy), b), b) for b in bench.test}
    rows = {
        system: search("test", strategies, fraction if strategies else 0.0, c) for system, strategies in systems.items()
    }
    table: dict = {"c": c, "hard_fraction": fraction, "rows": []}
    for b in bench.test:
        lexical = floor[b.name].per_query["rp@5"].to_numpy()
        none = np.array(rows["uniform"]["rp@5 per sentence"][b.name])
        for system, row in rows.items():
            values = np.array(row["rp@5 per sentence"][b.name])
            found = row["results"][b.name]
            line = {"benchmark": b.name, "system": system}
            for metric, per_seed in found.items():
                line[metric] = round(float(np.mean(per_seed)), 2)
            line["rp@5 seeds"] = [min(found["rp@5"]), max(found["rp@5"])]
            line["rp@5 interval_95"] = [round(100 * x, 2) for x in bootstrap_interval(values)]
            for other, against in (("uniform", none), ("lexical", lexical)):
                if system != other:
                    test = paired_test(values, against)
                    line[f"minus {other}"] = round(100 * test.difference, 2)
                    line[f"minus {other} interval_95"] = [round(100 * test.low, 2), round(100 * test.high, 2)]
            table["rows"].append(line)
    return table


def keep_run(bench: Bench, search: Search, benchmark: Benchmark, path: Path, row: dict) -> None:
    """The first seed's run file, for later chapters."""
    ranker: Ranker
    ranker, facts = search.train(row, search.seeds[0])
    profile = bench.profile
    run: Run = run_benchmark(
        ranker, benchmark, method="classifier", profile=profile.name, encoder=profile.encoder, training=facts,
        seed=search.seeds[0], device=ranker.encoder.device.type,
    )  # fmt: skip
    write_run(run, benchmark, path)
