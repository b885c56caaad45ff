"""Explore in Chromium: split, range, address, zoom, filters, links."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import chart_drawn, ticks
from tests.counted import DELAY
from tests.site import NOON, Site

pytestmark = pytest.mark.browser

COUNTRIES = ("NL", "DE", "FR", "BE", "US", "JP", "IT")
SPAN = """() => {
  const times = document.getElementById('plot')._fullLayout.xaxis.range.map((text) => +new Date(text + 'Z'));
  return times[1] - times[0];
}"""


def sold(site: Site) -> None:
    """Half an hour of orders: NL 7 a time, DE 6, and so on."""
    orders = [(ago, 7.0 - n, name) for ago in range(20, 1800, 20) for n, name in enumerate(COUNTRIES)]
    site.sell(*orders)
    site.counted.add(DELAY, [(NOON - s * 1000, 10.0, {"carrier": "UA"}) for s in range(1, 600, 5)])


def query(page: Page) -> str:
    return str(page.evaluate("() => decodeURIComponent(location.search)"))


def choose(page: Page, control: str, option: str) -> None:
    page.locator(f"#{control}").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_split_range_and_address_round_trip(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue")
    chart_drawn(page)
    expect(page.locator("#chart-number .tb-value")).to_have_text("€1,260")

    choose(page, "by", "country")
    expect(page.locator("#leaders tbody tr")).to_have_count(7)
    assert query(page) == "?metric=orders.revenue&by=country"
    expect(page.locator("#leaders tbody tr").first).to_contain_text("NL")
    expect(page.locator("#plot .annotation-text")).to_have_text(["NL", "DE", "FR", "BE", "US", "other (2)", *"●●●●●●"])

    page.locator("#range-button").click()
    page.get_by_role("button", name="5 min", exact=True).click()
    page.wait_for_function("() => location.search.includes('from=-5m')")
    expect(page.locator("#chart-measure")).to_have_text("total, last 5 min, by 10s")

    page.go_back()
    expect(page.locator("#chart-measure")).to_contain_text("last 15 min")
    assert query(page) == "?metric=orders.revenue&by=country"
    page.go_forward()
    expect(page.locator("#chart-measure")).to_contain_text("last 5 min")

    page.reload()
    expect(page.locator("#chart-measure")).to_contain_text("last 5 min")
    expect(page.locator("#leaders tbody tr")).to_have_count(7)
    expect(page.locator("#by")).to_have_value("country")


def test_the_measure_is_chosen(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&from=-20m")
    choose(page, "measure", "highest")
    expect(page.locator("#chart-number .tb-value")).to_have_text("€7.00")
    assert "measures=max" in query(page)


def test_another_metric_keeps_what_it_can(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&from=-1h&by=country&where=country:NL")
    choose(page, "metric", "flights.delay")
    expect(page.locator("#chart-title")).to_have_text("flights.delay")
    assert query(page) == "?metric=flights.delay&from=-1h"
    expect(page.locator("#chart-number .tb-value")).to_have_text("10\u202fm 00\u202fs")


def test_a_tile_leads_to_its_chart_and_back(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/")
    page.locator("#tiles a").filter(has_text="flights.delay").click()
    chart_drawn(page)
    expect(page.locator("#chart-title")).to_have_text("flights.delay")
    page.go_back()
    expect(page.locator("#tiles a")).to_have_count(2)


def test_zoom_is_kept_while_data_flow(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue")
    chart_drawn(page)
    box = page.locator("#plot .nsewdrag").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 110, steps=6)
    page.mouse.up()
    page.wait_for_function("() => location.search.includes('to=')")
    expect(page.locator("#to-live")).to_be_visible()
    width = page.evaluate(SPAN)
    assert 0 < width < 12 * 60_000
    for _ in range(3):
        site.sell((1, 50.0, "NL"))
        ticks(page, 2)
        assert page.evaluate(SPAN) == width
    page.locator("#to-live").click()
    expect(page.locator("#chart-measure")).to_contain_text("last 15 min")
    assert query(page) == "?metric=orders.revenue"


def test_the_chart_moves_with_the_clock_and_keeps_its_elements(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&from=-5m")
    chart_drawn(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    plot = page.locator("#plot .main-svg").first.element_handle()
    first = page.evaluate("() => document.getElementById('plot').data[0].x0")
    site.moving = True
    page.wait_for_function("(x) => document.getElementById('plot').data[0].x0 >= x + 3000", arg=first)
    assert page.evaluate("(e) => e.isConnected", plot)
    assert requests == []


def test_pointer_and_arrow_keys_show_the_values(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&by=country&from=-20m&step=1m")
    chart_drawn(page)
    box = page.locator("#plot .nsewdrag").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    expect(page.locator("#tip")).to_be_visible()
    expect(page.locator("#tip .tb-tip-row")).to_have_count(6)
    expect(page.locator("#tip .tb-tip-row").first).to_have_text("NL€21.00")
    ticks(page, 2)
    expect(page.locator("#tip")).to_be_visible()
    page.mouse.move(10, 10)
    expect(page.locator("#tip")).to_be_hidden()
    page.locator("#plot").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tip")).to_contain_text("Mon 23 Nov, 11:58–11:59")


def test_an_empty_range_and_an_unknown_metric_say_so(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&where=country:XX")
    expect(page.locator("#chart-empty")).to_have_text("No events for this filter in this range (last 15 min).")
    page.goto(site.url + "/explore?metric=orders.lost")
    expect(page.locator("#chart-empty")).to_have_text("There is no metric orders.lost.")
