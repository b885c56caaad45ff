"""What stays while numbers change, pause, coming back, and the keyboard sheet, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import chart_drawn, ticks
from tests.site import Site

pytestmark = pytest.mark.browser
EXPLORE = "/explore?metric=orders.revenue"


def lively(site: Site) -> None:
    site.sell(*[(ago, 5.0 + n, name) for ago in range(5, 900, 10) for n, name in enumerate(("NL", "DE"))])


def test_hover_and_elements_stay_while_the_chart_changes(site: Site, open_page: Callable[..., Page]) -> None:
    lively(site)
    page = open_page(EXPLORE)
    chart_drawn(page)
    page.evaluate(
        """() => { window.replaced = 0;
        const seen = new MutationObserver((list) => list.forEach((m) => { window.replaced += m.removedNodes.length; }));
        seen.observe(document.getElementById('plot'), { childList: true });
        document.querySelectorAll('#plot .main-svg').forEach((e) => seen.observe(e.parentNode, { childList: true }));
        window.shift = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((e) => { window.shift += e.value; }))
        .observe({ type: 'layout-shift' }); }"""
    )
    page.locator("#plot .nsewdrag").hover(position={"x": 300, "y": 100})
    expect(page.locator("#tip")).to_be_visible()
    where = page.locator("#tip .tb-tip-time").inner_text()
    before = page.locator("#tip .tb-tip-value").first.inner_text()
    number = page.locator("#chart-number .tb-value").inner_text()
    # a late event in every bucket: the one under the pointer changes too
    site.sell(*[(ago, 1000.0, "NL") for ago in range(5, 900, 5)])
    expect(page.locator("#chart-number .tb-value")).not_to_have_text(number)
    expect(page.locator("#tip .tb-tip-value").first).not_to_have_text(before)
    assert page.locator("#tip .tb-tip-time").inner_text() == where
    ticks(page, 3)
    expect(page.locator("#tip")).to_be_visible()
    assert page.evaluate("() => window.replaced") == 0
    assert page.evaluate("() => window.shift") < 0.01


def test_pause_holds_everything_and_still_follows_the_reader(site: Site, open_page: Callable[..., Page]) -> None:
    lively(site)
    page = open_page(EXPLORE)
    chart_drawn(page)
    value = page.locator("#chart-number .tb-value")
    before = value.inner_text()
    page.locator("#pause").click()
    expect(page.locator("#live-text")).to_have_text(re.compile(r"Paused · \d\d:\d\d"))
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    site.sell((1, 9_000.0, "NL"))
    ticks(page, 3)
    page.locator("#theme").click()  # draws the chart anew: still the one that is held
    expect(value).to_have_text(before)
    page.get_by_role("button", name="DE", exact=True).click()  # what is asked for is shown, and then held again
    expect(page.locator("#chips .tb-filter-name")).to_have_text("country: DE")
    filtered = "€540"
    expect(value).to_have_text(filtered)
    site.sell((1, 50.0, "DE"))
    ticks(page, 3)
    expect(value).to_have_text(filtered)
    page.locator("#pause").click()
    expect(value).to_have_text("€590")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def test_after_a_cut_the_newest_is_there_and_says_so(site: Site, open_page: Callable[..., Page]) -> None:
    lively(site)
    page = open_page(EXPLORE)
    chart_drawn(page)
    value = page.locator("#chart-number .tb-value")
    before = value.inner_text()
    site.stop()
    expect(page.locator("#live-text")).to_have_text("Reconnecting")
    site.sell((2, 5_000.0, "NL"))
    expect(value).to_have_text(before)
    site.start()
    expect(page.locator("#banner")).to_contain_text("Connected again. You missed nothing.")
    expect(value).not_to_have_text(before)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    expect(page.locator("#banner")).to_be_hidden()


def test_a_replica_that_is_not_ready_says_why(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 10.0, "NL"))
    page = open_page("/")
    site.reasons = ["2 of 4 partitions are not assigned"]
    expect(page.locator("#live")).to_have_attribute("data-state", "unready")
    expect(page.locator("#live-text")).to_have_text("Not ready")
    expect(page.locator("#banner")).to_contain_text(
        "Not ready: 2 of 4 partitions are not assigned. Numbers may be incomplete."
    )
    expect(page.locator("html")).to_have_attribute("data-fresh", "old")
    site.reasons = []
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("html")).to_have_attribute("data-fresh", "live")


def test_the_sheet_tells_of_every_key_and_of_no_other(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 10.0, "NL"))
    page = open_page("/")
    keys = page.evaluate("() => window.tallyboard.keyboard()")
    assert set(keys["sheet"]) == set(keys["handled"])
    assert len(keys["sheet"]) == len(set(keys["sheet"]))


def test_keys_can_be_turned_off_and_stay_off(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 10.0, "NL"))
    page = open_page("/")
    page.keyboard.press("?")
    page.get_by_role("checkbox", name="Single keys work").uncheck()
    page.keyboard.press("Escape")
    closed(page)
    page.keyboard.press("Space")
    page.reload()
    page.locator("#live[data-state=live]").wait_for()
    page.keyboard.press("Space")
    page.keyboard.press("g")
    page.keyboard.press("e")
    ticks(page, 2)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert page.evaluate("() => location.pathname") == "/"
    page.keyboard.press("?")
    page.get_by_role("checkbox", name="Single keys work").check()
    page.get_by_role("button", name="Close").click()
    closed(page)
    page.keyboard.press("Space")
    expect(page.locator("#live")).to_have_attribute("data-state", "paused")


def closed(page: Page) -> None:
    """The sheet is gone, and the focus with it."""
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.wait_for_function("() => !document.activeElement.closest('dialog')")


@pytest.mark.parametrize(("path", "key"), [("/", "2"), ("/explore", "1")])
def test_a_key_pressed_before_the_page_is_there_waits_for_it(
    site: Site, open_page: Callable[..., Page], path: str, key: str
) -> None:
    lively(site)
    # pressed as soon as the script listens, long before the controls are made
    script = (
        "const early = setInterval(() => { if (window.tallyboard && window.tallyboard.keyboard && document.body) {"
        f"clearInterval(early); window.before = !document.querySelector('#overview, #explore');"
        f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }})); }} }}, 1);"
    )
    page = open_page(path, script=script)
    assert page.evaluate("() => window.before")
    if path == "/":
        expect(page.locator("#tiles .tb-measure").first).to_contain_text("5 min")
    else:
        expect(page.locator("#chart-measure")).to_contain_text("last 5 min")
