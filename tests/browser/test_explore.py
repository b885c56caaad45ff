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
QUERY = "/api/v1/query?metric=orders.revenue&measures=sum&from=-5m&to=now&step=10s&where=country:NL&by=country"


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

    page.get_by_text("5 min", exact=True).click()
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


def test_a_typed_range_and_the_measure(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue")
    page.locator("#range").fill("last 20 min")
    page.locator("#range").press("Enter")
    expect(page.locator("#chart-measure")).to_contain_text("last 20 min")
    assert "from=-20m" in query(page)
    choose(page, "measure", "highest")
    expect(page.locator("#chart-number .tb-value")).to_have_text("€7.00")
    assert "measures=max" in query(page)
    page.locator("#range").fill("yesterdayish")
    page.locator("#range").press("Enter")
    expect(page.locator("#notices")).to_contain_text("from=yesterdayish was not understood")


def test_another_metric_keeps_what_it_can(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&from=-1h&by=country&where=country:NL")
    choose(page, "metric", "flights.delay")
    expect(page.locator("#chart-title")).to_have_text("flights.delay")
    assert query(page) == "?metric=flights.delay&from=-1h"
    expect(page.locator("#chart-number .tb-value")).to_have_text("10\u202fm 00\u202fs")


def test_a_click_on_a_leader_filters_and_a_chip_takes_it_back(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&by=country")
    page.get_by_role("button", name="DE", exact=True).click()
    expect(page.locator("#chips button")).to_have_text("country: DE×")
    expect(page.locator("#leaders button[aria-pressed=true]")).to_have_text("DE")
    expect(page.locator("#leaders tbody tr")).to_have_count(7)
    expect(page.locator("#chart-number .tb-value")).to_have_text("€270")
    page.locator("#chips button").click()
    expect(page.locator("#chips")).to_be_hidden()
    expect(page.locator("#chart-number .tb-value")).to_have_text("€1,260")


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


def test_csv_and_curl_are_the_query_that_is_shown(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&by=country&from=-5m&where=country:NL")
    expect(page.locator("#csv")).to_have_attribute(
        "href",
        "/api/v1/query?metric=orders.revenue&measures=sum&from=-5m&to=now&step=10s&where=country:NL&by=country&format=csv",
    )
    answer = page.request.get(site.url + str(page.locator("#csv").get_attribute("href")))
    assert answer.ok
    assert answer.text().startswith("time,country,sum\r\n")
    assert "NL,7.0" in answer.text()
    assert page.locator("#copy-query").get_attribute("data-copy") == f"curl '{site.url}{QUERY}'"


def test_the_table_shows_what_the_chart_shows(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&by=country&from=-10m&step=1m")
    page.locator("#table-box summary").click()
    expect(page.locator("#table thead th")).to_have_text(["Time (UTC)", "NL", "DE", "FR", "BE", "US", "other (2)"])
    expect(page.locator("#table tbody tr").nth(1)).to_contain_text("€21.00€18.00€15.00€12.00€9.00€9.00")


def test_an_empty_range_and_an_unknown_metric_say_so(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&where=country:XX")
    expect(page.locator("#chart-empty")).to_have_text("No events for this filter in this range (last 15 min).")
    page.goto(site.url + "/explore?metric=orders.lost")
    expect(page.locator("#chart-empty")).to_have_text("There is no metric orders.lost.")
