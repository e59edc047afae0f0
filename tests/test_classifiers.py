"""One classifier a skill: trained as scikit-learn would, kept, resumed, and ranked with."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from helpers.data.corpora import load_corpus
from helpers.encoders import encode, load_encoder
from helpers.extraction import classifiers as module
from helpers.extraction.classifiers import ClassifierRanker, train_classifiers, train_from_corpus
from helpers.extraction.negatives import Sampler
from helpers.files import InputError
from helpers.taxonomy import Taxonomy, load_taxonomy


@pytest.fixture
def embeddings():
    points = np.random.default_rng(0).normal(size=(120, 8)).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.fixture
def sampler():
    return sampler_of()


def sampler_of(seed=0):
    positives = [np.arange(i, i + 3) for i in range(0, 90, 3)]
    positives[4] = np.array([], dtype=int)  # a skill that no sentence names
    related = {"next": [np.array([(skill + 1) % 30]) for skill in range(30)]}
    return Sampler(positives, related, 0.2, seed=seed)


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("skills", "weights", "bias"))


def test_each_classifier_is_scikit_learns_on_its_own_sample(embeddings, sampler):
    trained = train_classifiers(embeddings, sampler, c=2.0)
    for place, skill in enumerate(trained.skills):
        sample = sampler.draw(skill)
        x = embeddings[np.concatenate([sample.positives, sample.negatives])]
        y = [1] * len(sample.positives) + [0] * len(sample.negatives)
        exact = LogisticRegression(C=2.0, solver="newton-cholesky", tol=1e-9).fit(x.astype(float), y)
        logits = embeddings @ trained.weights[place] + trained.bias[place]
        assert logits == pytest.approx(exact.decision_function(embeddings), abs=0.01)


def test_a_skill_without_sentences_has_no_classifier(embeddings, sampler):
    trained = train_classifiers(embeddings, sampler)
    assert trained.trained.sum() == len(trained.skills) == 29
    assert not trained.trained[4]


def test_the_result_does_not_depend_on_the_number_of_workers(embeddings, sampler, monkeypatch):
    monkeypatch.setattr(module, "SKILLS_PER_BLOCK", 7)
    assert same(train_classifiers(embeddings, sampler), train_classifiers(embeddings, sampler, n_jobs=2))


def test_a_corpus_that_names_one_skill_trains_nothing(embeddings):
    trained = train_classifiers(embeddings, Sampler([np.arange(5), np.array([], dtype=int)]))
    assert (len(trained.skills), trained.weights.shape, trained.facts["n_trained"]) == (0, (0, 8), 0)


def test_the_counts_say_what_was_drawn(embeddings, sampler):
    facts = train_classifiers(embeddings, sampler).facts
    samples = [sampler.draw(skill) for skill in range(30)]
    for name in ("positives", "negatives"):
        assert facts[f"n_{name}"] == sum(len(getattr(sample, name)) for sample in samples)
    for name in ("n_hard", "n_fallback", "n_missing"):
        assert facts[name] == sum(getattr(sample, name) for sample in samples)
    assert facts["n_hard"] > 0


@pytest.mark.parametrize("c", [0, -1, float("nan"), float("inf")])
def test_an_impossible_c_is_refused(embeddings, sampler, c):
    with pytest.raises(InputError, match="above 0"):
        train_classifiers(embeddings, sampler, c=c)


def counted_fits(monkeypatch, killed_at=None):
    """Count the classifiers that are fitted from now on; one of them is interrupted."""
    fitted = []

    class Counted(LogisticRegression):
        def fit(self, x, y):
            if len(fitted) == killed_at:
                raise KeyboardInterrupt
            fitted.append(1)
            return super().fit(x, y)

    monkeypatch.setattr(module, "LogisticRegression", Counted)
    return fitted


def test_interrupted_training_goes_on_where_it_stopped(embeddings, sampler, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SKILLS_PER_BLOCK", 10)
    unbroken = train_classifiers(embeddings, sampler)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counted_fits(patch, killed_at=15)
        train_classifiers(embeddings, sampler, cache=tmp_path)
    fitted = counted_fits(monkeypatch)
    resumed = train_classifiers(embeddings, sampler, cache=tmp_path)
    assert len(fitted) == 19, "the first block was not done again"
    assert same(unbroken, resumed)
    again = train_classifiers(embeddings.copy(), sampler_of(), cache=tmp_path)
    assert len(fitted) == 19, "complete, it only reads"
    assert same(unbroken, again)
    assert again.facts == unbroken.facts


def test_another_process_finds_the_training(embeddings, sampler, tmp_path, monkeypatch):
    unbroken = train_classifiers(embeddings, sampler, n_jobs=2, cache=tmp_path)
    fitted = counted_fits(monkeypatch)
    assert same(unbroken, train_classifiers(embeddings, sampler, cache=tmp_path))
    assert not fitted


def test_another_training_does_not_read_this_one(embeddings, sampler, tmp_path, monkeypatch):
    train_classifiers(embeddings, sampler, cache=tmp_path)
    fitted = counted_fits(monkeypatch)
    train_classifiers(embeddings, sampler, c=1.0, cache=tmp_path)
    train_classifiers(embeddings, sampler_of(seed=1), cache=tmp_path)
    train_classifiers(embeddings + np.float32(0.01), sampler, cache=tmp_path)
    assert len(fitted) == 3 * 29


@pytest.mark.filterwarnings("ignore:Exception while loading results")
def test_a_damaged_cache_is_trained_again(embeddings, sampler, tmp_path):
    unbroken = train_classifiers(embeddings, sampler, cache=tmp_path)
    for kept in tmp_path.rglob("output.pkl"):
        kept.write_bytes(b"damaged")
    assert same(unbroken, train_classifiers(embeddings, sampler, cache=tmp_path))


SENTENCES = ["You bake bread.", "You lay bricks.", "We bake bread daily.", "Lay bricks with us.", "Weld pipes."]


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("label,broader\nbake bread,craft\nsing,art\nlay bricks,craft\nweld pipes,craft\nact,art\n")
    return Taxonomy.from_csv(path)


def test_a_ranking_puts_trained_skills_first_and_the_others_last_in_taxonomy_order(small):
    encoder = load_encoder()
    ranker = train_from_corpus(small, SENTENCES, encoder, c=10.0)
    ranking = ranker.rank(["Bread is what you bake.", "bricks"], 5)
    assert [small.labels[row[0]] for row in ranking.indices] == ["bake bread", "lay bricks"]
    assert ranking.indices[:, 3:].tolist() == [[1, 4], [1, 4]]
    assert np.isfinite(ranking.scores).all()


def test_classifiers_of_another_taxonomy_are_refused(small):
    ranker = train_from_corpus(small, SENTENCES, load_encoder(), strategies=())
    with pytest.raises(InputError, match="do not fit"):
        ClassifierRanker(load_encoder(), load_taxonomy("sample"), ranker.classifiers)


def test_on_the_sample_it_finds_what_it_was_trained_on():
    taxonomy, encoder = load_taxonomy("sample"), load_encoder()
    sentences = [s for s in load_corpus("sample").sentences if "forklift" in s.lower() or "bread" in s.lower()]
    ranker = train_from_corpus(taxonomy, sentences, encoder, c=10.0)
    best = ranker.rank(["bake bread"], 1).indices[0, 0]
    assert "bread" in taxonomy.labels[best]
    assert encode(encoder, sentences).shape[1] == ranker.classifiers.weights.shape[1]
