"""Annotations in Chromium: added, changed, removed, seen by everybody, by mouse and by keyboard, inert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.site import NOON, Site

pytestmark = pytest.mark.browser

HOURLY = "/explore?metric=orders.revenue&from=-60m"
MINUTE = 60_000
HOSTILE = ["<img src=x onerror=alert(1)>", "javascript:alert(1)", "\u202egnp.exe <b>x</b>", "W" * 500]


@pytest.fixture
def shop(site: Site) -> Site:
    site.sell(*[(ago, 5.0, "NL") for ago in range(10, 3600, 10)])
    return site


def say(site: Site, text: str, ago: int, **fields: Any) -> None:
    """Adds an annotation of so many minutes ago by the API."""
    said = {"text": text, "at": NOON - ago * MINUTE, **fields}
    answer = httpx.post(f"{site.url}/api/v1/annotations", json=said, trust_env=False, timeout=20)
    assert answer.status_code == 201, answer.text


def row(page: Page, text: str) -> Any:
    return page.locator("#notes .tb-note-row").filter(has_text=text)


def flags(page: Page) -> Any:
    return page.locator("#plot .annotation-text-g")


def kept(site: Site) -> list[tuple[int, int | None, str, str | None]]:
    return [(one.at_ms, one.end_ms, one.text, one.metric) for one in site.noted.annotations.all]


def test_what_one_page_says_another_shows_at_once(shop: Site, open_page: Callable[..., Page]) -> None:
    here = open_page(HOURLY + "&timezone=Europe%2FAmsterdam")
    there = open_page(HOURLY)
    here.locator("#plot .xtick").first.wait_for(state="attached")
    here.locator("#annotate").click()
    editor = here.locator("#note-editor")
    expect(editor).to_be_visible()
    here.get_by_label("Text").fill("Version 7 went out")
    expect(here.get_by_label("Time", exact=True)).to_have_value("2026-11-23T13:00")
    here.get_by_label("Time", exact=True).fill("2026-11-23T12:30:10")
    here.get_by_label("Until").fill("2026-11-23T12:40:00")
    here.get_by_role("button", name="Save").click()
    expect(editor).to_be_hidden()
    assert kept(shop) == [(NOON - 30 * MINUTE + 10_000, NOON - 20 * MINUTE, "Version 7 went out", "orders.revenue")]
    expect(row(there, "Version 7 went out")).to_be_visible()
    expect(flags(there)).to_have_count(1)
    flags(there).click()
    expect(there.locator("#note-editor")).to_be_visible()
    there.get_by_label("Text").fill("Version 7 was taken back")
    there.get_by_label("On every metric").check()
    there.get_by_role("button", name="Save").click()
    expect(row(here, "Version 7 was taken back")).to_be_visible()
    assert kept(shop) == [(NOON - 30 * MINUTE + 10_000, NOON - 20 * MINUTE, "Version 7 was taken back", None)]
    row(here, "Version 7").click()
    here.get_by_role("button", name="Remove").click()
    here.get_by_role("button", name="Really remove?").click()
    expect(there.locator("#notes")).to_be_hidden()
    expect(flags(there)).to_have_count(0)
    assert kept(shop) == []


def test_keys_are_enough(shop: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(HOURLY)
    page.locator("#plot .xtick").first.wait_for(state="attached")
    page.locator("#plot").focus()
    page.keyboard.press("Home")
    page.keyboard.press("m")
    page.keyboard.type("m is only a letter here")
    page.keyboard.press("Control+Enter")
    expect(row(page, "only a letter")).to_be_visible()
    (found,) = kept(shop)
    start = page.evaluate("() => window.tallyboard.chart.start_ms")
    assert found[0] == start
    row(page, "only a letter").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    page.keyboard.type(", still")
    page.keyboard.press("Escape")
    expect(page.locator("#note-editor")).to_be_hidden()
    assert row(page, "only a letter").evaluate("(e) => e === document.activeElement")
    assert kept(shop) == [found]


def test_a_mark_of_several_leads_to_the_list_and_another_metric_has_its_own(
    shop: Site, open_page: Callable[..., Page]
) -> None:
    for number in range(3):
        say(shop, f"close {number}", 20, id=f"c{number}")
    say(shop, "of flights", 30, metric="flights.delay")
    page = open_page(HOURLY)
    expect(flags(page)).to_have_text(["▾3"])
    expect(page.locator("#notes .tb-note-row")).to_have_count(3)
    flags(page).click()
    assert row(page, "close 0").evaluate("(e) => e === document.activeElement")
    expect(page.locator("#note-editor")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_texts_are_inert_and_everybody_can_use_it(
    shop: Site, open_page: Callable[..., Page], scheme: str
) -> None:
    for number, text in enumerate(HOSTILE):
        say(shop, text, 10 + 10 * number)
    page = open_page(HOURLY, color_scheme=scheme)
    expect(page.locator("#notes .tb-note-row")).to_have_count(len(HOSTILE))
    assert page.locator("#notes img, #notes b, #plot image").count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    row(page, "<img").click()
    expect(page.get_by_label("Text")).to_have_value(HOSTILE[0])
    found = Axe().run(page, context={"include": ["#note-editor"]})
    assert found.violations_count == 0, found.generate_report()
    page.keyboard.press("Escape")
    found = Axe().run(page, context={"include": ["#chart"]})
    assert found.violations_count == 0, found.generate_report()


def test_what_cannot_be_saved_says_so_and_keeps_the_words(shop: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(HOURLY, viewport={"width": 390, "height": 844})
    page.locator("#plot .xtick").first.wait_for(state="attached")
    page.locator("#annotate").click()
    editor = page.locator("#note-editor")
    box = editor.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.get_by_role("button", name="Save").click()
    expect(editor.get_by_role("alert")).to_have_text("Write what happened.")
    page.get_by_label("Text").fill("again")
    page.evaluate("() => { window.sent = window.fetch; window.fetch = () => Promise.reject(new Error('cut')); }")
    page.get_by_role("button", name="Save").click()
    expect(editor.get_by_role("alert")).to_have_text("The server cannot be reached.")
    page.evaluate("() => { window.fetch = window.sent; }")
    page.get_by_role("button", name="Save").click()
    expect(row(page, "again")).to_be_visible()
    expect(editor).to_be_hidden()
