"""Every notebook has the same skeleton, was run from top to bottom, and stores outputs that can be compared."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import stamp  # noqa: E402

TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
FILES = [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
NOTEBOOKS = [ROOT / f"{name}.ipynb" for name in FILES if name.startswith("notebooks/")]
SECTIONS = ["What you will learn", "Prerequisites", "Time and hardware", "Setup"]
ENDING = ["Check yourself", "Exercises", "Takeaways", "Further reading"]
FULL_SCALE = {f"{number:02d}" for number in range(1, 10)}  # chapters with measured results on the real data


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    content = nbformat.read(path, as_version=4)
    nbformat.validate(content)
    return content


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code_lines(notebook):
    lines = [line for cell in code_cells(notebook) for line in cell.source.splitlines()]
    return [line for line in lines if line.strip() and not line.strip().startswith("#")]


def images(cell):
    return [out for out in cell.outputs if any(kind.startswith("image/") for kind in out.get("data", {}))]


def test_every_notebook_of_the_folder_is_in_the_book():
    assert sorted(NOTEBOOKS) == sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert all(re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem) for path in NOTEBOOKS)


def test_it_was_run_from_top_to_bottom_in_a_fresh_kernel(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert counts, "a notebook without code"
    errors = [out for cell in code_cells(notebook) for out in cell.outputs if out.output_type == "error"]
    assert errors == []


def test_its_outputs_can_be_compared(notebook):
    ignored = [cell for cell in code_cells(notebook) if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    assert len(ignored) <= 1
    for cell in code_cells(notebook):
        assert not cell.source.rstrip().endswith(";"), "nbval runs cells without history: ';' would not silence them"
        assert "NBVAL_" not in cell.source, "use tags"
        for out in cell.outputs:
            assert out.get("name") != "stderr", out.get("text")
            text = str(out.get("text", "")) + str(out.get("data", {}).get("text/plain", ""))
            assert not re.search(r"/(home|root|tmp|Users)/|0x[0-9a-f]{6}", text), text
            assert "widget" not in "".join(out.get("data", {}))


def test_it_was_run_on_the_sample(notebook):
    first = next(cell for cell in code_cells(notebook) if "start()" in cell.source)
    assert "profile: sample" in first.outputs[0].text


def test_it_has_the_books_skeleton(path, notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert re.match(rf"# {path.stem[:2]} · \S", notebook.cells[0].source)
    assert headings[: len(SECTIONS)] == SECTIONS
    assert headings[-len(ENDING) :] == ENDING
    assert ("At full scale" in headings) == (path.stem[:2] in FULL_SCALE)
    assert "solution" in [tag for cell in code_cells(notebook) for tag in cell.metadata.get("tags", [])]


def test_its_setup_and_its_link_to_colab_are_the_books(path, notebook):
    """If not: python scripts/stamp.py."""
    assert code_cells(notebook)[0].source == stamp.setup_cell()
    place = REPOSITORY["url"].removeprefix("https://github.com/")
    url = f"https://colab.research.google.com/github/{place}/blob/{REPOSITORY['branch']}/notebooks/{path.name}"
    assert f"]({url})" in notebook.cells[0].source.splitlines()[2]
    assert stamp.link(path.name) in notebook.cells[0].source


def test_what_gives_a_solution_away_is_folded(notebook):
    """If not: python scripts/stamp.py for the cells; what is said about one goes into <details>."""
    texts = [cell.source for cell in notebook.cells]
    exercises = next(number for number, text in enumerate(texts) if text.startswith("## Exercises"))
    for number, cell in enumerate(notebook.cells):
        if "solution" in cell.metadata.get("tags", []):
            assert cell.source.startswith(stamp.SOLUTION)
            assert stamp.FOLDED.items() <= dict(cell.metadata).items()
            if number > exercises and notebook.cells[number + 1].cell_type == "markdown":
                assert re.match(r"<details>|\*\*Exercise \d|## Takeaways", texts[number + 1]), texts[number + 1]


def test_colab_gives_a_gpu_to_the_chapters_that_train(path, notebook):
    asked = {key: notebook.metadata[key] for key in stamp.GPU if key in notebook.metadata}
    assert asked == (stamp.GPU if path.stem[:2] in stamp.TRAINING else {})


def test_a_reader_can_check_what_stayed(notebook):
    """Three or four questions, each with its options, one right answer, and a word on every option."""
    texts = [cell.source for cell in notebook.cells]
    first = next(number for number, text in enumerate(texts) if text.startswith("## Check yourself"))
    last = next(number for number, text in enumerate(texts) if text.startswith("## Exercises"))
    assert all(cell.cell_type == "markdown" for cell in notebook.cells[first:last])
    questions = re.split(r"^\*\*Question \d\.\*\*", "\n\n".join(texts[first:last]), flags=re.M)[1:]
    assert 3 <= len(questions) <= 4
    for question in questions:
        options = re.findall(r"^- \(([a-d])\) \S", question, flags=re.M)
        assert options == list("abcd")[: len(options)]
        assert len(options) >= 3
        answer = re.search(
            r"<details><summary>Answer</summary>\n\n\*\*\(([a-d])\)\.\*\*(.+?)</details>", question, flags=re.S
        )
        assert answer, question
        assert {answer[1], *re.findall(r"\(([a-d])\)", answer[2])} == set(options), question


def test_its_figures_are_numbered_in_order(path, notebook):
    """A caption, as text that Colab shows as well, follows every figure; those of solutions have none."""
    captions = re.compile(rf"\*\*Figure {int(path.stem[:2])}\.(\d+)\.\*\* \S")
    shown = [
        notebook.cells[number + 1].source
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and images(cell) and "solution" not in cell.metadata.get("tags", [])
    ]
    found = [captions.match(text) for text in shown]
    assert [match and int(match[1]) for match in found] == list(range(1, len(shown) + 1))


def test_every_number_of_a_figure_or_a_table_leads_somewhere(path, notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    chapter = int(path.stem[:2])
    for kind in ("Figure", "Table"):
        captions = re.findall(rf"^\*\*{kind} (\d+\.\d+)\.\*\*", text, flags=re.M)
        assert captions == [f"{chapter}.{number}" for number in range(1, len(captions) + 1)]
        assert set(re.findall(rf"{kind} ({chapter}\.\d+)\b", text)) == set(captions)


def test_every_figure_says_in_words_what_it_shows(notebook):
    for cell in code_cells(notebook):
        if images(cell):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt.split()) >= 8, cell.source


def test_it_explains_more_than_it_computes(notebook):
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    ratio = words / len(code_lines(notebook))
    assert 6 <= ratio <= 16, f"{ratio:.1f} words of prose a line of code"
    lengths = sorted(len([line for line in c.source.splitlines() if line.strip()]) for c in code_cells(notebook))
    assert lengths[len(lengths) // 2] < 10
    assert max(lengths) <= 30


def test_its_text_is_plain_markdown_that_colab_shows(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"^:::|^```\{|\{(cite|ref|term|doc)", cell.source, flags=re.MULTILINE)
            assert cell.source.count("<details>") == cell.source.count("</details>")


def test_its_metadata_is_the_same_on_every_machine(notebook):
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "accelerator", "colab"}
    assert [cell.id for cell in notebook.cells] == [f"cell-{number:03d}" for number in range(len(notebook.cells))]
