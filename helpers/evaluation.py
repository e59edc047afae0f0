"""How good is a ranking? RP@K, MRR, MAP and recall per query, intervals, and paired tests.

Every metric needs only the ranks of the gold labels, so it can be computed from a run file that keeps the top of
each list. Values are fractions; tables and the command line print them times 100.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from helpers.data.benchmarks import Benchmark
from helpers.extraction.ranking import Ranking, Run, ranks_of
from helpers.files import InputError

CUTOFFS = (1, 5, 10)


def r_precision_at_k(gold_ranks: Sequence[np.ndarray], k: int) -> np.ndarray:
    """R-precision at K of each query (paper 1, equation 1): hits in the top K / min(K, number of gold labels).

    >>> r_precision_at_k([np.array([1, 3, 40])], k=2)
    array([0.5])
    """
    return np.array([np.sum(ranks <= k) / min(k, len(ranks)) for ranks in gold_ranks])


def recall_at_k(gold_ranks: Sequence[np.ndarray], k: int) -> np.ndarray:
    """Share of each query's gold labels in the top K.

    >>> recall_at_k([np.array([1, 3, 40, 50])], k=2)
    array([0.25])
    """
    return np.array([np.mean(ranks <= k) for ranks in gold_ranks])


def reciprocal_rank(gold_ranks: Sequence[np.ndarray]) -> np.ndarray:
    """1 / rank of each query's best-ranked gold label; 0 if none was ranked. Their mean is the MRR.

    >>> reciprocal_rank([np.array([4, 2]), np.array([np.inf])])
    array([0.5, 0. ])
    """
    return np.array([1 / np.min(ranks) for ranks in gold_ranks])


def average_precision(gold_ranks: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the precisions at each gold label's rank, for each query. Their mean is the MAP.

    >>> average_precision([np.array([1, 4])])
    array([0.75])
    """
    return np.array([np.mean(np.arange(1, len(r) + 1) / np.sort(r)) for r in gold_ranks])


@dataclass(frozen=True, eq=False)
class Metrics:
    """Metrics of one run. `per_query` has a row for each sentence; its columns are `mrr`, `map`, `rp@K`, `recall@K`."""

    per_query: pd.DataFrame

    @property
    def mean(self) -> dict[str, float]:
        """Average of each metric over the queries."""
        return self.per_query.mean().to_dict()

    def intervals(self, seed: int = 0) -> dict[str, tuple[float, float]]:
        """95% bootstrap interval over the queries of each metric's mean."""
        return {name: bootstrap_interval(self.per_query[name], seed) for name in self.per_query}


def evaluate(ranking: Run | Ranking, benchmark: Benchmark, only: np.ndarray | None = None) -> Metrics:
    """Score a ranking of a benchmark's sentences, or a run read from disk.

    A gold label that the ranking does not hold counts as never found. With `only`, a mask (n_labels,), no other gold
    label counts, and sentences without one are left out. Raises InputError for another benchmark's run.
    """
    if isinstance(ranking, Run):
        made_on = ranking.provenance.get("benchmark_sha256", benchmark.sha256)
        if made_on != benchmark.sha256 or len(ranking.gold_ranks) != len(benchmark.gold):
            raise InputError(f"this run was made on another benchmark than {benchmark.name} {benchmark.split}")
        gold_ranks = ranking.gold_ranks
    else:
        gold_ranks = ranks_of(ranking, benchmark.gold)
    if only is not None:
        kept = [ranks[only[labels]] for ranks, labels in zip(gold_ranks, benchmark.gold, strict=True)]
        gold_ranks = [ranks for ranks in kept if len(ranks)]
    columns = {"mrr": reciprocal_rank(gold_ranks), "map": average_precision(gold_ranks)}
    columns |= {f"rp@{k}": r_precision_at_k(gold_ranks, k) for k in CUTOFFS}
    columns |= {f"recall@{k}": recall_at_k(gold_ranks, k) for k in CUTOFFS}
    return Metrics(pd.DataFrame(columns))


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95% percentile bootstrap interval of the mean of values (n,), by resampling queries 9,999 times."""
    return _interval((np.asarray(values, float),), np.mean, seed)


def ratio_interval(hits: np.ndarray, totals: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95% bootstrap interval of sum(hits) / sum(totals), both counted per query (n,): precision, recall of sets."""

    def ratio(h: np.ndarray, t: np.ndarray, axis: int = -1) -> np.ndarray:
        return h.sum(axis) / np.maximum(t.sum(axis), 1)

    return _interval((np.asarray(hits, float), np.asarray(totals, float)), ratio, seed)


def _interval(samples: tuple[np.ndarray, ...], statistic: Callable, seed: int) -> tuple[float, float]:
    if all(np.ptp(sample) == 0 for sample in samples):  # nothing to resample: every resample says the same
        return (float(statistic(*samples)),) * 2
    rng = np.random.default_rng(seed)
    result = stats.bootstrap(
        samples, statistic, paired=len(samples) > 1, vectorized=True, method="percentile", batch=1000, rng=rng
    )
    return tuple(map(float, result.confidence_interval))


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over the same queries, its 95% bootstrap interval, and a two-sided permutation p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def paired_test(a: np.ndarray, b: np.ndarray, seed: int = 0) -> PairedDifference:
    """Compare two systems query by query: values (n,) of one metric for the same sentences in the same order.

    The test flips the sign of each query's difference at random (`scipy.stats.permutation_test`, 9,999 times).
    """
    difference = np.asarray(a, float) - np.asarray(b, float)
    low, high = bootstrap_interval(difference, seed)
    test = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", vectorized=True, batch=1000, rng=np.random.default_rng(seed)
    )
    return PairedDifference(float(difference.mean()), low, high, float(test.pvalue))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values (n,) of n tests made together, adjusted by Holm's method: what is below 0.05 holds for all of them.

    >>> holm([0.01, 0.04, 0.03]).round(2)
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1)


def compare(systems: dict[str, Metrics], metric: str = "rp@5") -> pd.DataFrame:
    """Every pair of systems on the same queries: columns better, worse, difference, low, high, p_value, p_holm.

    The largest difference comes first; `p_holm` is adjusted for the number of pairs.
    """
    by_mean = sorted(systems, key=lambda name: -systems[name].mean[metric])
    rows = [
        {"better": a, "worse": b, **vars(paired_test(systems[a].per_query[metric], systems[b].per_query[metric]))}
        for a, b in itertools.combinations(by_mean, 2)
    ]
    columns = ["better", "worse", "difference", "low", "high", "p_value"]
    table = pd.DataFrame(rows, columns=columns).sort_values("difference", ascending=False, kind="stable")
    return table.assign(p_holm=holm(table["p_value"])).reset_index(drop=True)


def precision_recall_sets(predicted: Sequence[np.ndarray], gold: Sequence[np.ndarray]) -> pd.DataFrame:
    """Per query: how many labels were predicted, how many are gold, how many are both (columns predicted, gold, hits).

    Sums over the rows give micro-averaged precision (hits / predicted) and recall (hits / gold).
    """
    hits = [len(np.intersect1d(p, g)) for p, g in zip(predicted, gold, strict=True)]
    return pd.DataFrame({"predicted": list(map(len, predicted)), "gold": list(map(len, gold)), "hits": hits})
