"""Figures show the data they were given, and outside text cannot break out of its HTML."""

import matplotlib

matplotlib.use("Agg")

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from helpers import plots


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_top_skills_draws_a_bar_a_skill_the_best_on_top():
    ax = plots.top_skills(["bake bread", "lay bricks"], [0.7, 0.2], "a sentence")
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.2]
    assert ax.patches[0].get_y() > ax.patches[1].get_y()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["bake bread", "lay bricks"]


def test_scores_by_kind_draws_every_score():
    ax = plots.scores_by_kind({"skill": [0.5, 0.6], "no skill": [0.4]}, "scores")
    drawn = [sorted(dots.get_offsets()[:, 0].tolist()) for dots in ax.collections]
    assert drawn == [[0.5, 0.6], [0.4]]


def test_metrics_are_drawn_with_their_intervals_times_100():
    ax = plots.metrics_with_intervals({"lexical": 0.5}, {"lexical": (0.4, 0.6)}, "RP@5")
    interval, point = ax.lines
    assert interval.get_xdata().tolist() == [40, 60]
    assert point.get_xdata().tolist() == [50]


def test_a_treemaps_areas_are_the_sizes_and_one_box_is_marked():
    ax = plots.treemap({"food": {"cook": 30, "serve": 10}, "law": {"advise": 60}}, highlight="serve")
    boxes = {text.get_text(): box for text, box in zip(ax.texts, ax.patches, strict=False) if box}
    areas = sorted(round(box.get_width() * box.get_height(), 6) for box in ax.patches)
    assert areas == [0.1, 0.3, 0.6]
    assert len({box.get_facecolor() for box in ax.patches}) == 2
    assert "cook" in boxes


def test_word_counts_are_shares():
    ax = plots.word_counts({"short": ["a", "b c"], "long": ["d e f g"] * 3})
    heights = [round(bar.get_height(), 6) for bar in ax.patches]
    assert heights == [0.5, 0.5, 1.0]


def test_curves_pass_through_their_points_and_are_named():
    ax = plots.curves([500, 2000], {"lexical": [70, 60], "zero-shot": [65, 61]}, "labels", "RP@5")
    assert [line.get_ydata().tolist() for line in ax.lines] == [[70, 60], [65, 61]]
    assert [text.get_text() for text in ax.texts] == ["lexical", "zero-shot"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["500", "2,000"]


def test_highlight_marks_the_words_and_says_why():
    soup = BeautifulSoup(plots.highlight("You bake bread & run.", [(4, 14, "bake bread <1>")]), "html.parser")
    assert soup.get_text() == "You bake bread [bake bread <1>] & run."
    assert [mark.get_text() for mark in soup.find_all("mark")] == ["bake bread"]


@given(st.text(max_size=30), st.text(max_size=10))
def test_outside_text_cannot_break_out(text, remark):
    half = len(text) // 2
    soup = BeautifulSoup(plots.highlight(text, [(0, half, remark)] if half else []), "html.parser")
    assert {tag.name for tag in soup.find_all(True)} <= {"p", "mark", "small"}


def test_overlapping_marks_keep_the_text_whole():
    soup = BeautifulSoup(plots.highlight("bake bread", [(0, 10, "a"), (5, 10, "b")]), "html.parser")
    assert soup.get_text() == "bake bread [a]"


def test_the_style_is_white_and_colour_blind_safe():
    plots.style()
    assert plt.rcParams["figure.facecolor"] == "white"
    assert plt.rcParams["axes.prop_cycle"].by_key()["color"][:2] == ["#0072B2", "#D55E00"]
