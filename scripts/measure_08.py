"""Chapter 08's measurements: the paper's tables 2 to 6 and what its splits and features are worth, for each grouping.

Every table is a file of its own in a folder of its grouping, and skipped when it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from measure_07 import SOURCES, difference, embeddings, interval, opaque_names, provenance, split_requisitions
from measuring import write_record
from sklearn.cluster import KMeans
from sklearn.metrics import average_precision_score

from helpers.competency.embeddings import Embedding
from helpers.competency.features import Features, FeatureSettings, fit_features, label_table, spectral_embedding, unit
from helpers.competency.models import fit_classifier, report, split
from helpers.data.requisitions import load_competency_groups
from helpers.evaluation import ratio_interval
from helpers.profiles import Profile
from helpers.taxonomy import load_taxonomy

PLAIN = FeatureSettings(clusters=None)  # the paper's first experiment has no clusters
GROUPS = 40  # the largest, as many as the paper has
TREES = {"sample": 200, "full": 400}  # of XGBoost and the forest, where the paper's grid begins
# Table 1's bounds. One fit of the most trees tells of all smaller numbers of them.
DEPTHS = {"sample": (3, 7), "full": (3, 4, 5, 6, 7)}
N_TREES = {"sample": (100, 200), "full": tuple(range(400, 1001, 100))}
NETWORKS = {
    "sample": [{"nodes": (128, 64), "dropout": 0.2}],
    "full": [
        {"nodes": nodes, "dropout": dropout}
        for nodes in ((128, 64), (32, 32), (512, 512), (128, 64, 32), (128, 64, 64, 32))
        for dropout in (0.1, 0.2, 0.5)
    ],
}


class Lab:
    """One grouping's skills, labels and embeddings; features are made once for each setting."""

    def __init__(self, profile: Profile, source: str, grouping: str) -> None:
        training = SOURCES[profile.name][source][1]
        self.profile, self.taxonomy = profile, load_taxonomy(profile.taxonomy)
        self.skills, jobs, _ = split_requisitions(source, self.taxonomy, profile.seed)
        labels = label_table(load_competency_groups(grouping, self.taxonomy), self.skills)
        largest = (labels > 0).sum().sort_values(ascending=False, kind="stable").index[:GROUPS]
        self.labels = labels[sorted(largest)]
        self.embed = {name: remembered(make) for name, make in embeddings(profile, jobs, training).items()}
        self.facts = provenance(profile, self.taxonomy, source, jobs) | {
            "grouping": grouping,
            "skills": len(self.skills),
            "groups": self.labels.shape[1],
            "share_of_rows_in_a_group": round(float((self.labels > 0).to_numpy().mean()), 4),
            "trees": TREES[profile.name],
        }
        self.made: dict[tuple, tuple[Features, np.ndarray]] = {}

    def features(
        self, embedding: str, settings: FeatureSettings, known: np.ndarray, labels: pd.DataFrame | None = None
    ) -> tuple[Features, np.ndarray]:
        """Features and their table of all skills."""
        key = (embedding, settings, known.tobytes(), labels is None)
        if key not in self.made:
            self.made.clear()  # a table of the full data has half a gigabyte
            found = fit_features(self.embed[embedding], self.labels if labels is None else labels, known, settings)
            self.made[key] = (found, found.table(self.skills))
        return self.made[key]

    def trees(self) -> dict[str, int]:
        """XGBoost's and the forest's size."""
        return {"n_estimators": TREES[self.profile.name]}


def remembered(embed: Embedding) -> Embedding:
    """The same embedding, which keeps what it has given."""
    kept: dict[tuple[str, ...], np.ndarray] = {}

    def same(texts: Sequence[str]) -> np.ndarray:
        key = tuple(texts)
        if key not in kept:
            kept[key] = embed(texts)
        return kept[key]

    return same


def chapter_08(profile: Profile, folder: Path) -> None:
    """Every table for every grouping of the profile."""
    for source, (groupings, _) in SOURCES[profile.name].items():
        for grouping in groupings:
            lab = None
            for name, measure in TABLES.items():
                path = folder / grouping / f"{name}.json"
                if path.exists():
                    continue
                lab = lab or Lab(profile, source, grouping)
                began = time.perf_counter()
                found = measure(lab)
                write_record(lab.facts | {"seconds": round(time.perf_counter() - began)} | found, path)
                print(grouping, path.name, f"{time.perf_counter() - began:.0f} s", flush=True)


def scored(classes: np.ndarray, probabilities: np.ndarray, rows: np.ndarray) -> dict:
    """Precision, recall, F1, average precision of each class, times 100; class 1's F1 with an interval over skills."""
    table = (100 * report(classes, probabilities, rows)).round(2).to_dict(orient="list")
    counts = f1_counts(classes, probabilities, rows)
    low, high = ratio_interval(*counts)
    return table | {"F1_of_class_1": [round(100 * float(x), 2) for x in (counts[0].sum() / counts[1].sum(), low, high)]}


def f1_counts(classes: np.ndarray, probabilities: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of class 1's F1 for each skill that has rows: F1 is the ratio of their sums."""
    truth, found = (classes == 1) & rows, (probabilities.argmax(axis=2) == 1) & rows
    there = rows.any(axis=1)
    return 2 * (truth & found).sum(axis=1)[there], (truth.sum(axis=1) + found.sum(axis=1))[there]


def per_skill(classes: np.ndarray, probabilities: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Average precision over the groups of each skill that is in one, among the rows."""
    found = [
        average_precision_score(truth[mask] > 0, given[mask])
        for truth, given, mask in zip(classes, 1 - probabilities[:, :, 0], rows, strict=True)
        if truth[mask].any()
    ]
    return np.array(found)


def always_no(classes: np.ndarray) -> np.ndarray:
    return np.eye(int(classes.max()) + 1)[np.zeros_like(classes, dtype=int)]


def table_3(lab: Lab) -> dict:
    """Embeddings, clusters and classifiers, on skills that were not trained on; the time that each took (table 2)."""
    classes = (lab.labels.to_numpy() > 0).astype(int)
    known = split(*classes.shape, by="skill", seed=lab.profile.seed)
    spectral = replace(PLAIN, clusters="spectral")
    plan: list[tuple[str, str, str, FeatureSettings]] = [
        ("XGBoost + pretrained", "xgboost", "pretrained", PLAIN),
        ("XGBoost + Word2Vec", "xgboost", "Word2Vec", PLAIN),
        ("XGBoost + SkillBERT", "xgboost", "SkillBERT", PLAIN),
        ("XGBoost + SkillBERT + k-means", "xgboost", "SkillBERT", replace(PLAIN, clusters="k-means", n_clusters=45)),
        ("random forest + SkillBERT + spectral", "random-forest", "SkillBERT", spectral),
        ("XGBoost + SkillBERT + spectral", "xgboost", "SkillBERT", spectral),
        ("Bi-LSTM + SkillBERT + spectral", "bi-lstm", "SkillBERT", spectral),
    ]
    rows, values, counts, importance = {}, {}, {}, {}
    for name, kind, embedding, settings in plan:
        features, table = lab.features(embedding, settings, known)
        began = time.perf_counter()
        model = fit_classifier(kind, table, classes, known, **({} if kind == "bi-lstm" else lab.trees()))
        seconds = time.perf_counter() - began
        given = model.probabilities(table)
        values[name], counts[name] = per_skill(classes, given, ~known), f1_counts(classes, given, ~known)
        rows[name] = scored(classes, given, ~known) | {
            "per_skill": interval(values[name]),
            "seconds": round(seconds, 1),
        }
        if kind == "xgboost":
            importance[name] = gains(features.names, model.model.get_booster().get_score(importance_type="total_gain"))
        print(name, rows[name]["F1_of_class_1"], rows[name]["per_skill"], f"{seconds:.0f} s", flush=True)
    rows["always no"] = scored(classes, always_no(classes), ~known)
    found = {"rows": rows, "differences": {}, "importance": importance}
    pairs = [(0, 1), (2, 0), (2, 1), (3, 2), (5, 2), (5, 4), (6, 5), (6, 4)]
    for b, a in ((plan[i][0], plan[j][0]) for i, j in pairs):
        found["differences"][f"{b} minus {a}"] = {
            "per_skill": difference(values[b], values[a]),
            "F1_of_class_1": f1_difference(counts[b], counts[a]),
        }
    opaque = opaque_names(lab.taxonomy, lab.skills)
    if opaque is not None:
        test = (classes.any(axis=1) & ~known[:, 0]).nonzero()[0]
        found["opaque"] = {name: interval(v[opaque[test]]) for name, v in values.items()}
        found["transparent"] = {name: interval(v[~opaque[test]]) for name, v in values.items()}
    return found


def gains(names: Sequence[str], scores: dict[str, float]) -> dict[str, float]:
    """Share of the gain of all splits that each feature brought; the embedding and the clusters as one each."""
    found: dict[str, float] = {}
    for number, gain in scores.items():
        name = names[int(number[1:])]
        name = name.split()[0] if name.startswith(("embedding", "cluster")) else name
        found[name] = found.get(name, 0) + gain
    return {name: round(gain / sum(scores.values()), 4) for name, gain in sorted(found.items(), key=lambda x: -x[1])}


def f1_difference(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], times: int = 9999) -> list[float]:
    """F1 of a minus F1 of b, and its 95% interval over resampled skills, times 100."""
    rng, n = np.random.default_rng(0), len(a[0])
    drawn = [rng.integers(n, size=n) for _ in range(times)]
    given = [a[0][i].sum() / a[1][i].sum() - b[0][i].sum() / b[1][i].sum() for i in drawn]
    middle = a[0].sum() / a[1].sum() - b[0].sum() / b[1].sum()
    return [round(100 * float(x), 2) for x in (middle, *np.percentile(given, [2.5, 97.5]))]


def splits(lab: Lab) -> dict:
    """The same classifier by skill and by row, with clean features and with the paper's; bert-prob alone as well.

    At last by row, with the paper's features made from the labels of all rows before the split.
    """
    classes = (lab.labels.to_numpy() > 0).astype(int)
    rows = {}
    for by in ("skill", "row"):
        known = split(*classes.shape, by=by, seed=lab.profile.seed)
        for clean in (True, False):
            for embedding in lab.embed:
                features, table = lab.features(embedding, replace(PLAIN, clean=clean), known)
                model = fit_classifier("xgboost", table, classes, known, **lab.trees())
                alone = table[:, :, features.names.index("bert-prob")]
                own = {
                    f"bert_prob_{part}": round(100 * average_precision_score(classes[mask], alone[mask]), 2)
                    for part, mask in (("training", known), ("test", ~known))
                }
                name = f"{embedding}, by {by}, {'clean' if clean else 'as in the paper'}"
                rows[name] = scored(classes, model.probabilities(table), ~known) | own
                print(name, rows[name]["F1_of_class_1"], own, flush=True)
    # The paper's rows were split, and its features stand in files of their own: what if they were made from all labels?
    for embedding in lab.embed:
        _, table = lab.features(embedding, replace(PLAIN, clean=False), np.ones_like(known))
        model = fit_classifier("xgboost", table, classes, known, **lab.trees())
        name = f"{embedding}, by row, features made before the split"
        rows[name] = scored(classes, model.probabilities(table), ~known)
        print(name, rows[name]["F1_of_class_1"], flush=True)
    return {"rows": rows}


def permuted(lab: Lab) -> dict:
    """Average precision of the whole pipeline when the skills' labels are dealt out anew, five times.

    Beside it, that of the share of its skills which a group has in training: all that is left to be known.
    """
    rows = []
    for seed in range(5):
        # Not the split's seed, or its training skills would get the labels of the same skills each time.
        order = np.random.default_rng(1000 + seed).permutation(len(lab.skills))
        labels = pd.DataFrame(lab.labels.to_numpy()[order], lab.labels.index, lab.labels.columns)
        classes = (labels.to_numpy() > 0).astype(int)
        known = split(*classes.shape, by="skill", seed=seed)
        for clean in (True, False):
            settings = replace(PLAIN, clean=clean, seed=seed)
            found = fit_features(lab.embed["SkillBERT"], labels, known, settings)
            table = found.table(lab.skills)
            given = fit_classifier("xgboost", table, classes, known, n_estimators=100).probabilities(table)[:, :, 1]
            share = np.broadcast_to(classes[known[:, 0]].mean(axis=0), classes.shape)
            rows.append({"seed": seed, "clean": clean})
            rows[-1] |= {"AP": ap(classes, given, ~known), "AP_of_shares": ap(classes, share, ~known)}
    return {"rows": rows}


def ap(classes: np.ndarray, given: np.ndarray, rows: np.ndarray) -> float:
    return round(100 * float(average_precision_score(classes[rows], given[rows])), 2)


def table_4(lab: Lab) -> dict:
    """Core and fringe: three classes."""
    classes = lab.labels.to_numpy().astype(int)
    if classes.max() < 2 or not (classes == 1).any():
        return {"rows": {}}
    known = split(*classes.shape, by="skill", seed=lab.profile.seed)
    _, table = lab.features("SkillBERT", replace(PLAIN, clusters="spectral"), known)
    rows = {"always no": (100 * report(classes, always_no(classes), ~known)).round(2).to_dict(orient="list")}
    for kind in ("bi-lstm", "xgboost"):
        model = fit_classifier(kind, table, classes, known, **({} if kind == "bi-lstm" else lab.trees()))
        rows[kind] = (100 * report(classes, model.probabilities(table), ~known)).round(2).to_dict(orient="list")
    return {"rows": rows}


def table_5(lab: Lab) -> dict:
    """How many similar skills of a group to compare with."""
    return variants(lab, {f"top {n}": (replace(PLAIN, top=n), None) for n in (1, 2, 3, 4)})


def table_6(lab: Lab) -> dict:
    """Sizes of the embedding, with bert-prob and nothing else."""
    kept = ("embedding", "bert-prob")
    return variants(lab, {str(n): (replace(PLAIN, dimension=n), kept) for n in (32, 64, 128, 256)})


def variants(lab: Lab, plan: dict[str, tuple[FeatureSettings, tuple[str, ...] | None]]) -> dict:
    """XGBoost on SkillBERT features of several settings, or on some columns of theirs; differences to the paper's."""
    classes = (lab.labels.to_numpy() > 0).astype(int)
    known = split(*classes.shape, by="skill", seed=lab.profile.seed)
    rows, values = {}, {}
    for name, (settings, kept) in plan.items():
        features, table = lab.features("SkillBERT", settings, known)
        if kept:
            table = table[:, :, [column.startswith(kept) for column in features.names]]
        given = fit_classifier("xgboost", table, classes, known, **lab.trees()).probabilities(table)
        values[name] = per_skill(classes, given, ~known)
        rows[name] = scored(classes, given, ~known) | {"per_skill": interval(values[name])}
    best = list(plan)[2]  # of both tables, the paper's choice
    return {"rows": rows, "against": {n: difference(v, values[best]) for n, v in values.items() if n != best}}


def ablation(lab: Lab) -> dict:
    """XGBoost on SkillBERT features, without one kind of them, and with one kind alone."""
    classes = (lab.labels.to_numpy() > 0).astype(int)
    known = split(*classes.shape, by="skill", seed=lab.profile.seed)
    features, table = lab.features("SkillBERT", replace(PLAIN, clusters="spectral"), known)
    kinds = {
        "embedding": ("embedding",),
        "bert-prob": ("bert-prob",),
        "group similarity": ("group",),
        "top similarities": ("top",),
        "TFIDF": ("TFIDF",),
        "counts": ("core", "fringe"),
        "clusters": ("cluster",),
    }
    columns = {kind: np.array([name.startswith(start) for name in features.names]) for kind, start in kinds.items()}
    plan = {"all": np.ones(len(features.names), dtype=bool)}
    plan |= {f"without {kind}": ~mask for kind, mask in columns.items()}
    plan |= {f"only {kind}": mask for kind, mask in columns.items()}
    rows, values = {}, {}
    for name, mask in plan.items():
        some = table[:, :, mask]
        given = fit_classifier("xgboost", some, classes, known, **lab.trees()).probabilities(some)
        values[name] = per_skill(classes, given, ~known)
        rows[name] = {"AP": ap(classes, given[:, :, 1], ~known), "per_skill": interval(values[name])}
        rows[name]["against all"] = difference(values[name], values["all"])
    return {"rows": rows}


def cluster_numbers(lab: Lab) -> dict:
    """Figures 7 and 8: eigenvalues of the Laplacian, and k-means' inertia for numbers of clusters."""
    known = np.zeros(lab.labels.shape, dtype=bool)
    found = fit_features(lab.embed["SkillBERT"], lab.labels, ~known, PLAIN)
    vectors = found.reduced(lab.embed["SkillBERT"](lab.skills))
    values = spectral_embedding(vectors, 60)[0]
    sizes = list(range(5, 81, 5))
    inertia = [KMeans(k, n_init=3, random_state=lab.profile.seed).fit(unit(vectors)).inertia_ for k in sizes]
    return {"eigenvalues": values.round(4).tolist(), "sizes": sizes, "inertia": np.round(inertia, 2).tolist()}


def grids(lab: Lab) -> dict:
    """Table 1: the grids, chosen on a fifth of the training skills; the test skills are not touched."""
    classes = (lab.labels.to_numpy() > 0).astype(int)
    outer = split(*classes.shape, by="skill", seed=lab.profile.seed)
    inner = outer & split(*classes.shape, by="skill", seed=lab.profile.seed + 1)
    rows = outer & ~inner
    _, table = lab.features("SkillBERT", replace(PLAIN, clusters="spectral"), inner)
    known, points = table[rows], []
    numbers = N_TREES[lab.profile.name]
    for depth in DEPTHS[lab.profile.name]:
        model = fit_classifier("xgboost", table, classes, inner, max_depth=depth, n_estimators=numbers[-1]).model
        for n in numbers:
            given = model.predict_proba(known, iteration_range=(0, n))
            points.append({"kind": "xgboost", "depth": depth, "trees": n, "F1": f1(classes[rows], given)})
        forest = fit_classifier("random-forest", table, classes, inner, max_depth=depth, n_estimators=numbers[-1]).model
        total, trees = np.zeros((len(known), 2)), forest.estimators_
        for n in range(1, numbers[-1] + 1):
            total += trees[n - 1].predict_proba(known)
            if n in numbers:
                points.append({"kind": "random-forest", "depth": depth, "trees": n, "F1": f1(classes[rows], total)})
        print("depth", depth, points[-1], flush=True)
    for sizes in NETWORKS[lab.profile.name]:
        given = fit_classifier("bi-lstm", table, classes, inner, **sizes).probabilities(table)[rows]
        points.append({"kind": "bi-lstm", **sizes, "F1": f1(classes[rows], given)})
    return {"points": points, "best": {kind: best_of(points, kind) for kind in ("xgboost", "random-forest", "bi-lstm")}}


def best_of(points: list[dict], kind: str) -> dict:
    return max((point for point in points if point["kind"] == kind), key=lambda point: point["F1"])


def f1(truth: np.ndarray, given: np.ndarray) -> float:
    found = given.argmax(axis=1)
    return round(100 * float(2 * (truth * found).sum() / (truth.sum() + found.sum())), 2)


TABLES: dict[str, Callable[[Lab], dict]] = {
    "table-3": table_3,
    "splits": splits,
    "table-4": table_4,
    "table-5": table_5,
    "table-6": table_6,
    "ablation": ablation,
    "permuted": permuted,
    "clusters": cluster_numbers,
    "grids": grids,
}
