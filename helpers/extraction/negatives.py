"""Negative examples for a skill's classifier, some of them hard: drawn from related skills (paper 1, section 3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist
from sentence_transformers import SentenceTransformer
from tqdm import tqdm

from helpers.encoders import encode
from helpers.extraction.ranking import BLOCK, top_k
from helpers.files import InputError
from helpers.taxonomy import Taxonomy

STRATEGIES = ("siblings", "levenshtein", "embedding")
N_NEAREST = 100  # paper 1, section 3.1
NEGATIVES_PER_POSITIVE = 10  # paper 1, section 4.2
MAX_POSITIVES = 1000  # paper 1, section 4.2


def related_skills(
    strategies: Sequence[str], taxonomy: Taxonomy, encoder: SentenceTransformer | None = None
) -> dict[str, Sequence[np.ndarray]]:
    """`related[strategy][skill]`, int arrays of related skills; only the strategy "embedding" needs an encoder."""
    if unknown := [strategy for strategy in strategies if strategy not in STRATEGIES]:
        raise InputError(f"no strategy {unknown[0]!r}; choose one of: {', '.join(STRATEGIES)}")
    if "embedding" in strategies and encoder is None:
        raise InputError("the strategy 'embedding' needs an encoder")
    find = {
        "siblings": lambda: [np.array(taxonomy.siblings(i), dtype=np.int64) for i in range(len(taxonomy))],
        "levenshtein": lambda: nearest_by_spelling(taxonomy.labels),
        "embedding": lambda: nearest_by_embedding(encode(encoder, taxonomy.labels)),
    }
    return {strategy: find[strategy]() for strategy in strategies}


def nearest_by_spelling(labels: Sequence[str], n: int = N_NEAREST) -> np.ndarray:
    """The n labels at the smallest Levenshtein distance from each label: int array (n_labels, min(n, n_labels - 1)).

    Nearest first, ties in taxonomy order, no label its own neighbour. Case counts, as in the plain distance.
    """

    def closeness(start: int, stop: int) -> np.ndarray:
        return -cdist(labels[start:stop], labels, scorer=Levenshtein.distance, dtype=np.float32, workers=-1)

    return _nearest(closeness, len(labels), n)


def nearest_by_embedding(embeddings: np.ndarray, n: int = N_NEAREST) -> np.ndarray:
    """The n nearest by cosine of unit-length embeddings (n_labels, dimension); shape and order as by spelling."""
    return _nearest(lambda start, stop: embeddings[start:stop] @ embeddings.T, len(embeddings), n)


def _nearest(closeness: Callable[[int, int], np.ndarray], n_labels: int, n: int) -> np.ndarray:
    """`closeness` gives a block of rows (stop - start, n_labels), so that the whole square is never held."""
    n = min(n, n_labels - 1)
    rows = [np.zeros((0, n), dtype=np.int64)]
    for start in tqdm(range(0, n_labels, BLOCK), desc="related skills", delay=2, leave=False):
        block = closeness(start, min(start + BLOCK, n_labels))
        own = np.arange(len(block))
        block[own, start + own] = np.finfo(np.float32).min
        rows.append(top_k(block, n).indices)
    return np.concatenate(rows)


def positives_of(labels: Sequence[np.ndarray], n_skills: int) -> list[np.ndarray]:
    """Turn the skills of each sentence (`LiteralMatcher.labels`) into the sentences of each skill, sorted."""
    skills = np.concatenate([np.zeros(0, np.int64), *labels])
    sentences = np.repeat(np.arange(len(labels)), [len(found) for found in labels])
    order = np.argsort(skills, kind="stable")
    return np.split(sentences[order], np.searchsorted(skills[order], np.arange(1, n_skills)))


@dataclass(frozen=True, eq=False)
class Sample:
    """What one classifier learns from: sorted sentence indices, and how the negatives came about.

    Of the negatives, `n_hard` were drawn as hard, from sentences of related skills; `n_fallback` were to be hard, but
    the related skills had too few sentences, so they were drawn uniformly; `n_missing` could not be drawn at all.
    """

    positives: np.ndarray
    negatives: np.ndarray
    n_hard: int
    n_fallback: int
    n_missing: int


@dataclass(eq=False)
class Sampler:
    """Draw each skill's training sentences (paper 1, sections 3 and 4.2).

    `positives` are for each skill the sentences labelled with it (see `positives_of`). `hard_fraction` (0 to 1) of
    the negatives is drawn from `related` skills, evenly over its strategies (see `related_skills`). A skill with more
    positives than `max_positives` keeps so many at random. Same seed, same sample of every skill, in any order.

    A sentence labelled with the skill is never its negative, and none is drawn twice. (The paper leaves both open.)
    """

    positives: Sequence[np.ndarray]
    related: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    hard_fraction: float = 0.0
    per_positive: int = NEGATIVES_PER_POSITIVE
    max_positives: int = MAX_POSITIVES
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_positive < 1 or self.max_positives < 1 or self.seed < 0:
            raise InputError("negatives per positive and the most positives must be 1 or more, the seed 0 or more")
        if not 0 <= self.hard_fraction <= 1:
            raise InputError(f"hard fraction {self.hard_fraction}: give a share from 0 to 1")
        if self.hard_fraction and not self.related:
            raise InputError(f"hard fraction {self.hard_fraction}, but no strategy to find related skills")
        self._kept = [
            np.sort(np.random.default_rng([self.seed, skill, 0]).choice(found, self.max_positives, replace=False))
            if len(found) > self.max_positives
            else found
            for skill, found in enumerate(self.positives)
        ]
        n_sentences = max((int(found[-1]) + 1 for found in self.positives if len(found)), default=0)
        self._in_pool = np.zeros(n_sentences, dtype=bool)
        self._in_pool[np.concatenate([np.zeros(0, np.int64), *self._kept])] = True

    def draw(self, skill: int) -> Sample:
        """Positives and negatives of one skill; both are empty for a skill without a positive."""
        rng = np.random.default_rng([self.seed, skill, 1])
        kept = self._kept[skill]
        free = self._in_pool.copy()
        free[self.positives[skill]] = False
        wanted = self.per_positive * len(kept)
        shares = self._shares(wanted, rng)
        hard: list[np.ndarray] = []
        for strategy, n in shares.items():
            near = np.zeros_like(free)
            for other in self.related[strategy][skill]:
                near[self._kept[other]] = True
            candidates = np.flatnonzero(near & free)
            hard.append(rng.choice(candidates, min(n, len(candidates)), replace=False, shuffle=False))
            free[hard[-1]] = False
        n_hard = sum(map(len, hard))
        rest = np.flatnonzero(free)
        uniform = rng.choice(rest, min(wanted - n_hard, len(rest)), replace=False, shuffle=False)
        negatives = np.sort(np.concatenate([*hard, uniform]))
        return Sample(kept, negatives, n_hard, sum(shares.values()) - n_hard, wanted - len(negatives))

    def _shares(self, wanted: int, rng: np.random.Generator) -> dict[str, int]:
        """How many hard negatives each strategy draws: even shares; what does not divide goes by lot."""
        expected = self.hard_fraction * wanted
        n = int(expected) + int(rng.random() < expected - int(expected))
        if n == 0:
            return {}
        names = list(self.related)
        extra = rng.permutation(len(names)) < n % len(names)
        return {name: n // len(names) + int(more) for name, more in zip(names, extra, strict=True)}
