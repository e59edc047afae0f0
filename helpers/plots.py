"""The figures of the book that take more than a few lines, one function each, which returns the axes it drew on."""

import html
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

# Of Okabe and Ito: colour-blind readers can tell them apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"


def style() -> None:
    """The book's figure settings; call once a notebook."""
    plt.style.use(Path(__file__).with_name("book.mplstyle"))


def metrics_with_intervals(means: dict[str, float], intervals: dict[str, tuple[float, float]], metric: str) -> Axes:
    """One dot with its 95% interval for each system, times 100."""
    _, ax = plt.subplots(figsize=(7.2, 0.5 * len(means) + 1))
    places = np.arange(len(means))[::-1]
    for place, (name, mean) in zip(places, means.items(), strict=True):
        low, high = intervals[name]
        ax.plot([100 * low, 100 * high], [place, place], color=BLUE, linewidth=2)
        ax.plot(100 * mean, place, "o", color=BLUE)
        ax.text(100 * high + 1, place, f"{100 * mean:.1f}", va="center")
    ax.set_yticks(places, means)
    ax.set(xlim=(0, 100), ylim=(-0.6, len(means) - 0.4), xlabel=f"{metric} (mean and 95% interval)")
    return ax


def treemap(sizes: dict[str, dict[str, int]], highlight: str | None = None) -> Axes:
    """A column for each outer name, a box in it for each inner name, areas as the sizes; one box marked."""
    _, ax = plt.subplots(figsize=(7.2, 4.6))
    total = sum(sum(inner.values()) for inner in sizes.values())
    left = 0.0
    for outer, inner in sizes.items():
        width = sum(inner.values()) / total
        heights = np.array(list(inner.values())) / sum(inner.values())
        colours = [ORANGE if name == highlight else BLUE for name in inner]
        bottoms = np.cumsum(heights) - heights
        boxes = ax.bar(left, heights, width, bottoms, align="edge", color=colours, alpha=0.3, edgecolor="white")
        wrapped = [textwrap.fill(name, max(6, int(80 * width)), break_long_words=False) for name in (outer, *inner)]
        ax.bar_label(boxes, wrapped[1:], label_type="center", fontsize=6.5)
        ax.text(left + width / 2, 1.02, wrapped[0], ha="center", fontsize=6.5, fontweight="bold")
        left += width
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")
    return ax


def curves(
    x: Sequence[float],
    ys: dict[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    baseline: float | None = None,
) -> Axes:
    """One line with markers for each name over a logarithmic axis; a baseline is level."""
    ax = ax or plt.subplots()[1]
    for (name, values), look in zip(ys.items(), ("o-", "s--", "^-.", "D:"), strict=False):
        ax.plot(x, values, look, label=name)
    if baseline is not None:
        ax.axhline(baseline, color="black", linewidth=1, label="baseline")
    ax.set_xscale("log")
    ax.set_xticks(x, [f"{value:,}" for value in x])
    ax.minorticks_off()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def boundaries(groups: dict[str, np.ndarray], lines: dict[str, tuple[float, float, float]]) -> Axes:
    """Points (n, 2) of several kinds in a plane, and straight boundaries a x + b y + c = 0, each given as (a, b, c)."""
    _, ax = plt.subplots(figsize=(7.2, 4.2))
    for (kind, points), marker, colour in zip(groups.items(), "os^*", (BLUE, GREY, ORANGE, "black"), strict=False):
        ax.scatter(*points.T, s=90 if marker == "*" else 45, marker=marker, color=colour, label=kind)
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())  # the points decide what is seen, not the lines
    for (name, (a, b, c)), style in zip(lines.items(), ("--", "-", ":"), strict=False):
        foot = -c * np.array([a, b]) / (a * a + b * b)  # the point of the line that is nearest to (0, 0)
        ax.axline(foot, foot + [-b, a], linestyle=style, color=GREEN, label=name)
    ax.set(xticks=[], yticks=[])
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def trie(edges: Sequence[tuple[int, int, str]], links: dict[int, int], ends: set[int]) -> Axes:
    """A tree of letters from state 0, left to right: edges (from, to, letter), fail links dashed, ends ringed twice."""
    _, ax = plt.subplots(figsize=(7.2, 3.4))
    centred = {"ha": "center", "va": "center"}
    bold = centred | {"fontweight": "bold", "bbox": {"color": "white", "pad": 1}}
    place, n_rows = {0: (0, 0)}, 1
    for start, end, letter in sorted(edges, key=lambda edge: edge[1]):  # parents have smaller numbers
        x, y = place[start]
        row = y  # of the first child; any other one gets a new row at the bottom
        if (x + 1, y) in place.values():
            row, n_rows = -n_rows, n_rows + 1
        place[end] = (x + 1, row)
        ax.plot([x, x + 1], [y, row], color=GREY, linewidth=1.5, zorder=1)
        ax.text(x + 0.5, (y + row) / 2, letter, **bold)
    for start, end in links.items():
        bend = -0.18 if place[end][1] <= place[start][1] else 0.18  # links up the picture bend away from its letters
        arrow = {"arrowstyle": "->", "linestyle": "--", "color": ORANGE, "shrinkA": 9, "shrinkB": 9}
        ax.annotate("", place[end], place[start], arrowprops=arrow | {"connectionstyle": f"arc3,rad={bend}"})
    for state, (x, y) in place.items():
        for size in (20, 15) if state in ends else (15,):
            ax.plot(x, y, "o", markersize=size, markerfacecolor="white", markeredgecolor=BLUE)
        ax.text(x, y, str(state), fontsize=8, **centred)
    ax.margins(0.08, 0.2)
    ax.axis("off")
    return ax


def precision_recall_curve(
    points: dict[str, tuple[float, float]], chosen: str, others: dict[str, tuple[float, float]]
) -> Axes:
    """A line through the (recall, precision) of each named setting, the chosen one marked, and others apart; in %."""
    _, ax = plt.subplots(figsize=(7.2, 3.6))
    recalls, precisions = (100 * np.array(values) for values in zip(*points.values(), strict=True))
    ax.plot(recalls, precisions, "o-", color=BLUE, markersize=4)
    for (name, (recall, precision)), marker in zip({chosen: points[chosen], **others}.items(), "*s^DvP", strict=False):
        colour, size = (ORANGE, 15) if name == chosen else (GREEN, 7)
        ax.plot(100 * recall, 100 * precision, marker, color=colour, markersize=size, label=name, linestyle="none")
    ax.legend(loc="lower left")
    ax.margins(x=0.15)
    ax.set(ylim=(0, 105), xlabel="recall", ylabel="precision")
    return ax


def long_tail(counts: dict[str, Sequence[int]], few: int, unit: str) -> Axes:
    """Counts of each kind from the largest to the smallest, both axes logarithmic; `few` and fewer are shaded."""
    _, ax = plt.subplots()
    for (kind, values), line in zip(counts.items(), ("-", "--", "-.", ":"), strict=False):
        ordered = np.sort(values)[::-1]
        name = f"{kind}: {np.count_nonzero(ordered):,} of {len(ordered):,} have any"
        ax.plot(np.arange(1, len(ordered) + 1), ordered, line, linewidth=2, label=name)
    ax.axhspan(0, few, color=GREY, alpha=0.2, linewidth=0)
    ax.text(1, few * 0.9, f"{few} or fewer", va="top")
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1, linscale=0.4)  # logarithmic from 1 up, and it has a zero
    ax.set_ylim(bottom=-0.2)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    ax.set(xlabel="rank of the skill", ylabel=unit)
    ax.legend()
    return ax


def iceberg(above: dict[str, int], below: dict[str, int], title: str) -> Axes:
    """Two triangles above and below the water line, layers from the top down; all areas are as the counts."""
    _, ax = plt.subplots(figsize=(7.2, 4.6))
    # A triangle from its tip has the area of its width squared: widths at the borders between layers.
    tip = np.sqrt(np.cumsum([0, *above.values()]))
    body = np.sqrt(np.cumsum([0, *reversed(below.values())]))[::-1]
    grey, blue = plt.cm.Greys(np.linspace(0.15, 0.3, len(above))), plt.cm.Blues(np.linspace(0.35, 0.9, len(below)))
    for layers, widths, heights, colours in ((above, tip, tip[-1] - tip, grey), (below, body, body - body[0], blue)):
        for i, (name, count) in enumerate(layers.items()):
            (left, right), (top, bottom) = widths[[i, i + 1]], heights[[i, i + 1]]
            x, y = [-left, left, right, -right], [top, top, bottom, bottom]
            ax.fill(x, y, facecolor=colours[i], edgecolor=GREY, label=f"{name}: {count:,}")
    ax.axhline(0, color=BLUE, linewidth=2)
    ax.set_title(title)
    ax.axis("off")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def highlight(text: str, marks: Sequence[tuple[int, int, str]]) -> str:
    """HTML of a text with marked stretches: (start, end, what to say about it), in order, not overlapping.

    The text and the remarks are escaped. A mark is a `<mark>` with a dotted underline and its remark in small
    print, so that it can be seen without colour and read aloud.
    """
    parts, place = [], 0
    for start, end, remark in marks:
        if start >= place:  # else it is a second label of the same words
            parts += [
                html.escape(text[place:start]),
                '<mark style="background:#cfe8f7;color:#000;border-bottom:2px dotted #0072B2">',
                f"{html.escape(text[start:end])}</mark> <small>[{html.escape(remark)}]</small>",
            ]
            place = end
    return f'<p class="highlighted" style="line-height:1.9">{"".join(parts)}{html.escape(text[place:])}</p>'
