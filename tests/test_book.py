"""The built site: every page there, every figure with its words, no traceback, nothing leading nowhere."""

import functools
import itertools
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlparse

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from docutils import nodes

ROOT = Path(__file__).resolve().parent.parent
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
FILES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]


@pytest.fixture(params=FILES, scope="module")  # all tests of a page, then the next: one is in memory at a time
def page(request, html):
    path = html / f"{request.param}.html"
    assert path.exists(), f"{request.param} was not built"
    return path, parsed(path)


def parsed(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@functools.cache  # pages link to each other many times
def ids_of(path):
    return {tag["id"] for tag in parsed(path).find_all(id=True)}


def article(soup):
    return soup.find("article")


def test_the_site_opens_at_its_root(html):
    assert "url=book/index.html" in (html / "index.html").read_text(encoding="utf-8").replace('"', "")


def test_no_page_shows_a_failure(page):
    text = article(page[1]).get_text()
    for trouble in ("Traceback (most recent call last)", "ModuleNotFoundError", "system-message", "{cite", ":::"):
        assert trouble not in text


def test_headings_come_in_order(page):
    levels = [int(tag.name[1]) for tag in article(page[1]).find_all(["h1", "h2", "h3", "h4"])]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_image_has_words(page):
    for image in article(page[1]).find_all("img"):
        alt = image.get("alt", "")
        assert alt, image
        assert "_images/" not in alt, image


def test_links_inside_the_site_lead_somewhere(page, html):
    path, soup = page
    for link in article(soup).find_all("a", href=True):
        url = urlparse(link["href"])
        if url.scheme or link["href"].startswith("mailto:"):
            continue
        target = (path.parent / unquote(url.path)).resolve() if url.path else path
        assert target.exists(), link["href"]
        if url.fragment and target.suffix == ".html":
            assert unquote(url.fragment) in ids_of(target), link["href"]


def test_notebooks_have_a_colab_button_that_opens_them(page):
    path, soup = page
    buttons = [a["href"] for a in soup.find_all("a", href=True) if "colab.research.google.com" in a["href"]]
    if path.parent.name == "notebooks":
        repository = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
        place = repository.removeprefix("https://github.com/")
        assert any(b.endswith(f"github/{place}/blob/main/notebooks/{path.stem}.ipynb") for b in buttons)


def test_a_page_loads_nothing_from_another_host(page):
    for tag in page[1].select("script[src], link[href], img[src], iframe[src]"):
        address = tag.get("src") or tag["href"]
        assert not urlparse(address).netloc, tag
    assert not any("MathJax" in script.get_text() for script in page[1].find_all("script"))


def test_formulas_are_mathml(page):
    path, soup = page
    source = ROOT / "book" / f"{path.stem}.md"
    if path.parent.name == "book" and source.exists():
        prose = re.sub(r"^```|`[^`\n]*`", "", source.read_text(encoding="utf-8"), flags=re.MULTILINE)
        formulas = re.findall(r"(?<![\\$])\$\$?(?=\S)[^$\n]+(?<=\S)\$\$?(?!\d)", prose)
        assert len(soup.find_all("math")) == len(formulas)
        assert path.stem != "primer" or len(formulas) > 5
    for formula in soup.select(".math"):
        assert formula.math.get_text().strip()
        assert "\\" not in formula.get_text()


@pytest.mark.parametrize("formula", [r"\sqrt", r"\nocommand x"])
def test_a_formula_that_cannot_be_converted_is_a_warning(formula, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    import mathml

    warnings = []
    monkeypatch.setattr(mathml.LOGGER, "warning", lambda text, *values, **where: warnings.append(text % values))
    mathml.mathml(nodes.math(text=formula), "inline")
    assert len(warnings) == 1
    assert repr(formula) in warnings[0]
    assert "<mfrac>" in mathml.mathml(nodes.math(text=r"\frac{1}{2}"), "inline")
    assert len(warnings) == 1


def test_search_knows_every_page(html):
    index = (html / "searchindex.js").read_text(encoding="utf-8")
    for name in FILES:
        assert f'"{name}"' in index


def test_every_chapter_has_a_lab_under_ninety_minutes():
    text = (ROOT / "book" / "teach" / "labs.md").read_text(encoding="utf-8")
    labs = {lab[:2]: lab for lab in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    assert list(labs) == sorted(labs)
    assert {Path(file).name[:2] for file in FILES if file.startswith("notebooks/")} <= set(labs)
    for number, lab in labs.items():
        minutes = [int(m) for m in re.findall(r"^\d\. \*\*(\d+)\*\*", lab, flags=re.MULTILINE)]
        assert len(minutes) >= 4, number
        assert sum(minutes) < 90, number
        for part in ("**Goal:**", "**Start:**", "**Hand in:**", "**Listen for:**"):
            assert part in " ".join(lab.split()), number


def test_sections_that_the_kit_names_stand_in_the_chapters():
    def plain(text):
        return re.sub(r"[\"'“”.:?]", "", text).casefold()

    said = [
        plain(cell.source)
        for path in (ROOT / "notebooks").glob("*.ipynb")
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown" and re.search(r"^## |^\*\*", cell.source, flags=re.MULTILINE)
    ]
    text = " ".join((ROOT / "book" / "teach" / "misconceptions.md").read_text(encoding="utf-8").split())
    named = re.findall(r'[Cc]hapter \d\d(?:\]\([^)]*\))?, "([^"]+)"', text)
    assert len(named) > 20
    for section in named:
        assert any(plain(section) in cell for cell in said), section


def test_the_ways_to_cite_the_book_agree():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "book" / "how_to_cite.md").read_text(encoding="utf-8")
    assert cff["version"] == project["version"]
    for part in (cff["title"], f"{{{cff['version']}}}", cff["repository-code"], str(cff["date-released"])[:4]):
        assert part in page, part
