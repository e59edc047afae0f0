"""The figures of the book that take more than a few lines, one function each, which returns the axes it drew on.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; backgrounds are white, so that figures
read on a dark page too.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from scipy.integrate import cumulative_trapezoid

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"


def style() -> None:
    """The book's figure settings; call once a notebook."""
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "figure.figsize": (7.2, 3.2),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, GREY]),
            "font.size": 10,
            "legend.frameon": False,
        }
    )


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

    def write(name: str, x: float, y: float, width: float, **font) -> None:
        text = textwrap.fill(name, max(6, int(80 * width)), break_long_words=False)
        ax.text(x + width / 2, y, text, ha="center", fontsize=6.5, **font)

    total = sum(sum(inner.values()) for inner in sizes.values())
    left = 0.0
    for outer, inner in sizes.items():
        width, bottom = sum(inner.values()) / total, 0.0
        for name, size in inner.items():
            height = size / sum(inner.values())
            colour = ORANGE if name == highlight else BLUE
            ax.bar(left, height, width, bottom, align="edge", color=colour, alpha=0.3, edgecolor="white", linewidth=2)
            write(name, left, bottom + height / 2, width, va="center")
            bottom += height
        write(outer, left, 1.02, width, va="bottom", fontweight="bold")
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
    """One line with markers for each name over a logarithmic axis, each named at its end; a baseline is level."""
    ax = ax or plt.subplots()[1]
    if baseline is not None:
        ax.axhline(baseline, color="black", linewidth=1)
        ax.annotate("baseline", (x[0], baseline), (-6, 2), textcoords="offset points", ha="right", va="bottom")
    ax.set_xscale("log")
    ax.margins(x=0.2)
    colours = {}
    for (name, values), marker, line in zip(ys.items(), "os^D", ("-", "--", "-.", ":"), strict=False):
        (drawn,) = ax.plot(x, values, line, marker=marker)
        colours[name] = drawn.get_color()
    # Names of lines that end close together are moved apart, by a twelfth of the axis at least.
    low, high = ax.get_ylim()
    place = -np.inf
    for name in sorted(ys, key=lambda name: ys[name][-1]):
        place = max(ys[name][-1], place + (high - low) / 12)
        ax.annotate(name, (x[-1], place), (6, 0), textcoords="offset points", va="center", color=colours[name])
    ax.set_xticks(x, [f"{value:,}" for value in x])
    ax.minorticks_off()
    ax.set(xlabel=xlabel, ylabel=ylabel)
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
    children: dict[int, list[int]] = {}
    for start, end, _ in edges:
        children.setdefault(start, []).append(end)
    place: dict[int, tuple[float, float]] = {}
    rows = iter(range(len(edges) + 1))

    def put(state: int, depth: int) -> float:
        below = [put(child, depth + 1) for child in children.get(state, ())]
        place[state] = (depth, -(below[0] if below else next(rows)))
        return -place[state][1]

    put(0, 0)
    for start, end, letter in edges:
        (x0, y0), (x1, y1) = place[start], place[end]
        ax.plot([x0, x1], [y0, y1], color=GREY, linewidth=1.5, zorder=1)
        x, y = 0.45 * x0 + 0.55 * x1, 0.45 * y0 + 0.55 * y1
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(x, y, letter, ha="center", va="center", fontweight="bold", bbox=box, zorder=3)
    for start, end in links.items():
        bend = -0.18 if place[end][1] <= place[start][1] else 0.18  # links up the picture bend away from its letters
        arrow = {"arrowstyle": "->", "linestyle": "--", "color": ORANGE, "shrinkA": 9, "shrinkB": 9}
        arrow["connectionstyle"] = f"arc3,rad={bend}"
        ax.annotate("", place[end], place[start], arrowprops=arrow, zorder=2)
    for state, (x, y) in place.items():
        for size in (20, 15) if state in ends else (15,):
            ax.plot(x, y, "o", markersize=size, markerfacecolor="white", markeredgecolor=BLUE)
        ax.text(x, y, str(state), ha="center", va="center", fontsize=8)
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
        ordered = np.sort(np.asarray(values))[::-1]
        shown = ordered[ordered > 0]
        name = f"{kind}: {len(shown):,} of {len(ordered):,} have any"
        (drawn,) = ax.plot(np.arange(1, len(shown) + 1), shown, line, linewidth=2, label=name)
        if len(shown) < len(ordered):  # down to zero, and along it
            ranks, last = [len(shown), len(shown) + 1, len(ordered)], [*shown[-1:], 0, 0]
            ax.plot(ranks[-len(last) :], last, line, color=drawn.get_color(), linewidth=2)
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
    """An iceberg whose layers have areas as the counts: what is seen above the water line, the rest below it.

    Layers stand in the given order, from the top down; all areas have one scale.
    """
    _, ax = plt.subplots(figsize=(7.2, 4.6))
    depth = np.linspace(0, 1, 2001)
    steps = np.arange(len(depth))
    # Half the width of the body at each depth: it swells for a third, then narrows.
    body = np.where(depth < 0.3, 0.7 + 0.3 * np.sin(depth * np.pi / 0.6), 0.05 + 0.95 * np.cos((depth - 0.3) * 2.244))
    tip = 0.7 * depth  # half the width from the top of the tip down to the water
    # One unit of area is all that lies below; the tip is as high as its own count needs.
    height = (sum(above.values()) / sum(below.values())) * np.trapezoid(body, depth) / np.trapezoid(tip, depth)
    grey = plt.cm.Greys(1 - np.linspace(0.85, 0.7, len(above)))
    blue = plt.cm.Blues(np.linspace(0.35, 0.9, len(below)))
    for layers, width, y, colours, edge, side in (
        (above, tip, height * (1 - depth), grey, GREY, 1),
        (below, body, -depth, blue, "white", -1),
    ):
        area = cumulative_trapezoid(width, initial=0)
        cuts = np.interp(np.cumsum([0, *layers.values()]) / sum(layers.values()) * area[-1], area, steps)
        middles = np.interp((cuts[:-1] + cuts[1:]) / 2, steps, y)
        texts, used = {}, 0.0  # where texts stand: kept apart from each other and from the water line
        for i in range(len(layers))[::-side]:
            used = max(abs(middles[i]), used + 0.09 * (1 + height))
            texts[i] = side * used
        for i, (name, count) in enumerate(layers.items()):
            at = np.linspace(cuts[i], cuts[i + 1], 200)
            half, level = np.interp(at, steps, width), np.interp(at, steps, y)
            sway = 0.05 * np.sin(9 * level) + 0.03 * np.sin(23 * level)  # moves a layer, keeps its area
            outline = np.r_[sway + half, (sway - half)[::-1]], np.r_[level, level[::-1]]
            ax.fill(*outline, facecolor=colours[i], edgecolor=edge, linewidth=1)
            end, arrow = (sway[100] + half[100], middles[i]), {"arrowstyle": "-", "relpos": (0, 0.5)}
            ax.annotate(f"{name}: {count:,}", end, (1.2, texts[i]), va="center", arrowprops=arrow)
    ax.axhline(0, color=BLUE, linewidth=2)
    ax.set(xlim=(-1.1, 2.3), ylim=(-1.05, height * 1.1 + 0.02), title=title)
    ax.axis("off")
    return ax


def highlight(text: str, marks: Sequence[tuple[int, int, str]]) -> str:
    """HTML of a text with marked stretches: (start, end, what to say about it), in order, not overlapping.

    The text and the remarks are escaped. A mark is a `<mark>` with a dotted underline and its remark in small
    print, so that it can be seen without colour and read aloud.

    >>> highlight("cook & serve", [(0, 4, "prepare meals")])[:22]
    '<p class="highlighted"'
    """
    parts, place = [], 0
    for start, end, remark in marks:
        if start < place:
            continue  # a second label of the same words
        parts.append(html.escape(text[place:start]))
        parts.append(
            '<mark style="background:#cfe8f7;color:#000;border-bottom:2px dotted #0072B2">'
            f"{html.escape(text[start:end])}</mark> <small>[{html.escape(remark)}]</small>"
        )
        place = end
    parts.append(html.escape(text[place:]))
    return f'<p class="highlighted" style="line-height:1.9">{"".join(parts)}</p>'
