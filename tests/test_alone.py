"""A notebook opened alone, in an empty folder and without the package, brings what it needs and runs."""

import os
import shutil
import subprocess
import sysconfig
import tomllib
import venv
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """This checkout as a repository with its release tag."""
    folder = tmp_path_factory.mktemp("repository") / "skillbook"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    left_out = shutil.ignore_patterns("_build", ".venv", ".git", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, folder, ignore=left_out)
    me = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*me, "commit", "-qm", "all"), ("tag", f"v{version}")):
        subprocess.run(["git", "-C", folder, *command], check=True)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An environment with all packages of this one but ours: on its path, where no .pth file of theirs is read."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    Path(own, "others.pth").write_text(sysconfig.get_path("purelib"))
    found = [python, "-c", "import numpy, helpers"]
    missing = subprocess.run(found, cwd=folder, capture_output=True, text=True, check=False)
    assert "No module named 'helpers'" in missing.stderr
    return python


def test_the_first_chapter_runs_alone(tmp_path, repository, python, monkeypatch):
    path = ROOT / "notebooks" / "00_start_here.ipynb"
    stored = nbformat.read(path, as_version=4)
    content = nbformat.read(path, as_version=4)
    kernel = tmp_path / "kernels" / "alone"
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        f'{{"argv": {command!r}, "display_name": "alone", "language": "python"}}'.replace("'", '"')
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("SKILLBOOK_SOURCE", repository.as_uri())
    monkeypatch.delenv("PYTHONPATH", raising=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    NotebookClient(content, timeout=300, kernel_name="alone", resources={"metadata": {"path": str(empty)}}).execute()
    assert [path.name for path in empty.iterdir()] == ["skillbook"]
    ours, theirs = (
        "".join(out.get("text", "") for cell in book.cells if cell.cell_type == "code" for out in cell.outputs)
        for book in (stored, content)
    )
    assert theirs.endswith(ours)  # after what the installation says
