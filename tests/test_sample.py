"""The sample keeps its promises, can be built again to the byte, and is frozen."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.data.benchmarks import load_annotations, load_benchmark
from helpers.data.corpora import SAMPLE_REPLIES
from helpers.encoders import load_encoder
from helpers.evaluation import evaluate
from helpers.extraction.contrastive import BiEncoder
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.ranking import run_benchmark
from helpers.files import sha256_file
from helpers.taxonomy import SAMPLE_DIR, load_taxonomy

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from check_sample import checks, commonest_opening, near_duplicates  # noqa: E402

# Every later figure of the book rests on these bytes. A change of the sample is a new edition of the book.
FROZEN = "2cc6328e0a634cfb032302a7e3d8007e236a78caaed1553fd627855e60c40cb6"
FROZEN_REQUISITIONS = "43a1eb893a584449eaae3959f78b50bec237cd0d10c7504417ee12bdf5f721a9"
FROZEN_REPLIES = "651acd8433f25fba5bc51b629846cba1ee46c93591217490fafc9d37c682f00b"


def test_every_check_holds():
    failed = [(what, value) for what, value, holds in checks() if not holds]
    assert failed == []


def test_the_sample_is_frozen():
    sample, later = hashlib.sha256(), hashlib.sha256()
    for path in sorted(SAMPLE_DIR.rglob("*")):
        if path.is_file() and path != SAMPLE_REPLIES:
            digest = later if path.parent.name == "requisitions" else sample
            digest.update(f"{path.relative_to(SAMPLE_DIR).as_posix()}\0".encode() + path.read_bytes())
    assert sample.hexdigest() == FROZEN
    assert later.hexdigest() == FROZEN_REQUISITIONS
    assert sha256_file(SAMPLE_REPLIES) == FROZEN_REPLIES


@pytest.mark.parametrize("script", ["build_sample_corpus.py", "build_sample_requisitions.py"])
def test_the_script_writes_the_shipped_files_again(tmp_path, script):
    command = [sys.executable, str(ROOT / "scripts" / script), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(made) == 4
    for path in made:
        assert path.read_bytes() == (SAMPLE_DIR / path.relative_to(tmp_path)).read_bytes(), path.name


def second_annotator(benchmark):
    """RP@5 of each sentence for the second annotator's first five labels, in the order of the spans."""
    given = {}
    rows = load_annotations(benchmark.name, benchmark.split, annotator=2)
    for sentence, label in zip(rows["sentence"], rows["label"], strict=True):
        if label in benchmark.taxonomy.index_of:
            given.setdefault(sentence, {}).setdefault(benchmark.taxonomy.index_of[label])
    answers = [list(given.get(sentence, {}))[:5] for sentence in benchmark.sentences]
    return np.array([len(set(a) & set(g)) / min(5, len(g)) for a, g in zip(answers, benchmark.gold, strict=True)])


@pytest.mark.parametrize("name", ["sample-tech", "sample-general"])
def test_there_is_room_to_learn(name):
    benchmark = load_benchmark(name, "test", load_taxonomy("sample"))
    rp5 = {}
    for method, ranker in (
        ("lexical", LexicalRanker(benchmark.taxonomy)),
        ("zero-shot", BiEncoder(load_encoder(), benchmark.taxonomy)),
    ):
        rp5[method] = 100 * evaluate(run_benchmark(ranker, benchmark), benchmark).mean["rp@5"]
    assert 45 <= rp5["zero-shot"] <= 70
    assert abs(rp5["zero-shot"] - rp5["lexical"]) <= 8
    second = 100 * second_annotator(benchmark).mean()
    assert second >= max(rp5.values()) + 12
    card = (ROOT / "book" / "data_sample.md").read_text(encoding="utf-8")
    for value in (*rp5.values(), second):
        assert f" {value:.1f} [" in card  # the card states what is measured here


def test_the_data_card_states_what_the_checks_count():
    card = (ROOT / "book" / "data_sample.md").read_text(encoding="utf-8")
    for name in ("sample-tech", "sample-general"):
        for split in ("validation", "test"):
            benchmark = load_benchmark(name, split, load_taxonomy("sample"))
            n, pairs = len(benchmark.sentences), benchmark.n_pairs
            assert f"| {name} {split} | {n} | {pairs} | {pairs / n:.2f} |" in card
    value = {what: value for what, value, _ in checks()}
    assert f"{value['skills with two broader groups']} skills belong to two groups" in card
    assert f"{value['patterns']} hand-written sentence patterns" in card


def test_the_checks_can_fail():
    assert near_duplicates(["bake bread daily", "bake bread, daily", "lay bricks"]) == pytest.approx(2 / 3)
    assert commonest_opening(["You will bake", "you will bake!", "We are"]) == pytest.approx(2 / 3)
