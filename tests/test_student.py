"""The students' edition is the book without its solutions, and nothing else."""

import ast
import builtins
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import student  # noqa: E402

from notebooks import notebooks_of_toc  # noqa: E402


def is_solution(cell):
    return "solution" in cell.metadata.get("tags", [])


@pytest.fixture(params=notebooks_of_toc(), ids=lambda path: path.stem)
def book(request):
    return nbformat.read(request.param, as_version=4)


@pytest.fixture
def edition(book):
    return student.without_solutions(nbformat.from_dict(book.copy() | {"cells": [cell.copy() for cell in book.cells]}))


def exercises_of(notebook):
    cells = notebook.cells
    first, last = (
        next(i for i, cell in enumerate(cells) if cell.source.startswith(f"## {title}"))
        for title in ("Exercises", "Takeaways")
    )
    return cells[first:last]


def names_of(source):
    """The names that a cell defines, and those that it reads."""
    nodes = list(ast.walk(ast.parse(re.sub(r"^(\s*)%.*$", r"\1pass", source, flags=re.M))))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    made |= {a.asname or a.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for a in node.names}
    return made, {node.id for node in names if isinstance(node.ctx, ast.Load)}


def test_every_exercise_has_a_place_for_an_answer(book, edition):
    text = "\n".join(cell.source for cell in exercises_of(book) if cell.cell_type == "markdown")
    exercises = re.findall(r"^\*\*Exercise \d", text, flags=re.M)
    in_words = len(re.findall(r"<summary>Solution \d</summary>", text))
    assert 2 <= len(exercises) <= 4
    stubs = [cell for cell in exercises_of(edition) if cell.source == student.STUB]
    assert len(stubs) + in_words == len(exercises)
    assert all(not cell.outputs and not cell.metadata for cell in stubs)


def test_no_solution_is_left(book, edition):
    left = "\n".join(cell.source for cell in edition.cells)
    for cell in filter(is_solution, book.cells):
        body = cell.source.removeprefix("# @title Solution\n")
        assert body not in left
    assert not any(map(is_solution, edition.cells))
    exercises = left[left.index("## Exercises") : left.index("## Takeaways")]
    assert "<details>" not in exercises
    assert "Open this chapter in Colab" not in left


def test_all_else_is_the_books(book, edition):
    mine = [cell.source for cell in edition.cells if cell.cell_type == "code" and cell.source != student.STUB]
    assert mine == [cell.source for cell in book.cells if cell.cell_type == "code" and not is_solution(cell)]
    nbformat.validate(edition)


def test_it_runs_without_the_solutions(book):
    """No other cell reads a name that only a solution defines."""
    known = set(dir(builtins))
    for cell in book.cells:
        if cell.cell_type == "code" and not is_solution(cell):
            known |= names_of(cell.source)[0]
    solved = set().union(*(names_of(cell.source)[0] for cell in filter(is_solution, book.cells)))
    for cell in book.cells:
        if cell.cell_type == "code" and not is_solution(cell):
            assert not names_of(cell.source)[1] & (solved - known), cell.source


def test_the_command_writes_the_edition(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(student, "STUDENT", tmp_path / "student")
    monkeypatch.setattr(sys, "argv", ["student.py", "01"])
    assert student.main() == 0
    assert [path.name for path in (tmp_path / "student").iterdir()] == ["01_taxonomy_task_metrics.ipynb"]
    monkeypatch.setattr(sys, "argv", ["student.py", "99"])
    assert student.main() == 2
    assert "usage" in capsys.readouterr().err


def test_its_folder_is_not_kept_in_the_repository():
    ignored = subprocess.run(
        ["git", "check-ignore", "student/00.ipynb"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ignored.stdout.strip() == "student/00.ipynb"
