"""Job-ad sentences to learn from: the sample's, the public ones, or a reader's own."""

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import registry
from helpers.data.benchmarks import load_annotations
from helpers.files import InputError, read_csv, reason, require_columns, sha256_texts
from helpers.taxonomy import SAMPLE_DIR, load_taxonomy

JOB_AD_FILES = ("skillspan_train.json", "skillspan_dev.json", "green_train.json", "sayfullina_train.json")
_SAMPLE_CORPUS = SAMPLE_DIR / "corpus.csv.gz"
SAMPLE_REPLIES = SAMPLE_DIR / "replies.jsonl"  # a store of `extraction.generation`


@dataclass(frozen=True, eq=False)
class Corpus:
    """Unlabelled sentences. `ids` say where each comes from and are stable."""

    name: str
    ids: tuple[str, ...]
    sentences: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def sha256(self) -> str:
        """Fingerprint of the sentences in order."""
        return sha256_texts(self.sentences)


def load_corpus(name: str) -> Corpus:
    """The corpus of that name (a profile's field): "sample" or "job-ads", or the path of a reader's own file.

    With "+descriptions" after either name, the texts of its taxonomy follow: the descriptions of skills and, in ESCO,
    of occupations. Their ids are those of the skill or occupation.
    """
    plain = name.removesuffix("+descriptions")
    if plain != name and plain in ("sample", "job-ads"):
        corpus, taxonomy = load_corpus(plain), load_taxonomy("sample" if plain == "sample" else "esco-v1.1.0")
        texts = list(zip(taxonomy.ids, taxonomy.descriptions, strict=True))
        if plain == "job-ads":
            columns = ("conceptUri", "description")
            occupations = read_csv(registry.find("esco-v1.1.0-en.zip"), columns, "occupations_en.csv")
            texts += zip(occupations["conceptUri"], occupations["description"].str.strip(), strict=True)
        ids, descriptions = zip(*((identity, text) for identity, text in texts if text), strict=True)
        return Corpus(name, corpus.ids + ids, corpus.sentences + descriptions)
    if name == "sample":
        table = read_csv(_SAMPLE_CORPUS, ("id", "sentence"))
        return Corpus(name, tuple(table["id"]), tuple(table["sentence"]))
    if name == "job-ads":
        return _load_job_ads()
    return read_corpus(name)


def split_sentences(text: str) -> list[str]:
    """Sentences of a text: lines, split after a full stop, question or exclamation mark before a capital letter.

    >>> split_sentences("We use .NET, e.g. C#. You test it!")
    ['We use .NET, e.g. C#.', 'You test it!']
    """
    lines = (line.strip(" \t•*-–") for line in text.splitlines())
    border = re.compile(r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)\s+(?=[A-Z\"“])")
    return [part for line in lines for part in border.split(line) if part]


def load_labelled(name: str) -> list[tuple[str, str]]:
    """Public sentences of language models as (sentence, skill's label): "synthetic" (paper 2) or "skillskape"."""
    if name == "synthetic":
        table = pd.read_parquet(registry.find("synthetic-esco-skill-sentences.parquet"))
        require_columns(table, ("skill", "sentence"), "synthetic-esco-skill-sentences.parquet")
        return list(zip(table["sentence"], table["skill"], strict=True))
    table = pd.concat(
        read_csv(registry.find(f"skillskape_{part}.csv"), ("sentence", "skills")) for part in ("train", "dev", "test")
    )
    return [
        (sentence, label.strip())
        for sentence, labels in zip(table["sentence"], table["skills"], strict=True)
        for label in ast.literal_eval(labels)
    ]


def load_sample_truth() -> pd.DataFrame:
    """What the sample's sentences really ask for, known because a script wrote them: for evaluation only.

    Columns: id, truth (labels separated by "|", empty when the sentence asks for no skill) and how
    (for each label "label", "alternative", "inflected" or "implicit"; for none "none" or "ambiguous").
    """
    return read_csv(_SAMPLE_CORPUS, ("id", "truth", "how"))[["id", "truth", "how"]]


def load_asking(name: str, part: str = "train") -> tuple[tuple[str, ...], np.ndarray]:
    """Sentences and a mask (n,) of those that ask for a skill, to train a detector on ("train") or to judge it ("dev").

    Of the corpus "job-ads", SkillSpan's: does a sentence have a span? Of "sample", whose truth is known, a fifth for
    each part. Sentences of the benchmarks are left out, and those of "train" from "dev".
    """
    if name == "sample":
        table = read_csv(_SAMPLE_CORPUS, ("sentence", "truth"))
        mine = np.arange(len(table)) % 5 == ("train", "dev").index(part)
        return tuple(table["sentence"][mine]), (table["truth"][mine] != "").to_numpy()
    if name != "job-ads":
        raise InputError(f"nothing is known of which sentences of {name} ask for a skill; choose sample or job-ads")
    rows: dict[str, tuple[str, bool]] = {}
    seen = _benchmark_sentences()
    for record in _json_lines(registry.find(f"skillspan_{part}.json")):
        text, tags = " ".join(record["tokens"]), {*record["tags_skill"], *record["tags_knowledge"]}
        if _normal(text) not in seen:
            rows.setdefault(_normal(text), (text, tags != {"O"}))
    if part == "dev":
        for text in load_asking(name)[0]:
            rows.pop(_normal(text), None)
    sentences, asks = zip(*rows.values(), strict=True)
    return sentences, np.array(asks)


def read_corpus(path: str | Path) -> Corpus:
    """Read the column `sentence` of a CSV, JSON-lines or Parquet file; blanks and repeats are left out.

    Raises FileNotFoundError or InputError, in one line that names the file (and the line, for JSON).
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; a corpus is a .csv, .jsonl or .parquet file")
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".json"):
        table = pd.DataFrame(_json_lines(path), dtype=object)
    elif suffix == ".parquet":
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a Parquet file ({reason(error)})") from None
    elif suffix in (".csv", ".gz"):
        table = read_csv(path, ())
    else:
        raise InputError(f"{path}: unknown kind of file {suffix!r}; use .csv, .jsonl or .parquet")
    require_columns(table, ("sentence",), str(path))
    texts = table["sentence"].dropna()
    for row, text in texts.items():
        if not isinstance(text, str):
            raise InputError(f"{path}, record {row + 1}: {text!r} is no text")
    return _unique(path.stem, ((f"{path.stem}:{row}", text.strip()) for row, text in texts.items()))


def _load_job_ads() -> Corpus:
    """SkillSpan, Green and Sayfullina, without the sentences of any benchmark split.

    25 benchmark sentences stand in SkillSpan's training file and 10 more in its development file.
    """
    benchmark = _benchmark_sentences()
    rows = []
    for path in map(registry.find, JOB_AD_FILES):
        ads = (" ".join(record["tokens"]) for record in _json_lines(path))
        rows += [(f"{path.stem}:{row}", text) for row, text in enumerate(ads) if _normal(text) not in benchmark]
    return _unique("job-ads", rows)


def _benchmark_sentences() -> set[str]:
    splits = [load_annotations(name, split) for name in ("tech", "house") for split in ("validation", "test")]
    return {_normal(sentence) for rows in splits for sentence in rows["sentence"]}


def _unique(name: str, rows: Iterable[tuple[str, str]]) -> Corpus:
    """Keep the first of each text (up to case and blanks), and no empty one."""
    kept: dict[str, tuple[str, str]] = {}
    for identity, sentence in rows:
        sentence = sentence.encode("utf-8", "replace").decode()  # half an emoji, as broken JSON may hold, is no text
        if sentence.strip():
            kept.setdefault(_normal(sentence), (identity, sentence))
    if not kept:
        raise InputError(f"corpus {name}: no sentence in it")
    ids, sentences = zip(*kept.values(), strict=True)
    return Corpus(name, ids, sentences)


def _normal(sentence: str) -> str:
    return re.sub(r"\W+", " ", sentence).strip().casefold() or sentence.strip()


def _json_lines(path: Path) -> list[dict]:
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            if line.strip():
                records.append(json.loads(line.decode("utf-8-sig")))
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not valid JSON in UTF-8 ({reason(error)})") from None
    if not records:
        raise InputError(f"{path}: the file is empty")
    return records
