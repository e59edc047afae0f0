"""Build the site with Jupyter Book: warnings are errors, and a failed build leaves no site behind.

    python scripts/build_site.py stored      from the outputs stored in notebooks/, running nothing
    python scripts/build_site.py executed    from the copies that `notebooks.py run` has just executed

Jupyter Book reads one folder, so pages and notebooks are brought together in _build/stage first; only what has
changed is written, and Sphinx rebuilds only that. There, and not in the sources, chapters are told how long they took:
a line under "Time and hardware", and a table in place of the comment `<!-- run times -->` in a page.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from notebooks import EXECUTED, ROOT, notebooks_of_toc, record

BUILD = ROOT / "_build"
STAGE = BUILD / "stage"
INDEX = BUILD / "html" / "index.html"
MARK = b"<!-- run times -->"


def spent(run: dict) -> str:
    """How long a chapter took in this build, in words.

    >>> spent({"seconds": 41.3, "peak_mb": 1234, "cores": 2, "gpu": False})
    '41 seconds and 1.2 GB of memory, on 2 cores, without a GPU'
    """
    seconds, cores, without = max(round(run["seconds"]), 1), run["cores"], "out" * (not run["gpu"])
    memory = f" and {run['peak_mb'] / 1000:.1f} GB of memory" if run["peak_mb"] else ""
    return f"{seconds} second{'s' * (seconds > 1)}{memory}, on {cores} core{'s' * (cores > 1)}, with{without} a GPU"


def with_time(notebook: nbformat.NotebookNode, run: dict) -> str:
    """A notebook's file with the run's time under "Time and hardware"."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## Time and hardware"):
            cell.source += f"\n\n*In this build: {spent(run)}.*"
    return nbformat.writes(notebook)


def table_of_times(executed: bool) -> str:
    """Every chapter, how long it takes to read by its own word and, if it was executed, how long it ran."""
    rows, runs = [], []
    for path in notebooks_of_toc():
        sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
        title = next(re.findall(r"^# (.+)", source)[0] for source in sources if source.startswith("# "))
        said = re.findall(r"^## Time and hardware\s+(.+?) to read", "\n".join(sources), re.MULTILINE)
        row = [f"[{title}](/{path.relative_to(ROOT).as_posix()})", said[0].split(",")[0] if said else ""]
        if executed:
            runs.append(record(path))
            peak = runs[-1]["peak_mb"]
            row += [f"{max(round(runs[-1]['seconds']), 1)}", f"{peak / 1000:.1f}" if peak else "not known"]
        rows.append(row)
    heads = ["chapter", "to read", "seconds in this build", "GB of memory"][: 4 if executed else 2]
    lines = ["| " + " | ".join(row) + " |" for row in [heads, ["---", "---", "---:", "---:"][: len(heads)], *rows]]
    note = (
        "The outputs on this site are the stored ones: nothing was run for it, so it has no run times. `make book` "
        "runs every chapter and puts its seconds here."
    )
    if executed:
        ways = sorted({f"{spent(run).split(', ', 1)[1]}, up to {run['side_by_side']} at a time" for run in runs})
        note = (
            f"The chapters were run {'; or '.join(ways)}. One that finds what an earlier run has computed (embeddings, "
            "classifiers) in the cache is quicker than on a new machine. Memory is that of a chapter's largest process."
        )
    return "\n".join(lines) + f"\n\n{note}"


def stage(executed: bool) -> None:
    """Bring _config.yml, book/ and the notebooks together, writing only what differs."""
    wanted: dict[Path, bytes] = {STAGE / "_config.yml": (ROOT / "_config.yml").read_bytes()}
    for path in (ROOT / "book").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".md" and MARK in content:
                content = content.replace(MARK, table_of_times(executed).encode())
            wanted[STAGE / path.relative_to(ROOT)] = content
    for path in notebooks_of_toc():
        content = path.read_bytes()
        if executed:
            content = with_time(nbformat.read(EXECUTED / path.name, as_version=4), record(path)).encode()
        wanted[STAGE / path.relative_to(ROOT)] = content
    for path in list(STAGE.rglob("*")):
        if path.is_file() and path not in wanted:
            path.unlink()
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def build() -> int:
    """Run Jupyter Book; its exit code, or 1 if it wrote no page."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(STAGE)]
    command += ["--path-output", str(ROOT)]
    command += ["--toc", str(STAGE / "book" / "_toc.yml"), "-W", "-n", "--keep-going", "--quiet"]
    code = subprocess.run(command, check=False).returncode
    # Sphinx warns only about pages it reads anew: a second build after a failure would pass. Start over instead.
    if code or not INDEX.exists():
        for folder in (BUILD / "html", BUILD / ".doctrees", STAGE):
            shutil.rmtree(folder, ignore_errors=True)
        return code or 1
    # Sphinx copies styles and scripts only when it has a page to write as well.
    if (STAGE / "book" / "_static").exists():
        shutil.copytree(STAGE / "book" / "_static", BUILD / "html" / "_static", dirs_exist_ok=True)
    return 0


def main() -> int:
    if sys.argv[1:] not in (["stored"], ["executed"]):
        print("usage: build_site.py stored|executed", file=sys.stderr)
        return 2
    executed = sys.argv[1] == "executed"
    absent = [path.name for path in notebooks_of_toc() if executed and not record(path)]
    if absent:
        print(f"not executed yet: {', '.join(absent)}; run scripts/notebooks.py run first", file=sys.stderr)
        return 1
    stage(executed)
    code = build()
    print("the site could not be built; see the warnings above" if code else f"open {INDEX}")
    return code


if __name__ == "__main__":
    sys.exit(main())
