"""Connections over real sockets: how long they may take, how many there may be, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from ingest.connection import HttpLimits
from ingest.settings import IngestSettings
from tests.ingest_server import IngestServer, ThreadedServer, serving, serving_app
from tests.raw_http import chunked, request, talk

EVENT = '{"metric":"orders","value":1}'
HASTY = HttpLimits(connections=20, head_s=0.4, idle_s=0.8, stall_s=0.4, linger_s=0.5, write_s=0.8)
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def hasty() -> Iterator[IngestServer]:
    with serving(IngestSettings(), limits=HASTY) as server:
        yield server


@pytest.fixture(scope="module")
def patient() -> Iterator[IngestServer]:
    with serving(IngestSettings()) as server:
        yield server


async def test_a_head_that_does_not_arrive_is_408(hasty: IngestServer) -> None:
    heard = await talk(hasty.port, b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n")
    assert (heard.answer.status, heard.answer.json["code"], heard.closed) == (408, "head_timeout", True)


async def test_a_head_that_drips_is_408(hasty: IngestServer) -> None:
    drops = [b"GET / HTTP/1.1\r\n", *(b"X-%d: 1\r\n" % number for number in range(100))]
    heard = await talk(hasty.port, drops)
    assert (heard.answer.status, heard.closed) == (408, True)


async def test_a_connection_that_says_nothing_is_closed_without_a_word(hasty: IngestServer) -> None:
    heard = await talk(hasty.port, b"")
    assert (heard.answers, heard.closed) == ([], True)


async def test_an_idle_connection_is_kept_and_then_closed(hasty: IngestServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    async with asyncio.timeout(10):
        for _ in range(2):
            writer.write(HEALTH)
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            assert b"true" in await reader.read(1_000)
            await asyncio.sleep(0.3)  # less than it may be idle
        assert await reader.read() == b""
    writer.close()


async def test_a_body_that_stalls_after_its_answer_ends_the_connection(hasty: IngestServer) -> None:
    heard = await talk(hasty.port, request(EVENT, "text/plain", length=1_000), answers=2)
    assert (heard.statuses, heard.closed) == ([415], True)


async def test_connections_have_a_number() -> None:
    with serving(IngestSettings(), limits=HttpLimits(connections=3)) as server:
        async with asyncio.timeout(20):
            held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
            for reader, writer in held:
                writer.write(HEALTH)
                assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            heard = await talk(server.port, request(EVENT))
            assert (heard.answer.status, heard.answer.json["code"], heard.closed) == (503, "busy", True)
            assert heard.answer.headers["retry-after"] == "1"
            for _, writer in held:
                writer.close()
            while (await talk(server.port, request(EVENT))).answer.status != 202:
                await asyncio.sleep(0.05)


async def test_pipelined_requests_are_answered_in_order(patient: IngestServer) -> None:
    raw = request(EVENT) + HEALTH + request("{") + request(EVENT)
    assert (await talk(patient.port, raw, answers=4)).statuses == [202, 200, 400, 202]


@pytest.mark.parametrize("behind", [b"junk\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 50_000 + b"\r\n\r\n"])
async def test_what_is_no_request_is_answered_after_those_before_it(patient: IngestServer, behind: bytes) -> None:
    heard = await talk(patient.port, request(EVENT) * 3 + behind, answers=5)
    assert heard.statuses[:3] == [202, 202, 202]
    assert heard.statuses[3:] in ([400], [431])
    assert heard.closed


async def test_a_bad_body_behind_others_is_answered_in_its_turn(patient: IngestServer) -> None:
    heard = await talk(patient.port, request(EVENT) * 2 + chunked([]).replace(b"\r\n0\r\n", b"\r\nzz\r\n"), answers=4)
    assert (heard.statuses, heard.closed) == ([202, 202, 400], True)


async def test_pipelines_have_a_length(patient: IngestServer) -> None:
    heard = await talk(patient.port, HEALTH * 500, answers=500)
    assert heard.statuses[-1] == 503
    assert set(heard.statuses[:-1]) == {200}
    assert heard.closed
    assert len(heard.statuses) >= 64


async def test_a_client_that_has_said_all_gets_its_answers(patient: IngestServer) -> None:
    heard = await talk(patient.port, request(EVENT) * 2, finish=True, answers=3)
    assert (heard.statuses, heard.closed) == ([202, 202], True)


async def test_a_client_that_ends_in_the_middle_of_a_head_is_not_answered(patient: IngestServer) -> None:
    heard = await talk(patient.port, b"POST /v1/events HTT", finish=True)
    assert (heard.statuses, heard.closed) == ([], True)


async def test_an_upgrade_that_is_not_taken_is_an_ordinary_request(patient: IngestServer) -> None:
    upgrade = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
    raw = request(EVENT, headers=upgrade)
    bare = HEALTH[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    parts = chunked([EVENT.encode()], *upgrade)
    requests = [raw, bare, parts, raw, raw[:-5], raw[-5:], HEALTH]
    expected = [202, 200, 202, 202, 202, 200]
    assert (await talk(patient.port, b"".join(requests), answers=6)).statuses == expected
    assert (await talk(patient.port, requests, answers=6)).statuses == expected


async def test_trailers_are_no_headers(patient: IngestServer) -> None:
    raw = chunked([EVENT.encode()])[:-2] + b"Content-Encoding: br\r\nContent-Type: text/plain\r\n\r\n"
    assert (await talk(patient.port, raw)).answer.status == 202
    endless = chunked([EVENT.encode()])[:-2] + b"X: y\r\n" * 10_000
    heard = await talk(patient.port, endless)
    assert (heard.answer.status, heard.closed) == (431, True)


async def test_a_body_behind_an_early_answer_is_read_over(patient: IngestServer) -> None:
    raw = request(EVENT, "text/plain")
    parts = [raw[:-10], raw[-10:], request(EVENT)]
    assert (await talk(patient.port, parts, answers=2)).statuses == [415, 202]


async def test_who_was_told_to_go_on_keeps_the_connection(patient: IngestServer) -> None:
    raw = request(headers=[("Expect", "100-continue")], length=len(EVENT))
    heard = await talk(patient.port, [raw, EVENT.encode(), HEALTH], answers=2)
    assert (heard.interim, heard.statuses, heard.closed) == ([100], [202, 200], False)
    old = raw.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await talk(patient.port, [old, EVENT.encode()])).interim == []


LARGE = b" " * 40_000_000


def test_clients_that_send_before_they_read_see_the_413(patient: IngestServer, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{patient.port}/v1/events"
    with httpx.Client(trust_env=False, timeout=20) as client:
        assert client.post(url, content=LARGE, headers={"Content-Type": "application/json"}).status_code == 413
        parts = (LARGE[:100_000] for _ in range(400))
        assert client.post(url, content=parts, headers={"Content-Type": "application/json"}).status_code == 413
    plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(url, LARGE, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as error:
        plain.open(asked, timeout=20)
    assert error.value.code == 413
    error.value.close()
    if (curl := shutil.which("curl")) is not None:
        (tmp_path / "large").write_bytes(LARGE)
        command = [curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "-m", "20"]
        command += ["-H", "Content-Type: application/json", "--data-binary", f"@{tmp_path / 'large'}", url]
        assert subprocess.run(command, capture_output=True, check=False).stdout == b"413"


# An application that does as its path says; the write side has limits of its own.


async def odd(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return
    match scope["path"]:
        case "/read":
            while (await receive()).get("more_body", False):
                pass
        case "/hang":
            await asyncio.sleep(60)
        case "/pour":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(100):
                await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})
            return
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@contextlib.contextmanager
def odd_server() -> Iterator[ThreadedServer]:
    with serving_app(odd, HASTY) as server:
        yield server


async def test_a_body_that_stalls_is_408() -> None:
    with odd_server() as server:
        heard = await talk(server.port, [request(b"x" * 10, path="/read", length=100)])
        assert (heard.answer.status, heard.answer.json["code"], heard.closed) == (408, "body_timeout", True)
        drip = [request(b"", path="/read", length=50), *(b"x" for _ in range(50))]
        assert (await talk(server.port, drip)).answer.status == 204


async def test_a_client_that_takes_nothing_is_let_go() -> None:
    with odd_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.write(b"GET /pour HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            while not server.server.server_state.connections:
                await asyncio.sleep(0.01)
            while server.server.server_state.connections:
                await asyncio.sleep(0.05)
        assert not reader.at_eof()
        writer.transport.abort()


async def test_the_end_of_the_server_is_503_and_never_500() -> None:
    with odd_server() as server:
        hanging = asyncio.create_task(talk(server.port, request(path="/hang")))
        half = asyncio.create_task(talk(server.port, b"GET /read HTTP/1.1\r\nHost"))
        async with asyncio.timeout(10):
            while sum(bool(each._requests) for each in server.server._http_connections()) < 2:
                await asyncio.sleep(0.005)
        server.server.stop()
        for heard in await asyncio.gather(hanging, half):
            assert (heard.answer.status, heard.answer.json["code"], heard.closed) == (503, "draining", True)


async def test_the_application_hears_of_what_is_refused_without_it() -> None:
    with odd_server() as server:
        await talk(server.port, b"junk\r\n\r\n")
        assert [problem.code for problem in server.refused] == ["bad_request"]
