"""Every ranker on every benchmark: ranked, scored, compared in pairs, and written as one page."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import evaluation
from helpers.data.benchmarks import Benchmark, load_benchmark
from helpers.extraction import METHODS
from helpers.extraction.methods import make_ranker
from helpers.extraction.ranking import Run, read_run, run_benchmark, write_run
from helpers.files import InputError, atomic_write
from helpers.profiles import Profile
from helpers.taxonomy import load_taxonomy

METRICS = ("mrr", "rp@1", "rp@5", "rp@10", "map")


def answer(method: str, profile: Profile, queries: Benchmark, **options: str | float | None) -> Run:
    """A method's run on a benchmark; options as `make_ranker` has them.

    Its provenance tells under "also" what only this method has: precision and recall of a literal matcher, and how
    much of the benchmark the classifiers were trained for, and how well they do on that.
    """
    ranker = make_ranker(method, profile, queries.taxonomy, **options)
    facts = {"method": method, "profile": profile.name, "seed": profile.seed, "device": "cpu", "encoder": None}
    if used := getattr(ranker, "encoder", None):
        facts |= {"device": used.device.type, "encoder": used.skillbook_id.rpartition(":")[0]}
    if hasattr(ranker, "names"):
        facts["names"] = ranker.names
    if method == "classifier":
        facts["training"] = ranker.classifiers.facts
    run = run_benchmark(ranker, queries, **facts)
    also: dict = {}
    if method == "literal":
        counts = evaluation.precision_recall_sets(ranker.matcher.labels(queries.sentences), queries.gold)
        also["n_predicted"] = int(counts["predicted"].sum())
        for name, total in (("precision", "predicted"), ("recall", "gold")):
            also[name] = _percent(counts["hits"].sum() / max(counts[total].sum(), 1))
            interval = evaluation.ratio_interval(counts["hits"], counts[total])
            also[f"{name}_interval_95"] = [_percent(bound) for bound in interval]
    if method == "classifier":
        trained = ranker.classifiers.trained
        seen = trained[np.concatenate(queries.gold)]
        also |= {"n_trained": int(trained.sum()), "gold_untrained": int((~seen).sum())}
        if not seen.all():
            also["rank_untrained"] = int(np.median(np.concatenate(run.gold_ranks)[~seen]))
        if seen.any():
            also["rp@5_trained"] = _percent(evaluation.evaluate(run, queries, only=trained).mean["rp@5"])
    run.provenance["also"] = also
    return run


def report(method: str, profile: Profile, run: Run, queries: Benchmark) -> dict:
    """What `evaluate` prints of a run: sizes, metrics times 100 and their 95% intervals, what its provenance adds."""
    metrics = evaluation.evaluate(run, queries)
    intervals = metrics.intervals()
    return {
        "benchmark": queries.name,
        "split": queries.split,
        "method": method,
        "profile": profile.name,
        "n_sentences": len(queries.sentences),
        "n_pairs": queries.n_pairs,
        "n_labels": len(queries.taxonomy),
        **{name: _percent(metrics.mean[name]) for name in METRICS},
        "intervals_95": {name: [_percent(bound) for bound in intervals[name]] for name in METRICS},
        **run.provenance.get("also", {}),
    }


def compare_all(profile: Profile, out: Path, split: str = "test", model: Path | None = None) -> Iterator[str]:
    """Every method on every benchmark of the profile that is there, into `out`; yields a line for each run.

    Writes runs/BENCHMARK-SPLIT-METHOD.csv.gz, comparison.json and comparison.html. A run file that stands there is
    read, so that an interrupted call goes on, and anybody's run joins under the name it has there. With `model`, a
    folder, its bi-encoder takes part.
    """
    taxonomy = load_taxonomy(profile.taxonomy)
    reports, pairs, missing = [], {}, []
    for name in profile.benchmarks:
        try:
            queries = load_benchmark(name, split, taxonomy)
        except (FileNotFoundError, InputError) as error:  # a file is not there, or the benchmark has no such split
            missing.append(str(error))
            yield f"left out: {error}"
            continue
        prefix, scored = f"{name}-{split}-", {}
        asked = [method for method in METHODS if method != "bi-encoder" or model]
        there = [
            path.name.removeprefix(prefix).removesuffix(".csv.gz") for path in (out / "runs").glob(f"{prefix}*.csv.gz")
        ]
        for method in dict.fromkeys((*asked, *sorted(there))):
            path = out / "runs" / f"{prefix}{method}.csv.gz"
            if not path.exists():
                options = {"model": model} if method == "bi-encoder" else {}
                write_run(answer(method, profile, queries, **options), queries, path)
            run = read_run(path, queries)
            if method == "bi-encoder" and model and run.provenance.get("encoder") != str(model):
                raise InputError(f"{path} is the run of another model than {model}; remove it or name another --out")
            scored[method] = evaluation.evaluate(run, queries)
            reports.append(report(method, profile, run, queries))
            yield f"{name:<15} {method:<15} RP@5 {reports[-1]['rp@5']:5.1f}"
        pairs[name] = evaluation.compare(scored)
    if not reports:
        raise InputError(f"no benchmark of profile {profile.name} with a split {split} is there; see above")
    tables = {name: json.loads(table.to_json(orient="records", double_precision=6)) for name, table in pairs.items()}
    with atomic_write(out / "comparison.json") as file:
        json.dump({"reports": reports, "differences_rp@5": tables, "left_out": missing}, file, indent=1)
    with atomic_write(out / "comparison.html") as file:
        file.write(page(reports, pairs, missing))
    yield f"compared in {out / 'comparison.html'}"


def page(reports: list[dict], pairs: dict[str, pd.DataFrame], missing: list[str]) -> str:
    """One HTML page, complete in itself: a table for each benchmark, and its pairs of methods."""
    parts = []
    for name, differences in pairs.items():
        mine = [entry for entry in reports if entry["benchmark"] == name]
        rows = [
            {"method": entry["method"]}
            | {key: _with_interval(entry[key], *entry["intervals_95"][key]) for key in METRICS}
            for entry in sorted(mine, key=lambda entry: -entry["rp@5"])
        ]
        compared = pd.DataFrame({
            "better": differences["better"],
            "worse": differences["worse"],
            "difference of RP@5": [
                _with_interval(100 * row.difference, 100 * row.low, 100 * row.high) for row in differences.itertuples()
            ],
            "p (Holm)": differences["p_holm"].map("{:.4f}".format),
        })  # fmt: skip
        sizes = f"{mine[0]['n_sentences']} sentences, {mine[0]['n_pairs']} gold pairs, {mine[0]['n_labels']:,} labels"
        parts += [
            f"<h2>{name}, {mine[0]['split']}</h2><p>{sizes}</p>",
            pd.DataFrame(rows).to_html(index=False, border=0),
        ]
        parts += ["<h3>In pairs, over the same sentences</h3>", compared.to_html(index=False, border=0)]
    notes = pd.DataFrame({"left out": missing}).to_html(index=False, border=0) if missing else ""
    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    return template.replace("BODY", "\n".join([*parts, notes]))


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _percent(value: float) -> float:
    return round(100 * float(value), 2)
