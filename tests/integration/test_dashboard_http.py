"""What stands before every request: hosts, origins, headers, compression, addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    running = Site(tmp_path, tick_ms=20, hosts=("board.example",))
    running.start()
    yield running
    running.close()


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url) as found:
        yield found


@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost", "LOCALHOST:1", "[::1]:8050", "board.example:8050"])
def test_known_hosts_are_served(client: httpx.Client, host: str) -> None:
    assert client.get("/health/live", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example@localhost.evil.example",
        "evil@localhost",
        "",
        "[::1",
        "::1",
    ],
)
def test_unknown_hosts_are_refused(client: httpx.Client, host: str) -> None:
    answer = client.get("/health/live", headers={"host": host})
    assert answer.status_code == 421
    assert "content-security-policy" in answer.headers


def test_other_sites_cannot_change_anything(client: httpx.Client) -> None:
    body = {"output": "x", "inputs": []}
    assert (
        client.post("/_dash-update-component", json=body, headers={"origin": "http://evil.example"}).status_code == 403
    )
    assert client.post("/_dash-update-component", json=body, headers={"origin": "null"}).status_code == 403
    assert client.get("/health/live", headers={"origin": "http://evil.example"}).status_code == 200


def test_other_sites_get_no_push(site: Site) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{site.port}/live", origin=Origin("http://evil.example"))
    assert refused.value.response.status_code == 403


def test_the_own_page_gets_the_push(site: Site) -> None:
    with connect(f"ws://127.0.0.1:{site.port}/live", origin=Origin(site.url)) as socket:
        assert json.loads(socket.recv(5))["tiles"] == []
        socket.send('{"watch": "metric=none"}')
        messages = (json.loads(socket.recv(5)) for _ in range(100))
        assert next(m["chart"] for m in messages if "chart" in m)["watch"] == "metric=none"


@pytest.mark.parametrize("sent", ["nonsense", b"\x00\x01", "x" * 20_000])
def test_a_browser_that_talks_nonsense_is_let_go(site: Site, sent: str | bytes) -> None:
    with connect(f"ws://127.0.0.1:{site.port}/live") as socket:
        socket.send(sent)
        with pytest.raises(ConnectionClosed) as closed:
            read_on(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400


def read_on(socket: ClientConnection) -> None:
    for _ in range(1000):
        socket.recv(5)


def test_no_more_browsers_than_the_limit(tmp_path: Path) -> None:
    site = Site(tmp_path, max_browsers=1)
    site.start()
    with connect(f"ws://127.0.0.1:{site.port}/live") as first:
        first.recv(5)
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{site.port}/live")
    site.close()


def test_every_page_has_the_policy_with_the_hash_of_its_script(client: httpx.Client) -> None:
    for path in ("/", "/explore?metric=a", "/health/live", "/nope", "/api/nope"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "script-src 'self' 'sha256-jZlsGVOhUAIcH+4PVs7QuGZkthRMgvT2n0ilH6/zTM0=';" in policy


def test_pages_are_one_document_and_the_rest_is_not_found(client: httpx.Client) -> None:
    assert 'id="react-entry-point"' in client.get("/").text
    assert '<html lang="en">' in client.get("/explore?metric=a").text
    assert client.get("/explore").text.count('id="react-entry-point"') == 1
    assert client.get("/nope").status_code == 404
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = client.request(method, "/api/v1/nope")
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"


def test_health_and_metrics(client: httpx.Client) -> None:
    assert client.get("/health/ready").json() == {"role": "dashboard", "ready": True, "reasons": []}
    text = client.get("/metrics").text
    assert "tallyboard_dashboard_browsers 0.0" in text
    assert "tallyboard_dashboard_ready 1.0" in text


def test_versioned_assets_are_compressed_once_and_kept_by_browsers(client: httpx.Client) -> None:
    first = client.get("/assets/main.css?m=1")
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/assets/main.css?m=1").content == first.content
    assert "cache-control" not in client.get("/assets/main.css").headers
    plain = client.get("/assets/main.css?m=1", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == first.content
    assert client.get("/assets/none.css?m=1").status_code == 404
