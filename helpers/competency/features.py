"""The feature table of skills and competency groups (paper 3, section 2.2 and table 8): a row for each pair of them.

No feature of a skill reads that skill's own labels: what is learnt or counted from labels comes from other folds of the
training skills, and what compares a skill with a group's skills leaves the skill itself out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.linalg import eigh
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch.nn import functional

from helpers.competency.embeddings import Embedding
from helpers.files import InputError

N_FOLDS = 5
NEAREST = 3  # existing skills whose mean TFIDF a new skill gets
CLUSTERS = ("spectral", "k-means")


@dataclass(frozen=True)
class FeatureSettings:
    """What the table holds; the defaults are the paper's, except for `clean`.

    `dimension` of the embedding in the table; `top` skills of a group to compare with; `clusters` is "spectral",
    "k-means" or None. Without `clean` the table is the paper's, as we read it: a training skill gets bert-prob
    from a network that was trained on it, and TFIDF from its own labels.
    """

    dimension: int = 128
    top: int = 3
    clusters: str | None = "spectral"
    n_clusters: int = 35
    clean: bool = True
    seed: int = 0


def label_table(groups: pd.DataFrame, skills: Sequence[str]) -> pd.DataFrame:
    """Classes (n_skills, n_groups) from `load_competency_groups`: 0 none, 1 fringe, 2 core (table 4)."""
    groups = groups[groups["skill"].isin(skills)]  # a group without any of them has no column
    if groups.empty:
        raise InputError("none of these skills is in any competency group")
    classes = groups["relation"].map({"fringe": 1, "core": 2})
    table = classes.groupby([groups["skill"], groups["group"]]).max().unstack(fill_value=0)
    return table.reindex(list(skills), fill_value=0).astype(np.int8)


def unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors (n, dimension) at length 1, so that dot products are cosines; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def spectral_embedding(vectors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n smallest eigenvalues (n,) and eigenvectors (n_skills, n) of the normalised Laplacian (appendix A.1).

    Nodes are skills; an edge weighs their cosine. Negative cosines are no edge, and no skill has one to itself.
    """
    affinity = np.clip(unit(vectors) @ unit(vectors).T, 0, None).astype(float)
    np.fill_diagonal(affinity, 0)
    degree = affinity.sum(axis=1)
    scale = 1 / np.sqrt(np.where(degree > 0, degree, 1))  # a node without an edge is a cluster of its own
    laplacian = np.diag((degree > 0).astype(float)) - scale[:, None] * affinity * scale
    return eigh(laplacian, subset_by_index=(0, n - 1))


def clusters(vectors: np.ndarray, how: str, n: int, seed: int = 0) -> np.ndarray:
    """Cluster labels (n_skills,): k-means on the vectors, or on the first n eigenvectors of the Laplacian."""
    if how not in CLUSTERS:
        raise InputError(f"no clusters {how!r}; choose one of: {', '.join(CLUSTERS)}")
    points = spectral_embedding(vectors, n)[1] if how == "spectral" else vectors
    return KMeans(n, n_init=10, random_state=seed).fit_predict(points)


@dataclass(frozen=True, eq=False)
class Features:
    """What `fit_features` learnt; `table` makes the features of any skills."""

    embed: Embedding
    settings: FeatureSettings
    skills: tuple[str, ...]
    groups: tuple[str, ...]
    classes: np.ndarray  # (n_skills, n_groups): as in `label_table`, 0 where nothing is known
    known: np.ndarray  # (n_skills, n_groups), bool
    fold: np.ndarray  # (n_skills,)
    centre: np.ndarray  # PCA: (dimension,)
    components: np.ndarray  # PCA: (dimension in the table, dimension)
    cluster: np.ndarray  # (n_skills,)
    hidden: np.ndarray  # the networks' layers: (n_networks, dimension + 1, width), the last row their bias
    output: np.ndarray  # (n_networks, width + 1, n_groups)

    @property
    def names(self) -> list[str]:
        """The features, in the table's order."""
        found = [f"embedding {i}" for i in range(len(self.components))] + ["bert-prob", "group similarity"]
        found += [f"top {k + 1} similarity" for k in range(self.settings.top)] + ["TFIDF", "core count", "fringe count"]
        return found + ([f"cluster {i}" for i in range(self.cluster.max() + 1)] if self.settings.clusters else [])

    def reduced(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors cut down by PCA; zeros, which stand for "nothing is known", stay zeros."""
        return (vectors - self.centre) @ self.components.T * vectors.any(axis=1, keepdims=True)

    def table(self, skills: Sequence[str]) -> np.ndarray:
        """Features (n, n_groups, n_features), float32, of these skills, of the training or new."""
        place = {skill: i for i, skill in enumerate(self.skills)}
        row = np.array([place.get(skill, -1) for skill in skills], dtype=np.int64)
        fold = np.where((row >= 0) & self.known[row].any(axis=1), self.fold[row], -1)
        full = self.embed(skills)
        small, theirs = unit(self.reduced(full)), unit(self.reduced(self.embed(self.skills)))
        cosines = small @ theirs.T
        cosines[row >= 0, row[row >= 0]] = -np.inf  # a skill is not compared with itself
        parts = [
            np.repeat(self.reduced(full)[:, None], len(self.groups), axis=1),
            self._probability(full, fold)[:, :, None],
            (small @ unit(self.reduced(self.embed(self.groups))).T)[:, :, None],
            self._top(cosines),
            self._tfidf(cosines, row, fold)[:, :, None],
            self._counts(fold),
        ]
        if self.settings.clusters:
            label = np.where(row >= 0, self.cluster[row], self.cluster[cosines.argmax(axis=1)])
            parts.append(np.repeat(np.eye(self.cluster.max() + 1)[label][:, None], len(self.groups), axis=1))
        return np.concatenate(parts, axis=2).astype(np.float32)

    def _probability(self, vectors: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """bert-prob (n, n_groups): from the network that left the skill's fold out; the mean of all for a new skill."""
        layers = [torch.from_numpy(layer) for layer in (self.hidden, self.output)]
        found = _forward(torch.from_numpy(unit(vectors)), *layers).sigmoid().numpy()
        if not self.settings.clean:
            return found[0]
        return np.where((fold < 0)[:, None], found.mean(axis=0), found[fold, np.arange(len(vectors))])

    def _top(self, cosines: np.ndarray) -> np.ndarray:
        """Mean cosines (n, n_groups, top) with a group's 1, 2, ... most similar other skills, or all; 0 if none."""
        found = np.zeros((len(cosines), len(self.groups), self.settings.top))
        for group, members in enumerate((self.classes > 0).T):
            best = -np.sort(-cosines[:, members], axis=1)[:, : self.settings.top]
            best = np.pad(best, ((0, 0), (0, self.settings.top - best.shape[1])), constant_values=-np.inf)
            n = np.isfinite(best).cumsum(axis=1)
            found[:, group] = np.where(np.isfinite(best), best, 0).cumsum(axis=1) / np.maximum(n, 1)
        return found

    def _tfidf(self, cosines: np.ndarray, row: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """TFIDF (n, n_groups), a group being a document: the nearest skills' mean; in the paper's form, the own one."""
        member = self.classes > 0
        rare = member * np.log(len(self.groups) / np.maximum(member.sum(axis=1, keepdims=True), 1))
        near = np.argsort(-np.where(self.known.any(axis=1), cosines, -np.inf), axis=1, kind="stable")[:, :NEAREST]
        own = rare[near].mean(axis=1)
        if not self.settings.clean:
            own = np.where((row >= 0)[:, None] & self.known[row], rare[row], own)
        return own / np.maximum(self._counts(fold).sum(axis=2), 1)

    def _counts(self, fold: np.ndarray) -> np.ndarray:
        """Core and fringe skills (n, n_groups, 2) of each group in the other folds; the folds' mean for a new skill."""
        kinds = np.stack([self.classes == 2, self.classes == 1], axis=2)
        if not self.settings.clean:
            return np.repeat(kinds.sum(axis=0)[None], len(fold), axis=0)
        others = np.stack([kinds[self.fold != f].sum(axis=0) for f in range(N_FOLDS)])
        return np.where((fold < 0)[:, None, None], others.mean(axis=0), others[fold])


def fit_features(
    embed: Embedding, labels: pd.DataFrame, known: np.ndarray, settings: FeatureSettings = FeatureSettings()
) -> Features:
    """Fit what the features need: PCA and clusters on all skills (they read no label), networks on known labels.

    `labels` is a `label_table`; `known` a mask (n_skills, n_groups) of those that may be read, of whole skills or rows.
    """
    skills, groups = tuple(labels.index), tuple(map(str, labels.columns))
    classes = np.where(known, labels.to_numpy(), 0).astype(np.int8)
    fold = np.random.default_rng(settings.seed).permutation(len(skills)) % N_FOLDS
    vectors = embed(skills)
    pca = PCA(min(settings.dimension, *vectors.shape), svd_solver="full").fit(vectors)
    cluster = np.zeros(len(skills), dtype=np.int64)
    if settings.clusters:
        points = pca.transform(vectors) * vectors.any(axis=1, keepdims=True)
        cluster = clusters(points, settings.clusters, min(settings.n_clusters, len(skills)), settings.seed)
    seen = np.stack([known & (fold != f)[:, None] for f in range(N_FOLDS)]) if settings.clean else known[None]
    hidden, output = _train_networks(unit(vectors), classes > 0, seen, settings.seed)
    pca_arrays = pca.mean_.astype(np.float32), pca.components_.astype(np.float32)
    return Features(embed, settings, skills, groups, classes, known, fold, *pca_arrays, cluster, hidden, output)


def _train_networks(
    vectors: np.ndarray, member: np.ndarray, seen: np.ndarray, seed: int, width: int = 128, steps: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """The two layers of figure 2's network, from a vector to a probability for each group, for each mask of labels."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (len(seen), vectors.shape[1] + 1, width), (len(seen), width + 1, member.shape[1])
    layers = [(torch.randn(size, generator=generator) / size[1] ** 0.5).requires_grad_() for size in sizes]
    inputs, mask = torch.from_numpy(vectors), torch.from_numpy(seen).float()
    target = torch.from_numpy(member).float().expand(mask.shape)
    optimizer = torch.optim.AdamW(layers, lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        scores = _forward(inputs, *layers)
        loss = functional.binary_cross_entropy_with_logits(scores, target, mask, reduction="sum") / mask.sum()
        (loss * len(seen)).backward()
        optimizer.step()
    return tuple(layer.detach().numpy() for layer in layers)


def _forward(inputs: torch.Tensor, hidden: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Scores (n_networks, n, n_groups) of inputs (n, dimension)."""
    return functional.pad(functional.pad(inputs, (0, 1), value=1) @ hidden, (0, 1), value=1).relu() @ output
