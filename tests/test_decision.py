"""From a ranking to an answer: thresholds that cost no more than allowed, and a detector of sentences with skills."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.benchmarks import Benchmark
from helpers.data.corpora import load_asking
from helpers.encoders import load_encoder
from helpers.extraction.decision import Decision, fit_decision, has_skill, highest_threshold, train_detector
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.ranking import Ranking
from helpers.files import InputError
from helpers.taxonomy import Taxonomy

ASKING = ("You write tests in Python.", "Experience with SQL is a must.", "You clean offices.", "You can code in Java.")
OTHERS = ("We offer free coffee.", "Our office is in the centre.", "Apply before May.", "A pension and a gym.")


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 1)), min_size=1, max_size=40),
    st.floats(0, 0.99),
)
def test_a_threshold_costs_no_more_than_allowed_and_the_next_value_would(rows, loss):
    values, gains = map(np.array, zip(*rows, strict=True))
    threshold = highest_threshold(values, gains, loss)
    assert gains[values < threshold].sum() <= loss * gains.sum() + 1e-9
    higher = [value for value in np.unique(values) if np.floor(1000 * value) / 1000 > threshold]
    if higher:
        assert gains[values < higher[0]].sum() > loss * gains.sum() - 1e-9


def test_more_loss_never_means_a_lower_threshold():
    rng = np.random.default_rng(0)
    values, gains = rng.random(200), rng.random(200) < 0.3
    thresholds = [highest_threshold(values, gains, loss) for loss in (0, 0.05, 0.2, 0.5, 0.9)]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[-1]


def test_a_decision_keeps_what_passes_both_thresholds(detector):
    ranking = Ranking(np.array([[3, 1], [2, 0]]), np.array([[0.9, 0.4], [0.9, 0.8]], dtype=np.float32))
    sentences = [ASKING[0], OTHERS[0]]
    between = has_skill(detector, sentences).mean()
    assert Decision(detector, between, 0.5).keep(sentences, ranking).tolist() == [[True, False], [False, False]]
    assert Decision(detector, 0.0, 0.0).keep(sentences, ranking).all()


def test_no_sentence_gives_no_answer(detector):
    empty = Ranking(np.zeros((0, 5), dtype=np.int64), np.zeros((0, 5), dtype=np.float32))
    assert Decision(detector, 0.5, 0.5).keep([], empty).shape == (0, 5)


def test_a_detector_tells_sentences_with_skills_from_others(detector):
    assert has_skill(detector, ASKING).min() > has_skill(detector, OTHERS).max()


def test_a_detector_needs_both_kinds_of_sentences():
    with pytest.raises(InputError, match="sentences that do not"):
        train_detector(ASKING, [True] * 4, load_encoder())


def test_thresholds_are_chosen_on_every_split_and_cost_at_most_the_loss_in_each(detector, tmp_path):
    taxonomy = taxonomy_of(tmp_path, ["Python", "SQL", "clean offices", "Java", "cook"])
    split = Benchmark("tiny", "validation", ASKING, tuple(np.array([i]) for i in range(4)), taxonomy, "")
    ranker = LexicalRanker(taxonomy)
    none = fit_decision(detector, ranker, [split], loss=0)
    kept = none.keep(ASKING, ranker.rank(ASKING, 5))
    found = ranker.rank(ASKING, 5).indices
    assert all(label in found[row, kept[row]] for row, label in enumerate(range(4)))
    some = fit_decision(detector, ranker, [split], loss=0.25)
    assert some.sentence >= none.sentence
    assert some.score >= none.score


@pytest.mark.parametrize("loss", [-0.1, 1, 2])
def test_a_loss_that_is_no_share_is_refused(detector, loss):
    with pytest.raises(InputError, match="share of recall"):
        fit_decision(detector, None, [], loss)


def test_a_ranker_that_finds_nothing_is_named_with_its_split(detector, tmp_path):
    taxonomy = taxonomy_of(tmp_path, ["Python", "SQL", "clean offices", "Java", "cook", "sing"])
    split = Benchmark("tiny", "validation", ASKING[:1], (np.array([5]),), taxonomy, "")
    with pytest.raises(InputError, match="no gold label among the first 1 of any sentence of tiny validation"):
        fit_decision(detector, LexicalRanker(taxonomy), [split], top=1)


def test_the_sample_says_which_sentences_ask_for_a_skill_and_its_parts_share_none():
    (train, asks), (dev, _) = load_asking("sample"), load_asking("sample", "dev")
    assert len(train) == len(asks) == len(dev) == 4000
    assert not set(train) & set(dev)
    assert 0.2 < asks.mean() < 0.9


def test_a_corpus_of_which_nothing_is_known_is_refused():
    with pytest.raises(InputError, match="choose sample or job-ads"):
        load_asking("mine.csv")


@pytest.fixture(scope="module")
def detector():
    return train_detector(ASKING + OTHERS, [True] * 4 + [False] * 4, load_encoder())


def taxonomy_of(folder, labels):
    path = folder / "skills.csv"
    path.write_text("\n".join(["label", *labels]), encoding="utf-8")
    return Taxonomy.from_csv(path)
