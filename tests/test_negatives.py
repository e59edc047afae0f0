"""Which skills are related, and what a classifier's training sentences are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from helpers.encoders import load_encoder
from helpers.extraction.negatives import (
    STRATEGIES,
    Sampler,
    nearest_by_embedding,
    nearest_by_spelling,
    positives_of,
    related_skills,
)
from helpers.files import InputError
from helpers.taxonomy import Taxonomy, load_taxonomy

labels = st.lists(st.text("abC ", min_size=1, max_size=6), min_size=1, max_size=30, unique=True)


def taxonomy_of(tmp_path, *rows):
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["label,broader", *rows]) + "\n")
    return Taxonomy.from_csv(path)


@given(labels, st.integers(1, 40))
def test_spelling_neighbours_are_those_of_a_plain_loop(names, n):
    found = nearest_by_spelling(names, n)
    for i, name in enumerate(names):
        others = [j for j in range(len(names)) if j != i]
        expected = sorted(others, key=lambda j: (Levenshtein.distance(name, names[j]), j))[:n]
        assert found[i].tolist() == expected


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 120), st.integers(0, 5))
def test_embedding_neighbours_are_the_nearest_and_never_the_skill_itself(n_labels, n, seed):
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n_labels, 4)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    found = nearest_by_embedding(embeddings, n)
    assert found.shape == (n_labels, min(n, n_labels - 1))
    cosines = embeddings @ embeddings.T
    for i, row in enumerate(found):
        assert i not in row
        assert len(set(row.tolist())) == len(row)
        if len(row):
            left_out = np.setdiff1d(np.arange(n_labels), [*row, i])
            assert cosines[i, row].min() >= cosines[i, left_out].max(initial=-2) - 1e-6


def test_equal_names_are_neighbours_in_taxonomy_order():
    vectors = np.tile(np.float32([1, 0]), (5, 1))
    assert nearest_by_embedding(vectors, 3).tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]]


def test_siblings_share_a_parent(tmp_path):
    taxonomy = taxonomy_of(
        tmp_path, "bake bread,food", "cook soup,food|heat", "lay bricks,building", "weld,heat", "sing,"
    )
    assert [row.tolist() for row in related_skills(["siblings"], taxonomy)["siblings"]] == [[1], [0, 3], [], [1], []]


def test_every_strategy_answers_for_every_skill():
    taxonomy = load_taxonomy("sample")
    related = related_skills(STRATEGIES, taxonomy, load_encoder())
    assert list(related) == list(STRATEGIES)
    for rows in related.values():
        assert len(rows) == len(taxonomy)
        assert all(skill not in row for skill, row in enumerate(rows))


def test_an_unknown_strategy_names_the_known_ones():
    with pytest.raises(InputError, match="siblings, levenshtein, embedding"):
        related_skills(["cousins"], load_taxonomy("sample"))
    with pytest.raises(InputError, match="needs an encoder"):
        related_skills(["embedding"], load_taxonomy("sample"))


sentence_labels = st.lists(st.lists(st.integers(0, 9), unique=True, max_size=4).map(sorted), max_size=40)


@given(sentence_labels)
def test_positives_are_the_labels_turned_around(found):
    positives = positives_of([np.array(row, dtype=np.int64) for row in found], 10)
    assert len(positives) == 10
    for skill, sentences in enumerate(positives):
        assert sentences.tolist() == [i for i, row in enumerate(found) if skill in row]


def sampler_of(found, fraction, k, seed, cap=1000, strategies=2):
    positives = positives_of([np.array(row, dtype=np.int64) for row in found], 10)
    rng = np.random.default_rng(seed)
    related = {
        str(name): [rng.permutation(np.delete(np.arange(10), skill))[:3] for skill in range(10)]
        for name in range(strategies)
    }
    return positives, related, Sampler(positives, related, fraction, k, cap, seed)


@given(sentence_labels, st.floats(0, 1), st.integers(1, 5), st.integers(0, 3), st.integers(1, 8))
def test_a_sample_holds_what_it_says(found, fraction, k, seed, cap):
    positives, related, sampler = sampler_of(found, fraction, k, seed, cap)
    kept = [set(sampler.draw(skill).positives.tolist()) for skill in range(10)]
    for skill in range(10):
        sample = sampler.draw(skill)
        negatives = set(sample.negatives.tolist())
        assert len(kept[skill]) == min(len(positives[skill]), cap)
        assert kept[skill] <= set(positives[skill].tolist())
        assert not negatives & set(positives[skill].tolist()), "a positive among its own negatives"
        assert len(negatives) == len(sample.negatives), "a negative twice"
        assert negatives <= set().union(*(kept[other] for other in range(10) if other != skill))
        assert len(negatives) + sample.n_missing == k * len(kept[skill])
        near = set().union(*(kept[o] for rows in related.values() for o in rows[skill])) - set(
            positives[skill].tolist()
        )
        assert sample.n_hard <= min(len(near), len(negatives))
        if fraction == 1 and len(kept[skill]):
            assert sample.n_hard + sample.n_fallback == k * len(kept[skill])


@given(sentence_labels, st.permutations(range(10)), st.integers(0, 3))
def test_a_skills_sample_depends_on_the_seed_and_on_nothing_that_was_drawn_before(found, order, seed):
    _, _, sampler = sampler_of(found, 0.3, 2, seed)
    _, _, again = sampler_of(found, 0.3, 2, seed)
    in_order = [sampler.draw(skill) for skill in range(10)]
    shuffled = {skill: again.draw(skill) for skill in order}
    for skill, sample in enumerate(in_order):
        assert np.array_equal(sample.negatives, shuffled[skill].negatives)
        assert np.array_equal(sample.positives, shuffled[skill].positives)


def test_another_seed_draws_others():
    found = [[i % 10] for i in range(200)]
    draws = [sampler_of(found, 0.0, 2, seed)[2].draw(0).negatives.tolist() for seed in (0, 1)]
    assert draws[0] != draws[1]


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.05, 0.3, 1.0])
def test_the_share_of_hard_negatives_is_the_fraction_in_expectation(fraction):
    # Skill 0 has one sentence, its only relative a hundred: nothing lacks, and 10 negatives make whole numbers rare.
    positives = [np.array([0]), np.arange(1, 101), np.arange(101, 301)]
    related = {"one": [np.array([1]), np.array([0]), np.array([], dtype=int)]}
    draws = [Sampler(positives, related, fraction, 10, seed=seed).draw(0) for seed in range(600)]
    shares = np.array([draw.n_hard / 10 for draw in draws])
    assert {len(draw.negatives) for draw in draws} == {10}
    assert shares.mean() == pytest.approx(fraction, abs=4 * np.sqrt(0.025 / 600) * 0.5 + 1e-9)
    assert shares.min() >= np.floor(10 * fraction) / 10 - 1e-9  # rounding by lot moves a share by one sentence at most
    assert shares.max() <= np.ceil(10 * fraction) / 10 + 1e-9


def test_strategies_share_the_hard_negatives_evenly():
    positives = [np.array([0]), np.arange(1, 101), np.arange(101, 201), np.arange(201, 301)]
    related = {name: [np.array([i])] * 4 for i, name in enumerate(("a", "b", "c"), start=1)}
    drawn = np.concatenate([Sampler(positives, related, 0.8, seed=seed).draw(0).negatives for seed in range(300)])
    counts = np.histogram(drawn, bins=[1, 101, 201, 301])[0] / 300
    assert counts == pytest.approx([10 / 3] * 3, abs=0.15)


def test_too_few_hard_candidates_fall_back_to_uniform_and_are_counted():
    positives = [np.array([0]), np.array([1, 2]), np.arange(3, 50)]
    sample = Sampler(positives, {"one": [np.array([1]), np.array([0]), np.array([0])]}, 1.0).draw(0)
    assert (sample.n_hard, sample.n_fallback, sample.n_missing, len(sample.negatives)) == (2, 8, 0, 10)


def test_a_skill_without_relatives_gets_uniform_negatives():
    positives = [np.array([0]), np.arange(1, 50)]
    sample = Sampler(positives, {"siblings": [np.array([], dtype=int)] * 2}, 0.5).draw(0)
    assert (sample.n_hard, len(sample.negatives)) == (0, 10)


def test_a_corpus_with_one_skill_has_no_negatives():
    sample = Sampler([np.arange(5), np.array([], dtype=int)]).draw(0)
    assert (len(sample.positives), len(sample.negatives), sample.n_missing) == (5, 0, 50)


def test_a_skill_without_sentences_gets_an_empty_sample():
    sample = Sampler([np.array([], dtype=int), np.arange(5)]).draw(0)
    assert (len(sample.positives), len(sample.negatives), sample.n_missing) == (0, 0, 0)


@pytest.mark.parametrize("setting", [{"per_positive": 0}, {"max_positives": -1}, {"seed": -1}])
def test_impossible_numbers_are_refused(setting):
    with pytest.raises(InputError, match="or more"):
        Sampler([np.arange(3)], **setting)


@pytest.mark.parametrize(("fraction", "message"), [(-0.1, "from 0 to 1"), (1.5, "from 0 to 1"), (0.5, "no strategy")])
def test_an_impossible_hard_fraction_is_refused(fraction, message):
    with pytest.raises(InputError, match=message):
        Sampler([np.arange(3)], hard_fraction=fraction)
