"""What every page must be: readable in both themes and on a phone, free of barriers, deaf to hostile names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import chart_drawn, ticks
from tests.counted import DELAY, REVENUE
from tests.site import NOON, Site

pytestmark = pytest.mark.browser

PAGES = (
    "/",
    "/explore?metric=orders.revenue&by=country&where=country:NL",
    "/explore?metric=orders.revenue&where=!country:DE&open=country&sort=change&table=open",
)
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<a href=https://evil.example/>click</a>",
    "javascript:alert(1)",
    "</span><b>bold</b>",
    "a\u202egnp.exe",
    "x" * 2_000,
    "tab\tand\nline",
    "&amp; \"quoted\" 'too'",
    "",
)
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def lively(site: Site) -> None:
    site.sell(*[(ago, 5.0 + n, name) for ago in range(5, 900, 10) for n, name in enumerate(("NL", "DE", "FR"))])
    site.counted.add(DELAY, [(NOON - s * 1000, 10.0 + s % 7, {"carrier": "UA"}) for s in range(1, 600, 5)])


def barriers(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {n['html'][:160]}" for v in found for n in v["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_no_barriers(site: Site, open_page: Callable[..., Page], path: str, scheme: str) -> None:
    lively(site)
    page = open_page(path, color_scheme=scheme)
    if path != "/":
        chart_drawn(page)
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", scheme)
    assert barriers(page) == []


def test_no_barriers_while_waiting_and_in_the_help(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("/")
    assert barriers(page) == []
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert barriers(page) == []


@pytest.mark.parametrize("lag_ms", [400, 60_000])
@pytest.mark.parametrize("path", PAGES)
def test_a_phone_does_not_scroll_sideways(site: Site, open_page: Callable[..., Page], path: str, lag_ms: int) -> None:
    lively(site)
    page = open_page(path, **PHONE)
    if path != "/":
        chart_drawn(page)
    site.fall_behind(lag_ms)
    ticks(page, 3)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    top = page.locator(".tb-value").first.bounding_box()
    assert top is not None
    assert top["y"] < 844


def test_the_theme_follows_the_system_until_it_is_chosen(site: Site, open_page: Callable[..., Page]) -> None:
    lively(site)
    page = open_page("/explore?metric=orders.revenue", color_scheme="dark")
    chart_drawn(page)
    strokes = "() => [...document.querySelectorAll('#plot .js-line')].map((line) => getComputedStyle(line).stroke)"
    background = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(15, 18, 22)"
    assert "rgb(110, 168, 255)" in page.evaluate(strokes)
    page.locator("#theme").click()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "light")
    page.wait_for_function(f"() => ({strokes})().includes('rgb(31, 95, 208)')")
    assert page.evaluate(background) == "rgb(246, 247, 249)"
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "light")


def test_hostile_names_are_only_text(site: Site, open_page: Callable[..., Page]) -> None:
    site.sell(*[(ago, 100.0 - n, name) for n, name in enumerate(HOSTILE) for ago in range(5, 800, 20)])
    page = open_page("/explore?metric=orders.revenue&by=country")
    chart_drawn(page)
    rows = page.locator("#leaders .tb-row-name")
    expect(rows).to_have_count(8)
    shown = rows.all_inner_texts()
    assert shown[0] == "<img src=x onerror=alert(1)>"
    assert shown[5] == "agnp.exe"
    assert all(len(text) <= 80 for text in shown)
    assert page.locator("#plot a, #plot img, #leaders img, #leaders a, #leaders b, #leaders script").count() == 0
    expect(page.locator("#plot .annotation-text").first).to_have_text("<img src=x one…")
    page.locator("#plot").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tip .tb-tip-name").first).to_have_text("<img src=x onerror=alert(1)>")
    page.get_by_role("button", name="<script>alert(1)</script>", exact=True).click()
    expect(page.locator("#chips .tb-filter-name")).to_have_text("country: <script>alert(1)</script>")
    page.reload()
    expect(page.locator("#chips .tb-filter-name")).to_have_text("country: <script>alert(1)</script>")


def test_keys(site: Site, open_page: Callable[..., Page]) -> None:
    lively(site)
    page = open_page("/")
    page.locator("#window").wait_for()  # numbers may come before the controls are there
    page.keyboard.press("2")
    expect(page.locator("#tiles .tb-measure").first).to_contain_text("5 min")
    page.keyboard.press("g")
    page.keyboard.press("e")
    page.locator("#chart-number .tb-value").wait_for()
    page.keyboard.press("1")
    expect(page.locator("#chart-title")).to_have_text(REVENUE.name)
    expect(page.locator("#chart-measure")).to_contain_text("last 5 min")
    page.keyboard.press("Space")
    expect(page.locator("#live")).to_have_attribute("data-state", "paused")
    value = page.locator("#chart-number .tb-value").inner_text()
    site.sell((1, 900.0, "NL"))
    ticks(page, 3)
    expect(page.locator("#chart-number .tb-value")).to_have_text(value)
    page.keyboard.press("Space")
    expect(page.locator("#chart-number .tb-value")).not_to_have_text(value)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_only_the_keyboard_gets_from_the_top_to_a_chart(site: Site, open_page: Callable[..., Page]) -> None:
    lively(site)
    page = open_page("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the numbers")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.classList.contains('tb-card')"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#chart-title")).to_have_text(REVENUE.name)
