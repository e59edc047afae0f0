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
    x: Sequence[float], ys: dict[str, Sequence[float]], xlabel: str, ylabel: str, ax: Axes | None = None
) -> Axes:
    """One line with markers for each name over a logarithmic axis, each named at its end."""
    ax = ax or plt.subplots(layout="constrained")[1]
    for (name, values), marker, line in zip(ys.items(), "os^D", ("-", "--", "-.", ":"), strict=False):
        (drawn,) = ax.plot(x, values, line, marker=marker)
        ax.annotate(name, (x[-1], values[-1]), (6, 0), textcoords="offset points", va="center", color=drawn.get_color())
    ax.set_xscale("log")
    ax.set_xticks(x, [f"{value:,}" for value in x])
    ax.minorticks_off()
    ax.margins(x=0.2)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
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
