"""The one interface of extraction, from sentences to ranked skills, and rankings on disk (run files).

Literal matching, TF-IDF, classifiers and encoders all are a `Ranker`. A run file holds what one ranker said on one
benchmark split: ids, ranks and scores only, no text, so that anybody's system can be scored with the same code.
"""

import gzip
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.data.benchmarks import Benchmark
from helpers.files import InputError, atomic_write, read_csv, sha256_texts

BLOCK = 256  # sentences ranked at a time: 256 x 13,891 scores are 14 MB
RUN_COLUMNS = ("sentence_id", "rank", "label_id", "score")
VERSIONED = (
    "skillbook", "numpy", "scipy", "scikit-learn", "torch", "transformers", "sentence-transformers", "rapidfuzz",
    "ahocorasick-rs",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Ranking:
    """Skills for n sentences, best first: `indices` (n, k) int64 and `scores` (n, k) float32.

    A ranking read from somebody's run file may hold fewer for some sentences: the rest is -1, with score NaN.
    """

    indices: np.ndarray
    scores: np.ndarray


class Ranker:
    """Ranks the skills of a taxonomy for sentences, by the scores (n, n_labels) that `_score` gives to n of them."""

    _score: Callable[[Sequence[str]], np.ndarray]

    def rank(self, sentences: Sequence[str], k: int) -> Ranking:
        """The k best skills of each sentence, best first, ties broken by taxonomy order."""
        return rank_in_blocks(self._score, sentences, k)


def top_k(scores: np.ndarray, k: int) -> Ranking:
    """The k highest of finite scores (n, m) in each row, at most m; ties broken by column order.

    >>> top_k(np.array([[0.1, 0.5, 0.5, 0.2]]), 3).indices
    array([[1, 2, 3]])
    """
    scores = np.ascontiguousarray(scores, dtype=np.float32) + np.float32(0)  # -0.0 becomes 0.0: they are equal
    m = scores.shape[1]
    k = min(k, m)
    # One sortable integer a score: its bits, turned so that greater scores come first, then the column. All
    # keys differ, so partition and sort give one answer, in half the time of a stable sort of whole rows.
    bits = scores.view(np.uint32)
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    keys = (~ascending).astype(np.uint64) << np.uint64(32) | np.arange(m, dtype=np.uint64)
    if k < m:
        keys = np.partition(keys, k - 1, axis=1)[:, :k]
    indices = (np.sort(keys, axis=1) & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return Ranking(indices, np.take_along_axis(scores, indices, axis=1))


def rank_in_blocks(score: Callable[[Sequence], np.ndarray], sentences: Sequence, k: int, block: int = BLOCK) -> Ranking:
    """Rank with a function from sentences, or their embeddings, to scores (n, n_labels), a block of them at a time."""
    parts = [top_k(score(sentences[i : i + block]), k) for i in range(0, len(sentences), block)]
    return _joined(parts or [top_k(np.zeros((0, k)), k)])


def _joined(parts: Sequence[Ranking]) -> Ranking:
    return Ranking(np.concatenate([p.indices for p in parts]), np.concatenate([p.scores for p in parts]))


@dataclass(frozen=True, eq=False)
class Run:
    """A ranker's answer on a benchmark split.

    `ranking` holds the top of each list; `gold_ranks[i]` the rank (from 1; inf if it was never ranked) of each
    gold label of sentence i, in the order of `benchmark.gold[i]`; `provenance` what made it.
    """

    ranking: Ranking
    gold_ranks: tuple[np.ndarray, ...]
    provenance: dict = field(default_factory=dict)


def run_benchmark(ranker: Ranker, benchmark: Benchmark, top: int = 50, **provenance) -> Run:
    """Rank every label for every sentence of a benchmark, block by block; keep the top and the gold ranks."""
    begun = time.perf_counter()
    tops: list[Ranking] = []
    gold_ranks: list[np.ndarray] = []
    for start in tqdm(range(0, len(benchmark.sentences), BLOCK), desc="ranking", delay=2, leave=False):
        whole = ranker.rank(benchmark.sentences[start : start + BLOCK], len(benchmark.taxonomy))
        tops.append(Ranking(whole.indices[:, :top], whole.scores[:, :top]))
        gold_ranks += ranks_of(whole, benchmark.gold[start : start + BLOCK])
    facts = {
        "benchmark": benchmark.name,
        "split": benchmark.split,
        "benchmark_sha256": benchmark.sha256,
        "taxonomy": benchmark.taxonomy.name,
        "taxonomy_sha256": benchmark.taxonomy.sha256,
        **provenance,
        "seconds_ranking": round(time.perf_counter() - begun, 2),  # embeddings may have come from the cache
        "date": datetime.now(UTC).date().isoformat(),
        "versions": package_versions(),
    }
    return Run(_joined(tops), tuple(gold_ranks), facts)


def ranks_of(ranking: Ranking, gold: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Rank of each gold label, from 1; inf for a label that the ranking does not hold."""
    found = []
    for row, labels in zip(ranking.indices, gold, strict=True):
        hit = row[None, :] == np.asarray(labels)[:, None]
        found.append(np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf))
    return found


def sentence_ids(benchmark: Benchmark) -> list[str]:
    """Ids of a benchmark's sentences that give no text away: benchmark, split, and a hash of the sentence."""
    prefix = f"{benchmark.name}:{benchmark.split}"
    return [f"{prefix}:{sha256_texts([sentence])[:12]}" for sentence in benchmark.sentences]


def write_run(run: Run, benchmark: Benchmark, path: str | Path) -> None:
    """Write a run file (gzipped CSV: sentence_id, rank, label_id, score) and its provenance (JSON beside it).

    The top of each list is written, then the gold labels further down, with an empty score.
    """
    path = Path(path)
    require_run_name(path)
    answers = zip(run.ranking.indices, run.ranking.scores, benchmark.gold, run.gold_ranks, strict=True)
    rows = []
    for sentence_id, (labels, scores, gold, gold_ranks) in zip(sentence_ids(benchmark), answers, strict=True):
        n_held = np.sum(labels >= 0)
        lines = list(zip(range(1, n_held + 1), labels, scores, strict=False))
        lines += [(int(r), label, np.nan) for r, label in zip(gold_ranks, gold, strict=True) if n_held < r < np.inf]
        rows += [(sentence_id, rank, benchmark.taxonomy.ids[label], score) for rank, label, score in lines]
    text = pd.DataFrame(rows, columns=RUN_COLUMNS).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    with atomic_write(_provenance_path(path)) as file:  # first, so that no run is ever without it
        json.dump(run.provenance, file, indent=2)
        file.write("\n")
    with atomic_write(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(text.encode())  # no name and no time inside: the same run gives the same bytes


def require_run_name(path: Path) -> None:
    """Raise InputError unless this can be a run file's name."""
    if not path.name.endswith(".csv.gz") or path.is_dir():
        raise InputError(f"{path}: a run file's name ends in .csv.gz")


def read_run(path: str | Path, benchmark: Benchmark) -> Run:
    """Read a run file, anybody's, against its benchmark. The provenance file may be missing.

    A sentence without rows counts as ranked empty. Raises InputError for a run of another benchmark, unknown
    labels, repeated or impossible ranks.
    """
    path = Path(path)
    table = read_csv(path, RUN_COLUMNS[:3])
    row_of = {identity: row for row, identity in enumerate(sentence_ids(benchmark))}
    index_of = {identity: index for index, identity in enumerate(benchmark.taxonomy.ids)}

    def require(right: pd.Series, column: str, what: str) -> None:
        if not right.all():
            line = right.to_numpy().argmin()
            raise InputError(f"{path}, row {line + 2}: {column} {table[column][line]!r} {what}")

    rows, labels = table["sentence_id"].map(row_of), table["label_id"].map(index_of)
    ranks = pd.to_numeric(table["rank"], errors="coerce")
    which = f"{benchmark.name} {benchmark.split}"
    require(rows.notna(), "sentence_id", f"is not in {which}; is it another benchmark's run?")
    require(labels.notna(), "label_id", f"is not in the taxonomy {benchmark.taxonomy.name}")
    possible = ranks.between(1, len(index_of)) & (ranks % 1 == 0)
    require(possible, "rank", f"is no rank among {len(index_of)} labels")
    run = pd.DataFrame({"row": rows.astype(int), "rank": ranks.astype(int), "label": labels.astype(int)})
    require(~run.duplicated(["row", "label"]), "label_id", "stands twice for this sentence")
    require(~run.duplicated(["row", "rank"]), "rank", "stands twice for this sentence")
    run["score"] = pd.to_numeric(table["score"], errors="coerce") if "score" in table else np.nan
    # The top of a list goes as far as it is without gaps; deeper rows are single gold labels, and have no score.
    n = len(benchmark.sentences)
    run = run.sort_values(["row", "rank"])
    top = run[run["score"].notna()] if run["score"].notna().any() else run
    top = top[top.groupby("row").cumcount() + 1 == top["rank"]]
    k = int(top["rank"].max()) if len(top) else 0
    indices = np.full((n, k), -1, dtype=np.int64)
    scores = np.full((n, k), np.nan, dtype=np.float32)
    indices[top["row"], top["rank"] - 1] = top["label"]
    scores[top["row"], top["rank"] - 1] = top["score"]
    rank_of = run.set_index(["row", "label"])["rank"].to_dict()
    gold_ranks = tuple(
        np.array([float(rank_of.get((row, label), np.inf)) for label in labels.tolist()])
        for row, labels in enumerate(benchmark.gold)
    )
    return Run(Ranking(indices, scores), gold_ranks, _read_provenance(path, benchmark))


def _read_provenance(path: Path, benchmark: Benchmark) -> dict:
    """The JSON beside a run file, {} if there is none; InputError if it speaks of other data."""
    record = _provenance_path(path)
    if not record.exists():
        return {}
    try:
        provenance = {**json.loads(record.read_text(encoding="utf-8"))}  # TypeError for anything but an object
    except (ValueError, TypeError):
        raise InputError(f"{record}: not a JSON object; mend it or remove it") from None
    for key, expected in (("benchmark_sha256", benchmark.sha256), ("taxonomy_sha256", benchmark.taxonomy.sha256)):
        if provenance.get(key, expected) != expected:
            what = f"{benchmark.name} {benchmark.split} and its taxonomy"
            raise InputError(f"{path}: made on other data than this {what} ({key} differs)")
    return provenance


def _provenance_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".csv.gz") + ".json")


def package_versions() -> dict[str, str]:
    """Versions of what decides a result, Python's own included."""
    return {"python": platform.python_version()} | {name: version(name) for name in VERSIONED}
