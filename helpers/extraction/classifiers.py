"""One logistic regression for every skill, on frozen sentence embeddings (paper 1, section 3 and Appendix B)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
from joblib import Parallel, delayed
from safetensors.numpy import load_file, save
from sentence_transformers import SentenceTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from helpers.encoders import computed_dir, encode
from helpers.extraction.matching import LiteralMatcher, reliable_names
from helpers.extraction.negatives import STRATEGIES, Sample, Sampler, positives_of, related_skills
from helpers.extraction.ranking import Ranking, package_versions, rank_in_blocks
from helpers.files import InputError, atomic_write
from helpers.taxonomy import Taxonomy

PAPER_C = 0.1  # inverse regularisation strength in paper 1, whose embeddings are not of unit length; see chapter 03
PAPER_HARD_FRACTION = 0.05  # of the three strategies together (paper 1, section 5)
CACHE_VERSION = "1"  # of trainings: a change of what is drawn or fitted must change this
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
        mask = np.zeros(self.n_skills, dtype=bool)
        mask[self.skills] = True
        return mask

    def save(self, folder: str | Path) -> None:
        """Write `classifiers.safetensors` and `classifiers.json` to a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "classifiers.safetensors", {"skills": self.skills, "weights": self.weights, "bias": self.bias})
        with atomic_write(folder / "classifiers.json") as file:  # last: a folder that has it is complete
            json.dump({"n_skills": self.n_skills, **self.facts}, file, indent=2)
            file.write("\n")

    @classmethod
    def load(cls, folder: str | Path) -> Classifiers:
        """Read what `save` wrote. Raises FileNotFoundError or InputError."""
        folder = Path(folder)
        record = folder / "classifiers.json"
        if not record.exists():
            raise FileNotFoundError(f"{record}: no such file; a folder of classifiers has one")
        try:
            tensors = _read(folder / "classifiers.safetensors")
            facts = json.loads(record.read_text(encoding="utf-8"))
            loaded = cls(**tensors, n_skills=facts.pop("n_skills"), facts=facts)
        except InputError:
            raise
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{folder}: not a folder of classifiers ({error!r}); train again") from None
        rows = {len(loaded.skills), len(loaded.weights), len(loaded.bias)}
        if len(rows) > 1 or loaded.skills.max(initial=-1) >= loaded.n_skills:
            raise InputError(f"{folder}: its two files do not belong together; train again")
        return loaded


class ClassifierRanker:
    """Rank skills by their own classifier's logit; skills without a classifier come last, in taxonomy order."""

    def __init__(self, encoder: SentenceTransformer, taxonomy: Taxonomy, classifiers: Classifiers) -> None:
        if classifiers.n_skills != len(taxonomy):
            raise InputError(f"classifiers for {classifiers.n_skills} skills do not fit a taxonomy of {len(taxonomy)}")
        self.encoder = encoder
        self.classifiers = classifiers

    def rank(self, sentences: Sequence[str], k: int) -> Ranking:
        """The k best skills of each sentence; see `Ranker`."""
        return rank_in_blocks(self._score, sentences, k)

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

    Parameters
    ----------
    embeddings : float array (n_sentences, dimension), of the sentences that the sampler's indices speak of
    sampler : draws each skill's positives and negatives
    c : inverse regularisation strength. On unit-length embeddings the paper's 0.1 is very strong (chapter 03)
    n_jobs : workers, -1 for all cores; the result does not depend on it. Small skills take a millisecond each, less
        than a second worker takes to start: more pay off with hundreds of sentences a skill
    cache : folder in which classifiers are kept as they come. Interrupted, the same call goes on where it stopped;
        complete, it only reads them. Another training, of other data or settings, has its own place there.
    """
    _require_c(c)
    folder = Path(cache) / _fingerprint(embeddings, sampler, c)[:20] if cache is not None else None
    if folder is not None and (folder / "classifiers.json").exists():
        return Classifiers.load(folder)
    skills = [skill for skill, found in enumerate(sampler.positives) if len(found)]
    blocks = [skills[i : i + SKILLS_PER_BLOCK] for i in range(0, len(skills), SKILLS_PER_BLOCK)]
    paths = [folder / f"block-{number:04d}.safetensors" for number in range(len(blocks))] if folder else []
    done = {}
    for number, path in enumerate(paths):
        with contextlib.suppress(FileNotFoundError):  # not there yet, or just removed by a process that has finished
            done[number] = _read(path)
    # Sentences are drawn here and fitted there: workers share the embeddings and get indices only.
    tasks = (
        delayed(_fit_block)(number, embeddings, {skill: sampler.draw(skill) for skill in block}, c)
        for number, block in enumerate(blocks)
        if number not in done
    )
    with tqdm(total=len(skills), desc="classifiers", delay=2, leave=False) as bar:
        bar.update(sum(len(blocks[number]) for number in done))
        for number, fitted in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks):
            done[number] = fitted
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                _write(paths[number], fitted)
            bar.update(len(blocks[number]))
    parts = [done[number] for number in sorted(done)] or [_fit_block(0, embeddings, {}, c)[1]]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    facts = {
        "c": c,
        "strategies": list(sampler.related),
        "hard_fraction": sampler.hard_fraction,
        "negatives_per_positive": sampler.per_positive,
        "seed": sampler.seed,
        "n_trained": len(whole["skills"]),
        **dict(zip(COUNTS, whole["counts"].sum(axis=0).tolist(), strict=True)),
        "versions": package_versions(),
    }
    classifiers = Classifiers(whole["skills"], whole["weights"], whole["bias"], len(sampler.positives), facts)
    if folder is not None:
        classifiers.save(folder)
        for path in paths:
            path.unlink(missing_ok=True)  # another process may have finished the same training
    return classifiers


# Over the trained skills: training sentences, and how the negatives came about (see `negatives.Sample`).
COUNTS = ("n_positives", "n_negatives", "n_hard", "n_fallback", "n_missing", "n_unconverged")


def _fit_block(number: int, embeddings: np.ndarray, samples: dict[int, Sample], c: float) -> tuple[int, dict]:
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
    return number, {
        "skills": np.array(skills, dtype=np.int64),
        "weights": parameters[:, :-1],
        "bias": parameters[:, -1],
        "counts": np.array(counts, dtype=np.int64).reshape(-1, len(COUNTS)),
    }


def _require_c(c: float) -> None:
    if not 0 < c < np.inf:
        raise InputError(f"C is {c}; it must be a number above 0")


def _write(path: Path, tensors: dict[str, np.ndarray]) -> None:
    with atomic_write(path, "wb") as file:
        file.write(save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}))


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # safetensors has an exception of its own, which is only an Exception
        raise InputError(f"{path}: not readable ({error}); remove it and train again") from None


def _fingerprint(embeddings: np.ndarray, sampler: Sampler, c: float) -> str:
    """Hash of all that decides the classifiers."""
    digest = hashlib.sha256(np.ascontiguousarray(embeddings).data)
    for ragged in (sampler.positives, *sampler.related.values()):
        digest.update(np.array([len(row) for row in ragged]).tobytes())
        digest.update(np.concatenate([np.zeros(0, np.int64), *ragged]).tobytes())
    digest.update(f"{CACHE_VERSION} {SKILLS_PER_BLOCK} {embeddings.shape} {sklearn.__version__}".encode())
    settings = (sampler.hard_fraction, sampler.per_positive, sampler.max_positives, sampler.seed, float(c))
    digest.update(json.dumps([*sampler.related, *settings]).encode())
    return digest.hexdigest()
