"""Real pages in Chromium: until the first numbers and the first chart are there, and from a click to the new chart."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PATIENCE_MS = 60_000
BETWEEN_MS = 300
WARM = 4
FIRST = """
window.seen = {};
(function look() {
  const value = [...document.querySelectorAll('.tb-value')].some((e) => e.textContent && e.offsetParent);
  if (value && !window.seen.numbers) window.seen.numbers = performance.now();
  if (document.querySelector('#plot .js-line') && !window.seen.chart) window.seen.chart = performance.now();
  requestAnimationFrame(look);
})();
"""
CLICKED = """() => {
  const plot = document.getElementById('plot');
  window.clicks = [];
  let at = null;
  document.addEventListener('click', () => { at = performance.now(); }, true);
  plot.on('plotly_afterplot', () => {
    const chart = window.tallyboard.chart;
    if (at === null || chart.watch !== window.tallyboard.search() || chart.watch === window.before) return;
    window.before = chart.watch;
    const began = at;
    at = null;
    requestAnimationFrame(() => setTimeout(() => window.clicks.push(performance.now() - began), 0));
  });
  window.before = window.tallyboard.search();
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Raises `RuntimeError` without a Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise RuntimeError("there is no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def first_view(browser: Browser, address: str, what: str, runs: int, keeps_files: bool) -> list[float]:
    """Milliseconds from the start of the navigation until `numbers` or the `chart` are there, sorted. The browser has
    the files from before, or none; the server is warm either way."""
    found = []
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    for number in range(-2, runs):
        if not keeps_files:
            context.close()
            context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.add_init_script(FIRST)
        page.goto(address)
        page.wait_for_function("(what) => window.seen[what]", arg=what, timeout=PATIENCE_MS)
        if number >= 0:
            found.append(page.evaluate("(what) => window.seen[what]", what))
        page.close()
    context.close()
    return sorted(found)


def clicks(browser: Browser, url: str, metric: str, runs: int) -> list[float]:
    """Milliseconds from a click on a leaderboard row to the painted chart of the new filter, sorted.

    Raises:
        AssertionError: a chart's number is not that of the query API for the same filter.
    """
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{url}/explore?metric={metric}&measures=sum&from=-1h")
    page.locator("#plot .js-line").first.wait_for(state="attached")
    board = page.locator("#leaders .tb-board-box").first
    names = board.locator(".tb-row .tb-row-name").all_inner_texts()[:2]
    page.evaluate(CLICKED)
    for number in range(WARM + runs):
        # on, both, the other one, none: four different filters
        board.locator(".tb-row").filter(has=page.get_by_text(names[number % 2], exact=True)).first.click()
        page.wait_for_function("(wanted) => window.clicks.length >= wanted", arg=number + 1)
        if number < 4:
            _check(page, url)
        page.wait_for_timeout(BETWEEN_MS)
    found: list[float] = page.evaluate("() => window.clicks")
    page.close()
    return sorted(found[WARM:])


def _check(page: Page, url: str) -> None:
    """The page's number is the sum of what its own query gives; a second may lie between them."""
    asked, shown = page.evaluate("() => [window.tallyboard.chart.query, window.tallyboard.chart.number.exact]")
    answer = httpx.get(url + asked)
    assert answer.status_code == 200, answer.text
    column = [one["name"] for one in answer.json()["columns"]].index("sum")
    total = sum(row[column] or 0 for row in answer.json()["rows"])
    number = float(re.sub(r"[^0-9.]", "", shown))
    assert abs(number - total) <= 0.02 * total, (asked, shown, total)
