"""The site in a real browser: wide and narrow, light and dark, by keyboard, and its search.

Needs Chromium, which the README names as optional; SKILLBOOK_BROWSER=required makes a missing one a failure.
"""

import functools
import http.server
import os
import shutil
import threading

import pytest

pytestmark = pytest.mark.browser
PAGES = ("book/index", "book/how_to_use", "book/data_sample", "notebooks/00_start_here")


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


def visit(browser, site, page, width=1280, scheme="light"):
    """Open a page that may talk to the local server only; the page, and what its scripts complained about."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.route("**/*", lambda route: route.continue_() if route.request.url.startswith(site) else route.abort())
    tab = context.new_page()
    complaints = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(f"{site}/{page}.html", wait_until="load")
    return tab, complaints


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_fits_its_screen(browser, site, page, width):
    tab, _ = visit(browser, site, page, width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width + 1
    assert tab.locator("article h1").is_visible()


@pytest.mark.parametrize("page", PAGES)
def test_text_is_readable_on_light_and_dark(browser, site, page):
    for scheme in ("light", "dark"):
        tab, _ = visit(browser, site, page, scheme=scheme)
        tab.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
        worst = tab.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, (scheme, worst)


# The lowest contrast between a paragraph's, heading's or list item's text and the background behind it (WCAG).
CONTRAST = """() => {
  const rgb = s => { const c = s.match(/[\\d.]+/g).map(Number); return c.length < 4 ? [...c, 1] : c };
  const lum = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = el => { for (; el; el = el.parentElement) { const c = rgb(getComputedStyle(el).backgroundColor);
    if (c[3] > .9) return c } return [255, 255, 255, 1] };
  let worst = {ratio: 99};
  const texts = 'article p, article h1, article h2, article li, article mark, article small, article td';
  for (const el of document.querySelectorAll(texts)) {
    if (!el.textContent.trim() || !el.offsetParent) continue;
    const [a, b] = [lum(rgb(getComputedStyle(el).color)), lum(ground(el))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < worst.ratio) worst = {ratio, text: el.textContent.slice(0, 60)};
  }
  return worst }"""


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
    tab.wait_for_selector("#search-results li", timeout=10_000)
    assert "Glossary" in tab.locator("#search-results").inner_text()


@pytest.mark.parametrize("page", PAGES)
def test_no_script_of_a_page_fails(browser, site, page):
    assert visit(browser, site, page)[1] == []


def test_the_phone_menu_opens(browser, site):
    tab, _ = visit(browser, site, "book/index", 360)
    tab.locator("button.primary-toggle:visible").click()
    tab.wait_for_selector('nav a:visible:has-text("Glossary"), dialog a:visible:has-text("Glossary")', timeout=5000)
