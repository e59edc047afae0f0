"""What CONTRIBUTING.md tells newcomers to do, done: its blocks are taken out of the text and carried out."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from test_cli import run

from helpers.files import sha256_file

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(heading, language):
    """The fenced blocks of a section, in order."""
    section = re.search(rf"^## {heading}\n(.+?)(?=^## |\Z)", GUIDE, re.M | re.S)[1]
    return re.findall(rf"^```{language}\n(.+?)^```$", section, re.M | re.S)


def carry_out(heading, folder, monkeypatch):
    """Run a section's Python blocks one after the other, in a folder; a first line that names a file writes it."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for code in blocks(heading, "python"):
        if name := re.match(r"# (\w+\.py)\n", code):
            (folder / name[1]).write_text(code, encoding="utf-8")
        else:
            exec(compile(code, f"CONTRIBUTING.md, {heading}", "exec"), {"__name__": "__main__"})


def change(root, block):
    """Make the changes of a diff block; what it leaves or takes away has to stand in the file, once."""
    name, *lines = block.splitlines()
    text = (root / name).read_text(encoding="utf-8")
    for hunk in "\n".join(lines).split("\n@@\n"):
        old, new = ("\n".join(line[1:] for line in hunk.split("\n") if line[0] != sign) for sign in "+-")
        assert text.count(old) == 1, f"CONTRIBUTING.md is out of step with {name}:\n{old}"
        text = text.replace(old, new)
    (root / name).write_text(text, encoding="utf-8")


def apart(folder, *arguments, **variables):
    """Run Python in a folder, where it finds what lies there first."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_taxonomy_a_data_set_and_a_method_are_added_as_it_says(tmp_path, monkeypatch, capsys):
    carry_out("Add a taxonomy", tmp_path, monkeypatch)
    carry_out("Add a data set", tmp_path, monkeypatch)
    said = capsys.readouterr().out
    assert "3 skills; bake bread has the sibling decorate cakes" in said
    assert "2 sentences, 3 pairs" in said
    (tmp_path / "shared_words.py").write_text(blocks("Add a method", "python")[0], encoding="utf-8")

    shutil.copytree(ROOT / "helpers", tmp_path / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.move(tmp_path / "shared_words.py", tmp_path / "helpers" / "extraction")
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    for heading in ("Add a taxonomy", "Add a data set", "Add a method"):
        for block in blocks(heading, "diff"):
            if file := re.search(r"^\+([\w.]+),", block, re.M):  # a row of the registry: the file was fetched
                shutil.move(tmp_path / file[1], downloads)
                block = block.replace("SHA256", sha256_file(downloads / file[1]))
            change(tmp_path, block)
    code = """
import sys
from helpers import cli, registry
for arguments in (["fetch", "bakery.csv"],
                  ["extract", "You bake loaves.", "--all", "--profile", "bakery", "--method", "lexical", "--top", "1"],
                  ["evaluate", "--benchmark", "bakery", "--method", "shared-words"]):
    cli.app(arguments, standalone_mode=False)
"""
    printed = apart(tmp_path, "-c", code, SKILLBOOK_CACHE=str(downloads))
    assert re.search(r"bakery\.csv +complete", printed)
    assert re.search(r"You bake loaves\.\n +\d\.\d\d +bake bread", printed)
    assert re.search(r"n_labels +3\n", printed)
    # The first sentence holds half the words of two of its labels; "customers." is no word of the second's, which has
    # then nothing in common with any label, and gets its own last.
    assert re.search(r"mrr +66\.67", printed)
    assert re.search(r"rp@1 +50\.00", printed)


def test_a_run_of_a_new_method_is_scored_and_compared(tmp_path, monkeypatch, capsys):
    carry_out("Add a method", tmp_path, monkeypatch)
    printed = dict(re.findall(r"^(\S+) RP@5 (\d+\.\d)$", capsys.readouterr().out, re.M))
    assert list(printed) == ["sample-tech", "sample-general"]
    monkeypatch.setattr("helpers.comparison.METHODS", ("lexical",))  # the others take minutes
    commands = blocks("Add a method", "bash")[0].splitlines()
    scored, compared = (run(*shlex.split(command, comments=True)[3:]) for command in commands)
    assert scored.returncode == compared.returncode == 0, scored.stderr + compared.stderr
    assert re.search(r"method +shared-words", scored.stdout)
    assert f"{float(re.search(r'rp@5 +([0-9.]+)', scored.stdout)[1]):.1f}" == printed["sample-tech"]
    for name, value in printed.items():
        assert re.search(rf"{name} +shared-words +RP@5 +{value}", compared.stdout)
    assert "shared-words" in (tmp_path / "compared" / "comparison.html").read_text(encoding="utf-8")


@pytest.fixture
def book(tmp_path):
    """What a chapter needs of the repository, without the other chapters."""
    for name in ("scripts/new_chapter.py", "scripts/notebooks.py", "scripts/stamp.py", "book/_toc.yml", "_config.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "tests/conftest.py", "tests/sanitize.cfg", "tests/test_notebooks.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("notebooks", "results"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_new_chapter_runs_and_keeps_the_rules(book):
    printed = []
    for line in blocks("Add a chapter", "bash")[0].splitlines():
        printed.append(apart(book, *shlex.split(line)[1:], PYTHONPATH=str(ROOT)))
    assert "12_my_topic.ipynb is in book/_toc.yml" in printed[0]
    assert re.search(r"^12_my_topic\.ipynb +\d+ s$", printed[1], re.M)
    rules = re.findall(r"^def test_\w+\(.*notebook\)", (book / "tests/test_notebooks.py").read_text(), re.M)
    assert f" {len(rules)} passed, " in printed[2]
    assert "skipped" not in printed[2]
    notebook = nbformat.read(book / "notebooks" / "12_my_topic.ipynb", as_version=4)
    text = [cell.source for cell in notebook.cells]
    assert text[0].startswith("# 12 · My topic")
    assert any(source.startswith("**Figure 12.1.**") for source in text)
    before, after = ((ROOT / "book/_toc.yml").read_text(), (book / "book/_toc.yml").read_text())
    assert after.replace("      - file: notebooks/12_my_topic\n", "") == before
    again = ("scripts/new_chapter.py", "12", "other", "Other")
    done = subprocess.run([sys.executable, *again], cwd=book, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is a chapter 12 already: 12_my_topic.ipynb" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("1", "one", "One"), ("12", "My topic", "My topic"), ("12", "topic", " ")])
def test_a_chapter_without_number_name_or_title_is_refused(book, arguments):
    command = [sys.executable, "scripts/new_chapter.py", *arguments]
    done = subprocess.run(command, cwd=book, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert list((book / "notebooks").iterdir()) == []


def test_every_file_and_command_that_it_names_is_there():
    toys = {"scripts/measure_12.py"}
    named = set(re.findall(r"\b(?:book|helpers|scripts|tests)/[\w/]+\.\w+", GUIDE)) - toys
    assert len(named) > 10
    for name in named:
        assert (ROOT / name).exists(), name
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for words in re.findall(r"`make ([a-z -]+)", GUIDE):
        assert set(words.split()) <= set(targets), words
