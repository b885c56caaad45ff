"""Signing in and out in Chromium, keys that end while a page is open, and the page behind a proxy."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from dashboard.access import Keys
from tests.browser.conftest import WATCH_POLICY, ticks
from tests.integration.test_sign_in import BOTH, READ, WRITE, revoke, ring
from tests.reverse_proxy import ReverseProxy
from tests.site import DEADLINE_S, Site

pytestmark = pytest.mark.browser
EXPLORE = "/explore?metric=orders.revenue&from=-1h&where=country:NL"
EXPECTED = ("WebSocket connection to", "status of 401", "status of 403")
"""What Chromium notes down of a key that is wrong or over."""
CURL = re.compile(r"curl -H \"Authorization: Bearer \$TALLYBOARD_KEY\" 'http://127\.0\.0\.1:\d+/tally/api/v1/query\?")


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Site]:
    running = Site(tmp_path, Keys(ring()), base_path="/tally")
    running.start()
    running.sell((5, 1000.0, "NL"), (70, 800.0, "NL"), (6, 5.0, "DE"))
    yield running
    running.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A page of a browser nobody signed in with; at the end it has broken no policy and logged no other error."""
    opened: list[Page] = []
    faults: list[str] = []
    expect.set_options(timeout=DEADLINE_S * 1000)

    def new(**options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})  # type: ignore[arg-type]
        context.add_init_script(WATCH_POLICY)
        page = context.new_page()
        page.set_default_timeout(DEADLINE_S * 1000)
        page.on("pageerror", lambda error: faults.append(f"error on the page: {error}"))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        opened.append(page)
        return page

    yield new
    for page in opened:
        assert page.evaluate("() => window.violations || []") == []
        page.context.close()
    assert [fault for fault in faults if not any(one in fault for one in EXPECTED)] == []


def enter(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()


def is_live(page: Page) -> None:
    page.locator("#live[data-state=live]").wait_for()


def test_a_link_opens_what_it_says_once_a_key_is_given(keyed: Site, new_page: Callable[..., Page]) -> None:
    page = new_page()
    page.goto(keyed.url + "/tally" + EXPLORE)
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    assert page.url == keyed.url + "/tally" + EXPLORE
    enter(page, "tb_wrong")
    expect(page.get_by_role("alert")).to_have_text("This is no valid key: unknown, expired or revoked.")
    enter(page, WRITE.text)
    expect(page.get_by_role("alert")).to_contain_text("may not read")
    enter(page, READ.text)
    is_live(page)
    assert page.url == keyed.url + "/tally" + EXPLORE
    expect(page.locator("#chips")).to_contain_text("NL")
    assert page.evaluate("() => document.cookie") == ""
    expect(page.locator("#copy-query")).to_have_attribute("data-copy", CURL)


def test_without_a_script_too(keyed: Site, new_page: Callable[..., Page]) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(keyed.url + "/tally/sign-in")
    enter(page, READ.text)
    page.wait_for_url(keyed.url + "/tally/")
    page.goto(keyed.url + "/tally/sign-in")
    expect(page.get_by_role("heading")).to_have_text("Signed in")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("Sign in")
    page.goto(keyed.url + "/tally/")
    expect(page.get_by_label("Key", exact=True)).to_be_visible()


def test_signing_out_ends_every_page_and_leaves_no_number(keyed: Site, new_page: Callable[..., Page]) -> None:
    page = new_page()
    page.goto(keyed.url + "/tally/")
    enter(page, READ.text)
    is_live(page)
    other = page.context.new_page()
    other.goto(keyed.url + "/tally" + EXPLORE)
    is_live(other)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(other.get_by_label("Key", exact=True)).to_be_visible()
    assert other.url == keyed.url + "/tally" + EXPLORE
    page.go_back()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    expect(page.locator(".tb-value")).to_have_count(0)


def test_a_key_that_is_revoked_closes_the_open_page(keyed: Site, new_page: Callable[..., Page]) -> None:
    page = new_page()
    page.goto(keyed.url + "/tally" + EXPLORE)
    enter(page, READ.text)
    is_live(page)
    revoke(keyed, READ)
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    assert page.url == keyed.url + "/tally" + EXPLORE
    enter(page, BOTH.text)
    is_live(page)
    assert page.url == keyed.url + "/tally" + EXPLORE


def test_a_click_on_another_site_leads_to_the_page(keyed: Site, new_page: Callable[..., Page]) -> None:
    """The cookie stays behind on the first step: it is a strict one."""
    target = keyed.url + "/tally" + EXPLORE

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(
                f'<link rel="icon" href="data:,"><a href="{target.replace("&", "&amp;")}">there</a>'.encode()
            )

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = new_page()
    page.goto(keyed.url + "/tally/")
    enter(page, READ.text)
    is_live(page)
    page.goto(f"http://localhost:{server.server_port}/")
    page.get_by_role("link", name="there").click()
    is_live(page)
    assert page.url == target
    page.context.clear_cookies()
    page.goto(f"http://localhost:{server.server_port}/")
    page.get_by_role("link", name="there").click()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("strips", [True, False], ids=["stripped", "not stripped"])
def test_behind_a_proxy(keyed: Site, new_page: Callable[..., Page], strips: bool) -> None:
    proxy = ReverseProxy(keyed.port, "/tally", strips=strips)
    proxy.start()
    page = new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.goto(proxy.url + "/")
    enter(page, READ.text)
    is_live(page)
    tile = page.locator("#tiles a").filter(has_text="orders.revenue")
    expect(tile.locator(".tb-value")).to_have_text("€1,005")
    keyed.sell((1, 245.0, "NL"))
    expect(tile.locator(".tb-value")).to_have_text("€1,250")
    tile.click()
    page.wait_for_url(lambda url: url.startswith(proxy.url + "/explore?metric=orders.revenue"))
    page.locator("#plot .scatterlayer .js-line").first.wait_for(state="attached")
    ticks(page, 2)
    expect(page.locator(".tb-nav a[aria-current]")).to_have_text("Explore")
    page.get_by_role("link", name="Overview").click()
    page.wait_for_url(proxy.url + "/")
    page.go_back()
    page.wait_for_url(lambda url: url.startswith(proxy.url + "/explore?"))
    page.reload()
    is_live(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    socket = proxy.url.replace("http", "ws") + "/live"
    assert socket in asked
    assert [url for url in asked if not url.startswith((proxy.url + "/", socket, "data:", "blob:"))] == []
    proxy.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_to_sign_in_is_readable(keyed: Site, new_page: Callable[..., Page], scheme: str) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": 390, "height": 844})
    page.goto(keyed.url + "/tally/")
    enter(page, "tb_wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
