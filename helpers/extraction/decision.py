"""From a ranking to an answer: is there a skill in the sentence at all, and which of the ranked ones are worth naming?

A ranking always has a first skill, for "We offer free coffee" too. Two thresholds turn it into an answer: one on a
detector's probability that the sentence asks for a skill, one on the ranker's own scores. Both are chosen on
validation splits, by how much recall they may cost. The papers rank only; this is what a user needs after them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sentence_transformers import SentenceTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

from helpers.data.benchmarks import Benchmark
from helpers.encoders import encode
from helpers.extraction.ranking import Ranker, Ranking
from helpers.files import InputError


@dataclass(frozen=True, eq=False)
class Decision:
    """What is kept of a ranking: skills that score enough, in sentences that are likely enough to ask for one.

    `detector` is what `train_detector` gives; `sentence` is its lowest probability that is kept, `score` the ranker's
    lowest score.
    """

    detector: Pipeline
    sentence: float
    score: float

    def keep(self, sentences: Sequence[str], ranking: Ranking) -> np.ndarray:
        """Mask (n, k) over a ranking of these sentences: which of its skills are the answer."""
        return (has_skill(self.detector, sentences) >= self.sentence)[:, None] & (ranking.scores >= self.score)


def train_detector(sentences: Sequence[str], asks: Sequence[bool], encoder: SentenceTransformer) -> Pipeline:
    """A logistic regression on a sentence's embedding and its words: does it ask for a skill?

    `asks[i]` says so of sentence i. Words are pairs and single ones, weighted by TF-IDF.
    """
    if len(set(map(bool, asks))) < 2:
        raise InputError("a detector needs sentences that ask for a skill, and sentences that do not")
    embedding = FunctionTransformer(lambda texts: encode(encoder, list(texts)))
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return make_pipeline(make_union(embedding, words), LogisticRegression(max_iter=1000)).fit(sentences, asks)


def has_skill(detector: Pipeline, sentences: Sequence[str]) -> np.ndarray:
    """Probabilities (n,) that the sentences ask for a skill."""
    return detector.predict_proba(list(sentences))[:, 1] if len(sentences) else np.zeros(0)


def fit_decision(
    detector: Pipeline, ranker: Ranker, validation: Sequence[Benchmark], loss: float = 0.05, top: int = 5
) -> Decision:
    """The highest thresholds that each cost at most this share of recall at `top` in every validation split.

    More `loss` means fewer and surer skills. Raises InputError if the ranker finds nothing in a split.
    """
    if not 0 <= loss < 1:
        raise InputError(f"loss is {loss}; it is a share of recall, from 0 to below 1")
    by_sentence, by_score = [], []
    for split in validation:
        ranking = ranker.rank(split.sentences, top)
        hits = np.array([np.isin(row, gold) / len(gold) for row, gold in zip(ranking.indices, split.gold, strict=True)])
        if not hits.any():
            raise InputError(f"no gold label among the first {top} of any sentence of {split.name} {split.split}")
        by_sentence.append(highest_threshold(has_skill(detector, split.sentences), hits.sum(axis=1), loss))
        by_score.append(highest_threshold(ranking.scores.ravel(), hits.ravel(), loss))
    return Decision(detector, min(by_sentence), min(by_score))


def highest_threshold(values: np.ndarray, gains: np.ndarray, loss: float) -> float:
    """The highest threshold below which lies at most this share of the gains; rounded down to three digits.

    `values` and `gains` (n,) go together. Rounded, so that the last digit of a processor decides nothing.

    >>> highest_threshold(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]), 0.1)
    0.2
    """
    values = np.asarray(values, float)
    order = np.argsort(values)
    lost = np.cumsum(gains[order]) - gains[order]
    return float(np.floor(1000 * values[order][lost <= loss * gains.sum()][-1]) / 1000)
