"""The dashboard behind a reverse proxy, under a path: every address leads back through the proxy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from dashboard.access import Keys
from dashboard.api import router
from dashboard.app import create_app
from dashboard.pages.shell import PAGES
from dashboard.proxied import Forwarded, below
from dashboard.reference import reference_router
from dashboard.settings import OWN, DashboardSettings, base_path
from tests.counted import Counted
from tests.integration.test_sign_in import PAGE, READ, ring, sign_in
from tests.reverse_proxy import ReverseProxy
from tests.site import Site

BASE = "/tally/a-b"
ASSETS = Path(__file__).parents[2] / "dashboard" / "assets"


class Behind:
    """A site with keys behind a proxy."""

    def __init__(self, folder: Path, proxy: dict[str, Any], **settings: Any) -> None:
        self.site = Site(folder, Keys(ring()), tick_ms=50, base_path=BASE, **settings)
        self.site.start()
        self.site.sell((1, 3.0, "NL"))
        self.proxy = ReverseProxy(self.site.port, BASE, **proxy)
        self.proxy.start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.origin)

    def close(self) -> None:
        self.proxy.close()
        self.site.close()


@pytest.fixture(params=[True, False], ids=["stripped", "not stripped"])
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    found = Behind(tmp_path, {"strips": request.param})
    yield found
    found.close()


def post_key(client: httpx.Client, origin: str, following: str = "/", **headers: str) -> httpx.Response:
    fields = {"key": READ.text, "next": following}
    return client.post(f"{BASE}/sign-in", data=fields, headers={"origin": origin, **headers})


def test_a_browser_finds_its_way_under_the_path(behind: Behind) -> None:
    with behind.client() as client:
        asked = client.get(f"{BASE}/explore?metric=a", headers=PAGE)
        assert asked.status_code == 401
        assert f'action="{BASE}/sign-in"' in asked.text
        assert 'name="next" value="/explore?metric=a"' in asked.text
        entered = post_key(client, behind.origin, "/explore?metric=a")
        assert entered.headers["location"] == f"{BASE}/explore?metric=a"
        assert f"Path={BASE};" in entered.headers["set-cookie"]

        for path in (BASE, f"{BASE}/", f"{BASE}/explore"):
            page = client.get(path, headers=PAGE)
            assert f'data-base="{BASE}"' in page.text
            mine = re.findall(r'(?:src|href|data-plotly)="([^"#]*)"', page.text)
            assert len(mine) > 20
            assert all(address.startswith(BASE + "/") for address in mine), mine
            assert json.loads(re.findall(r'"requests_pathname_prefix":("[^"]*")', page.text)[0]) == BASE + "/"
        for address in mine:
            assert client.get(address.replace("&amp;", "&")).status_code == 200, address
        assert client.get(f"{BASE}/api/v1/catalogue").json()["metrics"][0]["name"] == "orders.revenue"
        assert client.get(f"{BASE}/_dash-layout").status_code == 200
        left = client.post(f"{BASE}/sign-out", headers={"origin": behind.origin})
        assert left.headers["location"] == f"{BASE}/sign-in"
        assert f"Path={BASE};" in left.headers["set-cookie"]
        assert client.get(f"{BASE}/api/v1/catalogue").status_code == 401


def test_the_push_passes_the_proxy_with_its_cookie_only(behind: Behind) -> None:
    address = f"ws://127.0.0.1:{behind.proxy.port}{BASE}/live"
    with behind.client() as client:
        cookie = post_key(client, behind.origin).headers["set-cookie"].partition(";")[0]
    with pytest.raises(InvalidStatus) as refused:
        connect(address, origin=Origin(behind.origin))
    assert refused.value.response.status_code == 401
    with connect(address, origin=Origin(behind.origin), additional_headers={"Cookie": cookie}) as socket:
        assert json.loads(socket.recv(10))["freshness"]


def test_programs_may_ask_without_the_path_too(behind: Behind) -> None:
    for base in ("", BASE):
        assert httpx.get(behind.site.url + base + "/health/ready").status_code == 200
        assert httpx.get(behind.site.url + base + "/api/v1/catalogue").status_code == 401


# --- what a proxy says of a request -------------------------------------------------------------------------------


def test_what_strangers_say_of_themselves_is_not_believed(tmp_path: Path) -> None:
    site = Site(tmp_path, Keys(ring()))
    site.start()
    claims = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "10.0.0.9"}
    with httpx.Client(base_url=site.url) as client:
        assert "secure" not in sign_in(client, READ, **claims).headers["set-cookie"].lower()
        assert sign_in(client, READ, **claims, origin="http://evil.example").status_code == 403
        for n in range(11):
            claims["X-Forwarded-For"] = f"10.0.0.{n}"
            slowed = sign_in(client, "tb_wrong", **claims)
        assert slowed.status_code == 429
    site.close()


def test_what_a_named_proxy_says_holds(tmp_path: Path) -> None:
    says = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "board.example", "X-Forwarded-For": "203.0.113.7"}
    proxy = {"strips": True, "keeps_host": False, "says": says}
    behind = Behind(tmp_path, proxy, hosts=("board.example",), trusted_proxies=("127.0.0.0/8",))
    origin = "https://board.example"
    with behind.client() as client:
        entered = post_key(client, origin)
        assert entered.status_code == 303
        assert "secure" in entered.headers["set-cookie"].lower()
        assert post_key(client, "https://evil.example").status_code == 403
    cookie = entered.headers["set-cookie"].partition(";")[0]
    address = f"ws://127.0.0.1:{behind.proxy.port}{BASE}/live"
    with connect(address, origin=Origin(origin), additional_headers={"Cookie": cookie}) as socket:
        assert socket.recv(10)
    behind.close()


def test_a_host_that_a_proxy_names_has_to_be_known(tmp_path: Path) -> None:
    behind = Behind(tmp_path, {"says": {"X-Forwarded-Host": "evil.example"}}, trusted_proxies=("127.0.0.1",))
    with behind.client() as client:
        assert client.get(f"{BASE}/sign-in").status_code == 421
    behind.close()


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.1.2.3", "203.0.113.7", "203.0.113.7"),
        ("10.1.2.3", "6.6.6.6, 203.0.113.7, 10.0.0.8", "203.0.113.7"),
        ("::ffff:10.1.2.3", "203.0.113.7", "203.0.113.7"),
        ("10.1.2.3", "2001:db8::1", "2001:db8::1"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "203.0.113.7, unknown", "10.1.2.3"),
        ("10.1.2.3", "10.0.0.1, 10.0.0.2", "10.1.2.3"),
        ("11.1.2.3", "203.0.113.7", "11.1.2.3"),
        ("testclient", "203.0.113.7", "testclient"),
    ],
)
async def test_the_client_is_the_nearest_that_is_no_proxy(peer: str, forwarded: str, client: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["client"][0])

    headers = [(b"x-forwarded-for", forwarded.encode())]
    scope: Any = {"type": "http", "client": (peer, 1), "headers": headers, "scheme": "http"}
    await Forwarded(app, ["10.0.0.0/8"])(scope, None, None)  # type: ignore[arg-type]
    assert seen == [client]


# --- the path -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "base"), [("", ""), ("/", ""), ("/tally", "/tally"), ("/a/b.c/", "/a/b.c")])
def test_a_path_in_front(given: str, base: str) -> None:
    assert base_path(given) == base


@pytest.mark.parametrize(
    "given", ["tally", "/a//b", "/a/../b", "//evil", "/a b", "/ä", "/a?b", "/" + "x" * 300, "/API"]
)
def test_a_path_that_is_none(given: str) -> None:
    with pytest.raises(ValueError, match=r"expected|itself"):
        base_path(given)


@pytest.mark.parametrize(
    ("path", "own"), [("/t", "/"), ("/t/", "/"), ("/t/explore", "/explore"), ("/tt", "/tt"), ("/x/t", "/x/t")]
)
def test_the_path_is_taken_off_once(path: str, own: str) -> None:
    assert below("/t", path) == own
    assert below("", path) == path


def test_no_address_of_ours_looks_like_a_path_in_front(tmp_path: Path) -> None:
    counted = Counted(tmp_path)
    app = create_app(counted.model, DashboardSettings(), routers=(router(counted.model, lambda: 0), reference_router()))
    counted.close()
    routes = [
        one for route in app.routes for one in getattr(getattr(route, "original_router", None), "routes", [route])
    ]
    first = {str(getattr(route, "path", "/")).split("/")[1] for route in routes}
    assert {"api", "live", "sign-in"} <= {name for name in first if name[:1].isalpha()} <= OWN
    assert {page.split("/")[1] for page in PAGES if page != "/"} <= OWN


def test_scripts_know_addresses_from_one_place_only() -> None:
    """`tb.at`, `tb.path` and `tb.url` of bus.js: what is written elsewhere would lead past the proxy's path."""
    for path in ASSETS.glob("*.js"):
        if path.name in ("bus.js", "head.js"):
            continue
        text = path.read_text()
        assert not re.search(r"location\.(pathname|origin|host\b|hostname)", text), path.name
        asked = re.findall(r"(\S{0,8})['\"`]/(?:api|live|session|sign-|assets)", text)
        assert all(before.endswith(("tb.at(", "tb.url(")) for before in asked), path.name
        assert not re.search(r"new (WebSocket|URL|EventSource)\((?!tb\.)", text), path.name
