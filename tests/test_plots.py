"""Figures show the data they were given, and outside text cannot break out of its HTML."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
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


def test_metrics_are_drawn_with_their_intervals_times_100():
    ax = plots.metrics_with_intervals({"lexical": 0.5}, {"lexical": (0.4, 0.6)}, "RP@5")
    interval, point = ax.lines
    assert interval.get_xdata().tolist() == [40, 60]
    assert point.get_xdata().tolist() == [50]


def test_a_treemaps_areas_are_the_sizes_and_one_box_is_marked():
    ax = plots.treemap({"food": {"cook": 30, "serve": 10}, "law": {"advise": 60}}, highlight="serve")
    areas = sorted(round(box.get_width() * box.get_height(), 6) for box in ax.patches)
    assert areas == [0.1, 0.3, 0.6]
    assert len({box.get_facecolor() for box in ax.patches}) == 2
    assert [text.get_text() for text in ax.texts] == ["cook", "serve", "food", "advise", "law"]


def test_curves_pass_through_their_points_and_are_named():
    ax = plots.curves([500, 2000], {"lexical": [70, 60], "zero-shot": [65, 61]}, "labels", "RP@5")
    assert [line.get_ydata().tolist() for line in ax.lines] == [[70, 60], [65, 61]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["lexical", "zero-shot"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["500", "2,000"]


def test_a_baseline_is_a_level_line():
    ax = plots.curves([1, 10], {"siblings": [40, 30]}, "share", "RP@5", baseline=38)
    assert list(ax.lines[1].get_ydata()) == [38, 38]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["siblings", "baseline"]


def test_boundaries_pass_where_their_equations_say():
    groups = {"yes": np.array([[0.0, 1.0], [1.0, 2.0]]), "no": np.array([[0.0, -1.0]])}
    ax = plots.boundaries(groups, {"level": (0.0, 2.0, -1.0), "slanted": (1.0, 1.0, 0.0)})
    assert [len(dots.get_offsets()) for dots in ax.collections] == [2, 1]
    assert ax.lines[0].get_xy1()[1] == ax.lines[0].get_xy2()[1] == 0.5
    assert [sum(ax.lines[1].get_xy1()), sum(ax.lines[1].get_xy2())] == [0, 0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["yes", "no", "level", "slanted"]


def test_a_trie_draws_every_edge_every_fail_link_and_rings_the_ends():
    ax = plots.trie([(0, 1, "a"), (1, 2, "i"), (0, 3, "i")], {2: 3}, {2})
    assert [line.get_xdata().tolist() for line in ax.lines[:3]] == [[0, 1], [1, 2], [0, 1]]
    arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None)]
    assert [(arrow.xyann, arrow.xy) for arrow in arrows] == [((2, 0), (1, -1))]
    rings = [line for line in ax.lines if line.get_markersize() == 20]
    assert [ring.get_xdata()[0] for ring in rings] == [2]
    assert {"a", "i", "0", "1", "2", "3"} <= {text.get_text() for text in ax.texts}


def test_a_precision_recall_curve_goes_through_its_points_and_marks_the_chosen_one():
    points = {"strict": (0.1, 0.9), "loose": (0.2, 0.4)}
    ax = plots.precision_recall_curve(points, "strict", {"the paper": (0.15, 0.8)})
    line, chosen, paper = ax.lines
    assert line.get_xdata().tolist() == [10, 20]
    assert line.get_ydata().tolist() == [90, 40]
    assert (chosen.get_xdata()[0], chosen.get_ydata()[0]) == (10, 90)
    assert paper.get_ydata()[0] == 80
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["strict", "the paper"]


def test_a_long_tail_is_sorted_and_says_how_many_have_none():
    ax = plots.long_tail({"names": [0, 3, 40, 3]}, 10, "sentences")
    assert ax.lines[0].get_ydata().tolist() == [40, 3, 3, 0]
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    assert ax.get_legend().get_texts()[0].get_text() == "names: 3 of 4 have any"
    assert ax.patches[0].get_y() + ax.patches[0].get_height() == 10


def test_an_icebergs_layers_have_the_areas_of_their_counts():
    above, below = {"seen": 20, "glimpsed": 10}, {"hidden": 60, "deep": 30, "deepest": 10}
    ax = plots.iceberg(above, below, "a title")

    def area(patch):
        x, y = patch.get_xy()[:-1].T
        return abs(sum(x * (y.take(range(1, len(y) + 1), mode="wrap")) - y * x.take(range(1, len(x) + 1), mode="wrap")))

    areas = [area(patch) for patch in ax.patches]
    counts = [*above.values(), *below.values()]
    assert [a / sum(areas) * sum(counts) for a in areas] == pytest.approx(counts)
    heights = [patch.get_xy()[:, 1] for patch in ax.patches]
    assert all(h.min() >= -1e-9 for h in heights[:2])
    assert all(h.max() <= 1e-9 for h in heights[2:])
    assert ax.get_legend().get_texts()[0].get_text() == "seen: 20"


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
