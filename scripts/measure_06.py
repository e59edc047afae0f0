"""Chapter 06's measurements: three explanations of the first skill in each ranking, and what deleting words does.

The stock encoder's come with `python scripts/measure.py --profile full 06`. Another encoder's, a folder that chapter
05's training wrote, say, have a name of their own:

    python scripts/measure_06.py --profile sample|full --encoder FOLDER --name NAME
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import benchmarks_of, write_record
from sentence_transformers import SentenceTransformer

from helpers.data.benchmarks import Benchmark
from helpers.encoders import encode, identity, load_encoder
from helpers.evaluation import bootstrap_interval, paired_test
from helpers.extraction.attribution import explain, token_table
from helpers.extraction.contrastive import BiEncoder
from helpers.extraction.ranking import package_versions
from helpers.files import InputError
from helpers.profiles import PROFILES, Profile
from helpers.taxonomy import Taxonomy, load_taxonomy

RESULTS = Path(__file__).resolve().parent.parent / "results"
WAYS = ("cosine", "contribution", "deletion")
AT_ONCE = (1, 3)  # words deleted
SHORTEST = 6  # words: three can go and leave half of the sentence
RANDOM = 5  # draws of words to delete, for each sentence


def chapter_06(profile: Profile, folder: Path, name: str = "zero-shot") -> None:
    """A record of the profile's encoder on every test split; its sentences stay out, as everywhere."""
    path = folder / f"{name}.json"
    if path.exists():
        return
    taxonomy = load_taxonomy(profile.taxonomy)
    encoder = load_encoder(profile.encoder)
    ranker = BiEncoder(encoder, taxonomy)
    tests = benchmarks_of(profile, "test", taxonomy)
    record = {
        "profile": profile.name,
        "split": "test",
        "explained": "the skill that is ranked first, whether or not it is gold",
        "encoder": profile.encoder if name == "zero-shot" else name,
        "encoder_weights": (identity(encoder) or "").rpartition(":")[2],
        "device": encoder.device.type,
        "seed": profile.seed,
        "taxonomy_sha256": taxonomy.sha256,
        "benchmark_sha256": {f"{b.name} test": b.sha256 for b in tests},
        "date": datetime.now(UTC).date().isoformat(),
        "versions": package_versions(),
        "shortest": SHORTEST,
        "random_draws": RANDOM,
        "benchmarks": {},
    }
    for benchmark in tests:
        rows = explained(ranker, benchmark, taxonomy, profile.seed)
        record["benchmarks"][benchmark.name] = summary(rows) | {"n_in_benchmark": len(benchmark.sentences)}
        print(benchmark.name, record["benchmarks"][benchmark.name], flush=True)
    write_record(record, path)


def explained(ranker: BiEncoder, benchmark: Benchmark, taxonomy: Taxonomy, seed: int) -> pd.DataFrame:
    """A row for each sentence of `SHORTEST` words or more: shares, agreements, and drops after deletions."""
    rng = np.random.default_rng(seed)
    first = ranker.rank(benchmark.sentences, 1).indices[:, 0]
    rows = []
    for sentence, skill in zip(benchmark.sentences, first, strict=True):
        if len(sentence.split()) < SHORTEST:
            continue
        tokens = token_table(ranker.encoder, sentence, taxonomy.labels[skill])
        table = explain(ranker.encoder, sentence, taxonomy.labels[skill])
        words = table.iloc[1:-1].dropna().reset_index(drop=True)  # what lies beyond the encoder's length has no value
        total, lengths = table["contribution"].sum(), tokens["contribution"] / tokens["cosine"]
        row = {
            "words": len(words),
            "cosine": 100 * total,
            "special_share": 100 * table["contribution"].iloc[[0, -1]].sum() / total,
            "special_tokens": 100 * 2 / len(tokens),
            "length_spread": 100 * lengths.std() / lengths.mean(),
            "largest": 100 * words["contribution"].max() / total,
            "chance": 100 / len(words),
        }
        for a, b in combinations(WAYS, 2):
            row[f"top {a}, {b}"] = 100 * (words[a].idxmax() == words[b].idxmax())
            row[f"rho {a}, {b}"] = words[a].corr(words[b], method="spearman")
        order = {way: [np.argsort(-words[way].to_numpy(), kind="stable")] for way in WAYS}
        order["random"] = [rng.permutation(len(words)) for _ in range(RANDOM)]
        rows.append(row | after_deletions(ranker, table["word"].tolist()[1:-1], skill, order))
    return pd.DataFrame(rows)


def after_deletions(ranker: BiEncoder, words: Sequence[str], skill: int, orders: dict[str, list[np.ndarray]]) -> dict:
    """By how much the cosine (times 100) falls, and whether another skill comes first (in %), for each order."""
    keys = [(way, n, order[:n]) for way, found in orders.items() for order in found for n in AT_ONCE]
    shorter = [" ".join(w for i, w in enumerate(words) if i not in gone) for _, _, gone in keys]
    scores = encode(ranker.encoder, [" ".join(words), *shorter]) @ ranker.label_embeddings.T
    row: dict[str, list[float]] = {}
    for (way, n, _), after in zip(keys, scores[1:], strict=True):
        row.setdefault(f"drop {way} {n}", []).append(100 * float(scores[0, skill] - after[skill]))
        row.setdefault(f"changed {way} {n}", []).append(100 * float(after.argmax() != skill))
    return {key: float(np.mean(values)) for key, values in row.items()}


def summary(rows: pd.DataFrame) -> dict:
    """Each column's mean with its interval; and what the orders of deletion differ by, in pairs."""
    facts = {"n_sentences": len(rows), "median_words": float(rows["words"].median()), "means": {}, "differences": {}}
    for column in rows.columns:
        values = rows[column].dropna().to_numpy(dtype=float)  # no rank correlation where all values are equal
        facts["means"][column] = [round(float(v), 3) for v in (values.mean(), *bootstrap_interval(values))]
    for n in AT_ONCE:
        for a, b in combinations(("random", *WAYS), 2):
            test = paired_test(rows[f"drop {b} {n}"].to_numpy(), rows[f"drop {a} {n}"].to_numpy())
            facts["differences"][f"{b} minus {a}, {n}"] = [round(v, 3) for v in (test.difference, test.low, test.high)]
    return facts


def measure_another(encoder: str, name: str, profile: Profile) -> None:
    """The same record with another encoder: any name or folder that `load_encoder` takes."""
    encoder_of: SentenceTransformer = load_encoder(encoder)  # a wrong name is said before anything is written
    folder = RESULTS / profile.name / "06"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{name}: {encoder_of.device.type}")
    chapter_06(replace(profile, encoder=encoder), folder, name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=PROFILES, required=True)
    parser.add_argument("--encoder", required=True, help="a folder, or a model of the hub")
    parser.add_argument("--name", required=True, help="of the record: results/PROFILE/06/NAME.json")
    arguments = parser.parse_args()
    try:
        measure_another(arguments.encoder, arguments.name, PROFILES[arguments.profile])
    except (InputError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
