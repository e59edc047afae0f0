"""Write what is the same in every notebook, from one place: the setup cell, the link to Colab, what folds a solution.

    python scripts/stamp.py

The repository is the one of _config.yml, the release that of pyproject.toml. SKILLBOOK_SOURCE names another repository
to the setup cell, a local one when it is tested.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
SETUP = """\
import os
import subprocess
from importlib.metadata import distributions

# Opened alone, on Colab say, it first brings the package, and the results it reads.
if not any(distributions(name="skillbook")) or not os.path.exists("../results"):
    url = "{url}"
    source = os.environ.get("SKILLBOOK_SOURCE", url)
    clone = "git -c advice.detachedHead=false clone -q --depth 1 --branch {tag}"
    if not os.path.exists("skillbook"):  # there already after a restart
        subprocess.run([*clone.split(), source, "skillbook"], check=True)
    %pip install -q "./skillbook[scale]"
    %cd -q skillbook/notebooks

from helpers import plots
from helpers.profiles import start

profile = start()
plots.style()"""
LINK = "[Open this chapter in Colab]({colab}/github/{place}/blob/{branch}/notebooks/{name})"


TRAINING = ("05", "07")  # chapters that ask Colab for a GPU
GPU = {"accelerator": "GPU", "colab": {"gpuType": "T4"}}
SOLUTION = "# @title Solution"
# Folded on the site by the tag, on Colab by the view as a form, in JupyterLab by what is hidden.
FOLDED = {
    "cellView": "form",
    "collapsed": True,
    "jupyter": {"outputs_hidden": True, "source_hidden": True},
    "tags": ["solution", "hide-cell"],
}


def setup_cell() -> str:
    """The text of every notebook's first code cell."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return SETUP.format(url=_config()["repository"]["url"], tag=f"v{version}")


def link(name: str) -> str:
    """The line that opens a notebook in Colab."""
    config = _config()
    place, branch = config["repository"]["url"].removeprefix("https://github.com/"), config["repository"]["branch"]
    return LINK.format(colab=config["launch_buttons"]["colab_url"], place=place, branch=branch, name=name)


def stamp(content: nbformat.NotebookNode, name: str) -> None:
    """Bring a notebook, in place, into the shape that all have; `name` is its file's."""
    first = next(cell for cell in content.cells if cell.cell_type == "code")
    first.source = setup_cell()
    pattern = r"^\[Open this chapter in Colab\]\(.*\)$"
    content.cells[0].source = re.sub(pattern, lambda _: link(name), content.cells[0].source, flags=re.M)
    for cell in content.cells:
        if "solution" in cell.metadata.get("tags", []):
            cell.metadata.update(FOLDED)
            if not cell.source.startswith(SOLUTION):
                cell.source = f"{SOLUTION}\n{cell.source}"
    for key in GPU:
        content.metadata.pop(key, None)
    if name[:2] in TRAINING:
        content.metadata.update(GPU)


def _config() -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def main() -> int:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        content = nbformat.reads(before, as_version=4)
        stamp(content, path.name)
        after = nbformat.writes(content) + "\n"
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.name:<40} stamped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
