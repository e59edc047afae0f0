"""Chapter 05's measurements: which pairs an encoder learns from, and how (paper 2, table 1 and figure 2).

One JSON file for each regime and seed; encoders and checkpoints stay in the cache folder, so that an interrupted
measurement goes on where it stopped. The recipe is chosen on the validation splits, before anybody looks at a test.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from measuring import benchmarks_of, write_record
from sentence_transformers import SentenceTransformer

from helpers.data.benchmarks import Benchmark, without_leaked
from helpers.encoders import computed_dir, load_encoder
from helpers.evaluation import bootstrap_interval, evaluate
from helpers.extraction.contrastive import NAMES, BiEncoder, Pairs, Training, load_pairs, train
from helpers.extraction.negatives import related_skills
from helpers.extraction.ranking import package_versions, run_benchmark, write_run
from helpers.profiles import Profile
from helpers.taxonomy import Taxonomy, load_taxonomy

SEEDS = (0, 1, 2)
SHARES = (0.5, 1.0)  # of the trained weights; the rest is the stock encoder's
PARTS = 60  # RP@5 of a sentence is a whole number of sixtieths: 1 to 5 labels can count
ZERO_SHOT = "zero-shot"
AUGMENTED = "descriptions, augmented"


@dataclass(frozen=True)
class Regime:
    """What an encoder is trained on, and how. `hard`: explicit hard negatives by this strategy of chapter 03."""

    kinds: tuple[str, ...]
    training: Training
    hard: str | None = None
    per_skill: int | None = None
    seeds: Sequence[int] = SEEDS
    leaks: bool = False  # its skills are the benchmarks' own: never chosen


def regimes(profile: Profile) -> dict[str, Regime]:
    """The regimes of a profile. In the sample all have equal numbers of steps, as they have not in the paper.

    On the real data one seed finds the recipe that is chosen; it and the paper's get the other two.
    """
    if profile.name == "full":
        # On a processor bf16: twice as fast as fp32 where it has AVX512-BF16.
        augmented = Training(bf16=not torch.cuda.is_available())
        plain, one = replace(augmented, augment=False), (0,)
        both = ("descriptions", "altlabels")
        return {
            AUGMENTED: Regime(("descriptions",), augmented),
            "descriptions": Regime(("descriptions",), plain, seeds=one),
            "altlabels, augmented": Regime(("altlabels",), augmented, seeds=one),
            "descriptions + altlabels, augmented": Regime(both, augmented, seeds=one),
            "descriptions, augmented, hard negatives": Regime(("descriptions",), augmented, "embedding", seeds=one),
            "descriptions, augmented, 3 epochs": Regime(("descriptions",), replace(augmented, epochs=3), seeds=one),
            "distant, augmented": Regime(("distant",), augmented, seeds=one),
            "skillskape, augmented": Regime(("skillskape",), augmented, seeds=one, leaks=True),
            "sentences": Regime(("sentences",), plain),  # paper 2's own: these two need the hub
            "sentences, augmented": Regime(("sentences",), augmented),
        }
    augmented = Training(steps=60, batch_size=32)  # minutes on a laptop, not hours
    plain, one = replace(augmented, augment=False), (0,)
    return {
        "descriptions": Regime(("descriptions",), plain, seeds=one),
        AUGMENTED: Regime(("descriptions",), augmented),
        "sentences": Regime(("sentences",), plain, seeds=one),
        **{f"sentences, augmented, {n} a skill": Regime(("sentences",), augmented, None, n) for n in (1, 2, 5)},
        "sentences, augmented": Regime(("sentences",), augmented),  # ten a skill: the end of figure 2
        "altlabels, augmented": Regime(("altlabels",), augmented, seeds=one),
        "sentences, augmented, hard negatives": Regime(("sentences",), augmented, "embedding", seeds=one),
    }


def few(pairs: Pairs, n: int, seed: int) -> Pairs:
    """At most n pairs of each skill, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(pairs))
    counts = dict.fromkeys(pairs.skills.tolist(), 0)
    kept = []
    for i in order.tolist():
        skill = int(pairs.skills[i])
        counts[skill] += 1
        if counts[skill] <= n:
            kept.append(i)
    return Pairs(tuple(pairs.texts[i] for i in sorted(kept)), pairs.skills[sorted(kept)])


def chapter_05(profile: Profile, folder: Path) -> None:
    """Train every regime with its seeds, score each on validation and test, choose on validation, sum up."""
    taxonomy = load_taxonomy(profile.taxonomy)
    plan = regimes(profile)
    for name in (ZERO_SHOT, *(name for name in plan if 0 in plan[name].seeds)):
        dear = name == ZERO_SHOT or plan[name].per_skill is None  # figure 2 needs the labels only
        measure(name, 0, profile, taxonomy, folder, SHARES if dear else {1.0}, NAMES if dear else ("label",))
    chosen = choose(read_records(folder), plan)
    for seed in SEEDS[1:]:
        for name in plan:
            if name == chosen["regime"]:
                measure(name, seed, profile, taxonomy, folder, {1.0, chosen["share"]}, NAMES)
            elif seed in plan[name].seeds:
                measure(name, seed, profile, taxonomy, folder, {1.0}, ("label",))
    summarise(profile, taxonomy, folder)


def choose(records: dict[str, list[dict]], plan: dict[str, Regime]) -> dict:
    """The recipe whose first seed has the highest RP@5 on validation, mean over the benchmarks; leaks left out."""
    found = []
    for regime, seeds in records.items():
        if regime in plan and not plan[regime].leaks:
            for key, scores in seeds[0]["scores"].items():
                names, share = key.split(", ")
                value = np.mean([rp5 for split, (_, rp5) in scores.items() if split.endswith("-validation")])
                found.append({"regime": regime, "names": names, "share": float(share), "value": round(float(value), 2)})
    return max(found, key=lambda entry: entry["value"])


def read_records(folder: Path) -> dict[str, list[dict]]:
    """What `measure` left: for each regime its seeds, in order."""
    records: dict[str, list[dict]] = {}
    for path in sorted((folder / "regimes").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        records.setdefault(record["regime"], []).append(record)
    return records


def measure(
    name: str,
    seed: int,
    profile: Profile,
    taxonomy: Taxonomy,
    folder: Path,
    shares: Collection[float],
    ways: Sequence[str],
) -> None:
    """Train one regime with one seed and score it with these shares and names, unless that is there already."""
    path = folder / "regimes" / f"{slug(name)}-{seed}.json"
    if path.exists():
        return
    begun = time.perf_counter()
    stock = load_encoder(profile.encoder)
    record: dict = {"regime": name, "seed": seed, "profile": profile.name, "encoder": profile.encoder}
    if name == ZERO_SHOT:
        models = {0.0: stock}
    else:
        try:
            trained, history, n_pairs = trained_encoder(name, seed, profile, taxonomy)
        except FileNotFoundError as error:
            print(f"left out: {name}, seed {seed}: {error}", flush=True)
            return
        losses = [[entry["step"], round(float(entry["loss"]), 4)] for entry in history if "loss" in entry]
        record |= {"n_pairs": n_pairs, "losses": losses}
        models = {share: averaged(stock, trained, share) for share in shares}
    record |= {"scores": {}, f"rp5_of_{PARTS}": {}}
    for share, model in models.items():
        for names, split, benchmark, run in runs_of(model, ways, profile, taxonomy):
            metrics = evaluate(run, benchmark)
            key = f"{names}, {share:g}"
            means = [round(100 * metrics.mean[metric], 2) for metric in ("mrr", "rp@5")]
            record["scores"].setdefault(key, {})[f"{benchmark.name}-{split}"] = means
            if split == "test":  # for paired intervals
                values = np.rint(PARTS * metrics.per_query["rp@5"]).astype(int).tolist()
                record[f"rp5_of_{PARTS}"].setdefault(key, {})[benchmark.name] = values
    device = stock.device.type
    bf16 = name != ZERO_SHOT and regimes(profile)[name].training.bf16
    precision = "bf16" if bf16 else "fp16" if device == "cuda" else "fp32"
    record |= {
        "benchmark_sha256": {b.name: b.sha256 for b in benchmarks_of(profile, "test", taxonomy)},
        "taxonomy_sha256": taxonomy.sha256, "device": device, "precision": precision,
        "date": datetime.now(UTC).date().isoformat(), "versions": package_versions(),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(record, path)
    shown = ", ".join(f"{key} {rp5:.1f}" for key, (_, rp5) in record["scores"][key].items())
    print(f"{name}, seed {seed}: {time.perf_counter() - begun:.0f} s; {key}: {shown}", flush=True)


def trained_encoder(
    name: str, seed: int, profile: Profile, taxonomy: Taxonomy
) -> tuple[SentenceTransformer, list[dict], int]:
    """A regime's encoder, trained or read from the cache folder; the history; how many pairs there were."""
    regime = regimes(profile)[name]
    stock = load_encoder(profile.encoder)
    first, *others = (load_pairs(kind, taxonomy, profile) for kind in regime.kinds)
    pairs = sum(others, first)
    if regime.per_skill:
        pairs = few(pairs, regime.per_skill, seed)
    related = related_skills([regime.hard], taxonomy, stock)[regime.hard] if regime.hard else None
    out = computed_dir() / "models" / f"{profile.name}-{slug(name)}-{seed}"
    trained, history = train(stock, pairs, taxonomy.labels, out, replace(regime.training, seed=seed), related)
    return trained, history, len(pairs)


def runs_of(
    model: SentenceTransformer, ways: Sequence[str], profile: Profile, taxonomy: Taxonomy, **facts
) -> Iterator[tuple[str, str, Benchmark, object]]:
    """A run for each way to use names, split and benchmark: (names, split, benchmark, run)."""
    ranker = BiEncoder(model, taxonomy, ways[-1])
    for names in ways:
        ranker.names = names  # they were encoded once, for all ways
        for split in ("validation", "test"):
            for benchmark in benchmarks_of(profile, split, taxonomy):
                kept = without_leaked(benchmark) if split == "validation" else benchmark
                facts |= {"method": "bi-encoder", "profile": profile.name, "encoder": profile.encoder, "names": names}
                yield names, split, kept, run_benchmark(ranker, kept, **facts, device=model.device.type)


def summarise(profile: Profile, taxonomy: Taxonomy, folder: Path) -> None:
    """summary.json: every row with its difference to zero-shot, the choice on validation, and pairs of regimes."""
    records = read_records(folder)
    baseline = per_sentence(records[ZERO_SHOT], "label, 0")
    rows = []
    for regime, seeds in records.items():
        for key in seeds[0]["scores"]:
            names, share = key.split(", ")
            with_it = [record for record in seeds if key in record["scores"]]
            scores = np.array([list(record["scores"][key].values()) for record in with_it])  # (seeds, splits, 2)
            row = {"regime": regime, "names": names, "share": float(share), "n_seeds": len(with_it)}
            for i, split in enumerate(seeds[0]["scores"][key]):
                for j, metric in enumerate(("mrr", "rp@5")):
                    values = scores[:, i, j]
                    row[f"{split} {metric}"] = [round(float(f(values)), 2) for f in (np.mean, np.min, np.max)]
            row["difference"] = differences(per_sentence(with_it, key), baseline)
            rows.append(row)
    chosen = choose(records, regimes(profile))
    compared = [
        (name, name.removesuffix(end)) for end in (", augmented", ", hard negatives", ", 3 epochs") for name in records
    ]
    summary = {
        "rows": rows,
        "chosen": chosen,
        "chosen_by": "highest RP@5 on validation with seed 0, mean over the benchmarks; leaks left out",
        "columns": "mean, minimum and maximum over the seeds, x 100; difference: RP@5 of the test split against "
        "zero-shot, with the 95% bootstrap interval over sentences of the mean over the seeds",
        "effects": [
            {"regime": a, "against": b}
            | differences(*(per_sentence(records[name], "label, 1") for name in (a, b)))
            for a, b in compared
            if a != b and b in records
        ],
    }  # fmt: skip
    write_record(summary, folder / "summary.json")
    for name, names, share in {(AUGMENTED, "label", 1.0), (chosen["regime"], chosen["names"], chosen["share"])}:
        write_runs(name, names, share, profile, taxonomy, folder / "runs")
    print(f"chosen on validation: {summary['chosen']}")


def averaged(stock: SentenceTransformer, trained: SentenceTransformer, share: float) -> SentenceTransformer:
    """An encoder between two, as in the chapter: each weight is `share` of the trained one, the rest stock."""
    between, after = copy.deepcopy(stock), trained.state_dict()
    for name, value in between.state_dict().items():
        if value.is_floating_point():
            value.lerp_(after[name].to(value), share)
    return between.eval()


def write_runs(name: str, names: str, share: float, profile: Profile, taxonomy: Taxonomy, folder: Path) -> None:
    """The run files of a regime's first seed on the test splits, for chapter 09."""
    trained, _, _ = trained_encoder(name, 0, profile, taxonomy)
    model = averaged(load_encoder(profile.encoder), trained, share)
    for _, split, benchmark, run in runs_of(model, (names,), profile, taxonomy, regime=name, share=share, seed=0):
        if split == "test":
            folder.mkdir(parents=True, exist_ok=True)
            write_run(run, benchmark, folder / f"{benchmark.name}-{slug(name)}-{names}-{share:g}.csv.gz")


def per_sentence(seeds: list[dict], key: str) -> dict[str, np.ndarray]:
    """For each benchmark the RP@5 of every test sentence, averaged over the seeds."""
    found = [record[f"rp5_of_{PARTS}"][key] for record in seeds]
    return {name: np.mean([values[name] for values in found], axis=0) / PARTS for name in found[0]}


def differences(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """For each benchmark the mean paired difference of RP@5 and its 95% interval, x 100."""
    found = {}
    for name, values in ours.items():
        difference = 100 * (values - theirs[name])
        found[name] = [round(float(x), 2) for x in (difference.mean(), *bootstrap_interval(difference))]
    return found


def slug(name: str) -> str:
    """A regime's name as a file name."""
    return "-".join("".join(c if c.isalnum() else " " for c in name).split())
