"""One logistic regression for every skill, on frozen sentence embeddings (paper 1, section 3 and Appendix B)."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import sklearn
from joblib import Parallel, delayed
from sentence_transformers import SentenceTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from helpers.encoders import computed_dir, encode
from helpers.extraction.matching import LiteralMatcher, reliable_names
from helpers.extraction.negatives import STRATEGIES, Sample, Sampler, positives_of, related_skills
from helpers.extraction.ranking import Ranker, package_versions
from helpers.files import InputError
from helpers.taxonomy import Taxonomy

PAPER_C = 0.1  # inverse regularisation strength in paper 1, whose embeddings are not of unit length; see chapter 03
PAPER_HARD_FRACTION = 0.05  # of the three strategies together (paper 1, section 5)
SKILLS_PER_BLOCK = 250  # what an interrupted training may have to do again


@dataclass(frozen=True, eq=False)
class Classifiers:
    """Trained classifiers: `skills` (n,) are taxonomy indices, `weights` (n, dimension), `bias` (n,) float32.

    A skill without a positive or a negative has none. `facts` says how the training went.
    """

    skills: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    n_skills: int
    facts: dict

    @property
    def trained(self) -> np.ndarray:
        """Mask over the taxonomy: which skills have a classifier."""
        return np.isin(np.arange(self.n_skills), self.skills)


class ClassifierRanker(Ranker):
    """Rank skills by their own classifier's logit; skills without a classifier come last, in taxonomy order."""

    def __init__(self, encoder: SentenceTransformer, taxonomy: Taxonomy, classifiers: Classifiers) -> None:
        if classifiers.n_skills != len(taxonomy):
            raise InputError(f"classifiers for {classifiers.n_skills} skills do not fit a taxonomy of {len(taxonomy)}")
        self.encoder = encoder
        self.classifiers = classifiers

    def _score(self, sentences: Sequence[str]) -> np.ndarray:
        c = self.classifiers
        # Probabilities near 1 would round to ties; logits are in the same order.
        scores = np.full((len(sentences), c.n_skills), np.finfo(np.float32).min, dtype=np.float32)
        scores[:, c.skills] = encode(self.encoder, sentences) @ c.weights.T + c.bias
        return scores


def train_from_corpus(
    taxonomy: Taxonomy,
    sentences: Sequence[str],
    encoder: SentenceTransformer,
    strategies: Sequence[str] = STRATEGIES,
    hard_fraction: float = PAPER_HARD_FRACTION,
    c: float = PAPER_C,
    seed: int = 0,
) -> ClassifierRanker:
    """Paper 1 from end to end: label sentences by literal matching, sample negatives, train, rank.

    Without strategies all negatives are uniform. Trainings are kept in the cache, so the same call only reads.
    """
    _require_c(c)  # before minutes of encoding
    labels = LiteralMatcher(reliable_names(taxonomy)).labels(sentences)
    labelled = [row for row, found in enumerate(labels) if len(found)]
    positives = positives_of([labels[row] for row in labelled], len(taxonomy))
    related = related_skills(strategies, taxonomy, encoder)
    sampler = Sampler(positives, related, hard_fraction if related else 0.0, seed=seed)
    embeddings = encode(encoder, [sentences[row] for row in labelled])
    cache = computed_dir() / "classifiers"
    return ClassifierRanker(encoder, taxonomy, train_classifiers(embeddings, sampler, c, cache=cache))


def train_classifiers(
    embeddings: np.ndarray, sampler: Sampler, c: float = PAPER_C, n_jobs: int = 1, cache: str | Path | None = None
) -> Classifiers:
    """Fit scikit-learn's LogisticRegression for every skill that has positives and negatives.

    `embeddings` (n_sentences, dimension) are of the sentences that the sampler's indices speak of. `c` is the inverse
    regularisation strength; on unit-length embeddings the paper's 0.1 is very strong (chapter 03). The result does
    not depend on the number of workers `n_jobs` (-1: all cores); more than one pay off with hundreds of sentences a
    skill. In the folder `cache` classifiers are kept as they come: an interrupted call goes on where it stopped.
    """
    _require_c(c)
    skills = [skill for skill, found in enumerate(sampler.positives) if len(found)]
    blocks = [skills[i : i + SKILLS_PER_BLOCK] for i in range(0, len(skills), SKILLS_PER_BLOCK)]
    fit = joblib.Memory(cache, verbose=0).cache(_fit_block, ignore=["embeddings"])
    key = joblib.hash((embeddings, sklearn.__version__))
    # Sentences are drawn here and fitted there: workers share the embeddings and get indices only.
    tasks = (delayed(fit)(embeddings, key, {skill: sampler.draw(skill) for skill in block}, c) for block in blocks)
    fitted = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    parts = list(tqdm(fitted, total=len(blocks), desc="classifiers", delay=2, leave=False))
    parts = parts or [_fit_block(embeddings, key, {}, c)]
    trained, weights, bias, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    facts = {
        "c": c,
        "strategies": list(sampler.related),
        "hard_fraction": sampler.hard_fraction,
        "negatives_per_positive": sampler.per_positive,
        "seed": sampler.seed,
        "n_trained": len(trained),
        **dict(zip(COUNTS, counts.sum(axis=0).tolist(), strict=True)),
        "versions": package_versions(),
    }
    return Classifiers(trained, weights, bias, len(sampler.positives), facts)


# Over the trained skills: training sentences, and how the negatives came about (see `negatives.Sample`).
COUNTS = ("n_positives", "n_negatives", "n_hard", "n_fallback", "n_missing", "n_unconverged")


def _fit_block(embeddings: np.ndarray, key: str, samples: dict[int, Sample], c: float) -> tuple[np.ndarray, ...]:
    """Trained skills, weights, bias and COUNTS, a row a skill. In the cache, `key` stands for the embeddings."""
    skills, models, counts = [], [], []
    # One thread, however many workers: sums in another order have other last digits.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # counted instead
        for skill, sample in samples.items():
            if not len(sample.negatives):
                continue
            rows = np.concatenate([sample.positives, sample.negatives])
            y = np.arange(len(rows)) < len(sample.positives)
            model = LogisticRegression(C=c).fit(embeddings[rows].astype(np.float64), y)
            skills.append(skill)
            models.append(np.append(model.coef_[0], model.intercept_))
            drawn = (len(sample.positives), len(sample.negatives), sample.n_hard, sample.n_fallback, sample.n_missing)
            counts.append((*drawn, int(model.n_iter_[0] >= model.max_iter)))
    parameters = np.array(models, dtype=np.float32).reshape(-1, embeddings.shape[1] + 1)
    counts = np.array(counts, dtype=np.int64).reshape(-1, len(COUNTS))
    return np.array(skills, dtype=np.int64), parameters[:, :-1], parameters[:, -1], counts


def _require_c(c: float) -> None:
    if not 0 < c < np.inf:
        raise InputError(f"C is {c}; it must be a number above 0")
