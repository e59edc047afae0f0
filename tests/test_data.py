"""Benchmarks follow the protocol; corpora are read from any of three formats."""

import re
import sys
import types
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

from helpers.data.benchmarks import load_annotations, load_benchmark, read_benchmark
from helpers.data.corpora import load_corpus, load_sample_truth, read_corpus
from helpers.files import InputError
from helpers.profiles import PROFILES, get_profile, profile_of_benchmark, start
from helpers.taxonomy import Taxonomy, load_taxonomy


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "t.csv").write_text("label\nbake bread\nlay bricks\nrun payroll\n")
    return Taxonomy.from_csv(tmp_path / "t.csv")


def test_gold_is_the_set_of_a_sentences_labels_and_special_rows_are_dropped(tmp_path, tiny):
    rows = [
        ("You bake, then lay bricks.", "lay bricks"),
        ("You bake, then lay bricks.", " bake bread "),
        ("You bake, then lay bricks.", "lay bricks"),
        ("You bake, then lay bricks.", "UNDERSPECIFIED"),
        ("Be yourself.", "UNDERSPECIFIED"),
        ("Sing.", "LABEL NOT PRESENT"),
        ("Wages!", "run payroll"),
    ]
    path = tmp_path / "bench.csv"
    pd.DataFrame(rows, columns=["sentence", "label"]).to_csv(path, index=False)
    benchmark = read_benchmark(path, tiny)
    assert benchmark.sentences == ("You bake, then lay bricks.", "Wages!")
    assert [gold.tolist() for gold in benchmark.gold] == [[0, 1], [2]]
    assert benchmark.n_pairs == 3


def test_an_unknown_gold_label_is_named_with_its_row(tmp_path, tiny):
    path = tmp_path / "bench.csv"
    path.write_text("sentence,label\na,bake bread\nb,fly kites\n")
    with pytest.raises(InputError, match=r"bench\.csv, row 3: label 'fly kites' is not in the taxonomy t"):
        read_benchmark(path, tiny)
    path.write_text("sentence,label\na,UNDERSPECIFIED\n")
    with pytest.raises(InputError, match="no sentence with a label"):
        read_benchmark(path, tiny)


def test_unknown_names_list_what_there_is(tiny):
    with pytest.raises(InputError, match="no benchmark 'tec'; choose one of: tech, house, techwolf"):
        load_benchmark("tec", "test", tiny)
    with pytest.raises(InputError, match="benchmark techwolf has no split 'validation'; it has: test"):
        load_benchmark("techwolf", "validation", tiny)
    with pytest.raises(InputError, match="no profile 'huge'; choose one of: sample, full"):
        get_profile("huge")
    with pytest.raises(InputError, match="no benchmark 'x'"):
        profile_of_benchmark("x")


def test_the_profile_comes_from_the_argument_then_the_variable(monkeypatch):
    monkeypatch.setenv("SKILLBOOK_PROFILE", "full")
    assert get_profile().name == "full"
    assert get_profile("sample").name == "sample"
    monkeypatch.delenv("SKILLBOOK_PROFILE")
    assert get_profile() is PROFILES["sample"]


def test_start_prints_one_stable_line_and_seeds_everything(capsys):
    import random

    import torch

    start("sample")
    first = (random.random(), np.random.rand(), torch.rand(1).item())
    start("sample")
    assert first == (random.random(), np.random.rand(), torch.rand(1).item())
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    data, on = first.split(" | device: ")
    assert data == "profile: sample | taxonomy: sample | encoder: all-MiniLM-L6-v2 | seed: 0"
    versions = f"skillbook {version('skillbook')}, torch {torch.__version__}, sentence-transformers "
    assert re.fullmatch(rf"(cpu|cuda|mps) \| {re.escape(versions)}[\d.]+", on)


def test_start_names_the_way_to_a_gpu_on_colab_where_there_is_none(capsys, monkeypatch):
    import torch

    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    for gpu in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        start("sample")
        assert ("Runtime > Change runtime type > T4 GPU" in capsys.readouterr().out) == (not gpu)


def test_techwolf_is_read_when_its_file_is_there(tmp_path, monkeypatch):
    """It has no span columns, and a test split only; its real file is fetched, here another takes its place."""
    import hashlib
    from dataclasses import replace

    from helpers import registry

    name = "techwolf_test_annotations.csv"
    monkeypatch.setenv("SKILLBOOK_CACHE", str(tmp_path))
    content = "sentence,label\nYou bake bread daily.,bake bread\nYou bake bread daily.,prepare meals\n"
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="wrong checksum"):
        load_benchmark("techwolf", "test", load_taxonomy("sample"))
    digest = hashlib.sha256(content.encode()).hexdigest()
    monkeypatch.setitem(registry.FILES, name, replace(registry.FILES[name], sha256=digest))
    benchmark = load_benchmark("techwolf", "test", load_taxonomy("sample"))
    assert (len(benchmark.sentences), benchmark.n_pairs) == (1, 2)


SENTENCES = ["You bake bread.", "You lay bricks.", "you bake  bread!", "", "Ünïcode, too"]
KEPT = ("You bake bread.", "You lay bricks.", "Ünïcode, too")


def test_a_corpus_is_read_from_csv_json_lines_and_parquet(tmp_path):
    table = pd.DataFrame({"sentence": SENTENCES, "n": range(len(SENTENCES))})
    table.to_csv(tmp_path / "c.csv", index=False)
    table.to_csv(tmp_path / "c.csv.gz", index=False)
    table.to_json(tmp_path / "c.jsonl", orient="records", lines=True)
    table.to_parquet(tmp_path / "c.parquet")
    for name in ("c.csv", "c.csv.gz", "c.jsonl", "c.parquet"):
        corpus = read_corpus(tmp_path / name)
        assert corpus.sentences == KEPT, name
        assert len(set(corpus.ids)) == len(corpus) == 3
    assert load_corpus(str(tmp_path / "c.csv")).sha256 == read_corpus(tmp_path / "c.parquet").sha256


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.jsonl", b'{"sentence": "a"}\n{"sentence": \n', r"c\.jsonl, line 2: not valid JSON"),
        ("c.jsonl", b'{"text": "a"}\n', r"c\.jsonl: no column 'sentence'; its columns are: text"),
        ("c.jsonl", b"", "the file is empty"),
        ("c.jsonl", b'{"sentence": "caf\xe9"}\n', "line 1: not valid JSON in UTF-8"),
        ("c.parquet", b"PAR1 no", "not a Parquet file"),
        ("c.jsonl", b'{"sentence": "a"}\n{"sentence": ["You", "cook"]}\n', r"record 2: \['You', 'cook'\] is no text"),
        ("c.csv", b"sentence\n\n", "no sentence in it"),
        ("c.docx", b"", r"unknown kind of file '\.docx'; use \.csv, \.jsonl or \.parquet"),
    ],
)
def test_bad_corpora_are_named_with_what_is_wrong(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_corpus(path)
    assert "\n" not in str(error.value)


def test_missing_texts_and_half_characters_do_not_become_sentences(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"sentence": null}\n{"other": 1}\n{"sentence": "Cook \\ud83d now"}\n')
    assert read_corpus(path).sentences == ("Cook ? now",)


def test_a_missing_corpus_is_clear(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: no such file"):
        load_corpus(str(tmp_path / "nowhere.csv"))


def test_the_samples_truth_is_kept_apart_from_its_sentences():
    corpus, truth = load_corpus("sample"), load_sample_truth()
    assert len(corpus) == 20_000
    assert tuple(truth["id"]) == corpus.ids
    assert not hasattr(corpus, "truth")
    assert set("|".join(truth["truth"]).split("|")) - {""} <= set(load_taxonomy("sample").labels)


def test_the_second_annotator_saw_the_same_spans():
    first, second = (load_annotations("sample-tech", "test", annotator) for annotator in (1, 2))
    assert set(first["span"]) == set(second["span"])
    assert set(first["sentence"]) == set(second["sentence"])


def test_descriptions_follow_the_sentences_under_their_skills_ids():
    corpus, taxonomy = load_corpus("sample+descriptions"), load_taxonomy("sample")
    n = len(load_corpus("sample"))
    assert len(corpus) == n + len(taxonomy)
    assert corpus.ids[n:] == taxonomy.ids
    assert corpus.sentences[n:] == taxonomy.descriptions
