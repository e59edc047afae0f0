"""Run the book's notebooks in fresh kernels, several side by side.

    python scripts/notebooks.py run            executed copies into _build/executed, only what changed
    python scripts/notebooks.py refresh [CH]   outputs back into notebooks/ (CH: a chapter's number, "00")

A notebook is run again when its code, the package, the sample, the stored results or the pins have changed. A
failed one leaves no executed copy behind, so the next run is red too until it is mended. Beside each executed copy
stands a JSON with the fingerprint of what was run and how long it took on what; the site shows the latter.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import joblib
import nbformat
import yaml
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
EXECUTED = ROOT / "_build" / "executed"
DEPENDENCIES = ("helpers/**/*", "results/**/*", "constraints.txt", "pyproject.toml")


def notebooks_of_toc() -> list[Path]:
    """The notebooks of the table of contents, in order."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [ROOT / f"{file}.ipynb" for file in files if file.startswith("notebooks/")]


def fingerprint(notebook: Path) -> str:
    """Hash of all that decides a notebook's outputs; its stored outputs do not."""
    digest = hashlib.sha256(sys.version.encode())
    for pattern in DEPENDENCIES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    for cell in nbformat.read(notebook, as_version=4).cells:
        digest.update(f"{cell.cell_type}\0{cell.metadata.get('tags')}\0{cell.source}\0".encode())
    return digest.hexdigest()


def execute(notebook: Path) -> tuple[nbformat.NotebookNode | None, str]:
    """Run a notebook in its folder; the executed notebook and "", or None and what went wrong."""
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        content,
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": str(notebook.parent)}},
        record_timing=False,
        coalesce_streams=True,
    )
    try:
        client.execute()
    except Exception as error:  # a failing cell, a dead kernel, a cell that never ends
        return None, f"{type(error).__name__}: {error}"
    return tidy(content), ""


def tidy(content: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave nothing in the file that differs from machine to machine."""
    kept = {key: content.metadata[key] for key in ("accelerator", "colab") if key in content.metadata}
    content.metadata = nbformat.from_dict(
        {
            **kept,
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, cell in enumerate(content.cells):
        cell.id = f"cell-{number:03d}"
        cell.metadata.pop("execution", None)
    return content


def record(notebook: Path) -> dict:
    """What `run` left beside an executed copy: fingerprint, seconds, peak_mb and the machine; empty without one."""
    path = EXECUTED / f"{notebook.stem}.json"
    return json.loads(path.read_text()) if path.exists() and (EXECUTED / notebook.name).exists() else {}


def used_gpu(content: nbformat.NotebookNode) -> bool:
    """Did a chapter run on a GPU, by what its setup cell says of the device?"""
    said = [out.get("text", "") for cell in content.cells for out in cell.get("outputs", [])]
    return any(re.search(r"\| device: (cuda|mps) \|", text) for text in said)


def peak_mb() -> int | None:
    """The memory that the largest process begun by this one has had, in MB; None on Windows, which does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))  # bytes there, kilobytes on Linux


def replace(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def run_one(notebook: Path, refresh: bool, machine: dict) -> tuple[Path, str, str]:
    """Run one notebook if need be; returns it, what was done, and the error if it failed."""
    target = notebook if refresh else EXECUTED / notebook.name
    mark = fingerprint(notebook)
    if not refresh:
        if record(notebook).get("fingerprint") == mark:
            return notebook, "unchanged", ""
        EXECUTED.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
    begun = time.perf_counter()
    content, error = execute(notebook)
    if content is None:
        return notebook, "FAILED", error
    seconds = time.perf_counter() - begun
    if not refresh:  # before the copy: where there is a copy, there is its record
        found = {"fingerprint": mark, "seconds": round(seconds, 1), "peak_mb": peak_mb(), "gpu": used_gpu(content)}
        replace(EXECUTED / f"{notebook.stem}.json", json.dumps(found | machine) + "\n")
    replace(target, nbformat.writes(content).rstrip("\n") + "\n")
    return notebook, f"{seconds:.0f} s", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "refresh"))
    parser.add_argument("chapter", nargs="?", default="", help="the number a notebook's name begins with")
    arguments = parser.parse_args()
    chosen = [path for path in notebooks_of_toc() if path.name.startswith(arguments.chapter)]
    if not chosen:
        parser.error(f"no notebook begins with {arguments.chapter!r}")
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["SKILLBOOK_PROFILE"] = "sample"  # what is stored is always the sample, never real sentences
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):  # and what nobody has paid for
        os.environ.pop(name, None)
    failed = False
    workers = min(os.cpu_count() or 1, 4, len(chosen))
    machine = {"side_by_side": workers, "cores": joblib.cpu_count()}
    # Kernels, not these processes, do the work; "spawn" because nbclient's event loops do not survive a fork, and a
    # process for each notebook because the memory of all its kernels is what a process can tell.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        refresh = arguments.action == "refresh"
        for path, what, error in pool.map(run_one, chosen, repeat(refresh), repeat(machine)):
            print(f"{path.name:<40} {what}", flush=True)
            if error:
                failed = True
                print(re.sub(r"\x1b\[[0-9;]*m", "", error), file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
