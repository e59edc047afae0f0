"""The explorer's data: what the script would choose, texts of the sample only, and rankings that run files confirm."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from helpers.data.benchmarks import load_benchmark
from helpers.data.corpora import load_asking, load_corpus, load_sample_truth
from helpers.encoders import load_encoder
from helpers.extraction.attribution import explain
from helpers.extraction.contrastive import BiEncoder
from helpers.extraction.matching import LiteralMatcher, reliable_names
from helpers.extraction.ranking import read_run
from helpers.profiles import PROFILES
from helpers.taxonomy import SAMPLE_DIR, load_taxonomy

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from build_explorer import (  # noqa: E402
    GROUPS,
    LANDING,
    METHODS,
    ON_FIRST_PAGE,
    OUT,
    STEPS,
    choose,
    landing,
    missed,
    read,
    without_each_word,
    write,
)

DATA = read()
PROFILE = PROFILES["sample"]
RUNS = {
    "literal": "00/{}-test-literal",
    "lexical": "00/{}-test-lexical",
    "zero-shot": "00/{}-test-zero-shot",
    "classifier": "03/{}-test-corpus-all",
    "bi-encoder": "05/runs/{}-sentences-augmented-mix-1",
}


@pytest.fixture(scope="module")
def taxonomy():
    return load_taxonomy("sample")


@pytest.fixture(scope="module")
def splits(taxonomy):
    return [load_benchmark(name, "test", taxonomy) for name in PROFILE.benchmarks]


def test_the_file_holds_the_sentences_that_the_script_chooses(taxonomy):
    wanted = [
        (entry["id"], entry["group"], entry["text"], [taxonomy.labels[skill] for skill in entry["gold"]])
        for entry in choose(PROFILE, taxonomy)
    ]
    assert [(s["id"], s["group"], s["text"], s["gold"]) for s in DATA["sentences"]] == wanted
    assert DATA["about"]["taxonomy_sha256"] == taxonomy.sha256
    assert DATA["about"]["options"] == METHODS


def test_every_text_is_the_samples_own(splits):
    gold = {text: labels for split in splits for text, labels in zip(split.sentences, split.gold, strict=True)}
    corpus, truth = load_corpus("sample"), load_sample_truth()
    nothing = {text for text, asked in zip(corpus.sentences, truth["truth"], strict=True) if not asked}
    for sentence in DATA["sentences"]:
        if sentence["gold"]:
            assert {splits[0].taxonomy.index_of[label] for label in sentence["gold"]} == set(gold[sentence["text"]])
        else:
            assert sentence["text"] in nothing


def test_the_groups_are_what_they_are_called(taxonomy):
    matcher = LiteralMatcher(reliable_names(taxonomy))
    seen = set(load_asking("sample")[0])
    for sentence in DATA["sentences"]:
        named = {taxonomy.labels[skill] for skill in matcher.labels([sentence["text"]])[0]}
        one, n = sentence["group"].startswith("One"), len(sentence["gold"])
        assert sentence["text"] not in seen  # the detector has not learnt from it
        if sentence["group"].startswith("No skill"):
            assert n == 0
            assert bool(named) == ("name of one" in sentence["group"])
        else:
            assert (n == 1) == one
            assert bool(named & set(sentence["gold"])) == (not re.search(r"not named|none named", sentence["group"]))
    assert [sum(s["group"] == group for s in DATA["sentences"]) for group in GROUPS] == list(GROUPS.values())


def test_what_is_shown_is_consistent_and_small():
    assert OUT.stat().st_size < 400_000
    for sentence in DATA["sentences"]:
        assert set(sentence["methods"]) == set(RUNS) - ({"bi-encoder"} if not sentence["gold"] else set())
        for method, found in sentence["methods"].items():
            shown = {row["skill"] for row in found["top"]}
            assert len(shown) == len(found["top"]) <= 5
            assert {row["skill"] for row in found["missed"]} == set(sentence["gold"]) - shown
            for row in found["top"]:
                assert row["gold"] == (row["skill"] in sentence["gold"])
                assert ("weights" in row) == ("kept" in row) == (method != "bi-encoder")
                assert len(row.get("weights", [])) in (0, len(sentence["text"].split()))


@pytest.mark.parametrize("method", RUNS)
def test_the_stored_runs_rank_the_same_skills(method, splits):
    shown = {s["text"]: s["methods"].get(method) for s in DATA["sentences"]}
    known = {text for split in splits for text in split.sentences}
    compared = 0
    for split in splits:
        run = read_run(ROOT / "results" / "sample" / f"{RUNS[method].format(split.name)}.csv.gz", split)
        for row, text in enumerate(split.sentences):
            for place, entry in enumerate(shown[text]["top"] if text in shown else []):
                # Another processor may turn a tie in the last digits: the scores decide, not the order.
                assert abs(run.ranking.scores[row, place] - entry["score"]) < 0.02
                held = [split.taxonomy.labels[skill] for skill in run.ranking.indices[row]]
                assert abs(run.ranking.scores[row, held.index(entry["skill"])] - entry["score"]) < 0.02
                compared += 1
    assert compared == sum(len(found["top"]) for text, found in shown.items() if found and text in known) > 0


def test_literal_words_are_those_of_the_matched_name(taxonomy):
    matcher = LiteralMatcher(reliable_names(taxonomy))
    for sentence in DATA["sentences"]:
        spans = matcher.spans(sentence["text"])
        words = list(re.finditer(r"\S+", sentence["text"]))
        for row in sentence["methods"]["literal"]["top"]:
            mine = [span for span in spans if taxonomy.labels[span.skill] == row["skill"]]
            inside = [any(w.start() < s.end and s.start < w.end() for s in mine) for w in words]
            if len(mine) == 1:  # with two, either can go
                assert {place for place, weight in enumerate(row["weights"]) if weight} <= set(np.flatnonzero(inside))
                assert any(row["weights"])


def test_weights_of_zero_shot_are_deletions():
    sentence = DATA["sentences"][0]
    row = sentence["methods"]["zero-shot"]["top"][0]
    table = explain(load_encoder(), sentence["text"], row["skill"])
    assert np.allclose(table["deletion"].to_numpy()[1:-1], row["weights"], atol=0.0101)


def test_scores_of_zero_shot_are_cosines(taxonomy):
    sentence = DATA["sentences"][1]
    found = BiEncoder(load_encoder(), taxonomy).rank([sentence["text"]], 5)
    assert np.allclose(found.scores[0], [r["score"] for r in sentence["methods"]["zero-shot"]["top"]], atol=0.0101)


def test_a_gold_skill_that_is_not_shown_is_listed_with_its_rank(taxonomy):
    assert missed({0: 3, 1: 6, 2: None}, taxonomy) == [
        {"skill": taxonomy.labels[1], "rank": 6},
        {"skill": taxonomy.labels[2], "rank": None},
    ]


def test_a_sentence_without_each_of_its_words():
    assert without_each_word("one") == [""]
    assert without_each_word("a b") == ["b", "a "]


def test_what_is_written_is_a_script_that_reads_back(tmp_path):
    data = {"about": {"seed": 0}, "sentences": [{"text": 'a "quote" — </script>', "id": "1"}, {"text": "b", "id": "2"}]}
    write(data, tmp_path / "x.js")
    assert read(tmp_path / "x.js") == data


def test_the_table_without_scripts_says_what_the_data_say():
    page = (ROOT / "book" / "explorer.md").read_text(encoding="utf-8")
    block = BeautifulSoup(page.split("<noscript>")[1].split("</noscript>")[0], "html.parser")
    sentence = next(s for s in DATA["sentences"] if s["text"] == block.q.get_text())
    rows = [[cell.get_text() for cell in row.find_all(["td", "th"])] for row in block.tbody.find_all("tr")]
    firsts = [sentence["methods"][method]["top"][0] for method in (*METHODS, "bi-encoder")]
    assert len(rows) == len(firsts) == 5
    for row, first in zip(rows, firsts, strict=True):
        assert row[1:] == [first["skill"], f"{first['score']:.2f}", "yes" if first["gold"] else "no"]
    assert all(label in block.p.get_text() for label in sentence["gold"])


def test_the_picture_of_the_first_page_shows_what_the_data_say(taxonomy):
    """Read with other eyes than those that wrote it."""
    figure = BeautifulSoup(LANDING.read_text(encoding="utf-8"), "html.parser").figure
    sentence = next(s for s in DATA["sentences"] if s["id"] == ON_FIRST_PAGE)
    assert figure.blockquote.get_text() == sentence["text"]
    assert figure.p.strong.get_text() == "; ".join(sentence["gold"])
    steps = figure.select(".landing-steps > li")
    shown = [[item.get_text() for item in step.select(".landing-skills > li")] for step in steps]
    for (method, *_), skills in zip(STEPS, shown, strict=False):
        top = sentence["methods"][method]["top"][:3]
        assert skills == [("✓ " if row["gold"] else "") + row["skill"] for row in top]
    kept = [row for row in sentence["methods"]["zero-shot"]["top"] if row["kept"]]
    assert shown[-2] == [("✓ " if row["gold"] else "") + row["skill"] for row in kept]
    table = pd.read_csv(SAMPLE_DIR / "requisitions" / "competency_groups.csv")
    core = table[table["relation"] == "core"].groupby("skill")["group"].agg("; ".join)
    assert shown[-1] == [f"{row['skill']} → {core[row['skill']]}" for row in kept]
    assert len(steps) == len(STEPS) + 2
    words = {step.em.get_text() for step in steps if step.em}
    assert words <= {word.strip(",.") for word in sentence["text"].split()}
    assert f"{sentence['methods']['zero-shot']['asking']:.0%}" in steps[-2].get_text()


def test_the_picture_is_the_one_that_the_script_writes():
    assert LANDING.read_text(encoding="utf-8") == landing(DATA)
