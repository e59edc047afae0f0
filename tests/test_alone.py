"""Every notebook runs by itself and says what is stored, as on Colab: an empty folder, Colab's packages, not ours.

`make colab` makes the environment, .venv-colab, from tests/colab.txt; SKILLBOOK_COLAB names another.
"""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
COLAB = Path(os.environ.get("SKILLBOOK_COLAB", ROOT / ".venv-colab"))
SHIPPED = re.findall(r"^([\w.-]+)==", (ROOT / "tests" / "colab.txt").read_text(encoding="utf-8"), flags=re.M)
PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"

pytestmark = pytest.mark.colab


def run(*command, folder=None):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """This checkout as a repository with its release tag."""
    folder = tmp_path_factory.mktemp("repository") / "skillbook"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    left_out = shutil.ignore_patterns("_build", ".venv*", ".git", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, folder, ignore=left_out)
    me = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*me, "commit", "-qm", "all"), ("tag", f"v{version}")):
        run("git", "-C", folder, *command)
    return folder


@pytest.fixture
def colab(tmp_path, monkeypatch, repository):
    """A kernel with Colab's packages; what is installed on top comes into a folder of its own, which is returned."""
    assert (COLAB / "bin" / "python").exists(), f"no environment in {COLAB}: run make colab"
    folder = tmp_path / "environment"
    subprocess.run([COLAB / "bin" / "python", "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    own, theirs = (Path(run(path / "bin" / "python", "-c", PURELIB)) for path in (folder, COLAB))
    (own / "colab.pth").write_text(str(theirs))  # a .pth file of theirs is not read: no editable package shines through
    missing = subprocess.run(
        [python, "-c", "import numpy, helpers"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "No module named 'helpers'" in missing.stderr
    kernel = tmp_path / "kernels" / "colab"
    kernel.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Colab", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("SKILLBOOK_SOURCE", repository.as_uri())
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return own


def texts(notebook):
    """What its cells say and which tables they show, without the setup's: pip's own remarks stand there."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"][1:]
    return [
        "".join(str(out.get("text") or out.data.get("text/html") or out.data["text/plain"]) for out in cell.outputs)
        for cell in cells
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_it_runs_alone_and_says_the_same(tmp_path, colab, path):
    stored, content = nbformat.read(path, as_version=4), nbformat.read(path, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    empty = tmp_path / "empty"
    empty.mkdir()
    NotebookClient(content, timeout=600, kernel_name="colab", resources={"metadata": {"path": str(empty)}}).execute()
    installed = {re.sub(r"-[^-]*$", "", info.stem) for info in colab.glob("*.dist-info")}
    assert [path.name for path in empty.iterdir()] == ["skillbook"]
    assert not {name.lower().replace("-", "_") for name in SHIPPED} & {name.lower() for name in installed}
    assert texts(content) == texts(stored)
