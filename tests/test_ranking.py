"""Rankings are exact and ordered; run files give back what was written and refuse what does not belong."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.data.benchmarks import read_benchmark
from helpers.evaluation import evaluate
from helpers.extraction.contrastive import BiEncoder
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.matching import LiteralMatcher, LiteralRanker, preferred_names
from helpers.extraction.ranking import (
    Ranking,
    rank_in_blocks,
    ranks_of,
    read_run,
    run_benchmark,
    sentence_ids,
    top_k,
    write_run,
)
from helpers.files import InputError
from helpers.taxonomy import load_taxonomy

SCORES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 30)),
    elements=st.one_of(st.floats(-2, 2, width=32), st.sampled_from([0.0, -0.0, 0.5, -0.5])),
)


@given(SCORES, st.integers(1, 35))
def test_top_k_is_the_start_of_a_stable_sort(scores, k):
    ranking = top_k(scores, k)
    expected = np.argsort(-(scores + np.float32(0)), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(ranking.indices, expected)
    np.testing.assert_array_equal(ranking.scores, np.take_along_axis(scores, expected, axis=1))


@given(SCORES, st.integers(1, 5))
def test_blocks_change_nothing(scores, block):
    sentences = [str(row) for row in range(len(scores))]
    ranking = rank_in_blocks(lambda part: scores[[int(s) for s in part]], sentences, 7, block=block)
    np.testing.assert_array_equal(ranking.indices, top_k(scores, 7).indices)


def test_no_sentence_gives_an_empty_ranking():
    assert rank_in_blocks(lambda part: np.zeros((len(part), 9)), [], 3).indices.shape == (0, 3)


def test_ranks_count_from_one_and_what_is_absent_is_never_found():
    ranking = Ranking(np.array([[5, 2, 9]]), np.zeros((1, 3)))
    assert ranks_of(ranking, [np.array([2, 4, 5])])[0].tolist() == [2, np.inf, 1]


@pytest.fixture
def benchmark(tmp_path):
    path = tmp_path / "bench.csv"
    rows = [("You bake bread and run payroll.", "bake bread"), ("You bake bread and run payroll.", "run payroll")]
    rows += [("Fillet fish.", "fillet fish"), ("Lead, don't follow.", "lead staff")]
    pd.DataFrame(rows, columns=["sentence", "label"]).to_csv(path, index=False)
    return read_benchmark(path, load_taxonomy("sample"), "mine", "test")


@pytest.fixture(scope="module")
def lexical():
    return LexicalRanker(load_taxonomy("sample"))


def test_every_method_is_a_ranker(benchmark, lexical):
    from helpers.encoders import load_encoder

    taxonomy = benchmark.taxonomy
    for ranker in (
        lexical,
        BiEncoder(load_encoder(), taxonomy),
        LiteralRanker(LiteralMatcher(preferred_names(taxonomy)), taxonomy),
    ):
        ranking = ranker.rank(benchmark.sentences, 4)
        assert ranking.indices.shape == ranking.scores.shape == (3, 4)
        assert (np.diff(ranking.scores, axis=1) <= 0).all()
        assert taxonomy.labels[ranking.indices[1, 0]] == "fillet fish"


def test_a_run_survives_its_file(tmp_path, benchmark, lexical):
    run = run_benchmark(lexical, benchmark, top=1, method="lexical")
    path = tmp_path / "run.csv.gz"
    write_run(run, benchmark, path)
    again = read_run(path, benchmark)
    np.testing.assert_array_equal(again.ranking.indices, run.ranking.indices)
    np.testing.assert_allclose(again.ranking.scores, run.ranking.scores, atol=1e-5)
    assert [r.tolist() for r in again.gold_ranks] == [r.tolist() for r in run.gold_ranks]  # deep ones too
    assert max(np.max(ranks) for ranks in run.gold_ranks) > 1
    pd.testing.assert_frame_equal(evaluate(again, benchmark).per_query, evaluate(run, benchmark).per_query)
    assert again.provenance["method"] == "lexical"
    assert again.provenance["taxonomy_sha256"] == benchmark.taxonomy.sha256


def test_a_run_file_holds_no_text_and_is_the_same_every_time(tmp_path, benchmark, lexical):
    run = run_benchmark(lexical, benchmark)
    write_run(run, benchmark, tmp_path / "a.csv.gz")
    write_run(run, benchmark, tmp_path / "b.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    everything = gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode() + (tmp_path / "a.json").read_text()
    assert not any(sentence in everything for sentence in benchmark.sentences)


def test_a_full_ranking_and_its_run_score_alike(benchmark, lexical):
    whole = evaluate(lexical.rank(benchmark.sentences, 500), benchmark).mean
    assert evaluate(run_benchmark(lexical, benchmark), benchmark).mean == whole


def somebodys_run(path, rows, columns=("sentence_id", "rank", "label_id")):
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


def test_anybodys_run_is_scored_without_scores_or_provenance(tmp_path, benchmark):
    ids, labels = sentence_ids(benchmark), benchmark.taxonomy.ids
    rows = [(ids[0], 1, labels[benchmark.gold[0][0]]), (ids[0], 2, labels[3]), (ids[1], 1, labels[4])]
    run = read_run(somebodys_run(tmp_path / "theirs.csv", rows), benchmark)
    metrics = evaluate(run, benchmark).per_query
    assert metrics["mrr"].tolist() == [1, 0, 0]  # found, not found, not answered
    assert metrics["rp@5"].tolist() == [0.5, 0, 0]


def test_a_sentence_without_an_answer_takes_nothing_from_the_others(tmp_path, benchmark, lexical):
    path, again = tmp_path / "run.csv.gz", tmp_path / "again.csv.gz"
    write_run(run_benchmark(lexical, benchmark, top=3), benchmark, path)
    rows = pd.read_csv(path)
    rows = rows[rows["sentence_id"] != sentence_ids(benchmark)[1]].drop(columns="score")
    rows.to_csv(path, index=False)
    run = read_run(path, benchmark)
    assert (run.ranking.indices >= 0).sum(axis=1).tolist() == [3, 0, 3]
    assert evaluate(run, benchmark).per_query["mrr"][1] == 0
    write_run(run, benchmark, again)
    assert pd.read_csv(again)["score"].isna().all()
    assert len(pd.read_csv(again)) == len(rows)


def test_a_run_is_not_scored_against_another_benchmark(tmp_path, benchmark, lexical):
    run = run_benchmark(lexical, benchmark)
    other = tmp_path / "other.csv"
    other.write_text("sentence,label\nYou bake.,bake bread\n")
    with pytest.raises(InputError, match="made on another benchmark than other test"):
        evaluate(run, read_benchmark(other, benchmark.taxonomy, "other", "test"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sentence_id": "house:test:abc"},
            r"row 2: sentence_id 'house:test:abc' is not in mine test; is it another benchmark",
        ),
        ({"label_id": "urn:nothing"}, "row 2: label_id 'urn:nothing' is not in the taxonomy sample"),
        ({"rank": "first"}, "row 2: rank 'first' is no rank among 500 labels"),
        ({"rank": 0}, "row 2: rank '0' is no rank"),
        ({"rank": 1.5}, "row 2: rank '1.5' is no rank"),
        ({"rank": "1e30"}, "row 2: rank '1e30' is no rank"),
        ({"rank": 501}, "row 2: rank '501' is no rank among 500 labels"),
        ({"rank": 2}, "row 3: rank '2' stands twice for this sentence"),
    ],
)
def test_runs_that_cannot_be_scored_are_refused(tmp_path, benchmark, change, message):
    ids, labels = sentence_ids(benchmark), benchmark.taxonomy.ids
    first = {"sentence_id": ids[0], "rank": 1, "label_id": labels[0]} | change
    rows = [first, {"sentence_id": ids[0], "rank": 2, "label_id": labels[1]}]
    path = somebodys_run(tmp_path / "run.csv", [list(row.values()) for row in rows])
    with pytest.raises(InputError, match=message):
        read_run(path, benchmark)


def test_a_run_made_on_other_data_is_refused(tmp_path, benchmark, lexical):
    path = tmp_path / "run.csv.gz"
    write_run(run_benchmark(lexical, benchmark), benchmark, path)
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"benchmark_sha256": "0" * 64}))
    with pytest.raises(InputError, match=r"made on other data than this mine test .*benchmark_sha256 differs"):
        read_run(path, benchmark)
    (tmp_path / "run.json").write_text(json.dumps(record | {"taxonomy_sha256": None}))
    with pytest.raises(InputError, match="taxonomy_sha256 differs"):
        read_run(path, benchmark)
    for broken in ("{", "[]"):
        (tmp_path / "run.json").write_text(broken)
        with pytest.raises(InputError, match=r"run\.json: not a JSON object"):
            read_run(path, benchmark)
    with pytest.raises(InputError, match=r"a run file's name ends in \.csv\.gz"):
        write_run(read_run_without_provenance(path, benchmark), benchmark, tmp_path / "run.txt")


def read_run_without_provenance(path, benchmark):
    path.with_name("run.json").unlink()
    return read_run(path, benchmark)
