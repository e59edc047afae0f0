"""Turn the notebooks, with the outputs stored in them, into slides; nothing is run.

    python scripts/slides.py [CH]     into _build/slides (CH: a chapter's number, "03"; else all)

A section heading begins a column of slides, each paragraph below it a slide, and code stands under what introduces
it. Setup and solutions are left out. The slides load reveal.js and more from other hosts, as nbconvert's do.
"""

from __future__ import annotations

import re
import sys

import nbformat
from nbconvert import SlidesExporter

from notebooks import ROOT, notebooks_of_toc

SLIDES = ROOT / "_build" / "slides"
LEFT_OUT = {"solution", "hide-cell"}


def with_slides(content: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Say in each cell's metadata where it goes; cells that a reader has to open first are left out."""
    section = ""
    for cell in content.cells:
        if heading := re.match(r"#{1,2} (.+)", cell.source):
            section = heading[1]
        if section == "Setup" or LEFT_OUT & set(cell.metadata.get("tags", [])) or "<summary>Solution" in cell.source:
            kind = "skip"
        elif cell.cell_type == "code":
            kind = "-"  # on the slide of the paragraph before it
        else:
            kind = "slide" if heading else "subslide"
        cell.metadata["slideshow"] = {"slide_type": kind}
    return content


def main() -> int:
    """Export one chapter or all."""
    chapter = (sys.argv[1:] or [""])[0]
    chosen = [path for path in notebooks_of_toc() if path.name.startswith(chapter)]
    if len(sys.argv) > 2 or not chosen:
        print("usage: slides.py [CH], the number of a chapter in book/_toc.yml, such as 03", file=sys.stderr)
        return 2
    exporter = SlidesExporter(reveal_scroll=True, reveal_number="c/t", reveal_width="1280", reveal_height="720")
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    SLIDES.mkdir(parents=True, exist_ok=True)
    for path in chosen:
        notebook = with_slides(nbformat.read(path, as_version=4))
        page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})
        target = SLIDES / f"{path.stem}.slides.html"
        target.write_text(page, encoding="utf-8")
        print(f"open {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
