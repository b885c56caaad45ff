"""The overview in Chromium: right numbers, first event, push alone, states."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ticks
from tests.counted import DELAY
from tests.site import INGEST, NOON, Site, wait_until

pytestmark = pytest.mark.browser


def test_tiles_show_the_right_numbers(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 1000.0, "NL"), (30, 251.0, "DE"), (70, 1000.0, "NL"), (200, 5000.0, "FR"))
    page = open_page()
    tile = page.locator("#tiles a").filter(has_text="orders.revenue")
    expect(tile.locator(".tb-value")).to_have_text("€1,251")
    expect(tile.locator(".tb-headline .tb-delta")).to_have_text("▲ 25.1%")
    expect(tile.locator(".tb-headline .tb-delta")).to_have_attribute("data-tone", "good")
    expect(tile.locator(".tb-was")).to_have_text("was €1,000")
    expect(tile.locator(".tb-window-value:visible")).to_have_text(["€7,251", "€7,251"])

    site.sell((1, 749.0, "NL"))
    expect(tile.locator(".tb-value")).to_have_text("€2,000")

    page.get_by_text("5 min", exact=True).first.click()
    expect(tile.locator(".tb-value")).to_have_text("€8,000")
    expect(tile.locator(".tb-measure")).to_have_text("total, 5 min")


def test_a_rising_delay_is_bad_and_a_falling_one_good(site: Site, open_page: Callable[..., Page]) -> None:
    site.counted.add(DELAY, [(NOON - 10_000, 12.0, {}), (NOON - 90_000, 10.0, {})])
    delta = open_page().locator("#tiles a .tb-headline .tb-delta")
    expect(delta).to_have_text("▲ 20.0%")
    expect(delta).to_have_attribute("data-tone", "bad")


def test_the_first_event_turns_the_empty_page_into_charts(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page()
    expect(page.get_by_role("heading", name="Waiting for the first event.")).to_be_visible()
    expect(page.locator("#curl")).to_contain_text(f"curl {INGEST}/v1/events")
    expect(page.locator("#tiles")).to_be_hidden()
    site.sell((1, 12.5, "NL"))
    expect(page.locator("#tiles .tb-value")).to_have_text("€12.50")
    expect(page.locator("#waiting")).to_be_hidden()
    assert page.locator("#tiles .tb-spark .tb-ring").get_attribute("d") != ""
    expect(page.locator("#said")).to_have_text("First event: orders.revenue, just now.")


def test_live_data_come_by_push_alone(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 10.0, "NL"))
    page = open_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    for n in range(10):
        before = page.locator("#tiles .tb-value").inner_text()
        site.sell((2, 100.0 + n, "NL"))
        expect(page.locator("#tiles .tb-value")).not_to_have_text(before)
    assert len(requests) <= 1, requests


def test_tiles_change_in_place_without_shifting_the_page(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 9.0, "NL"))
    page = open_page()
    page.evaluate(
        "() => { window.shift = 0; new PerformanceObserver((list) => list.getEntries()"
        ".forEach((e) => { window.shift += e.value; })).observe({ type: 'layout-shift' }); }"
    )
    tile = page.locator("#tiles a").element_handle()
    for euros in (80.0, 4_000.0, 1_200_000.0):
        site.sell((2, euros, "NL"))
        ticks(page, 2)
    assert page.evaluate("(e) => e.isConnected", tile)
    # a longer number moves the change beside it by some pixels, and nothing else
    assert page.evaluate("() => window.shift") < 0.001


def test_old_numbers_never_look_live(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 10.0, "NL"))
    page = open_page()
    site.fall_behind(42_000)
    expect(page.locator("#live")).to_have_attribute("data-state", "stale")
    expect(page.locator("#banner")).to_contain_text("Behind by 42\u202fs. Numbers are correct up to 11:59:59 UTC.")
    expect(page.locator("html")).to_have_attribute("data-fresh", "old")
    site.fall_behind(5_000)  # the clock of the test may go back, the page only sees how far behind it is
    expect(page.locator("#live")).to_have_attribute("data-state", "behind")
    expect(page.locator("#banner")).to_be_hidden()


def test_a_silent_metric_says_how_old_it_is(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((250, 10.0, "NL"))
    site.counted.add(DELAY, [(NOON - 1000, 3.0, {})])
    page = open_page()
    expect(page.locator("#tiles a").filter(has_text="orders.revenue").locator(".tb-chip")).to_have_text(
        "◷ 4\u202fmin old"
    )
    expect(page.locator("#tiles a").filter(has_text="flights.delay").locator(".tb-chip")).to_be_hidden()


def test_a_cut_connection_comes_back(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 10.0, "NL"))
    page = open_page()
    site.stop()
    expect(page.locator("#live")).to_have_attribute("data-state", "late")
    site.sell((2, 90.0, "NL"))
    site.start()
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    expect(page.locator("#tiles .tb-value")).to_have_text("€100")


def test_a_lost_connection_says_so(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 10.0, "NL"))
    page = open_page()
    page.evaluate("() => { const real = Date.now; window.ahead = 0; Date.now = () => real() + window.ahead; }")
    site.stop()
    page.evaluate("() => { window.ahead = 20000; }")
    expect(page.locator("#live")).to_have_attribute("data-state", "lost")
    expect(page.locator("#banner")).to_contain_text("Showing the last numbers.")
    site.start()
    # On a slow machine the page may have come back by itself: then the button is hidden, and the click does nothing.
    page.get_by_text("Try now", exact=True).dispatch_event("click")
    expect(page.locator("#banner")).to_contain_text("Connected again. You missed nothing.")


def test_the_last_reader_leaves_nothing_behind(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 10.0, "NL"))
    page = open_page()
    metrics = page.request.get(site.url + "/metrics")
    assert "tallyboard_dashboard_browsers 1.0" in metrics.text()
    page.goto("about:blank")
    wait_until(
        lambda: "tallyboard_dashboard_browsers 0.0" in page.request.get(site.url + "/metrics").text(), "it is forgotten"
    )
    page.goto(site.url)
