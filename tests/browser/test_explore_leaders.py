"""Explore's leaderboards, filters, table and files in Chromium, over a real read model."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import datetime

import openpyxl
import pytest
from playwright.sync_api import Locator, Page, expect

from dashboard.state import parse, write
from tests.browser.conftest import chart_drawn, ticks
from tests.counted import REVENUE
from tests.site import NOON, Site

pytestmark = pytest.mark.browser

HOSTILE = (
    "<img src=x onerror=alert(1)>", "javascript:alert(1)", "=cmd|' /C calc'!A0", "a\u202egnp.exe", "two\nlines",
    "x" * 2000, "https://tallyboard.invalid/", "it's $(x) `y` \"z\" & more",
)  # fmt: skip
SEARCH = "() => location.search.replace('?', '')"


def sold(site: Site, products: int = 12) -> None:
    """Half an hour of orders: 12 products, the first the largest, each in its country, by two channels in turn."""
    site.counted.add(
        REVENUE,
        [
            (
                NOON - ago * 1000,
                float(2 * products - n),
                {"country": ("NL", "DE", "FR")[n % 3], "product": f"p{n}", "channel": ("web", "app")[ago // 20 % 2]},
            )
            for ago in range(20, 1800, 20)
            for n in range(products)
        ],
    )


def board(page: Page, dimension: str) -> Locator:
    return page.locator(f'#leaders [data-key="{dimension}"]')


def row(page: Page, dimension: str, name: str) -> Locator:
    return board(page, dimension).get_by_role("button", name=name, exact=True)


def names(page: Page, dimension: str) -> Locator:
    return board(page, dimension).locator("tbody .tb-row-name")


def search(page: Page) -> str:
    """The address of the page, which is always the one its state is written as."""
    found = str(page.evaluate(SEARCH))
    assert write(parse(found)[0]) == found
    return str(page.evaluate("() => decodeURIComponent(location.search)"))


def chips(page: Page) -> Locator:
    return page.locator("#chips .tb-filter-name")


def test_a_leaderboard_for_every_dimension(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue")
    expect(page.locator("#leaders .tb-board-title")).to_have_text(["channel", "product", "country"])
    expect(names(page, "country")).to_have_text(["NL", "DE", "FR"])
    expect(names(page, "product")).to_have_text([f"p{n}" for n in range(8)])
    expect(board(page, "product").locator(".tb-count")).to_have_text("8 of 12")
    expect(board(page, "product").locator(".tb-other td").first).to_have_text("other (4)")
    cells = board(page, "country").locator("tbody tr").first.locator("td")
    expect(cells).to_have_text(["NL", re.compile("€"), re.compile("%"), re.compile("▲|▼|no change|new"), "⋯"])


def test_drilling_filters_everything_and_back_takes_it_away(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue")
    whole = page.locator("#chart-number .tb-value").inner_text()
    row(page, "country", "DE").click()
    expect(chips(page)).to_have_text(["country: DE"])
    expect(names(page, "product")).to_have_text(["p1", "p4", "p7", "p10"])
    expect(names(page, "country")).to_have_count(3)
    expect(board(page, "country").locator("button[aria-pressed=true]")).to_have_count(1)
    row(page, "country", "NL").click()
    expect(chips(page)).to_have_text(["country: DE, NL"])
    row(page, "product", "p3").click(modifiers=["Shift"])
    expect(chips(page)).to_have_text(["country: DE, NL", "product: not p3"])
    assert search(page) == "?metric=orders.revenue&where=country:DE&where=country:NL&where=!product:p3"
    row(page, "country", "FR").click(modifiers=["Control"])
    expect(chips(page)).to_have_text(["country: FR", "product: not p3"])
    page.go_back()
    expect(chips(page)).to_have_text(["country: DE, NL", "product: not p3"])
    expect(board(page, "product").locator("tr[data-state=excluded] .tb-row-mark")).to_have_text("not")
    page.reload()
    expect(chips(page)).to_have_text(["country: DE, NL", "product: not p3"])
    page.get_by_role("button", name="Remove the filter product: not p3").click()
    expect(chips(page)).to_have_text(["country: DE, NL"])
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("#chips")).to_be_hidden()
    expect(page.locator("#chart-number .tb-value")).to_have_text(whole)
    page.go_back()
    expect(chips(page)).to_have_text(["country: DE, NL"])
    page.go_back()
    expect(chips(page)).to_have_text(["country: DE, NL", "product: not p3"])
    page.go_forward()
    expect(chips(page)).to_have_text(["country: DE, NL"])


def test_the_menu_of_a_row(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    more = board(page, "country").get_by_role("button", name="More for DE")

    def choose(item: str) -> None:
        more.click()
        page.get_by_role("menuitem", name=item, exact=True).click()

    choose("Exclude")
    expect(chips(page)).to_have_text(["country: not DE"])
    choose("Do not exclude")
    expect(page.locator("#chips")).to_be_hidden()
    choose("Only")
    expect(chips(page)).to_have_text(["country: DE"])
    choose("Do not filter")
    expect(page.locator("#chips")).to_be_hidden()
    choose("Copy")
    expect(page.locator("#toast")).to_have_text("Copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == "DE"
    choose("Compare lines")
    expect(board(page, "country").locator(".tb-swatch[data-colour=cat-1]")).to_have_count(1)
    assert search(page) == "?metric=orders.revenue&by=country"
    more.click()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Exclude", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    expect(page.get_by_role("menu")).to_have_count(0)


def test_an_open_list_is_searched_sorted_and_shared(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site, 40)
    page = open_page("/explore?metric=orders.revenue&where=country:NL")
    chips(page).click()
    expect(page.locator("#leaders .tb-board-title")).to_have_text(["country"])
    page.get_by_role("button", name="Close", exact=True).click()
    board(page, "product").get_by_role("button", name="product").click()
    expect(names(page, "product")).to_have_count(14)
    page.get_by_label("Find in product").fill("P3")
    expect(names(page, "product")).to_have_text(["p3", "p30", "p33", "p36", "p39"])
    expect(page.get_by_label("Find in product")).to_be_focused()
    board(page, "product").get_by_role("button", name="Name", exact=True).click()
    page.mouse.move(0, 0)
    expect(board(page, "product").locator("th[aria-sort=ascending]")).to_have_text("Name")
    assert search(page) == "?metric=orders.revenue&where=country:NL&open=product&find=P3&sort=name"
    page.get_by_label("Find in product").fill("nothing like it")
    expect(board(page, "product").locator(".tb-note")).to_have_text("Nothing contains “nothing like it”.")
    page.reload()
    expect(page.get_by_label("Find in product")).to_have_value("nothing like it")
    # words of the page are no steps: back leaves it
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.locator("#leaders .tb-board-title")).to_have_count(3)
    row(page, "channel", "web").click()
    expect(chips(page)).to_have_text(["channel: web", "country: NL"])
    page.go_back()
    expect(chips(page)).to_have_text(["country: NL"])


def test_rows_do_not_move_under_the_pointer(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site, 3)
    page = open_page("/explore?metric=orders.revenue")
    expect(names(page, "country")).to_have_text(["NL", "DE", "FR"])
    row(page, "country", "DE").hover()
    site.now_ms += 11_000
    site.counted.known_until(site.now_ms - 400)
    site.sell(*[(1, 90.0, "FR")] * 50)
    expect(board(page, "country").locator("tbody tr").nth(2)).to_contain_text("€4,")
    ticks(page, 3)
    expect(names(page, "country")).to_have_text(["NL", "DE", "FR"])
    page.mouse.move(0, 0)
    expect(names(page, "country")).to_have_text(["FR", "NL", "DE"])


def test_only_the_keyboard(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue")
    expect(names(page, "country")).to_have_count(3)
    page.keyboard.press("j")
    expect(row(page, "channel", "app")).to_be_focused()
    page.keyboard.press("j")
    expect(row(page, "channel", "web")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(chips(page)).to_have_text(["channel: app"])
    expect(row(page, "channel", "app")).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(row(page, "product", "p0")).to_be_focused()
    page.keyboard.press("Shift+Enter")
    expect(chips(page)).to_have_text(["channel: app", "product: not p0"])
    page.keyboard.press("b")
    page.wait_for_function("() => location.search.includes('by=product')")
    page.keyboard.press("Backspace")
    expect(chips(page)).to_have_text(["channel: app"])
    page.keyboard.press("f")
    expect(page.get_by_label("Find in product")).to_be_focused()
    page.keyboard.type("p11")
    expect(names(page, "product")).to_have_text(["p11"])
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.locator("#leaders .tb-board-title")).to_have_count(3)


def test_the_table_and_its_files_are_what_is_seen(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell(
        *[
            (ago, 7.0 - n, c)
            for ago in range(20, 1800, 20)
            for n, c in enumerate(("NL", "DE", "FR", "BE", "US", "JP", "IT"))
        ]
    )
    page = open_page("/explore?metric=orders.revenue&by=country&from=-10m&step=1m&timezone=Europe/Amsterdam")
    expect(page.locator("#table")).to_be_hidden()
    page.get_by_role("button", name="Table", exact=True).click()
    heads = ["Time (Europe/Amsterdam)", "NL", "DE", "FR", "BE", "US", "other (2)", "State"]
    expect(page.locator("#table thead th")).to_have_text(heads)
    body = page.locator("#table tbody tr")
    expect(body.nth(1).locator("td")).to_have_text(
        ["23 Nov 2026, 12:58", "€21.00", "€18.00", "€15.00", "€12.00", "€9.00", "€9.00", ""]
    )
    expect(body.nth(0).locator("td").last).to_have_text("so far")
    seen = [
        line.split("\t")
        for line in body.evaluate_all(
            "(rows) => rows.map((r) => [...r.children].map((c) => c.textContent).join('\\t'))"
        )
    ]
    assert len(seen) == 10

    answer = page.request.get(site.url + str(page.locator("#csv").get_attribute("href")))
    assert answer.ok
    head, *rows = csv.reader(io.StringIO(answer.text()))
    assert head == heads
    assert [euros(line[1:-1]) for line in seen] == [[float(cell) for cell in line[1:-1]] for line in rows]
    assert rows[1][0] == "2026-11-23T12:58:00+01:00"
    assert [line[-1] or "final" for line in seen] == [line[-1] for line in rows]

    # the files follow the order of the table
    page.locator("#table thead button").nth(1).click()
    expect(page.locator("#table th[aria-sort=descending]")).to_have_text("NL")
    answer = page.request.get(site.url + str(page.locator("#xlsx").get_attribute("href")))
    assert answer.ok
    assert re.search(r'filename="orders.revenue-[\dTZ-]+\.xlsx"', answer.headers["content-disposition"])
    book = openpyxl.load_workbook(io.BytesIO(answer.body()))
    first, *cells = book["Table"].iter_rows()
    assert [cell.value for cell in first] == heads
    page_order = body.evaluate_all("(rows) => rows.map((r) => [r.children[0].textContent, r.children[1].textContent])")
    assert [(f"{line[0].value.day} {line[0].value:%b %Y, %H:%M}", line[1].value) for line in cells] == [
        (time, euros([text])[0]) for time, text in page_order
    ]
    assert isinstance(cells[0][0].value, datetime)
    assert page.evaluate("() => location.search").endswith("&table=open")


def euros(texts: list[str]) -> list[float]:
    return [float(text.replace("€", "")) for text in texts]


def test_links_move_or_stand_still_and_curl_gives_the_chart(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page("/explore?metric=orders.revenue&by=country&where=country:NL&from=-5m")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chart_drawn(page)
    copied = "() => navigator.clipboard.readText()"
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("menuitem", name="Moving: last 5 min").click()
    expect(page.locator("#copy-link")).to_have_text("Copied")
    assert page.evaluate(copied) == page.url
    expect(page.locator("#copy-link")).to_have_text("Copy link")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("menuitem", name="Fixed: the times seen now").click()
    expect(page.locator("#copy-link")).to_have_text("Copied")
    fixed = page.evaluate(copied)
    assert "from=2026-11-23T11:55:00Z&to=2026-11-23T12:00:10Z&step=10s" in fixed
    command = page.locator("#copy-query").get_attribute("data-copy") or ""
    query = "metric=orders.revenue&measures=sum&from=-5m&to=now&step=10s&where=country:NL&by=country&top=5"
    assert command == f"curl '{site.url}/api/v1/query?{query}'"
    answer = page.request.get(command.removeprefix("curl '").removesuffix("'")).json()
    assert sum(row[-1] or 0 for row in answer["rows"]) > 0
    page.goto(fixed)
    expect(page.locator("#to-live")).to_be_visible()


def test_hostile_values_are_only_text_everywhere(site: Site, open_page: Callable[..., Page]) -> None:
    orders = [(ago, 100.0 - n, name) for n, name in enumerate(HOSTILE) for ago in range(5, 800, 20)]
    site.sell(*orders)
    page = open_page("/explore?metric=orders.revenue&by=country&table=open")
    expect(names(page, "country")).to_have_count(8)
    shown = names(page, "country").all_inner_texts()
    assert shown[:5] == [
        "<img src=x onerror=alert(1)>",
        "javascript:alert(1)",
        "=cmd|' /C calc'!A0",
        "agnp.exe",
        "two lines",
    ]
    assert all(len(text) <= 80 for text in shown)
    expect(page.locator("#table thead th").nth(1)).to_have_text("<img src=x onerror=alert(1)>")
    for name in HOSTILE:
        before = search(page)
        names(page, "country").nth(HOSTILE.index(name)).click(modifiers=["Control"])
        expect(chips(page)).to_have_count(1)
        page.wait_for_function("(before) => decodeURIComponent(location.search) !== before", arg=before)
        page.wait_for_function("() => window.tallyboard.chart.watch === window.tallyboard.search()")
        assert parse(str(page.evaluate(SEARCH)))[0].where[0].values == (name,)
        expect(board(page, "country").locator("button[aria-pressed=true]")).to_have_count(1)
    assert (
        page.locator("#explore :is(img, script, b):not(.mantine-Select-root *), #leaders a, #chips a, #table a").count()
        == 0
    )
    csv_text = page.request.get(site.url + str(page.locator("#csv").get_attribute("href"))).text()
    assert csv_text.startswith("Time (UTC),")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("#table thead th")).to_have_count(8)
    href = str(page.locator("#csv").get_attribute("href"))
    head = next(csv.reader(io.StringIO(page.request.get(site.url + href).text())))
    assert "'=cmd|' /C calc'!A0" in head
    book = openpyxl.load_workbook(io.BytesIO(page.request.get(site.url + href.replace("=csv", "=xlsx")).body()))
    cells = [cell for line in book["Table"].iter_rows() for cell in line]
    assert all(cell.data_type != "f" and cell.hyperlink is None for cell in cells)


def test_on_a_phone(site: Site, open_page: Callable[..., Page]) -> None:
    sold(site)
    page = open_page(
        "/explore?metric=orders.revenue&by=country&table=open&where=country:NL",
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True,
    )  # fmt: skip
    expect(names(page, "product")).to_have_count(4)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    button = row(page, "channel", "web")
    assert (button.bounding_box() or {"height": 0})["height"] >= 44
    button.tap()
    expect(chips(page)).to_have_text(["channel: web", "country: NL"])
    board(page, "country").get_by_role("button", name="More for DE").tap()
    page.get_by_role("menuitem", name="Only", exact=True).tap()
    expect(chips(page)).to_have_text(["channel: web", "country: DE"])
