"""Metrics agree with slow, independent definitions; intervals and tests behave as their theory says."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.data.benchmarks import load_benchmark
from helpers.evaluation import (
    Metrics,
    average_precision,
    bootstrap_interval,
    compare,
    evaluate,
    holm,
    paired_test,
    precision_recall_sets,
    r_precision_at_k,
    ratio_interval,
    recall_at_k,
    reciprocal_rank,
)
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.ranking import Ranking, ranks_of
from helpers.taxonomy import load_taxonomy


def slow_metrics(order, gold, k):
    """RP@K, MRR, MAP and recall@K of one query, straight from their definitions, walking down the list."""
    hits = [1 if label in gold else 0 for label in order]
    rp = sum(hits[:k]) / min(k, len(gold))
    mrr = next((1 / rank for rank, hit in enumerate(hits, 1) if hit), 0.0)
    ap = sum(sum(hits[:rank]) / rank for rank, hit in enumerate(hits, 1) if hit) / len(gold)
    return rp, mrr, ap, sum(hits[:k]) / len(gold)


queries = st.integers(2, 25).flatmap(
    lambda n: st.tuples(
        st.permutations(range(n)), st.sets(st.integers(0, n - 1), min_size=1), st.integers(1, 12), st.integers(1, n)
    )
)


@given(queries)
def test_metrics_agree_with_their_definitions(query):
    order, gold, k, kept = query
    order = order[:kept]  # a run may hold only the top of the list
    ranks = ranks_of(Ranking(np.array([order]), np.zeros((1, len(order)))), [np.array(sorted(gold))])
    fast = (
        r_precision_at_k(ranks, k)[0],
        reciprocal_rank(ranks)[0],
        average_precision(ranks)[0],
        recall_at_k(ranks, k)[0],
    )
    assert fast == pytest.approx(slow_metrics(order, gold, k))


@given(queries)
def test_metrics_lie_between_0_and_1_and_recall_never_falls_with_k(query):
    order, gold, k, _ = query
    ranks = ranks_of(Ranking(np.array([order]), np.zeros((1, len(order)))), [np.array(sorted(gold))])
    for metric in (r_precision_at_k(ranks, k), recall_at_k(ranks, k), reciprocal_rank(ranks), average_precision(ranks)):
        assert 0 <= metric[0] <= 1
    assert recall_at_k(ranks, k) <= recall_at_k(ranks, k + 1)
    assert r_precision_at_k(ranks, len(order)) == 1


@given(queries)
def test_moving_a_gold_label_up_never_hurts(query):
    order, gold, k, _ = query
    places = [i for i, label in enumerate(order) if i and label in gold and order[i - 1] not in gold]
    if not places:
        return
    better = list(order)
    better[places[0] - 1], better[places[0]] = better[places[0]], better[places[0] - 1]
    assert all(b >= a - 1e-12 for a, b in zip(slow_metrics(order, gold, k), slow_metrics(better, gold, k), strict=True))


def test_average_precision_agrees_with_scikit_learn():
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    scores, gold = rng.random(40), np.array([3, 17, 29])
    ranking = Ranking(np.argsort(-scores)[None, :], np.sort(-scores)[None, :])
    ours = average_precision(ranks_of(ranking, [gold]))[0]
    assert ours == pytest.approx(average_precision_score(np.isin(np.arange(40), gold), scores))


def test_an_interval_holds_the_mean_and_is_the_same_every_time():
    values = np.random.default_rng(1).random(200)
    low, high = bootstrap_interval(values, seed=3)
    assert low < values.mean() < high
    assert (low, high) == bootstrap_interval(values, seed=3)
    t = stats.t.interval(0.95, 199, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(t, abs=0.005)
    assert bootstrap_interval(np.ones(9)) == (1.0, 1.0)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    covered = [low < 0.3 < high for low, high in (bootstrap_interval(rng.random(120) < 0.3, s) for s in range(120))]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_a_paired_test_cries_wolf_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    p_values = [paired_test(*rng.random((2, 60)), seed).p_value for seed in range(150)]  # two systems that are alike
    assert 0.01 <= np.mean(np.array(p_values) < 0.05) <= 0.1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_by_step_rule_rejects(p_values):
    adjusted = holm(p_values)
    assert (adjusted >= np.array(p_values) - 1e-12).all()
    rejected = np.zeros(len(p_values), dtype=bool)
    for step, index in enumerate(np.argsort(p_values, kind="stable")):  # the smallest first, until one is too large
        if p_values[index] * (len(p_values) - step) > 0.05:
            break
        rejected[index] = True
    assert (adjusted <= 0.05).tolist() == rejected.tolist()


def test_every_pair_of_systems_is_compared_on_the_same_queries():
    rng = np.random.default_rng(5)
    base = rng.random(100)
    systems = {
        name: Metrics(pd.DataFrame({"rp@5": values}))
        for name, values in {"worst": base - 0.5, "best": base + rng.normal(0.1, 0.01, 100), "base": base}.items()
    }
    table = compare(systems)
    assert list(zip(table["better"], table["worse"], strict=True)) == [
        ("best", "worst"),
        ("base", "worst"),
        ("best", "base"),
    ]
    assert table["difference"].tolist() == pytest.approx([0.6, 0.5, 0.1], abs=0.01)
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p_value"]).tolist())
    assert compare({"alone": systems["base"]}).empty


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_paired_test_of_a_system_with_itself_finds_nothing(seed):
    values = np.random.default_rng(seed).random(50)
    same = paired_test(values, values)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_a_paired_test_sees_what_unpaired_intervals_hide():
    rng = np.random.default_rng(4)
    hard = rng.random(200)
    a, b = np.clip(hard + 0.03 + rng.normal(0, 0.02, 200), 0, 1), hard
    (_, high_b), (low_a, _) = bootstrap_interval(b), bootstrap_interval(a)
    assert low_a < high_b  # the two intervals overlap
    result = paired_test(a, b)
    assert result.p_value < 0.001
    assert result.low > 0
    assert paired_test(b, a).difference == -result.difference


def test_sets_are_counted_per_query():
    counts = precision_recall_sets([np.array([1, 2]), np.array([], int)], [np.array([2, 3]), np.array([4])])
    assert counts.to_numpy().tolist() == [[2, 2, 1], [0, 1, 0]]
    assert ratio_interval(np.array([1]), np.array([2])) == (0.5, 0.5)
    low, high = ratio_interval(counts["hits"], counts["gold"])
    assert 0 <= low <= 1 / 3 <= high <= 1


def test_labels_that_do_not_count_are_left_out_with_the_sentences_that_have_no_other():
    benchmark = load_benchmark("sample-tech", "validation", load_taxonomy("sample"))
    ranking = LexicalRanker(benchmark.taxonomy).rank(benchmark.sentences, 20)
    counted = np.zeros(500, dtype=bool)
    counted[np.unique(np.concatenate(benchmark.gold))[::2]] = True
    ranks = [r[counted[g]] for r, g in zip(ranks_of(ranking, benchmark.gold), benchmark.gold, strict=True)]
    ranks = [r for r in ranks if len(r)]
    found = evaluate(ranking, benchmark, only=counted).per_query
    assert len(found) == len(ranks) < len(benchmark.sentences)
    np.testing.assert_array_equal(found["rp@5"], r_precision_at_k(ranks, 5))
