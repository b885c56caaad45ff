"""The overview in Chromium: right numbers, first event, push alone, states."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from ingest.registry import MetricDefinition
from tests.browser.conftest import ticks
from tests.counted import DELAY, REVENUE
from tests.site import INGEST, NOON, Site, wait_until

pytestmark = pytest.mark.browser
CHANGE = ".tb-change:not(.tb-weekly) .tb-delta"
WEEKLY = ".tb-weekly .tb-delta"
WEEK_S = 7 * 86_400
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def test_tiles_show_the_right_numbers(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 1000.0, "NL"), (30, 251.0, "DE"), (70, 1000.0, "NL"), (200, 5000.0, "FR"))
    page = open_page()
    tile = page.locator("#tiles a").filter(has_text="orders.revenue")
    expect(tile.locator(".tb-value")).to_have_text("€1,251")
    expect(tile.locator(CHANGE)).to_have_text("▲ 25.1%")
    expect(tile.locator(CHANGE)).to_have_attribute("data-tone", "good")
    expect(tile.locator(".tb-was").first).to_have_text("was €1,000")
    expect(tile.locator(".tb-window-value:visible")).to_have_text(["€7,251", "€7,251"])

    site.sell((1, 749.0, "NL"))
    expect(tile.locator(".tb-value")).to_have_text("€2,000")

    page.get_by_text("5 min", exact=True).first.click()
    expect(tile.locator(".tb-value")).to_have_text("€8,000")
    expect(tile.locator(".tb-measure")).to_have_text("total, 5 min")


def test_a_rising_delay_is_bad_and_a_falling_one_good(site: Site, open_page: Callable[..., Page]) -> None:
    site.counted.add(DELAY, [(NOON - 10_000, 12.0, {}), (NOON - 90_000, 10.0, {})])
    delta = open_page().locator(f"#tiles a {CHANGE}")
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
    expect(page.locator("#tiles a").filter(has_text="orders.revenue").locator(".tb-stale")).to_have_text(
        "◷ 4\u202fmin old"
    )
    expect(page.locator("#tiles a").filter(has_text="flights.delay").locator(".tb-stale")).to_be_hidden()


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


# --- more of a metric than its number ---------------------------------------------------------------------------------


def test_a_tile_is_compared_with_the_same_weekday_last_week(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((WEEK_S + 3600, 1.0, "NL"), (WEEK_S + 30, 800.0, "NL"), (70, 500.0, "NL"), (5, 1000.0, "NL"))
    tile = open_page().locator("#tiles a")
    expect(tile.locator(WEEKLY)).to_have_text("▲ 25.0%")
    expect(tile.locator(WEEKLY)).to_have_attribute("data-tone", "good")
    expect(tile.locator(".tb-weekly .tb-was")).to_have_text("last Mon")


def test_a_tile_says_when_late_events_changed_it(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((65, 10.0, "NL"))
    site.sell((5, 10.0, "NL"))
    page = open_page()
    mark = page.locator("#tiles .tb-restated")
    expect(mark).to_be_hidden()
    site.counted.add(REVENUE, [(NOON - 1_200_000, 5.0, {"country": "NL"}), (NOON - 1000, 5.0, {"country": "NL"})])
    expect(mark).to_be_visible()
    expect(page.locator("#tiles .tb-late")).to_have_attribute("d", re.compile("^M"))


def test_pointing_at_a_tile_says_how_much_to_trust_it(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((4, 12.5, "NL"))
    page = open_page()
    page.locator("#tiles a").hover()
    about = page.get_by_role("tooltip")
    expect(about).to_contain_text("Paid amount")
    rows = dict(zip(about.locator("dt").all_inner_texts(), about.locator("dd").all_inner_texts(), strict=True))
    assert rows["Total, 1 min"] == "12.5\u202fEUR"
    assert rows["Newest event"] == "11:59:56 UTC, 4.0\u202fs ago"
    assert rows["Complete up to"] == "11:59:59 UTC, 0.4\u202fs ago"
    assert rows["Last hour"] == "1 accepted = 1 applied + 0 duplicates"
    assert rows["Pending"] == "none"
    site.sell((2, 100.0, "NL"))
    expect(about).to_contain_text("112.5\u202fEUR")
    page.keyboard.press("Escape")
    expect(about).to_be_hidden()
    page.keyboard.press("j")
    expect(page.locator("#tiles a")).to_be_focused()
    expect(about).to_be_visible()
    assert page.locator("#tiles a").get_attribute("aria-describedby") == "about"


# --- many metrics -----------------------------------------------------------------------------------------------------


def fill(site: Site, count: int) -> None:
    for n in range(count):
        metric = MetricDefinition(f"area{n % 9}.metric_{n}")
        site.counted.add(metric, [(NOON - 70_000, 1.0, {}), (NOON - 5000 - n, 2.0 + n, {})])


def names(page: Page) -> list[str]:
    return page.locator("#tiles .tb-name:visible").all_inner_texts()


def test_a_search_keeps_what_fits_and_stands_in_the_address(site: Site, open_page: Callable[..., Page]) -> None:
    fill(site, 20)
    page = open_page()
    expect(page.locator("#tiles a")).to_have_count(20)
    page.keyboard.press("/")
    page.keyboard.type("area1 1")
    expect(page.locator("#found")).to_have_text("3 of 20")
    assert names(page) == ["area1.metric_1", "area1.metric_10", "area1.metric_19"]
    page.wait_for_url("**/?find=area1%201")
    page.reload()
    expect(page.locator("#found")).to_have_text("3 of 20")
    expect(page.get_by_label("Find a metric")).to_have_value("area1 1")
    page.keyboard.press("/")
    page.keyboard.type("nothing of the kind")
    expect(page.locator("#no-tiles")).to_contain_text("No metric matches “nothing of the kind”.")
    page.get_by_role("button", name="Show all metrics").click()
    expect(page.locator("#found")).to_have_text("")
    assert len(names(page)) == 20


def test_pinned_metrics_stand_first_and_are_remembered(site: Site, open_page: Callable[..., Page]) -> None:
    fill(site, 20)
    page = open_page()
    expect(page.locator("#tiles a")).to_have_count(20)
    assert page.locator("#tiles h2").all_inner_texts() == [f"area{n}" for n in range(9)]
    tile = page.locator("#tiles .tb-cell").filter(has_text="area4.metric_13")
    tile.hover()
    tile.get_by_role("button", name="Pin area4.metric_13").click()
    page.wait_for_url("**/?pin=area4.metric_13")
    assert page.locator("#tiles h2").all_inner_texts()[0] == "Pinned"
    assert names(page)[0] == "area4.metric_13"
    page.goto(site.url + "/explore")
    page.goto(site.url)
    expect(page.locator("#tiles h2").first).to_have_text("Pinned")
    page.keyboard.press("j")
    page.keyboard.press("p")
    expect(page.locator("#tiles h2").first).to_have_text("area0")
    expect(page.locator("#tiles a").filter(has_text="area4.metric_13")).to_be_focused()
    page.goto(site.url + "/?pin=area8.metric_8&pin=gone")
    expect(page.locator("#tiles .tb-name").first).to_have_text("area8.metric_8")


def test_the_window_stands_in_the_address_and_back_undoes_it(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell((5, 10.0, "NL"), (100, 90.0, "NL"))
    page = open_page("/?window=5m")
    value = page.locator("#tiles .tb-value")
    expect(value).to_have_text("€100")
    page.locator("#window").wait_for()
    page.keyboard.press("1")
    expect(value).to_have_text("€10.00")
    page.wait_for_url(site.url + "/")
    page.go_back()
    expect(value).to_have_text("€100")
    expect(page.locator("#window input[value='5m']")).to_be_checked()
    page.go_forward()
    expect(value).to_have_text("€10.00")


def test_the_keyboard_goes_from_tile_to_tile(site: Site, open_page: Callable[..., Page]) -> None:
    for n in range(6):
        site.counted.add(MetricDefinition(f"one.m{n}"), [(NOON - 5000, 1.0, {})])
    page = open_page()
    expect(page.locator("#tiles a")).to_have_count(6)
    at = "() => document.activeElement.dataset.metric || null"
    for key, name in (
        ("j", "m0"),
        ("ArrowRight", "m1"),
        ("ArrowDown", "m5"),
        ("ArrowUp", "m1"),
        ("k", "m0"),
        ("k", "m0"),
    ):
        page.keyboard.press(key)
        assert page.evaluate(at) == f"one.{name}", key
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#chart-title")).to_have_text("one.m1")


def test_three_hundred_metrics_are_drawn_only_where_they_are_seen(site: Site, open_page: Callable[..., Page]) -> None:
    fill(site, 300)
    page = open_page()
    expect(page.locator("#tiles a")).to_have_count(300)
    drawn = "() => [...document.querySelectorAll('#tiles .tb-value')].filter((e) => e.textContent).length"
    page.wait_for_function("() => document.querySelector('#tiles .tb-value').textContent !== ''")
    assert page.evaluate(drawn) < 100
    last = page.locator("#tiles a").last
    last.scroll_into_view_if_needed()
    expect(last.locator(".tb-value")).not_to_have_text("")
    sizes: list[int] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sizes.append(len(str(frame)))))
    page.reload()
    expect(page.locator("#tiles a")).to_have_count(300)
    ticks(page, 3)
    assert sizes[0] > 50_000
    assert sizes[-1] < 1000, sizes
    site.counted.add(MetricDefinition("area0.metric_0"), [(NOON - 1000, 900.0, {})])
    expect(page.locator("#tiles .tb-value").first).to_have_text("451")
    assert max(sizes[1:]) < 2000, sizes


def test_tiles_on_a_phone(site: Site, open_page: Callable[..., Page]) -> None:
    fill(site, 12)
    page = open_page("/", **PHONE)
    expect(page.locator("#tiles a")).to_have_count(12)
    ticks(page, 2)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="About area0.metric_0").tap()
    expect(page.get_by_role("tooltip")).to_contain_text("Complete up to")
    page.get_by_role("button", name="Pin area0.metric_9").tap()
    expect(page.locator("#tiles .tb-name").first).to_have_text("area0.metric_9")
