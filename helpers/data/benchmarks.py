"""Benchmarks: whole sentences as queries, sets of skills as gold (paper 1, section 4.1 and Appendix A).

The protocol, the same for every benchmark: the query is the whole sentence; its gold is the set of labels over all
its rows; rows labelled UNDERSPECIFIED or LABEL NOT PRESENT are dropped, and then sentences left without a label.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import registry
from helpers.files import InputError, read_csv, sha256_file
from helpers.taxonomy import SAMPLE_DIR, Taxonomy

NO_SKILL_LABELS = ("UNDERSPECIFIED", "LABEL NOT PRESENT")
SPLITS = ("validation", "test")
# Each benchmark's splits.
BENCHMARKS = {"tech": SPLITS, "house": SPLITS, "techwolf": ("test",), "sample-tech": SPLITS, "sample-general": SPLITS}


@dataclass(frozen=True, eq=False)
class Benchmark:
    """n queries with gold labels. `gold[i]` is a sorted int array of taxonomy indices, never empty."""

    name: str
    split: str
    sentences: tuple[str, ...]
    gold: tuple[np.ndarray, ...]
    taxonomy: Taxonomy
    sha256: str

    @property
    def n_pairs(self) -> int:
        """Number of (sentence, gold label) pairs."""
        return sum(map(len, self.gold))


def load_benchmark(name: str, split: str, taxonomy: Taxonomy) -> Benchmark:
    """Load a benchmark by name: tech, house, techwolf (test only), sample-tech or sample-general.

    Raises FileNotFoundError (file missing, and how to get it) or InputError (unknown name or split, bad content).
    """
    return read_benchmark(_annotations_path(name, split), taxonomy, name, split)


def without_leaked(validation: Benchmark) -> Benchmark:
    """A validation split without the sentences that stand in the test split too (TECH has eight)."""
    leaked = set(load_benchmark(validation.name, "test", validation.taxonomy).sentences)
    kept = [pair for pair in zip(validation.sentences, validation.gold, strict=True) if pair[0] not in leaked]
    sentences, gold = zip(*kept, strict=True)
    return replace(validation, sentences=sentences, gold=gold)


def load_annotations(name: str, split: str, annotator: int = 1) -> pd.DataFrame:
    """The annotated rows as they are: sentence, span, sub_span, label. The sample has a second annotator."""
    path = _annotations_path(name, split)
    if annotator == 2:
        path = path.with_name(path.name.replace("annotations", "second_annotator"))
    return read_csv(path, ("sentence", "label"))


def read_benchmark(path: str | Path, taxonomy: Taxonomy, name: str | None = None, split: str = "test") -> Benchmark:
    """Read a benchmark from a CSV with the columns `sentence` and `label` (others are ignored)."""
    path = Path(path)
    rows = read_csv(path, ("sentence", "label"))
    gold: dict[str, set[int]] = {}
    for row, (sentence, label) in enumerate(zip(rows["sentence"], rows["label"], strict=True), start=2):
        label = label.strip()
        if label in NO_SKILL_LABELS:
            continue
        if label not in taxonomy.index_of:
            raise InputError(f"{path}, row {row}: label {label!r} is not in the taxonomy {taxonomy.name}")
        gold.setdefault(sentence.strip(), set()).add(taxonomy.index_of[label])
    if not gold:
        raise InputError(f"{path}: no sentence with a label of the taxonomy {taxonomy.name}")
    return Benchmark(
        name=name or path.stem,
        split=split,
        sentences=tuple(gold),
        gold=tuple(np.array(sorted(labels)) for labels in gold.values()),
        taxonomy=taxonomy,
        sha256=sha256_file(path),
    )


def _annotations_path(name: str, split: str) -> Path:
    if name not in BENCHMARKS:
        raise InputError(f"no benchmark {name!r}; choose one of: {', '.join(BENCHMARKS)}")
    if split not in BENCHMARKS[name]:
        raise InputError(f"benchmark {name} has no split {split!r}; it has: {', '.join(BENCHMARKS[name])}")
    file_name = f"{name.replace('-', '_')}_{split}_annotations.csv"
    return SAMPLE_DIR / "benchmarks" / file_name if name.startswith("sample-") else registry.find(file_name)
