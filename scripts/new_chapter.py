"""Begin a chapter: a notebook with the book's skeleton, which runs, and its line in the table of contents.

    python scripts/new_chapter.py 12 my_topic "My topic"

It is written at the end of the last part that holds notebooks; move the line in book/_toc.yml if it belongs elsewhere.
What stands in the cells says what to put there.
"""

from __future__ import annotations

import re
import sys

import nbformat
from stamp import link, stamp

from notebooks import ROOT, tidy

# In order: Markdown as it is; code after its first line, which says what kind of cell it is.
CELLS = [
    """# {number} · {title}

{link}

One paragraph that begins with something a reader has seen, asks the question of the chapter, and promises no more than
the chapter keeps.""",
    """## What you will learn

- to do one thing (three to seven lines like this one, each of which an exercise can test),
- and why it works.""",
    """## Prerequisites

The chapters that this one leans on, and what of them.""",
    """## Time and hardware

10 minutes to read; under a minute to run on a laptop's CPU. No GPU is needed.""",
    """## Setup""",
    """%code
stamped""",  # the setup cell, the same in all chapters
    """## A question, as the heading of each section

Say what the next cell will show, and let the reader guess first. How many words does the label of a skill have?
Cells are short, and build an idea on a handful of examples before they call it from `helpers`. There are six to sixteen
words of prose for each line of code.""",
    """%code
from helpers.taxonomy import load_taxonomy

taxonomy = load_taxonomy(profile.taxonomy)
words = [len(label.split()) for label in taxonomy.labels]
print(f"{{len(words)}} skills, {{max(words)}} words at most")""",
    """Then say what came out, and what follows from it. A figure in the text is printed by a cell, stored in `results/`
or cited. Outputs are compared on another machine: round them.""",
    """%code A bar chart: how many skills of the taxonomy have labels of one, two, three or more words.
import matplotlib.pyplot as plt

plt.hist(words, bins=range(1, max(words) + 2), align="left", rwidth=0.8)
plt.xlabel("words in the label")
plt.ylabel("skills")
plt.show()""",
    """**Figure {number}.1.** What one sees in it, in a sentence. Captions are numbered, and the first paragraph after
the picture. The words for who cannot see it stand in the cell's metadata.""",
    """## Check yourself

Three or four questions on what the chapter taught, each with three or four options, and a word on every option.""",
    *(
        f"""**Question {i}.** A question?

- (a) What many believe.
- (b) What is true.
- (c) What is true elsewhere.

<details><summary>Answer</summary>

**(b).** Why. (a) Why not. (c) Where.

</details>"""
        for i in (1, 2, 3)
    ),
    """## Exercises

**Exercise 1 (remember).** Two to four exercises, from remembering to building. Which label is the longest?""",
    """%solution
print(max(taxonomy.labels, key=len))""",
    """**Exercise 2 (change this and predict).** How many labels have a single word? Guess first.""",
    """%solution
print(words.count(1))""",
    """<details><summary>What to make of it</summary>

What the solution shows, for those who have tried.

</details>""",
    """## Takeaways

- What to remember if one remembers nothing else, in three to seven lines.""",
    """## Further reading

- Author (year), *Title*: what one finds there.""",
]


def skeleton(number: str, name: str, title: str) -> nbformat.NotebookNode:
    """The notebook, not yet run."""
    cells = []
    for text in CELLS:
        text = text.format(number=number, title=title, link=link(name))
        kind, _, code = text.partition("\n")
        if not kind.startswith("%"):
            cells.append(nbformat.v4.new_markdown_cell(text))
            continue
        cells.append(nbformat.v4.new_code_cell(code))
        if kind == "%solution":
            cells[-1].metadata["tags"] = ["solution"]
        elif alt := kind.removeprefix("%code").strip():
            cells[-1].metadata["mystnb"] = {"image": {"alt": alt}}
    notebook = tidy(nbformat.v4.new_notebook(cells=cells))
    stamp(notebook, name)
    return notebook


def main() -> int:
    wrong = len(sys.argv) != 4 or not re.fullmatch(r"\d\d", sys.argv[1]) or not re.fullmatch(r"[a-z0-9_]+", sys.argv[2])
    if wrong or not sys.argv[3].strip():
        print('usage: new_chapter.py NN short_name "Title", such as 12 my_topic "My topic"', file=sys.stderr)
        return 2
    number, slug, title = sys.argv[1:]
    path, toc = ROOT / "notebooks" / f"{number}_{slug}.ipynb", ROOT / "book" / "_toc.yml"
    if taken := sorted(path.parent.glob(f"{number}_*.ipynb")):
        print(f"error: there is a chapter {number} already: {taken[0].name}; take another number", file=sys.stderr)
        return 1
    lines = toc.read_text(encoding="utf-8").splitlines(keepends=True)
    last = max(at for at, line in enumerate(lines) if "- file: notebooks/" in line)
    lines.insert(last + 1, re.sub(r"notebooks/\S+", f"notebooks/{path.stem}", lines[last]))
    nbformat.write(skeleton(number, path.name, title), path)
    toc.write_text("".join(lines), encoding="utf-8")
    print(f"{path.relative_to(ROOT)} is in book/_toc.yml; run it with: make refresh CH={number}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
