"""Features of skills and groups: against values worked out by hand, and never from a skill's own labels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from helpers.competency import features as module
from helpers.competency.features import (
    N_FOLDS,
    Features,
    FeatureSettings,
    clusters,
    fit_features,
    label_table,
    spectral_embedding,
    unit,
)
from helpers.files import InputError

# Five skills in a plane, two groups; vectors lie on a circle, so that cosines are those of the angles between them.
ANGLES = {"bake": 0, "fry": 20, "roast": 50, "weld": 180, "solder": 200, "food": 10, "metal": 190}
SKILLS = ["bake", "fry", "roast", "weld", "solder"]
LABELS = pd.DataFrame(
    [[2, 0], [2, 0], [1, 0], [0, 2], [1, 1]], SKILLS, ["food", "metal"], dtype=np.int8
)  # solder is in both


def circle(texts):
    angles = np.radians([ANGLES[text] for text in texts])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def cosine(a, b):
    return np.cos(np.radians(ANGLES[a] - ANGLES[b]))


@pytest.fixture
def uncentred(monkeypatch):
    """Without the PCA, cosines are those of the circle."""
    monkeypatch.setattr(Features, "reduced", lambda self, vectors: vectors)


def column(found, name, skills=SKILLS):
    return found.table(skills)[:, :, found.names.index(name)]


def fitted(clean=True, known=None, **chosen):
    known = np.ones(LABELS.shape, dtype=bool) if known is None else known
    return fit_features(circle, LABELS, known, FeatureSettings(clusters=None, clean=clean, **chosen))


def test_pca_keeps_distances_where_it_has_the_room_and_zeros_stay_zeros():
    found, vectors = fitted(), circle(SKILLS)
    small = found.reduced(vectors)
    assert small.shape == (5, 2)
    for i in range(5):
        far = np.linalg.norm(vectors - vectors[i], axis=1)
        assert np.linalg.norm(small - small[i], axis=1) == pytest.approx(far, abs=1e-6)
    assert not found.reduced(np.zeros((1, 2), dtype=np.float32)).any()
    assert fitted(dimension=1).reduced(vectors).shape == (5, 1)


def test_labels_are_a_table_of_classes():
    groups = pd.DataFrame(
        [("food", "bake", "core"), ("food", "fry", "fringe"), ("metal", "weld", "core"), ("art", "paint", "core")],
        columns=["group", "skill", "relation"],
    )
    table = label_table(groups, ["weld", "fry", "bake", "sit"])
    assert table.to_dict("index") == {
        "weld": {"food": 0, "metal": 2},
        "fry": {"food": 1, "metal": 0},
        "bake": {"food": 2, "metal": 0},
        "sit": {"food": 0, "metal": 0},  # in no group
    }
    with pytest.raises(InputError, match="none of these skills"):
        label_table(groups, ["sit"])


def test_similarity_to_the_group_name(uncentred):
    found = column(fitted(), "group similarity")
    assert found[0] == pytest.approx([cosine("bake", "food"), cosine("bake", "metal")], abs=1e-6)


def test_similarity_to_the_most_similar_skills_of_a_group_leaves_the_skill_out(uncentred):
    found = fitted()
    # food holds bake, fry, roast and solder: for bake, the others by similarity are fry, roast, solder.
    near = [cosine("bake", other) for other in ("fry", "roast", "solder")]
    for n in (1, 2, 3):
        assert column(found, f"top {n} similarity")[0, 0] == pytest.approx(np.mean(near[:n]), abs=1e-6)
    # metal holds weld and solder: weld has one other to be compared with, however many are asked for.
    for n in (1, 2, 3):
        assert column(found, f"top {n} similarity")[3, 1] == pytest.approx(cosine("weld", "solder"), abs=1e-6)


def test_tfidf_in_the_papers_form_is_the_skills_own_and_in_the_clean_form_the_neighbours(uncentred):
    idf = {"bake": np.log(2), "fry": np.log(2), "roast": np.log(2), "weld": np.log(2), "solder": 0.0}
    own = {s: np.array([LABELS.loc[s, "food"] > 0, 0]) / 4 * idf[s] for s in SKILLS}  # food is a document of 4 skills
    own["weld"] = np.array([0, 1 / 2 * np.log(2)])
    own["solder"] = np.zeros(2)  # in every group: says nothing
    assert column(fitted(clean=False), "TFIDF") == pytest.approx(np.stack([own[s] for s in SKILLS]), abs=1e-6)
    # Clean: the mean over fry, roast and solder, with the sizes of the groups counted in the other folds.
    found = fitted()
    size = (LABELS.to_numpy()[found.fold != found.fold[0]] > 0).sum(axis=0)
    near = np.array([2 / 3 * np.log(2), 0])
    assert column(found, "TFIDF")[0] == pytest.approx(near / size, abs=1e-6)
    new = fitted(clean=False, known=np.array([[False]] + [[True]] * 4) & np.ones((5, 2), dtype=bool))
    own_without = {s: np.array([LABELS.loc[s, "food"] > 0, 0]) / 3 * idf[s] for s in ("fry", "roast")}
    assert column(new, "TFIDF")[0] == pytest.approx(
        np.mean([own_without["fry"], own_without["roast"], np.zeros(2)], axis=0), abs=1e-6
    )


def test_bert_prob_by_hand(monkeypatch):
    """Two layers with weights that can be followed: hidden = relu(x, -x), output = 2 hidden[0] - 1."""

    def by_hand(vectors, member, seen, seed):
        hidden = np.array([[1, -1], [0, 0], [0, 0]], dtype=np.float32)
        output = np.array([[2, 0], [0, 3], [-1, 0.5]], dtype=np.float32)
        return np.stack([hidden] * len(seen)), np.stack([output * (i + 1) for i in range(len(seen))])

    monkeypatch.setattr(module, "_train_networks", by_hand)
    found = fitted()
    given = column(found, "bert-prob", ["bake", "weld"])
    factor = found.fold[[0, 3]] + 1  # the network that left the skill's fold out
    expected = np.array([[2 * 1 - 1, 0.5], [-1, 3 * 1 + 0.5]]) * factor[:, None]
    assert given == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 4), st.integers(0, 10_000))
def test_no_clean_feature_of_a_training_skill_reads_its_own_label(skill, seed):
    rng = np.random.default_rng(seed)
    labels = pd.DataFrame(rng.integers(0, 3, (5, 2)).astype(np.int8), SKILLS, ["food", "metal"])
    labels.iloc[(skill + 1) % 5] = 2  # no group is ever empty
    other = labels.copy()
    other.iloc[skill] = (labels.iloc[skill] + rng.integers(1, 3, 2)) % 3
    known = np.ones((5, 2), dtype=bool)
    tables = [
        fit_features(circle, given, known, FeatureSettings(clusters=None)).table([SKILLS[skill]])
        for given in (labels, other)
    ]
    assert np.array_equal(*tables)
    paper = [
        fit_features(circle, given, known, FeatureSettings(clusters=None, clean=False)).table([SKILLS[skill]])
        for given in (labels, other)
    ]
    assert not np.array_equal(*paper)


def test_unknown_labels_are_never_read():
    known = np.ones(LABELS.shape, dtype=bool)
    known[1] = known[3, 0] = False
    other = LABELS.copy()
    other.iloc[1] = [0, 2]
    other.iloc[3, 0] = 2
    for clean in (True, False):
        chosen = FeatureSettings(clusters=None, clean=clean)
        tables = [fit_features(circle, labels, known, chosen).table(SKILLS) for labels in (LABELS, other)]
        assert np.array_equal(*tables)


def test_counts_come_from_the_other_folds_and_for_new_skills_are_their_mean():
    found = fitted()
    core = (LABELS.to_numpy() == 2).astype(int)
    for i, skill in enumerate(SKILLS):
        assert column(found, "core count")[i] == pytest.approx(core[found.fold != found.fold[i]].sum(axis=0)), skill
    new = column(found, "core count", ["food"])[0]  # "food" is no skill of the table
    assert new == pytest.approx(core.sum(axis=0) * (N_FOLDS - 1) / N_FOLDS)


def test_clusters_are_scikit_learns_on_a_graph_with_known_clusters():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [20, 30, 25])
    vectors = np.eye(3)[truth] + 0.15 * rng.random((75, 3))
    affinity = np.clip(unit(vectors) @ unit(vectors).T, 0, None)
    np.fill_diagonal(affinity, 0)
    theirs = SpectralClustering(3, affinity="precomputed", random_state=0).fit_predict(affinity)
    assert adjusted_rand_score(theirs, truth) == 1
    assert adjusted_rand_score(clusters(vectors, "spectral", 3), theirs) == 1
    assert adjusted_rand_score(clusters(vectors, "k-means", 3), truth) == 1
    values, _ = spectral_embedding(vectors, 5)
    assert np.diff(values).argmax() == 2  # the gap is behind the third eigenvalue
    assert values[0] == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match="no clusters 'ward'; choose one of: spectral, k-means"):
        clusters(vectors, "ward", 3)


def test_a_vector_of_zeros_is_near_nothing_and_breaks_nothing():
    def some(texts):
        return circle(texts) * np.array([[text != "solder"] for text in texts], dtype=np.float32)

    for how in (None, "spectral", "k-means"):
        chosen = FeatureSettings(clusters=how, n_clusters=2)
        table = fit_features(some, LABELS, np.ones(LABELS.shape, dtype=bool), chosen).table(SKILLS)
        assert np.isfinite(table).all()
        assert not table[4, :, :2].any()  # the embedding
    assert table[4, 0, 3] == 0  # the similarity to the group's name


def test_every_feature_has_a_name():
    for how in (None, "k-means"):
        found = fit_features(
            circle, LABELS, np.ones(LABELS.shape, dtype=bool), FeatureSettings(clusters=how, n_clusters=2)
        )
        assert len(found.names) == found.table(SKILLS).shape[2]
