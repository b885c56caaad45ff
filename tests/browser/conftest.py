"""Pages that watch themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.site import DEADLINE_S, Site

WATCH_POLICY = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (e) => {
  window.violations.push(e.violatedDirective + ' ' + e.blockedURI);
});
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    running = Site(tmp_path)
    running.start()
    yield running
    running.close()


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Opens pages; at the end none of them has broken the policy, logged an error or asked another host."""
    opened: list[tuple[BrowserContext, Page]] = []
    faults: list[str] = []
    asked: list[str] = []
    expect.set_options(timeout=DEADLINE_S * 1000)

    def open_(path: str = "/", script: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.add_init_script(WATCH_POLICY + script)
        page = context.new_page()
        page.set_default_timeout(DEADLINE_S * 1000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(f"error on the page: {error}"))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        opened.append((context, page))
        page.goto(site.url + path)
        page.locator("#live[data-state=live]").wait_for()
        return page

    yield open_
    for context, page in opened:
        assert page.evaluate("() => window.violations") == []
        context.close()
    expected = "WebSocket connection to"  # a server that was stopped on purpose
    assert [f for f in faults if expected not in f and "ERR_CONNECTION_REFUSED" not in f] == []
    assert [url for url in asked if not url.startswith((site.url, "data:", "blob:"))] == []


def ticks(page: Page, more: int) -> None:
    """Waits for so many further messages."""
    seen = page.evaluate("() => window.tallyboard.ticks")
    page.wait_for_function("(wanted) => window.tallyboard.ticks >= wanted", arg=seen + more)


def chart_drawn(page: Page) -> None:
    """Waits until plotly has drawn at least one line."""
    page.locator("#plot .scatterlayer .js-line").first.wait_for(state="attached")
