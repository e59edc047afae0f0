"""The site in a real browser: wide and narrow, light and dark, by keyboard, and its search.

Needs Chromium, which the README names as optional; SKILLBOOK_BROWSER=required makes a missing one a failure.
"""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.browser
TOC = yaml.safe_load((Path(__file__).resolve().parent.parent / "book" / "_toc.yml").read_text(encoding="utf-8"))
EVERY_PAGE = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]


def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if shutil.which(name):
            return shutil.which(name)
    if os.environ.get("SKILLBOOK_BROWSER") == "required":
        pytest.fail("SKILLBOOK_BROWSER=required, and there is no Chromium")
    pytest.skip("no Chromium on this machine (optional, see README)")


@pytest.fixture(scope="module")
def site(html):
    """The built site on a local server: file:// pages may not fetch their search index."""
    handler = functools.partial(QuietHandler, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def browser():
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
        )
        yield opened
        opened.close()


@pytest.fixture(autouse=True)
def closed_afterwards(browser):
    """Chromium keeps every page that a test opened, gigabytes of them, until its context is closed."""
    yield
    for context in browser.contexts:
        context.close()


def visit(browser, site, page, width=1280, scheme="light", fragment=""):
    """Open a page that may talk to the local server only; the page, and all complaints.

    A complaint is what its scripts fail with, an error on the console, or that it asked another host for something.
    """
    complaints = []

    def answer(route):
        if route.request.url.startswith(site):
            return route.continue_()
        complaints.append(f"asks another host: {route.request.url}")
        return route.abort()

    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.route("**/*", answer)
    tab = context.new_page()
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    tab.goto(f"{site}/{page}.html{fragment}", wait_until="load")
    return tab, complaints


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_a_page_fits_its_screen_and_asks_no_other_host(browser, site, page):
    tab, complaints = visit(browser, site, page, 360)
    for width in (360, 375, 1440):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("article h1").is_visible()
    assert complaints == []


def test_complaints_are_heard(browser, site):
    tab, complaints = visit(browser, site, "book/index")
    tab.evaluate("console.error('said'); new Image().src = 'https://example.org/x.png'")
    tab.wait_for_timeout(500)
    assert "said" in complaints
    assert "asks another host: https://example.org/x.png" in complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_first_visit_has_the_colours_of_the_system_and_the_button_changes_them(browser, site, scheme):
    tab, complaints = visit(browser, site, "book/index", scheme=scheme)
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    assert tab.evaluate("document.documentElement.dataset.mode") == "auto"
    other = {"light": "dark", "dark": "light"}[scheme]
    for _ in range(3):  # the button goes round: light, dark, as the system
        tab.locator("button.theme-switch-button:visible").first.click()
        if tab.evaluate("document.documentElement.dataset.theme") == other:
            break
    assert tab.evaluate("document.documentElement.dataset.theme") == other
    tab.reload()
    assert tab.evaluate("document.documentElement.dataset.theme") == other
    assert complaints == []


def test_formulas_are_drawn_without_a_script(browser, site):
    tab = browser.new_context(java_script_enabled=False).new_page()
    tab.goto(f"{site}/book/primer.html")
    heights = [tab.locator("article math").nth(i).bounding_box() for i in range(tab.locator("article math").count())]
    shown = [box["height"] for box in heights if box]
    assert len(shown) > 5
    assert max(shown) > 1.5 * min(shown)  # a fraction is higher than a number: the formula is laid out, not printed


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_axe_finds_nothing_serious(browser, site, page):
    """The rules of axe-core; in dark, that of contrast, for colours are all that differs."""
    axe = Axe()
    tab, _ = visit(browser, site, page)
    # Code has the same colours in every chapter, and its thousands of words take axe its time: chapter 00's will do.
    elsewhere = {"exclude": [[".cell_input"]]} if page.startswith("notebooks/") and "00_" not in page else None
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        tab.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
        # What fades from one theme's colour to the other's would be measured halfway.
        tab.add_style_tag(content="* { transition: none !important; animation: none !important }")
        found = axe.run(tab, elsewhere, {"resultTypes": ["violations"]} | rules).response["violations"]
        bad = [
            (rule["id"], node["html"][:200], node["failureSummary"][:300])
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
            # docutils marks up a bibliography as a list of doc-biblioentry, a role that ARIA has given up since.
            if (rule["id"], node["target"]) != ("aria-required-children", [".citation-list"])
        ]
        assert bad == [], scheme


def test_axe_does_find_what_is_wrong(browser, site):
    axe = Axe()
    tab, _ = visit(browser, site, "book/explorer")
    tab.evaluate("document.querySelector('label[for=explorer-sentence]').remove()")
    found = axe.run(tab).response["violations"]
    assert "select-name" in [rule["id"] for rule in found if rule["impact"] == "critical"]


def test_the_solution_cells_fold(browser, site):
    tab, _ = visit(browser, site, "notebooks/00_start_here")
    cell = tab.locator("div.tag_solution details").first
    assert not cell.evaluate("node => node.open")
    cell.locator("summary").click()
    assert cell.evaluate("node => node.open")


def test_the_keyboard_reaches_the_content_first(browser, site):
    tab, _ = visit(browser, site, "book/index")
    tab.keyboard.press("Tab")
    assert "skip" in tab.evaluate("document.activeElement.textContent").lower()
    tab.keyboard.press("Enter")
    assert tab.evaluate("location.hash") == "#main-content"


def test_search_finds_a_term_of_the_field(browser, site):
    tab, _ = visit(browser, site, "search")
    tab.goto(f"{site}/search.html?q=hard+negative")
    tab.wait_for_selector('#search-results li:has-text("Glossary")', timeout=10_000)  # they come one by one


def test_search_finds_the_chapter_on_negative_sampling(browser, site):
    tab, complaints = visit(browser, site, "search")
    tab.goto(f"{site}/search.html?q=negative+sampling")
    tab.wait_for_selector('#search-results a[href*="notebooks/03_negative_sampling.html"]', timeout=10_000)
    hits = tab.locator("#search-results li > a").evaluate_all("links => links.map(link => link.href)")
    assert any("notebooks/03_negative_sampling.html" in hit for hit in hits[:3]), hits
    assert complaints == []


def test_the_phone_menu_opens(browser, site):
    tab, _ = visit(browser, site, "book/index", 360)
    tab.locator("button.primary-toggle:visible").click()
    tab.wait_for_selector('nav a:visible:has-text("Glossary"), dialog a:visible:has-text("Glossary")', timeout=5000)


# The skill explorer. Everything is done by keyboard: no test clicks.


@pytest.fixture
def explorer(browser, site):
    tab, complaints = visit(browser, site, "book/explorer")
    yield tab
    assert complaints == []


def rows_of(tab):
    return tab.locator("#explorer tbody tr").all_inner_texts()


def tab_to(tab, selector):
    """Press Tab until the element has the focus."""
    for _ in range(200):
        tab.keyboard.press("Tab")
        if tab.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"no number of Tabs leads to {selector}")


def data_of(tab):
    return tab.evaluate("window.SKILL_EXPLORER.sentences")


def test_the_explorer_lists_every_sentence_and_its_best_skills(explorer):
    sentences = data_of(explorer)
    assert explorer.locator("#explorer option").count() == len(sentences) == 24
    for row, skill in zip(rows_of(explorer), sentences[0]["methods"]["zero-shot"]["top"], strict=True):
        assert skill["skill"] in row
        assert f"{skill['score']:.2f}" in row
        assert row.count("✓") == skill["gold"] + skill["kept"]


def test_sentence_method_and_skill_are_chosen_by_keyboard_alone(explorer):
    sentences = data_of(explorer)
    tab_to(explorer, "#explorer select")
    explorer.keyboard.press("ArrowDown")
    top = sentences[1]["methods"]["zero-shot"]["top"]
    assert top[0]["skill"] in rows_of(explorer)[0]
    assert explorer.locator("#explorer blockquote").inner_text() == sentences[1]["text"]
    tab_to(explorer, "#explorer input")
    assert explorer.evaluate("document.activeElement.value") == "zero-shot"
    explorer.keyboard.press("ArrowUp")
    top = sentences[1]["methods"]["classifier"]["top"]
    assert [skill["skill"] in row for skill, row in zip(top, rows_of(explorer), strict=True)] == [True] * 5
    for _ in range(3):
        tab_to(explorer, "#explorer tbody button")
    explorer.keyboard.press("Enter")
    said = explorer.locator("#explorer-said").inner_text()
    weights = dict(zip(sentences[1]["text"].split(), top[2]["weights"], strict=True))
    best = max(weights, key=weights.get)
    assert f"Words that speak for {top[2]['skill']}: {best.rstrip('.,;')} ({weights[best]:.2f})" in said
    assert explorer.locator("#explorer button[aria-pressed=true]").inner_text() == top[2]["skill"]
    # The focus stays where it was, and the words are marked by more than colour.
    assert explorer.evaluate("document.activeElement.textContent") == top[2]["skill"]
    assert explorer.locator("#explorer .explorer-for").count() == sum(weight > 0 for weight in top[2]["weights"])


def test_what_changes_is_announced(explorer):
    assert "detector" in explorer.locator("#explorer [role=status]").inner_text()
    assert explorer.locator("#explorer-said").get_attribute("aria-live") == "polite"


def test_the_address_brings_the_view_back(browser, site, explorer):
    wanted = data_of(explorer)[6]
    tab_to(explorer, "#explorer select")
    explorer.keyboard.press("End")
    assert f"sentence={data_of(explorer)[-1]['id']}" in explorer.evaluate("location.hash")
    tab, complaints = visit(browser, site, "book/explorer")
    tab.goto(f"{site}/book/explorer.html#sentence={wanted['id']}&method=lexical&rank=2")
    tab.wait_for_function(
        "text => document.querySelector('#explorer blockquote').textContent === text", arg=wanted["text"]
    )
    assert (
        tab.locator("#explorer button[aria-pressed=true]").inner_text()
        == wanted["methods"]["lexical"]["top"][1]["skill"]
    )
    assert tab.locator("#explorer input:checked").get_attribute("value") == "lexical"
    assert complaints == []


@pytest.mark.parametrize("fragment", ["#sentence=none&method=toString&rank=99", "#rank=-1", "#%zz", "#=&&"])
def test_an_address_that_makes_no_sense_shows_the_first_sentence(browser, site, fragment):
    tab, complaints = visit(browser, site, "book/explorer", fragment=fragment)
    assert complaints == []
    assert tab.locator("#explorer blockquote").inner_text() == data_of(tab)[0]["text"]


def test_every_view_of_the_explorer_can_be_shown(explorer):
    """No sentence with any method fails, and what a method cannot say is said."""
    shown = explorer.evaluate(EVERY_VIEW)
    assert len(shown) == 24 * 5
    for sentence in data_of(explorer):
        for method in ("literal", "lexical", "classifier", "zero-shot", "bi-encoder"):
            found = sentence["methods"].get(method, {"top": []})
            view = shown[f"{sentence['id']} {method}"]
            assert view["rows"] == len(found["top"])
            assert view["words"] == (len(sentence["text"].split()) if found["top"] and method != "bi-encoder" else 0)
            assert view["said"].startswith("Words" if method != "bi-encoder" else "Not known") or not found["top"]
            assert ("No ranking" in view["answer"]) == (method not in sentence["methods"])


EVERY_VIEW = """() => {
  const shown = {}, picker = document.querySelector('#explorer select');
  for (const input of document.querySelectorAll('#explorer input')) for (const option of picker.options) {
    input.checked = true; input.dispatchEvent(new Event('change', {bubbles: true}));
    picker.value = option.value; picker.dispatchEvent(new Event('change', {bubbles: true}));
    const seen = selector => [...document.querySelectorAll(selector)].filter(element => element.checkVisibility());
    shown[`${option.value} ${input.value}`] = { rows: seen('#explorer tbody tr').length,
      words: seen('#explorer .explorer-coloured span').length,
      said: document.querySelector('#explorer-said').textContent,
      answer: document.querySelector('#explorer [role=status]').textContent };
  }
  return shown }"""


@pytest.mark.parametrize("width", [375, 1280])
def test_the_explorer_fits_its_screen_in_every_method(browser, site, width):
    tab, _ = visit(browser, site, "book/explorer", width)
    for method in ("literal", "lexical", "classifier", "zero-shot", "bi-encoder"):
        tab.evaluate("method => document.getElementById('explorer-' + method).click()", method)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        box = tab.locator("#explorer table")
        assert not box.count() or box.evaluate("node => node.scrollWidth <= node.parentElement.clientWidth")


def test_the_explorer_works_from_a_folder_without_a_server(browser, html):
    context = browser.new_context()
    tab = context.new_page()
    complaints = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto((html / "book" / "explorer.html").as_uri())
    tab_to(tab, "#explorer select")
    tab.keyboard.press("ArrowDown")
    assert len(rows_of(tab)) == 5
    assert "method=zero-shot" in tab.evaluate("location.hash")
    assert complaints == []


def test_without_scripts_the_explorer_shows_a_table(browser, site):
    tab = browser.new_context(java_script_enabled=False).new_page()
    tab.goto(f"{site}/book/explorer.html")
    assert tab.locator("#explorer-static tbody tr").count() == 5
