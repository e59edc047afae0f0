"""Classifiers of skills into groups: what they learn, what they must not, and what they are used for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from helpers.competency.features import FeatureSettings, fit_features
from helpers.competency.models import MODELS, CompetencyModel, fit_classifier, match, report, split
from helpers.files import InputError

SMALL = {
    "xgboost": {"n_estimators": 40, "max_depth": 3},
    "random-forest": {"n_estimators": 40, "max_depth": 6},
    "bi-lstm": {"epochs": 40, "nodes": (16, 8), "dropout": 0.0},
}
N, GROUPS = 120, ["a", "b", "c", "d"]
SKILLS = [f"skill {i}" for i in range(N)]


def embed(texts):
    """Skills lie around four centres, by their number, and groups on them; anything else has nothing to say."""
    vectors = np.zeros((len(texts), 8), dtype=np.float32)
    for row, text in enumerate(texts):
        number = text.removeprefix("skill ")
        if number.isdigit():
            vectors[row] = np.random.default_rng(int(number)).normal(scale=0.2, size=8)
            vectors[row, int(number) % 4] += 1
        elif text in GROUPS:
            vectors[row, GROUPS.index(text)] = 1
    return vectors


@pytest.fixture(scope="module")
def labels():
    """Each centre is the core of one group and the fringe of the next; the last skills are in no group."""
    classes = np.zeros((N, 4), dtype=np.int8)
    for i in range(N - 4):
        classes[i, i % 4], classes[i, (i + 1) % 4] = 2, 1
    return pd.DataFrame(classes, SKILLS, GROUPS)


def pipeline(labels, known, kind="xgboost", n_classes=2, **chosen):
    found = fit_features(embed, labels, known, FeatureSettings(n_clusters=4, **chosen))
    classes = labels.to_numpy().astype(int) if n_classes == 3 else (labels.to_numpy() > 0).astype(int)
    return CompetencyModel(found, fit_classifier(kind, found.table(SKILLS), classes, known, **SMALL[kind])), classes


@given(st.integers(1, 60), st.integers(1, 12), st.floats(0, 1), st.integers(0, 100))
def test_a_split_by_skill_keeps_skills_whole_and_a_split_by_row_has_the_exact_share(n, groups, share, seed):
    by_skill, by_row = (split(n, groups, by, share, seed) for by in ("skill", "row"))
    assert by_skill.shape == by_row.shape == (n, groups)
    assert (by_skill.all(axis=1) == by_skill.any(axis=1)).all()
    assert by_skill[:, 0].sum() == round(share * n)
    assert by_row.sum() == round(share * n * groups)


def test_the_papers_figures_are_those_of_a_split_by_row():
    assert split(2997, 40, "row").sum() == 95_904
    assert (~split(2997, 40, "row")).sum() == 23_976
    by_skill = split(2997, 40, "skill")
    assert (by_skill[:, 0].sum(), by_skill.sum()) == (2398, 95_920)
    with pytest.raises(InputError, match="no split by 'group'; choose skill or row"):
        split(3, 3, "group")


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_classifier_finds_the_groups_of_skills_it_has_not_seen(labels, kind, n_classes):
    known = split(N, 4)
    model, classes = pipeline(labels, known, kind, n_classes)
    given = model.classifier.probabilities(model.features.table(SKILLS))
    assert given.shape == (N, 4, n_classes)
    assert given.sum(axis=2) == pytest.approx(np.ones((N, 4)), abs=1e-5)
    assert report(classes, given, ~known)["F1"].min() > 0.7
    again, _ = pipeline(labels, known, kind, n_classes)
    assert np.allclose(again.classifier.probabilities(model.features.table(SKILLS)), given, atol=1e-6)


def test_with_labels_dealt_out_anew_nothing_is_left_but_how_large_groups_are(labels):
    """The whole pipeline on permuted labels: no better than the groups' shares; in the paper's form it seems to be."""
    above, leaked = [], []
    for seed in range(5):
        order = np.random.default_rng([seed, 1]).permutation(N)  # not the order of the split
        dealt = pd.DataFrame(labels.to_numpy()[order], SKILLS, GROUPS)
        known = split(N, 4, seed=seed)
        model, classes = pipeline(dealt, known)
        given = model.classifier.probabilities(model.features.table(SKILLS))[:, :, 1]
        above.append(average_precision_score(classes[~known], given[~known]) - classes[~known].mean())
        paper, _ = pipeline(dealt, known, clean=False)
        column = paper.features.names.index("bert-prob")
        tables = model.features.table(SKILLS)[:, :, column], paper.features.table(SKILLS)[:, :, column]
        leaked.append([average_precision_score(classes[known], table[known]) for table in tables])
    assert abs(np.mean(above)) < 0.08
    out_of_fold, in_fold = np.mean(leaked, axis=0)
    assert in_fold > 0.9
    assert out_of_fold < 0.65  # half of the rows are in a group


def test_a_report_is_precision_recall_and_f1_of_each_class():
    classes = np.array([[0, 1], [1, 1]])
    given = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.1, 0.9]]])
    table = report(classes, given)
    assert table.loc[1].tolist() == pytest.approx([1, 2 / 3, 0.8, 1])
    assert table.loc[0].tolist() == pytest.approx([0.5, 1, 2 / 3, 1])
    assert report(classes, given, np.array([[True, True], [False, True]])).loc[1, "recall"] == 1


@pytest.mark.parametrize("kind", ["xgboost", "bi-lstm"])
def test_a_saved_model_says_the_same_of_old_and_new_skills(labels, kind, tmp_path):
    model, _ = pipeline(labels, split(N, 4), kind)
    model.save(tmp_path / "model")
    again = CompetencyModel.load(tmp_path / "model", embed)
    asked = ["skill 0", "skill 1001", "anything"]
    pd.testing.assert_frame_equal(model.groups_of(asked), again.groups_of(asked))
    assert np.array_equal(model.features.table([*SKILLS, *asked]), again.features.table([*SKILLS, *asked]))
    assert not [path for path in (tmp_path / "model").iterdir() if path.suffix in (".pkl", ".pickle", ".joblib")]


def test_a_forest_is_not_pickled_and_an_empty_folder_is_no_model(labels, tmp_path):
    model, _ = pipeline(labels, split(N, 4), "random-forest")
    with pytest.raises(InputError, match="save another model"):
        model.save(tmp_path)
    with pytest.raises(FileNotFoundError, match="no competency model in this folder"):
        CompetencyModel.load(tmp_path, embed)


def test_skills_nobody_has_seen_get_groups_too_and_profiles_match(labels):
    model, _ = pipeline(labels, split(N, 4))
    new = model.groups_of(["skill 1000", "skill 1001"])  # around the centres of a and of b
    assert new.loc["skill 1000", "a"] > 0.5 > new.loc["skill 1000", "c"]
    cook, smith = model.profile(["skill 1000", "skill 1004"]), model.profile(["skill 1002"])
    assert set(cook.index[:2]) == {"a", "b"}
    assert match(cook, cook) == pytest.approx(1)
    assert match(smith, cook) < match(model.profile(["skill 4"]), cook)
    assert np.isfinite(model.profile(["anything"])).all()  # a requisition with no known skill
    with pytest.raises(InputError, match="no skill"):
        model.profile([])


def test_what_cannot_be_trained_says_why(labels):
    table = np.zeros((4, 2, 3), dtype=np.float32)
    classes, known = np.array([[0, 0], [0, 0], [0, 0], [1, 0]]), np.array([[True] * 2] * 3 + [[False] * 2])
    with pytest.raises(InputError, match="the training rows do not hold every class"):
        fit_classifier("xgboost", table, classes, known)
    with pytest.raises(InputError, match="no classifier 'svm'; choose one of: xgboost, random-forest, bi-lstm"):
        fit_classifier("svm", table, classes, ~known | known)
