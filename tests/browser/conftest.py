"""A dashboard in this process on a free port, over the read model in memory, and pages that watch themselves."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page

from dashboard import api
from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from tests.counted import DELAY, REVENUE, Counted

DEADLINE_S = 20.0
INGEST = "http://127.0.0.1:18080"
NOON = 1_795_435_200_000  # 23 Nov 2026, 12:00:00 UTC
WATCH_POLICY = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (e) => {
  window.violations.push(e.violatedDirective + ' ' + e.blockedURI);
});
"""


class Site:
    """A running dashboard over a real read model; the clock stands at noon unless `moving`."""

    def __init__(self, folder: Path, tick_ms: int = 200) -> None:
        self.now_ms = NOON
        self.moving = False
        self._began = time.monotonic()
        self.counted = Counted(folder, REVENUE, DELAY)
        self.counted.known_until(NOON - 400)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.settings = DashboardSettings(port=self.port, tick_ms=tick_ms, ingest_url=INGEST)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def clock(self) -> int:
        passed = int((time.monotonic() - self._began) * 1000) if self.moving else 0
        return self.now_ms + passed

    def start(self) -> None:
        routers = (api.router(self.counted.model, self.clock),)
        app = create_app(self.counted.model, self.settings, clock=self.clock, routers=routers)
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_config=None, timeout_graceful_shutdown=1, ws="websockets-sansio"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=asyncio.run, args=(self._server.serve(),), daemon=True)
        self._thread.start()
        wait_until(lambda: self._server is not None and self._server.started, "the server listens")

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(DEADLINE_S)
        self._server = self._thread = None

    def fall_behind(self, lag_ms: int) -> None:
        """Time goes on and the read model does not, until it lags so far."""
        self.now_ms = NOON - 400 + lag_ms

    def close(self) -> None:
        self.stop()
        self.counted.close()

    def sell(self, *orders: tuple[int, float, str]) -> None:
        """Orders of (seconds before now, euros, country)."""
        now = self.clock()
        self.counted.add(REVENUE, [(now - ago * 1000, euros, {"country": where}) for ago, euros, where in orders])


def wait_until(condition: Callable[[], bool], words: str) -> None:
    """Polls until the condition holds; fails with the words after a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE_S:.0f} s: {words}")
        time.sleep(0.02)


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

    def open_(path: str = "/", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.add_init_script(WATCH_POLICY)
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
