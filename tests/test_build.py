"""What `make book` promises: it runs what changed, and a failure stays red until it is mended."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
TOC = "format: jb-book\nroot: book/index\nparts:\n  - caption: One\n    chapters:\n      - file: notebooks/00_tiny\n"
CONFIG = "title: Tiny\nonly_build_toc_files: true\nexecute:\n  execute_notebooks: 'off'\n"


@pytest.fixture
def tiny(tmp_path):
    """A book of one page and one notebook, with the real scripts."""
    for folder in ("scripts", "book", "notebooks", "helpers"):
        (tmp_path / folder).mkdir()
    for name in ("notebooks.py", "build_site.py", "slides.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    (tmp_path / "book" / "_toc.yml").write_text(TOC)
    (tmp_path / "book" / "index.md").write_text("# Tiny\n\nA page.\n")
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "helpers" / "tool.py").write_text("VALUE = 1\n")
    write_notebook(tmp_path, "import sys\nsys.path.insert(0, '..')\nfrom helpers.tool import VALUE\nprint(VALUE)")
    return tmp_path


def write_notebook(folder, code):
    cells = [nbformat.v4.new_markdown_cell("# 00 · Tiny"), nbformat.v4.new_code_cell(code)]
    metadata = {"language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), folder / "notebooks" / "00_tiny.ipynb")


def run(folder, script, *arguments):
    command = [sys.executable, str(folder / "scripts" / script), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def printed(path):
    return "".join(out.get("text", "") for out in nbformat.read(path, as_version=4).cells[1].outputs)


def test_a_notebook_runs_again_only_when_it_or_a_helper_changed(tiny):
    executed = tiny / "_build" / "executed" / "00_tiny.ipynb"
    assert run(tiny, "notebooks.py", "run").returncode == 0
    assert printed(executed) == "1\n"
    assert "unchanged" in run(tiny, "notebooks.py", "run").stdout
    (tiny / "helpers" / "tool.py").write_text("VALUE = 2\n")
    assert "unchanged" not in run(tiny, "notebooks.py", "run").stdout
    assert printed(executed) == "2\n"
    write_notebook(tiny, "print('new')")
    run(tiny, "notebooks.py", "run")
    assert printed(executed) == "new\n"
    assert printed(tiny / "notebooks" / "00_tiny.ipynb") == ""  # `run` leaves the stored notebook alone


def test_a_changed_notebook_takes_its_record_with_it(tiny):
    """The JSON beside the executed copy belongs to that copy: a failure, or a copy without one, counts as not run."""
    folder = tiny / "_build" / "executed"
    write_notebook(tiny, "import time; time.sleep(1.2); print('seed: 0 | device: cuda | torch')")
    assert run(tiny, "notebooks.py", "run").returncode == 0
    kept = json.loads((folder / "00_tiny.json").read_text())
    assert 1.2 <= kept["seconds"] < 60
    assert kept["cores"] >= 1
    assert 20 < kept["peak_mb"] < 2000
    assert kept["gpu"] is True  # as the chapter's setup cell says
    assert kept["side_by_side"] == 1
    assert sorted(path.name for path in folder.iterdir()) == ["00_tiny.ipynb", "00_tiny.json"]
    run(tiny, "notebooks.py", "refresh")
    assert json.loads((folder / "00_tiny.json").read_text()) == kept  # stored outputs are nobody's run
    (folder / "00_tiny.json").unlink()
    assert "not executed yet" in run(tiny, "build_site.py", "executed").stderr
    assert "unchanged" not in run(tiny, "notebooks.py", "run").stdout


def test_the_site_says_how_long_each_chapter_took_and_the_sources_do_not(tiny):
    path = tiny / "notebooks" / "00_tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("## Time and hardware\n\nAn hour to read; a second to run."))
    nbformat.write(notebook, path)
    (tiny / "book" / "index.md").write_text("# Tiny\n\n## Times\n\n<!-- run times -->\n")
    before = path.read_bytes()
    pages = [tiny / "_build" / "html" / name for name in ("notebooks/00_tiny.html", "book/index.html")]

    done = run(tiny, "build_site.py", "stored")
    assert done.returncode == 0, done.stderr
    chapter, table = (BeautifulSoup(page.read_text("utf-8"), "html.parser").article.get_text() for page in pages)
    assert "In this build" not in chapter
    assert "An hour" in table
    assert "nothing was run" in table
    assert "seconds in this build" not in table

    assert run(tiny, "notebooks.py", "run").returncode == 0
    record = tiny / "_build" / "executed" / "00_tiny.json"
    told = {"seconds": 41.3, "peak_mb": 1234, "cores": 2, "gpu": False}
    record.write_text(json.dumps(json.loads(record.read_text()) | told))
    done = run(tiny, "build_site.py", "executed")
    assert done.returncode == 0, done.stderr
    chapter, table = (BeautifulSoup(page.read_text("utf-8"), "html.parser").article for page in pages)
    assert "In this build: 41 seconds and 1.2 GB of memory, on 2 cores, without a GPU." in chapter.get_text()
    cells = [cell.get_text() for cell in table.tbody.find_all("td")]
    assert cells == ["00 · Tiny", "An hour", "41", "1.2"]
    assert "on 2 cores, without a GPU, up to 1 at a time" in table.get_text()
    written = [page.stat().st_mtime_ns for page in pages]
    assert run(tiny, "build_site.py", "executed").returncode == 0  # nothing changed, so no page is made again
    assert [page.stat().st_mtime_ns for page in pages] == written
    assert path.read_bytes() == before


def test_a_failing_notebook_stays_red_until_it_is_mended(tiny):
    assert run(tiny, "notebooks.py", "run").returncode == 0
    write_notebook(tiny, "1 / 0")
    for _ in range(2):
        done = run(tiny, "notebooks.py", "run")
        assert done.returncode == 1
        assert "ZeroDivisionError" in done.stderr
        assert not (tiny / "_build" / "executed" / "00_tiny.ipynb").exists()
    write_notebook(tiny, "1 / 1")
    assert run(tiny, "notebooks.py", "run").returncode == 0


def test_a_kernel_that_dies_is_a_failure_too(tiny):
    assert run(tiny, "notebooks.py", "run").returncode == 0
    write_notebook(tiny, "import os; os._exit(1)")
    done = run(tiny, "notebooks.py", "run")
    assert done.returncode == 1
    assert "DeadKernelError" in done.stderr
    assert not (tiny / "_build" / "executed" / "00_tiny.ipynb").exists()
    assert "not executed yet: 00_tiny.ipynb" in run(tiny, "build_site.py", "executed").stderr


def test_refresh_stores_the_outputs_and_a_failure_keeps_the_old_ones(tiny):
    path = tiny / "notebooks" / "00_tiny.ipynb"
    assert run(tiny, "notebooks.py", "refresh", "00").returncode == 0
    assert printed(path) == "1\n"
    before = path.read_bytes()
    (tiny / "helpers" / "tool.py").write_text("VALUE = 1 / 0\n")
    assert run(tiny, "notebooks.py", "refresh").returncode == 1
    assert path.read_bytes() == before
    assert run(tiny, "notebooks.py", "refresh", "99").returncode == 2


def test_a_warning_fails_the_site_and_fails_it_again(tiny):
    (tiny / "book" / "index.md").write_text("# Tiny\n\nSee [nothing](nowhere.md).\n")
    for _ in range(2):
        done = run(tiny, "build_site.py", "stored")
        assert done.returncode != 0
        assert not (tiny / "_build" / "html").exists()
    (tiny / "book" / "index.md").write_text("# Tiny\n\nAll is well.\n")
    done = run(tiny, "build_site.py", "stored")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tiny / "_build" / "html" / "notebooks" / "00_tiny.html").exists()


def test_make_alone_lists_every_command():
    done = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = "book test lab lint site slides refresh results full explorer test-real bench release clean"
    for target in targets.split():
        assert f"make {target} " in done.stdout


def test_slides_leave_out_what_a_reader_has_to_open_first(tiny):
    path = tiny / "notebooks" / "00_tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [
        nbformat.v4.new_markdown_cell("## Setup"),
        nbformat.v4.new_code_cell("print('the setup')"),
        nbformat.v4.new_markdown_cell("## A question"),
        nbformat.v4.new_markdown_cell("How much is six times seven?"),
        nbformat.v4.new_code_cell("6 * 7  # the answer", metadata={"tags": ["solution"]}),
    ]
    nbformat.write(notebook, path)
    done = run(tiny, "slides.py", "00")
    assert done.returncode == 0, done.stderr
    page = (tiny / "_build" / "slides" / "00_tiny.slides.html").read_text(encoding="utf-8")
    body = page[page.index("<body") :]
    assert body.count("<section>") == 2 + 3  # two columns; title with its code, heading, question
    assert "six times seven" in body
    assert "the setup" not in body
    assert "the answer" not in body
    assert run(tiny, "slides.py", "99").returncode == 2


def test_a_changed_style_reaches_the_site_though_no_page_changed(tiny):
    static = tiny / "book" / "_static"
    static.mkdir()
    config = CONFIG + "sphinx:\n  config:\n    html_static_path: [book/_static]\n"
    (tiny / "_config.yml").write_text(config)
    for color in ("red", "blue"):
        (static / "custom.css").write_text(f"p {{ color: {color} }}")
        assert run(tiny, "build_site.py", "stored").returncode == 0
        assert color in (tiny / "_build" / "html" / "_static" / "custom.css").read_text()
