"""Explore's chart in Chromium: its kinds, what it is compared with, the ways to another range, time zones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import ticks
from tests.counted import DELAY
from tests.site import NOON, Site

pytestmark = pytest.mark.browser

TRACES = "() => document.getElementById('plot').data.map((t) => t.type + (t.fill ? ' ' + t.fill : ''))"
META = "(name) => document.getElementById('plot').data.some((t) => t.meta === name)"
TICKS = "() => [...document.querySelectorAll('#plot .xtick text')].map((t) => t.textContent)"
KINDS = {
    "Areas": ("stacked", "scatter tonexty"),
    "Bars": ("bars", "bar"),
    "Heatmap": ("heatmap", "heatmap"),
    "Bands": ("bands", "scatter toself"),
}


def busy(site: Site) -> None:
    """An hour of orders of two countries, a little in the hour before and yesterday; half an hour of delays."""
    site.sell(*[(ago, 5.0, name) for ago in range(10, 3600, 10) for name in ("NL", "DE")])
    site.sell(*[(ago, 5.0, "NL") for ago in range(3610, 7200, 20)])
    site.sell(*[(ago, 7.0, "NL") for ago in range(86_410, 90_000, 60)])
    site.counted.add(DELAY, [(NOON - s * 500, 5.0 + s % 37, {"carrier": "UA"}) for s in range(2, 3600)])


def drawn(page: Page) -> None:
    page.locator("#plot.js-plotly-plot .xtick text").first.wait_for(state="attached")


def search(page: Page) -> str:
    return str(page.evaluate("() => decodeURIComponent(location.search)"))


def goes_to(page: Page, wanted: str) -> None:
    page.wait_for_function("(w) => decodeURIComponent(location.search) === w", arg=wanted)
    page.wait_for_function("() => window.tallyboard.chart.watch === window.tallyboard.search()")


def choose(page: Page, control: str, option: str) -> None:
    page.locator(f"#{control}").click()
    page.get_by_role("option", name=option, exact=True).click()


def middle(page: Page) -> tuple[float, float]:
    box = page.locator("#plot .nsewdrag").first.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + 60


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_drawn_and_stays_while_data_flow(site: Site, open_page: Callable[..., Page], name: str) -> None:
    busy(site)
    value, trace = KINDS[name]
    metric = "metric=orders.revenue&from=-20m&by=country" if name == "Areas" else "metric=flights.delay&from=-20m"
    page = open_page(f"/explore?{metric}")
    drawn(page)
    page.locator("#kind").get_by_text(name, exact=True).click()
    goes_to(page, f"?{metric}&chart={value}")
    page.wait_for_function(f"(t) => ({TRACES})().includes(t)", arg=trace)
    plot = page.locator("#plot .main-svg").first.element_handle()
    page.mouse.move(*middle(page))
    expect(page.locator("#tip")).to_be_visible()
    said = page.locator("#tip .tb-tip-time").inner_text()
    for _ in range(3):
        site.sell((2, 50.0, "NL"))
        site.counted.add(DELAY, [(NOON - 2000, 11.0, {"carrier": "UA"})])
        ticks(page, 2)
        assert page.locator("#tip .tb-tip-time").inner_text() == said
    assert page.evaluate("(e) => e.isConnected", plot)
    page.reload()
    drawn(page)
    page.wait_for_function(f"(t) => ({TRACES})().includes(t)", arg=trace)


def test_a_kind_that_does_not_fit_says_so(site: Site, open_page: Callable[..., Page]) -> None:
    busy(site)
    page = open_page("/explore?metric=flights.delay&chart=stacked")
    drawn(page)
    expect(page.locator("#notices")).to_have_text("Average does not add up: lines.")


def test_the_comparison_is_chosen_and_toggled(site: Site, open_page: Callable[..., Page]) -> None:
    busy(site)
    page = open_page("/explore?metric=orders.revenue&from=-1h")
    drawn(page)
    expect(page.locator("#chart-number .tb-against")).to_have_text("vs the 1 h before")
    expect(page.locator("#chart-number .tb-was").first).to_have_text("was €900")
    page.wait_for_function(META, arg="behind")
    choose(page, "compare", "a day earlier")
    goes_to(page, "?metric=orders.revenue&from=-1h&compare=-1d")
    expect(page.locator("#chart-number .tb-against")).to_have_text("vs a day earlier")
    expect(page.locator("#chart-number .tb-was").first).to_have_text("was €420")
    page.mouse.move(*middle(page))
    expect(page.locator("#tip .tb-tip-name").nth(1)).to_have_text("a day earlier")
    page.keyboard.press("x")
    goes_to(page, "?metric=orders.revenue&from=-1h&compare=off")
    expect(page.locator("#chart-number .tb-delta")).to_have_text("")
    page.wait_for_function(f"() => !({META})('behind')")
    page.keyboard.press("x")
    goes_to(page, "?metric=orders.revenue&from=-1h&compare=-1d")


def test_arrows_lead_to_the_range_before_and_back(site: Site, open_page: Callable[..., Page]) -> None:
    busy(site)
    page = open_page("/explore?metric=orders.revenue&from=-1h")
    drawn(page)
    expect(page.locator("#range-later")).to_be_disabled()
    page.locator("#range-earlier").click()
    goes_to(page, "?metric=orders.revenue&from=2026-11-23T10:00:00Z&to=2026-11-23T11:00:00Z")
    expect(page.locator("#range-button")).to_have_text("23 Nov 2026, 10:00–11:00")
    expect(page.locator("#chart-number .tb-value")).to_have_text("€900")
    page.keyboard.press("ArrowRight")
    goes_to(page, "?metric=orders.revenue&from=-1h")
    page.keyboard.press("-")
    goes_to(page, "?metric=orders.revenue&from=-2h")
    page.keyboard.press("+")
    goes_to(page, "?metric=orders.revenue&from=-1h")
    page.go_back()
    goes_to(page, "?metric=orders.revenue&from=-2h")


def test_a_double_click_zooms_out(site: Site, open_page: Callable[..., Page]) -> None:
    busy(site)
    page = open_page("/explore?metric=orders.revenue&from=2026-11-23T11:00:00Z&to=2026-11-23T11:20:00Z")
    drawn(page)
    page.mouse.dblclick(*middle(page))
    goes_to(page, "?metric=orders.revenue&from=2026-11-23T10:50:00Z&to=2026-11-23T11:30:00Z")


def test_ranges_are_typed(site: Site, open_page: Callable[..., Page]) -> None:
    busy(site)
    page = open_page("/explore?metric=orders.revenue")
    drawn(page)
    page.keyboard.press("t")
    field = page.locator("#range")
    expect(field).to_be_focused()
    field.fill("sometime")
    field.press("Enter")
    expect(page.locator(".tb-range-menu")).to_contain_text("Not understood.")
    field.fill("last 20 min")
    field.press("Enter")
    goes_to(page, "?metric=orders.revenue&from=-20m")
    expect(field).to_be_hidden()
    expect(page.locator("#range-button")).to_have_text("Last 20 min")
    page.keyboard.press("t")
    field.fill("9:00 to 11:30")
    field.press("Enter")
    goes_to(page, "?metric=orders.revenue&from=2026-11-23T09:00:00Z&to=2026-11-23T11:30:00Z")
    page.keyboard.press("t")
    field.fill("yesterday")
    field.press("Enter")
    goes_to(page, "?metric=orders.revenue&from=yesterday&to=today")
    expect(page.locator("#range-button")).to_have_text("Yesterday")
    expect(page.locator("#chart-number .tb-value")).to_have_text("€420")


def test_days_are_picked_in_the_calendar(site: Site, open_page: Callable[..., Page]) -> None:
    busy(site)
    page = open_page("/explore?metric=orders.revenue&timezone=Europe%2FAmsterdam")
    drawn(page)
    page.locator("#range-button").click()
    menu = page.locator(".tb-range-menu")
    expect(menu.get_by_role("dialog", name="Time range")).to_be_visible()
    assert [v["id"] for v in Axe().run(page).response["violations"]] == []
    menu.get_by_role("button", name="20 November 2026").click()
    ticks(page, 2)  # a first day stays while numbers come in
    menu.get_by_role("button", name="22 November 2026").click()
    goes_to(page, "?metric=orders.revenue&from=2026-11-20&to=2026-11-23&timezone=Europe/Amsterdam")
    expect(menu).to_be_hidden()
    expect(page.locator("#range-button")).to_have_text("20–22 Nov 2026")
    page.reload()
    drawn(page)
    expect(page.locator("#range-button")).to_have_text("20–22 Nov 2026")


def test_the_zone_of_the_page(site: Site, open_page: Callable[..., Page]) -> None:
    busy(site)
    page = open_page("/explore?metric=orders.revenue&from=-1h", timezone_id="America/New_York")
    drawn(page)
    assert page.evaluate(TICKS)[0] == "11:0023 Nov"
    choose(page, "zone", "America/New York")
    goes_to(page, "?metric=orders.revenue&from=-1h&timezone=America/New_York")
    page.wait_for_function(f"() => ({TICKS})()[0] === '06:0023 Nov'")
    expect(page.locator("#zone")).to_have_value("America/New York")
    page.locator("#plot").focus()
    page.keyboard.press("Home")
    expect(page.locator("#tip .tb-tip-time")).to_have_text("Mon 23 Nov, 06:00:00–06:00:10")
    page.locator("#range-button").click()
    page.get_by_role("button", name="Today", exact=True).click()
    goes_to(page, "?metric=orders.revenue&from=today&timezone=America/New_York")
    page.wait_for_function(f"() => ({TICKS})()[0].startsWith('00:00')")
    choose(page, "zone", "UTC")
    goes_to(page, "?metric=orders.revenue&from=today")


def test_the_step_is_chosen_and_widened_with_a_word(site: Site, open_page: Callable[..., Page]) -> None:
    busy(site)
    page = open_page("/explore?metric=orders.revenue&from=-1h")
    drawn(page)
    expect(page.locator("#step")).to_have_value("auto, 10s")
    choose(page, "step", "5m")
    goes_to(page, "?metric=orders.revenue&from=-1h&step=5m")
    expect(page.locator("#chart-measure")).to_have_text("total, last 1 h, by 5m")
    choose(page, "step", "1s")
    expect(page.locator("#notices")).to_have_text("A step of 1s is too fine for this range: 10s.")


@pytest.mark.parametrize("kind", ["stacked", "bars", "heatmap", "bands"])
def test_a_phone_shows_every_kind(site: Site, open_page: Callable[..., Page], kind: str) -> None:
    busy(site)
    metric = "orders.revenue" if kind == "stacked" else "flights.delay"
    page = open_page(
        f"/explore?metric={metric}&from=-20m&chart={kind}",
        viewport={"width": 390, "height": 844},
        is_mobile=True,
        has_touch=True,
        color_scheme="dark",
    )
    drawn(page)
    page.locator("#range-button").click()
    expect(page.locator("#range")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
