"""Write the students' edition: the notebooks without the solutions of their exercises.

    python scripts/student.py [CH]     into student/ (CH: a chapter's number, "03"; else all)

The notebooks with their executed solutions are the source, so the two cannot drift apart. A cell of a solution becomes
a stub, what is said about it goes, and so does the link to Colab, which would open the edition with solutions. The
folder stands beside notebooks/: results and pages are found from it by the same paths.
"""

from __future__ import annotations

import re
import sys

import nbformat

from notebooks import ROOT, notebooks_of_toc

STUDENT = ROOT / "student"
STUB = "# Your solution"


def without_solutions(content: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with a stub for each solution, in place."""
    kept, section = [], ""
    content.cells[0].source = re.sub(r"\n\[Open this chapter in Colab\].*\n", "", content.cells[0].source)
    for cell in content.cells:
        if heading := re.match(r"## (.+)", cell.source):
            section = heading[1]
        if "solution" in cell.metadata.get("tags", []):
            if kept[-1].source == STUB:  # a solution of several cells
                continue
            cell = nbformat.v4.new_code_cell(STUB, id=cell.id)
        elif section == "Exercises":
            cell.source = re.sub(r"\n*<details>.*?</details>\n*", "\n\n", cell.source, flags=re.S).strip()
            if not cell.source:
                continue
        kept.append(cell)
    content.cells = kept
    return content


def main() -> int:
    """Write one chapter or all."""
    chapter = (sys.argv[1:] or [""])[0]
    chosen = [path for path in notebooks_of_toc() if path.name.startswith(chapter)]
    if len(sys.argv) > 2 or not chosen:
        print("usage: student.py [CH], the number of a chapter in book/_toc.yml, such as 03", file=sys.stderr)
        return 2
    STUDENT.mkdir(exist_ok=True)
    for path in chosen:
        nbformat.write(without_solutions(nbformat.read(path, as_version=4)), STUDENT / path.name)
    print(f"{len(chosen)} notebooks in {STUDENT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
