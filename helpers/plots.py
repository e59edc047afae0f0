"""Every figure of the book, one function each: they take arrays and draw, and return the axes they drew on.

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

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"


def style() -> None:
    """The book's figure settings; call once a notebook."""
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "figure.figsize": (7.2, 3.2),
            "figure.dpi": 100,
            "savefig.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, GREY]),
            "font.size": 10,
        }
    )


def top_skills(labels: Sequence[str], scores: Sequence[float], title: str, ax: Axes | None = None) -> Axes:
    """Horizontal bars of one sentence's best skills, best on top, with their scores."""
    ax = ax or plt.subplots(figsize=(7.2, 0.35 * len(labels) + 0.9), layout="constrained")[1]
    places = np.arange(len(labels))[::-1]
    ax.barh(places, scores, color=BLUE)
    ax.set_yticks(places, labels)
    for place, score in zip(places, scores, strict=True):
        ax.text(score + 0.01, place, f"{score:.2f}", va="center")
    ax.set_xlim(0, max(1.0, float(np.max(scores)) * 1.1))
    ax.set_xlabel("score")
    ax.set_title(title, loc="left")
    return ax


def scores_by_kind(scores: dict[str, Sequence[float]], title: str, ax: Axes | None = None) -> Axes:
    """One row of dots for each kind of sentence: how far two kinds can be told apart by their scores."""
    ax = ax or plt.subplots(figsize=(7.2, 0.8 * len(scores) + 1), layout="constrained")[1]
    rng = np.random.default_rng(0)
    colours = (BLUE, ORANGE, GREEN, GREY)
    for row, (_kind, values) in enumerate(scores.items()):
        jitter = rng.uniform(-0.22, 0.22, len(values))
        ax.scatter(values, row + jitter, s=14, alpha=0.7, color=colours[row % len(colours)], marker="os^D"[row % 4])
    ax.set_yticks(range(len(scores)), scores)
    ax.set_ylim(-0.6, len(scores) - 0.4)
    ax.set_xlabel("score of the best skill")
    ax.set_title(title, loc="left")
    return ax


def metrics_with_intervals(
    means: dict[str, float], intervals: dict[str, tuple[float, float]], metric: str, ax: Axes | None = None
) -> Axes:
    """One dot with its 95% interval for each system, times 100."""
    ax = ax or plt.subplots(figsize=(7.2, 0.5 * len(means) + 1), layout="constrained")[1]
    places = np.arange(len(means))[::-1]
    for place, (name, mean) in zip(places, means.items(), strict=True):
        low, high = intervals[name]
        ax.plot([100 * low, 100 * high], [place, place], color=BLUE, linewidth=2)
        ax.plot(100 * mean, place, "o", color=BLUE)
        ax.text(100 * high + 1, place, f"{100 * mean:.1f}", va="center")
    ax.set_yticks(places, means)
    ax.set_ylim(-0.6, len(means) - 0.4)
    ax.set_xlim(0, 100)
    ax.set_xlabel(f"{metric} (mean and 95% interval)")
    return ax


def treemap(sizes: dict[str, dict[str, int]], highlight: str | None = None, ax: Axes | None = None) -> Axes:
    """A column for each outer name, a box in it for each inner name, areas as the sizes; one box marked."""
    ax = ax or plt.subplots(figsize=(7.2, 4.6), layout="constrained")[1]
    total = sum(sum(inner.values()) for inner in sizes.values())
    left = 0.0
    for outer, inner in sizes.items():
        width, bottom = sum(inner.values()) / total, 0.0
        for name, size in inner.items():
            height = size / sum(inner.values())
            colour = ORANGE if name == highlight else BLUE
            ax.add_patch(
                plt.Rectangle(
                    (left, bottom), width, height, facecolor=colour, alpha=0.3, edgecolor="white", linewidth=2
                )
            )
            text = textwrap.fill(name, max(6, int(80 * width)), break_long_words=False)
            ax.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", fontsize=6.5)
            bottom += height
        heading = textwrap.fill(outer, max(6, int(80 * width)), break_long_words=False)
        ax.text(left + width / 2, 1.02, heading, ha="center", va="bottom", fontsize=6.5, fontweight="bold")
        left += width
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.axis("off")
    return ax


def word_counts(texts: dict[str, Sequence[str]], ax: Axes | None = None) -> Axes:
    """How many words the texts of each kind have: the share of each length, side by side."""
    ax = ax or plt.subplots(layout="constrained")[1]
    for number, (kind, values) in enumerate(texts.items()):
        lengths, counts = np.unique([len(text.split()) for text in values], return_counts=True)
        width = 0.8 / len(texts)
        ax.bar(lengths + (number - (len(texts) - 1) / 2) * width, counts / counts.sum(), width, label=kind)
    ax.set_xlabel("words")
    ax.set_ylabel("share")
    ax.legend(frameon=False)
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
    ax = ax or plt.subplots(layout="constrained")[1]
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
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return ax


def boundaries(
    groups: dict[str, np.ndarray], lines: dict[str, tuple[float, float, float]], ax: Axes | None = None
) -> Axes:
    """Points (n, 2) of several kinds in a plane, and straight boundaries a x + b y + c = 0, each given as (a, b, c)."""
    ax = ax or plt.subplots(figsize=(7.2, 4.2), layout="constrained")[1]
    for (kind, points), marker, colour in zip(groups.items(), "os^*", (BLUE, GREY, ORANGE, "black"), strict=False):
        ax.scatter(*points.T, s=90 if marker == "*" else 45, marker=marker, color=colour, label=kind)
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())  # the points decide what is seen, not the lines
    for (name, (a, b, c)), style in zip(lines.items(), ("--", "-", ":"), strict=False):
        foot = -c * np.array([a, b]) / (a * a + b * b)  # the point of the line that is nearest to (0, 0)
        ax.axline(foot, foot + [-b, a], linestyle=style, color=GREEN, label=name)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return ax


def trie(edges: Sequence[tuple[int, int, str]], links: dict[int, int], ends: set[int], ax: Axes | None = None) -> Axes:
    """A tree of letters from state 0, left to right: edges (from, to, letter), fail links dashed, ends ringed twice."""
    ax = ax or plt.subplots(figsize=(7.2, 3.4), layout="constrained")[1]
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
        ax.plot(*zip(place[start], place[end], strict=True), color=GREY, linewidth=1.5, zorder=1)
        (x0, y0), (x1, y1) = place[start], place[end]
        middle = (0.45 * x0 + 0.55 * x1, 0.45 * y0 + 0.55 * y1)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(*middle, letter, ha="center", va="center", fontweight="bold", bbox=box, zorder=3)
    for start, end in links.items():
        arrow = {"arrowstyle": "->", "linestyle": "--", "color": ORANGE, "shrinkA": 9, "shrinkB": 9}
        bend = -0.18 if place[end][1] <= place[start][1] else 0.18  # links up the picture bend away from its letters
        ax.annotate("", place[end], place[start], arrowprops={**arrow, "connectionstyle": f"arc3,rad={bend}"}, zorder=2)
    for state, (x, y) in place.items():
        if state in ends:
            ax.plot(x, y, "o", markersize=20, markerfacecolor="white", markeredgecolor=BLUE)
        ax.plot(x, y, "o", markersize=15, markerfacecolor="white", markeredgecolor=BLUE)
        ax.text(x, y, str(state), ha="center", va="center", fontsize=8)
    ax.margins(0.08, 0.2)
    ax.axis("off")
    return ax


def precision_recall_curve(
    points: dict[str, tuple[float, float]], chosen: str, others: dict[str, tuple[float, float]], ax: Axes | None = None
) -> Axes:
    """A line through the (recall, precision) of each named setting, the chosen one marked, and others apart; in %."""
    ax = ax or plt.subplots(figsize=(7.2, 3.6), layout="constrained")[1]
    recalls, precisions = (100 * np.array(values) for values in zip(*points.values(), strict=True))
    ax.plot(recalls, precisions, "o-", color=BLUE, markersize=4)
    for (name, (recall, precision)), marker in zip({chosen: points[chosen], **others}.items(), "*s^DvP", strict=False):
        colour, size = (ORANGE, 15) if name == chosen else (GREEN, 7)
        ax.plot(100 * recall, 100 * precision, marker, color=colour, markersize=size, label=name, linestyle="none")
    ax.legend(frameon=False, loc="lower left")
    ax.set_ylim(0, 105)
    ax.margins(x=0.15)
    ax.set_xlabel("recall")
    ax.set_ylabel("precision")
    return ax


def long_tail(counts: dict[str, Sequence[int]], few: int, unit: str, ax: Axes | None = None) -> Axes:
    """Counts of each kind from the largest to the smallest, both axes logarithmic; `few` and fewer are shaded."""
    ax = ax or plt.subplots(layout="constrained")[1]
    for (kind, values), line in zip(counts.items(), ("-", "--", "-.", ":"), strict=False):
        ordered = np.sort(np.asarray(values))[::-1]
        shown = ordered[ordered > 0]
        (drawn,) = ax.plot(np.arange(1, len(shown) + 1), shown, line, linewidth=2)
        name = f"{kind}: {len(shown):,} of {len(ordered):,} have any"
        drawn.set_label(name)
        if len(shown) < len(ordered):  # down to zero, and along it
            ranks, last = [len(shown), len(shown) + 1, len(ordered)], [*shown[-1:], 0, 0]
            ax.plot(ranks[-len(last) :], last, line, color=drawn.get_color(), linewidth=2)
    ax.axhspan(0, few, color=GREY, alpha=0.2, linewidth=0)
    ax.text(1, few * 0.9, f"{few} or fewer", va="top")
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1, linscale=0.4)  # logarithmic from 1 up, and it has a zero
    ax.set_ylim(bottom=-0.2)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("rank of the skill")
    ax.set_ylabel(unit)
    ax.legend(frameon=False)
    return ax


def iceberg(above: dict[str, int], below: dict[str, int], title: str, ax: Axes | None = None) -> Axes:
    """An iceberg whose layers have areas as the counts: what is seen above the water line, the rest below it.

    Layers stand in the given order, from the top down; all areas have one scale.
    """
    ax = ax or plt.subplots(figsize=(7.2, 4.6), layout="constrained")[1]
    depth = np.linspace(0, 1, 2001)
    # Half the width of the body at each depth: it swells for a third, then narrows.
    body = np.where(depth < 0.3, 0.7 + 0.3 * np.sin(depth * np.pi / 0.6), 0.05 + 0.95 * np.cos((depth - 0.3) * 2.244))
    tip = 0.7 * depth  # half the width from the top of the tip down to the water
    # One unit of area is all that lies below; the tip is as high as its own count needs.
    height = (sum(above.values()) / sum(below.values())) * np.trapezoid(body, depth) / np.trapezoid(tip, depth)
    greys = iter(np.linspace(0.85, 0.7, len(above)))
    blues = iter(np.linspace(0.35, 0.9, len(below)))
    for layers, width, y in ((above, tip, height * (1 - depth)), (below, body, -depth)):
        area = np.concatenate([[0], np.cumsum((width[1:] + width[:-1]) / 2)])
        ends = np.cumsum([0, *layers.values()]) / sum(layers.values()) * area[-1]
        cuts = np.interp(ends, area, np.arange(len(depth)))
        middles = np.interp((cuts[:-1] + cuts[1:]) / 2, np.arange(len(depth)), y)
        texts, used = {}, 0.0  # where texts stand: kept apart from each other and from the water line
        for i in range(len(layers))[:: -1 if layers is above else 1]:
            used = max(abs(middles[i]), used + 0.09 * (1 + height))
            texts[i] = used if layers is above else -used
        for i, (name, count) in enumerate(layers.items()):
            at = np.linspace(cuts[i], cuts[i + 1], 200)
            half, level = np.interp(at, np.arange(len(depth)), width), np.interp(at, np.arange(len(depth)), y)
            sway = 0.05 * np.sin(9 * level) + 0.03 * np.sin(23 * level)  # moves a layer, keeps its area
            outline = np.column_stack([np.r_[half + sway, (sway - half)[::-1]], np.r_[level, level[::-1]]])
            seen = layers is above
            colour = plt.cm.Greys(1 - next(greys)) if seen else plt.cm.Blues(next(blues))
            ax.add_patch(plt.Polygon(outline, facecolor=colour, edgecolor=GREY if seen else "white", linewidth=1))
            text = f"{name}: {count:,}"
            ax.annotate(
                text,
                (sway[100] + half[100], middles[i]),
                (1.2, texts[i]),
                va="center",
                arrowprops={"arrowstyle": "-", "relpos": (0, 0.5)},
            )
    ax.axhline(0, color=BLUE, linewidth=2)
    ax.set_xlim(-1.1, 2.3)
    ax.set_ylim(-1.05, height * 1.1 + 0.02)
    ax.set_title(title, loc="left")
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
