"""Literal matching: whole tokens, any case, longest first, and spans that point at the words found."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extraction.matching import (
    LiteralMatcher,
    alternative_names,
    normalise,
    preferred_names,
    reliable_names,
)
from helpers.taxonomy import Taxonomy, load_taxonomy

NAMES = ["C", "C++", "C#", ".NET", "R", "Java", "JavaScript", "bake bread", "bread", "decision-making", "café", "R&D"]
MATCHER = LiteralMatcher([(name, index) for index, name in enumerate(NAMES)])


def found(sentence):
    return [(sentence[span.start : span.end], NAMES[span.skill]) for span in MATCHER.spans(sentence)]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("C++, C# or C?", [("C++", "C++"), ("C#", "C#"), ("C", "C")]),
        ("You know C++.", [("C++", "C++")]),
        ("C#/.NET stack", [("C#", "C#"), (".NET", ".NET")]),
        ("C# . NET Core", [("C#", "C#"), (". NET", ".NET")]),  # as tokenised corpora write it
        ("bread .  NET", [("bread", "bread"), (".  NET", ".NET")]),
        ("Duties. NETWORKING and bread", [("bread", "bread")]),
        ("so\u00adft br\u00adead\u200b", [("br\u00adead\u200b", "bread")]),  # hyphens and blanks of no width
        ("our .net team", [(".net", ".NET")]),
        ("ASP.NET", []),
        ("Pay is fair . Net income counts", []),
        ("a fishing net", []),
        ("R and R&D", [("R", "R"), ("R&D", "R&D")]),
        ("Car repair", []),
        ("JAVASCRIPT or java", [("JAVASCRIPT", "JavaScript"), ("java", "Java")]),
        ("Javas", []),
        ("You bake bread.", [("bake bread", "bake bread")]),  # the longest, not "bread" inside it
        ("Bake, bread", [("bread", "bread")]),  # never across a comma
        ("bake\n bread", [("bake\n bread", "bake bread")]),
        ("decision making", [("decision making", "decision-making")]),
        ("Decision–making", [("Decision–making", "decision-making")]),
        ("CAFÉ", [("CAFÉ", "café")]),
        ("cafe\u0301", [("cafe\u0301", "café")]),  # the accent as a character of its own
        ("", []),
        ("🙂 bread 🙂", [("bread", "bread")]),
        ("İ bread", [("bread", "bread")]),  # the capital with a dot is two characters in lower case
    ],
)
def test_names_are_found_as_a_reader_would(sentence, expected):
    assert found(sentence) == expected


def test_a_name_of_two_skills_gives_both():
    matcher = LiteralMatcher([("Kanban", 3), ("kanban", 1)])
    assert [span.skill for span in matcher.spans("Kanban!")] == [1, 3]
    assert matcher.labels(["Kanban! KANBAN!", "none"])[0].tolist() == [1, 3]


def test_both_apostrophes_are_one():
    matcher = LiteralMatcher([("driver's licence", 0)])
    assert [s.skill for s in matcher.spans("a driver’s licence")] == [0]
    assert [s.skill for s in LiteralMatcher([("driver’s licence", 0)]).spans("A DRIVER'S LICENCE")] == [0]


def test_no_names_match_nothing():
    assert LiteralMatcher([]).spans("You bake bread.") == []
    assert LiteralMatcher([("--", 0)]).spans("-- --") == []


words = st.sampled_from(
    ["bake", "bread", "C", "C++", "R", "java", "and", "café", ",", "-", "İ", "ß", "¨", "ﬁsh", "NET", "."]
)
sentences = st.lists(words, max_size=12).flatmap(
    lambda w: st.lists(st.sampled_from([" ", "  ", "", "\t"]), min_size=len(w), max_size=len(w)).map(
        lambda gaps: "".join(a + b for a, b in zip(w, gaps, strict=True))
    )
)


@given(sentences)
def test_spans_do_not_overlap_and_normalise_to_the_name(sentence):
    spans = MATCHER.spans(sentence)
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    for span in spans:
        assert normalise(sentence[span.start : span.end]) == normalise(NAMES[span.skill])
    assert MATCHER.labels([sentence])[0].tolist() == sorted({span.skill for span in spans})


def slow_spans(tokens, names):
    """Every occurrence of every name in a list of tokens, the longest (in characters) first, then the leftmost."""
    hits = [
        (-len(" ".join(name)), start, start + len(name), name)
        for name in names
        for start in range(len(tokens) - len(name) + 1)
        if tokens[start : start + len(name)] == name
    ]
    taken, kept = set(), []
    for _, start, end, name in sorted(hits):
        if not taken & set(range(start, end)):
            taken |= set(range(start, end))
            kept.append((start, " ".join(name)))
    return sorted(kept)


@given(st.lists(st.sampled_from("abc"), max_size=14), st.sets(st.text("abc", min_size=1, max_size=4), max_size=6))
def test_the_automaton_agrees_with_a_slow_search(tokens, names):
    names = sorted(names)
    matcher = LiteralMatcher([(" ".join(name), index) for index, name in enumerate(names)])
    spans = [(span.start // 2, " ".join(names[span.skill])) for span in matcher.spans(" ".join(tokens))]
    assert spans == slow_spans(tokens, [list(name) for name in names])


@pytest.fixture
def tricky(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "label,alt_labels,description\n"
        "lead a team,leading a team|lead,You lead people\n"
        "think creatively,design,Find the source of ideas; an open source\n"
        "web design,design|web designs,Pages for the web\n"
        "Source (game engine),Source engine,Build games with Source\n"
        "Python (computer programming),,Programs in Python\n"
    )
    return Taxonomy.from_csv(path)


def test_only_trustworthy_names_are_kept(tricky):
    names = {name for name, _ in reliable_names(tricky)}
    assert "leading a team" in names  # spelt like its preferred label
    assert "web designs" in names
    assert "lead" not in names  # generic
    assert "design" not in names  # of two skills
    assert "Source" not in names  # more often an ordinary word than a name
    assert "Python" in names
    preferred_only = {name for name, _ in reliable_names(tricky, 1.01)}
    assert preferred_only == {"lead a team", "think creatively", "web design", "Python"}


def test_a_lower_threshold_keeps_more_names():
    sample = load_taxonomy("sample")
    kept = [len(reliable_names(sample, threshold)) for threshold in (1.01, 0.9, 0.7, 0.0)]
    assert kept == sorted(kept)
    assert kept[-1] <= len(preferred_names(sample)) + len(alternative_names(sample))


def test_every_preferred_label_of_the_sample_finds_itself():
    sample = load_taxonomy("sample")
    matcher = LiteralMatcher(preferred_names(sample))
    for name, index in preferred_names(sample):
        sentence = f"We need {name} here."
        spans = [s for s in matcher.spans(sentence) if s.skill == index]
        assert spans, name
        assert re.escape(sentence[spans[0].start : spans[0].end]) == re.escape(name)


def test_labels_are_sorted_unique_integers():
    labels = MATCHER.labels(["bread bread Java", "nothing"])
    assert [part.tolist() for part in labels] == [[5, 8], []]
    assert all(part.dtype == np.int64 for part in labels)
