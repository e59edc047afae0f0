"""From the feature table to competency groups (paper 3, section 3): three classifiers of its rows, and their use.

A table is (n_skills, n_groups, n_features), its classes (n_skills, n_groups): 0 and 1, or 0, 1 (fringe) and 2 (core).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.numpy import save
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, precision_recall_fscore_support
from tqdm import tqdm

from helpers.competency.embeddings import Embedding
from helpers.competency.features import Features, FeatureSettings
from helpers.files import InputError, atomic_write

MODELS = ("xgboost", "random-forest", "bi-lstm")


def split(n_skills: int, n_groups: int, by: str = "skill", share: float = 0.8, seed: int = 0) -> np.ndarray:
    """Mask (n_skills, n_groups) of the training rows: all those of some skills, or any rows (by "row")."""
    if by not in ("skill", "row"):
        raise InputError(f"no split by {by!r}; choose skill or row")
    shape = (n_skills, 1) if by == "skill" else (n_skills, n_groups)
    order = np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape)
    return np.broadcast_to(order < round(share * order.size), (n_skills, n_groups)).copy()


def fit_classifier(
    kind: str, table: np.ndarray, classes: np.ndarray, known: np.ndarray, seed: int = 0, **parameters: float
) -> "Trees | BiLstm":
    """Train one of `MODELS` on the rows that are known (a mask); parameters are the library's own.

    Defaults are the best of the paper's table 1. Raises InputError if the known rows have only one class.
    """
    n_classes = int(classes.max()) + 1
    if len(np.unique(classes[known])) < n_classes:
        raise InputError("the training rows do not hold every class; give more skills of the groups")
    if kind == "xgboost":
        model = _xgboost()(**{"n_estimators": 800, "max_depth": 5, "random_state": seed} | parameters)
    elif kind == "random-forest":
        settings = {"n_estimators": 700, "max_depth": 4, "random_state": seed, "n_jobs": -1} | parameters
        model = RandomForestClassifier(**settings)
    elif kind == "bi-lstm":
        return fit_bilstm(table, classes, known, seed, **parameters)
    else:
        raise InputError(f"no classifier {kind!r}; choose one of: {', '.join(MODELS)}")
    return Trees(model.fit(table[known], classes[known]))


def _xgboost() -> type:
    try:
        from xgboost import XGBClassifier
    except ModuleNotFoundError:  # no dependency of the package, for Colab has another distribution of it
        raise InputError("XGBoost is missing: pip install xgboost-cpu") from None
    return XGBClassifier


@dataclass(frozen=True, eq=False)
class Trees:
    """A fitted XGBClassifier or RandomForestClassifier, which sees every row by itself."""

    model: object

    def probabilities(self, table: np.ndarray) -> np.ndarray:
        """Probabilities (n_skills, n_groups, n_classes) of the rows of a table."""
        return self.model.predict_proba(table.reshape(-1, table.shape[2])).reshape(*table.shape[:2], -1)


class BiLstm(torch.nn.Module):
    """Two bidirectional layers (table 1: 128 and 64 nodes) over the groups of a skill, one after the other.

    Over which sequence they run, the paper does not say. Read in a fixed order, a skill's rows for all groups are one:
    what is said of a group can then depend on the skill's features for the others.
    """

    def __init__(self, n_features: int, n_classes: int, nodes: Sequence[int] = (128, 64), dropout: float = 0.2) -> None:
        super().__init__()
        self.sizes = {"n_features": n_features, "n_classes": n_classes, "nodes": list(nodes), "dropout": dropout}
        widths = [n_features, *(2 * n for n in nodes)]
        make = [torch.nn.LSTM(w, n, batch_first=True, bidirectional=True) for w, n in zip(widths, nodes, strict=False)]
        self.layers, self.dropout = torch.nn.ModuleList(make), torch.nn.Dropout(dropout)
        self.last = torch.nn.Linear(widths[-1], n_classes)
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def forward(self, table: torch.Tensor) -> torch.Tensor:
        """Scores (n_skills, n_groups, n_classes) of a table."""
        hidden = (table - self.mean) / self.scale
        for layer in self.layers:
            hidden = self.dropout(layer(hidden)[0])
        return self.last(hidden)

    @torch.inference_mode()
    def probabilities(self, table: np.ndarray) -> np.ndarray:
        """Probabilities (n_skills, n_groups, n_classes) of the rows of a table."""
        parts = torch.from_numpy(table).split(256)
        return torch.cat([self(part.to(self.mean.device)).softmax(dim=2).cpu() for part in parts]).numpy()


def fit_bilstm(
    table: np.ndarray, classes: np.ndarray, known: np.ndarray, seed: int = 0, epochs: int = 20, **sizes: object
) -> BiLstm:
    """Train a `BiLstm` with Adam, 32 skills a step; rows that are not known are read, but have no part in the loss."""
    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = BiLstm(table.shape[2], int(classes.max()) + 1, **sizes).to(device)
    rows = torch.from_numpy(table[known])
    model.mean.copy_(rows.mean(dim=0))
    model.scale.copy_(rows.std(dim=0).clamp(min=1e-6))
    inputs, target = torch.from_numpy(table), torch.from_numpy(np.where(known, classes, -100)).long()
    skills = torch.from_numpy(np.flatnonzero(known.any(axis=1)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in tqdm(range(epochs), desc="Bi-LSTM", delay=2):
        for batch in skills[torch.randperm(len(skills))].split(32):
            scores = model(inputs[batch].to(device))
            loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), target[batch].flatten().to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def report(classes: np.ndarray, probabilities: np.ndarray, rows: np.ndarray | None = None) -> pd.DataFrame:
    """Precision, recall, F1 and average precision of each class (tables 3 and 4), over the rows of a mask."""
    rows = np.ones(classes.shape, dtype=bool) if rows is None else rows
    truth, found = classes[rows], probabilities[rows]
    every = range(found.shape[1])
    columns = precision_recall_fscore_support(truth, found.argmax(axis=1), labels=every, zero_division=0)[:3]
    scores = dict(zip(("precision", "recall", "F1"), columns, strict=True))
    scores["average precision"] = [average_precision_score(truth == c, found[:, c]) for c in every]
    return pd.DataFrame(scores, index=pd.Index(every, name="class"))


@dataclass(frozen=True, eq=False)
class CompetencyModel:
    """Features and a classifier together: from the names of skills to competency groups."""

    features: Features
    classifier: Trees | BiLstm

    def groups_of(self, skills: Sequence[str]) -> pd.DataFrame:
        """Probability (n_skills, n_groups) that each skill, in training or not, belongs to each group."""
        found = 1 - self.classifier.probabilities(self.features.table(skills))[:, :, 0]
        return pd.DataFrame(found, list(skills), list(self.features.groups))

    def profile(self, skills: Sequence[str]) -> pd.Series:
        """Competency groups of a candidate or a job (table 7): for each, the probability of its likeliest skill."""
        if not len(skills):
            raise InputError("no skill to take competency groups from")
        return self.groups_of(skills).max().sort_values(ascending=False, kind="stable")

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder, without the embedding: all arrays as safetensors, names and settings as JSON."""
        told = {name: getattr(self.features, name) for name in ("skills", "groups")}
        told["settings"] = asdict(self.features.settings)
        arrays = {name: value for name, value in vars(self.features).items() if isinstance(value, np.ndarray)}
        if isinstance(self.classifier, BiLstm):
            told["bi-lstm"] = self.classifier.sizes
            arrays |= {name: value.numpy(force=True) for name, value in self.classifier.state_dict().items()}
        elif hasattr(self.classifier.model, "get_booster"):
            arrays["xgboost"] = np.frombuffer(self.classifier.model.get_booster().save_raw("json"), dtype=np.uint8)
        else:
            raise InputError("a random forest can only be pickled, and nothing here reads pickles: save another model")
        with atomic_write(Path(folder) / "model.safetensors", "wb") as file:
            arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
            file.write(save(arrays, metadata={"told": json.dumps(told)}))

    @classmethod
    def load(cls, folder: str | Path, embed: Embedding) -> Self:
        """Read what `save` wrote; the embedding must be the one that it was made with."""
        path = Path(folder) / "model.safetensors"
        if not path.exists():
            raise FileNotFoundError(f"{folder}: no competency model in this folder")
        with safe_open(path, "numpy") as file:
            told = json.loads(file.metadata()["told"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        own = {field.name: arrays.pop(field.name) for field in fields(Features) if field.name in arrays}
        settings = FeatureSettings(**told["settings"])
        features = Features(embed, settings, tuple(told["skills"]), tuple(told["groups"]), **own)
        if "bi-lstm" in told:
            classifier = BiLstm(**told["bi-lstm"])
            classifier.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
            return cls(features, classifier.eval())
        model = _xgboost()()
        model.load_model(bytearray(arrays["xgboost"]))
        return cls(features, Trees(model))


def match(candidate: pd.Series, job: pd.Series) -> float:
    """How much of a job's `profile` a candidate's covers, from 0 to 1."""
    return float(np.minimum(candidate.reindex(job.index), job).sum() / job.sum())
