"""The write endpoint over real sockets: what a client can send, and what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from backports import zstd

from ingest.app import create_app
from ingest.events import DecodedEvents, decode
from ingest.publish import MemoryPublisher, Message, Outcome
from ingest.registry import Registry
from ingest.role import Role
from ingest.service import HttpServer
from ingest.settings import IngestSettings
from tests.raw_http import Answer, read_answer

SETTINGS = IngestSettings(
    max_body_bytes=200_000, max_events=1_000, body_timeout_s=0.3, hosts=("localhost", "127.0.0.1")
)
EVENT = '{"metric":"orders","value":1}'
JSON = "application/json"
LINES = "application/x-ndjson"
CLOUDEVENTS = "application/cloudevents+json"
CLOUDEVENT = '{"specversion":"1.0","id":"1","source":"/shop","type":"orders","data":{"value":1}}'
LARGE = '{"metric":"orders","value":1,"note":"' + "x" * 65_536 + '"}'


class SlowLog(MemoryPublisher):
    """A log that acknowledges when `open` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()

    async def publish(self, messages: Any) -> list[Outcome]:
        await self.open.wait()
        return await super().publish(messages)


@dataclass
class Ingest:
    """A server on a free port, asked in raw bytes."""

    port: int
    role: Role
    log: SlowLog
    server: HttpServer

    async def exchange(self, raw: bytes, *, finish: bool = False) -> Answer:
        """Send bytes, read one answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            if finish:
                writer.write_eof()
            async with asyncio.timeout(10):
                return await read_answer(reader)
        finally:
            writer.close()

    async def post(
        self, body: str | bytes, content_type: str = JSON, path: str = "/v1/events", **headers: str
    ) -> Answer:
        payload = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        fields = {"Host": f"localhost:{self.port}", "Content-Type": content_type} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        fields = {"Content-Length": str(len(payload))} | fields
        head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items()) + "\r\n"
        return await self.exchange(head.encode() + payload)

    async def get(self, path: str, method: str = "GET") -> Answer:
        return await self.exchange(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())

    def records(self, topic: str) -> list[Message]:
        return [record for (name, _), records in self.log.records.items() if name == topic for record in records]

    def stored(self) -> int:
        batches = [decode(record.value) for record in self.records(SETTINGS.topics.events)]
        return sum(len(batch) for batch in batches if isinstance(batch, DecodedEvents))

    def ids(self) -> list[str | None]:
        batches = [decode(record.value) for record in self.records(SETTINGS.topics.events)]
        found: list[str | None] = []
        for batch in batches:
            assert isinstance(batch, DecodedEvents)
            found += [None] * len(batch) if batch.ids is None else batch.ids.to_pylist()
        return found

    def dead(self) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in self.records(SETTINGS.topics.rejected)]


@contextlib.asynccontextmanager
async def running(settings: IngestSettings = SETTINGS) -> AsyncIterator[Ingest]:
    log = SlowLog()
    app = create_app(settings, Registry(), log, lambda: time.time_ns() // 1_000_000)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    server = HttpServer(app, "127.0.0.1", port, ws="none")
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield Ingest(port, app.role, log, server)
    finally:
        server.stop()
        await task


@pytest.fixture
async def ingest() -> AsyncIterator[Ingest]:
    async with running() as server:
        yield server


async def test_accepted(ingest: Ingest) -> None:
    answer = await ingest.post(f"[{EVENT},{EVENT}]")
    assert answer.status == 202
    assert set(answer.json) == {"request_id", "accepted", "rejected", "errors", "position"}
    assert (answer.json["accepted"], answer.json["rejected"], answer.json["errors"]) == (2, 0, [])
    prefix, _, offsets = answer.json["position"].partition(";")
    assert prefix == "00000000"
    (pair,) = offsets.split(",")
    assert pair.split(":")[1] == "1"
    assert ingest.stored() == 2


@pytest.mark.parametrize(
    ("body", "content_type", "accepted", "rejected"),
    [
        (EVENT, JSON, 1, 0),
        (EVENT, "application/json; charset=utf-8", 1, 0),
        ("[]", JSON, 0, 0),
        ("\n\r\n", LINES, 0, 0),
        (f"{EVENT}\r\n\n{EVENT}", LINES, 2, 0),
        (f"{EVENT}\n{EVENT}\n", "application/jsonl", 2, 0),
        (f"{EVENT}\nbad\n{EVENT}", LINES, 2, 1),
        (f'[{EVENT},{{"metric":"orders","value":NaN}}]', JSON, 1, 1),
        (f'[{EVENT},{{"metric":"\ud800","value":1}}]', JSON, 1, 1),
        (f'[{EVENT},{{"metric":"\\ud800","value":1}}]', JSON, 1, 1),
        (f"[{EVENT},5]", JSON, 1, 1),
        (f"[{EVENT},{LARGE},{EVENT}]", JSON, 2, 1),
        (f"{EVENT}\n{LARGE}\n{EVENT}\n", LINES, 2, 1),
        (f"[{CLOUDEVENT},5]", "application/cloudevents-batch+json", 1, 1),
        (CLOUDEVENT, f"{CLOUDEVENTS}; charset=UTF-8", 1, 0),
    ],
    ids=range(15),
)
async def test_one_bad_event_spoils_nothing(
    ingest: Ingest, body: str, content_type: str, accepted: int, rejected: int
) -> None:
    answer = await ingest.post(body, content_type)
    assert answer.status == 202
    assert (answer.json["accepted"], answer.json["rejected"]) == (accepted, rejected)
    assert ingest.stored() == accepted
    assert sum(len(record["events"]) for record in ingest.dead()) == rejected


async def test_rejected_events_are_kept_whole(ingest: Ingest) -> None:
    body = '{"metric":"orders","value":true,"id":"a1","extra":[1,  2]}\nnot json\n' + EVENT
    answer = await ingest.post(body.encode() + b'\n{"metric":"\xff"}', LINES)
    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (202, 1, 3)
    first, second, third = answer.json["errors"]
    assert first == {
        "index": 0,
        "id": "a1",
        "field": "value",
        "code": "wrong_type",
        "message": first["message"],
    }
    assert (second["index"], second["code"], second["id"]) == (1, "malformed", None)
    assert (third["index"], third["code"]) == (3, "encoding")
    (record,) = ingest.dead()
    request_id = answer.json["request_id"]
    assert record["request_id"] == request_id
    assert [event["id"] for event in record["events"]] == [f"{request_id}/0", f"{request_id}/1", f"{request_id}/3"]
    assert record["events"][0]["event"] == {"metric": "orders", "value": True, "id": "a1", "extra": [1, 2]}
    assert record["events"][1]["text"] == "not json"
    assert "base64" in record["events"][2]


async def test_all_rejected(ingest: Ingest) -> None:
    answer = await ingest.post('[{"metric":"orders"},5]')
    assert answer.status == 422
    assert answer.headers["content-type"] == JSON
    assert (answer.json["accepted"], answer.json["rejected"]) == (0, 2)
    assert (await ingest.post('"text"')).status == 422
    assert len(ingest.dead()) == 2


PROBLEMS: list[tuple[str | bytes, str, dict[str, str], int, str]] = [
    ("", JSON, {}, 400, "empty_body"),
    ("{", JSON, {}, 400, "not_json"),
    (f"{EVENT}{EVENT}", JSON, {}, 400, "not_json"),
    ("[1,]", JSON, {}, 400, "not_json"),
    ('{"a":' + "[" * 90_000, JSON, {}, 400, "not_json"),
    ("\ufeff[]", JSON, {}, 400, "not_json"),
    (EVENT.encode("utf-16"), JSON, {}, 400, "not_json"),
    (EVENT, "", {}, 415, "content_type"),
    (EVENT, "text/plain", {}, 415, "content_type"),
    (EVENT, JSON, {"Content_Encoding": "br"}, 415, "content_encoding"),
    (EVENT, JSON, {"Content_Encoding": "gzip, gzip"}, 415, "content_encoding"),
    (EVENT, JSON, {"Content_Encoding": "gzip"}, 400, "not_gzip"),
    (gzip.compress(EVENT.encode())[:-4], JSON, {"Content_Encoding": "gzip"}, 400, "not_gzip"),
    (gzip.compress(EVENT.encode()) + b"junk", JSON, {"Content_Encoding": "gzip"}, 400, "not_gzip"),
    (gzip.compress(bytes(50_000_000)), JSON, {"Content_Encoding": "gzip"}, 413, "body_too_large"),
    (EVENT, JSON, {"Content_Encoding": "zstd, gzip"}, 415, "content_encoding"),
    (EVENT, JSON, {"Content_Encoding": "zstd"}, 400, "not_zstd"),
    (zstd.compress(EVENT.encode())[:-1], JSON, {"Content_Encoding": "zstd"}, 400, "not_zstd"),
    (zstd.compress(EVENT.encode()) + b"junk", JSON, {"Content_Encoding": "zstd"}, 400, "not_zstd"),
    (zstd.compress(bytes(50_000_000)), JSON, {"Content_Encoding": "zstd"}, 413, "body_too_large"),
    ("", CLOUDEVENTS, {}, 400, "empty_body"),
    (CLOUDEVENT, "application/cloudevents-batch+json", {}, 400, "not_json"),
    (EVENT, JSON, {"ce_id": "%C0%A0"}, 400, "invalid_header"),
    (EVENT, "application/cloudevents+avro", {}, 415, "content_type"),
    (EVENT, JSON, {"Idempotency_Key": "x" * 201}, 400, "invalid_idempotency_key"),
    (gzip.compress(b"") * 100, JSON, {"Content_Encoding": "gzip"}, 400, "not_gzip"),
    (" " * 200_001, JSON, {}, 413, "body_too_large"),
    ("[" + ",".join(["1"] * 1001) + "]", JSON, {}, 413, "too_many_events"),
    ("1\n" * 1001, LINES, {}, 413, "too_many_events"),
    ("\n" * 20_000, LINES, {}, 413, "too_many_events"),
    (EVENT, JSON, {"Host": "evil.example"}, 421, "unknown_host"),
    (EVENT, JSON, {"Origin": "http://evil.example"}, 403, "foreign_origin"),
    (EVENT, JSON, {"Origin": "null"}, 403, "foreign_origin"),
]


@pytest.mark.parametrize(("body", "content_type", "headers", "status", "code"), PROBLEMS, ids=range(len(PROBLEMS)))
async def test_requests_refused_as_a_whole(
    ingest: Ingest, body: str | bytes, content_type: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await ingest.post(body, content_type, **headers)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert len(answer.json["request_id"]) == 32
    assert not ingest.log.records


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/events", 405), ("PUT", "/v1/events", 405), ("POST", "/v1/events/", 404), ("GET", "/nothing", 404)],
)
async def test_other_paths_and_methods(ingest: Ingest, method: str, path: str, status: int) -> None:
    answer = await ingest.get(path, method)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


async def test_own_origin_and_gzip_are_welcome(ingest: Ingest) -> None:
    assert (await ingest.post(EVENT, Origin=f"http://localhost:{ingest.port}")).status == 202
    packed = gzip.compress(f"[{EVENT},".encode()) + gzip.compress(f"{EVENT}]".encode())
    answer = await ingest.post(packed, Content_Encoding="gzip")
    assert (answer.status, answer.json["accepted"]) == (202, 2)


async def test_host_header(ingest: Ingest) -> None:
    head = f"POST /v1/events HTTP/1.1\r\nContent-Type: {JSON}\r\nContent-Length: {len(EVENT)}\r\n"
    assert (await ingest.exchange(f"{head}\r\n{EVENT}".encode())).status == 400
    twice = f"{head}Host: localhost\r\nHost: evil\r\n\r\n{EVENT}"
    assert (await ingest.exchange(twice.encode())).status == 400
    assert (await ingest.exchange(f"{head}Host: LOCALHOST:1\r\n\r\n{EVENT}".encode())).status == 202


async def test_a_body_in_chunks(ingest: Ingest) -> None:
    head = f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = "".join(f"1\r\n{character}\r\n" for character in EVENT) + "0\r\n\r\n"
    assert (await ingest.exchange((head + chunks).encode())).status == 202
    endless = "".join(f"{50_000:x}\r\n{' ' * 50_000}\r\n" for _ in range(5))
    answer = await ingest.exchange((head + endless).encode())
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert (await ingest.exchange((head + "zz\r\nx\r\n").encode())).status == 400


async def test_a_large_body_arrives_whole() -> None:
    async with running(IngestSettings()) as ingest:
        events = [{"metric": "m", "value": i, "dimensions": {"a": "x" * 500}} for i in range(10_000)]
        answer = await ingest.post(json.dumps(events))
        assert (answer.status, answer.json["accepted"]) == (202, 10_000)
        assert ingest.stored() == 10_000


async def test_a_body_that_does_not_come(ingest: Ingest) -> None:
    head = f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: 500\r\n\r\n["
    answer = await ingest.exchange(head.encode())
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    _, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
    writer.write(head.encode())
    writer.close()
    assert (await ingest.post(EVENT)).status == 202


async def test_kafka_away_is_503_and_not_ready(ingest: Ingest) -> None:
    ingest.log.away = "nobody there"
    answer = await ingest.post(EVENT)
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    ready = await ingest.get("/health/ready")
    assert (ready.status, ready.json) == (
        503,
        {"role": "ingest", "ready": False, "reasons": ["nobody there"], "notices": {}},
    )
    assert (await ingest.get("/health/live")).status == 200
    ingest.log.away = None
    assert (await ingest.post(EVENT)).status == 202
    assert (await ingest.get("/health/ready")).json == {"role": "ingest", "ready": True, "reasons": [], "notices": {}}


async def test_a_full_queue_is_503() -> None:
    async with running(IngestSettings(queue_events=10)) as ingest:
        ingest.log.open.clear()
        first = asyncio.create_task(ingest.post(f"[{','.join([EVENT] * 10)}]"))
        async with asyncio.timeout(5):
            while not ingest.role.intake.commit.queued_events:
                await asyncio.sleep(0.01)
        refused = await ingest.post(EVENT)
        assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (503, "busy", "1")
        ingest.log.open.set()
        assert (await first).status == 202


async def test_draining_answers_what_is_open_and_refuses_the_rest(ingest: Ingest) -> None:
    ingest.log.open.clear()
    taken = asyncio.create_task(ingest.post(EVENT))
    head = f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: 500\r\n\r\n["
    async with asyncio.timeout(5):
        while not ingest.role.intake.commit.queued_events:
            await asyncio.sleep(0.01)
    ingest.role.drain()
    refused = await ingest.post(EVENT)
    assert (refused.status, refused.json["code"]) == (503, "draining")
    assert (await ingest.exchange(head.encode())).status == 503
    ingest.log.open.set()
    assert (await taken).status == 202
    assert (await ingest.get("/health/ready")).json["reasons"] == ["stopping"]


async def test_draining_does_not_wait_for_bodies_that_do_not_come() -> None:
    async with running(IngestSettings(body_timeout_s=60, drain_s=0.3)) as ingest:
        head = f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: 500\r\n\r\n["
        opened = asyncio.create_task(ingest.exchange(head.encode()))
        async with asyncio.timeout(5):
            while not ingest.role.bodies.open_bodies:
                await asyncio.sleep(0.01)
        ingest.role.drain()
        answer = await opened
        assert (answer.status, answer.json["code"]) == (503, "draining")


async def test_metrics_and_docs(ingest: Ingest) -> None:
    await ingest.post(f"[{EVENT},5]")
    await ingest.post("{")
    text = (await ingest.get("/metrics")).body.decode()
    assert "tallyboard_ingest_accepted_events_total 1.0" in text
    assert 'tallyboard_ingest_rejected_events_total{reason="not_an_object"} 1.0' in text
    assert 'tallyboard_ingest_requests_total{status="202"} 1.0' in text
    assert 'tallyboard_ingest_requests_total{status="400"} 1.0' in text
    assert "tallyboard_ingest_queue_events 0.0" in text
    page = await ingest.get("/docs")
    assert page.status == 200
    links = re.findall(rb"(?:src|href)=\"([^\"]*)", page.body)
    assert links
    assert all(link.startswith((b"#", b"/")) and not link.startswith(b"//") for link in links)
    document = (await ingest.get("/openapi.json")).json
    for path, methods in document["paths"].items():
        assert path.encode() in page.body
        for method, operation in methods.items():
            assert all(f"<dt>{status}</dt>".encode() in page.body for status in operation["responses"]), (path, method)


async def test_zstd_is_welcome(ingest: Ingest) -> None:
    packed = zstd.compress(f"[{EVENT},".encode()) + zstd.compress(f"{EVENT}]".encode())
    answer = await ingest.post(packed, Content_Encoding="zstd")
    assert (answer.status, answer.json["accepted"]) == (202, 2)
    refused = await ingest.post(packed, Content_Encoding="br")
    assert refused.headers["accept-encoding"] == "gzip, zstd, identity"


async def test_atomic(ingest: Ingest) -> None:
    path = "/v1/events?atomic=true"
    answer = await ingest.post(f"[{EVENT},{EVENT}]", path=path)
    assert (answer.status, answer.json["accepted"]) == (202, 2)
    answer = await ingest.post(f'[{EVENT},5,{{"metric":"","value":1}},{EVENT}]', path=path)
    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (422, 0, 4)
    assert [error["code"] for error in answer.json["errors"]] == ["atomic", "not_an_object", "metric_name", "atomic"]
    assert ingest.stored() == 2
    (record,) = ingest.dead()
    assert [letter["reason"] for letter in record["events"]] == ["atomic", "not_an_object", "metric_name", "atomic"]
    assert record["events"][0]["event"] == json.loads(EVENT)
    assert (await ingest.post(f"[{EVENT},5]", path="/v1/events?atomic=false")).status == 202


async def test_imports_take_any_past_time(ingest: Ingest) -> None:
    old = '{"metric":"orders","value":1,"timestamp":"1994-05-01T00:00:00Z"}'
    assert (await ingest.post(old)).json["errors"][0]["code"] == "ts_too_old"
    answer = await ingest.post(old, path="/v1/events?import=true")
    assert (answer.status, answer.json["accepted"]) == (202, 1)
    (record,) = ingest.records(SETTINGS.topics.events)
    batch = decode(record.value)
    assert isinstance(batch, DecodedEvents)
    assert batch.history
    ahead = f'{{"metric":"orders","value":1,"timestamp":{(time.time_ns() // 1_000_000) + 3_600_000}}}'
    assert (await ingest.post(ahead, path="/v1/events?import=true")).json["errors"][0]["code"] == "ts_future"


async def test_an_idempotency_key_names_events_without_an_id(ingest: Ingest) -> None:
    own = EVENT[:-1] + ',"id":"own"}'
    answer = await ingest.post(f"[{EVENT},5,{own},{EVENT}]", Idempotency_Key="job 7")
    assert (answer.status, answer.json["accepted"]) == (202, 3)
    assert ingest.ids() == ["job 7/0", "own", "job 7/3"]


@pytest.mark.parametrize("query", ["atomic=maybe", "atomic=true&atomic=true", "import=2", "atomc=true"])
async def test_a_parameter_that_is_not_understood_is_refused(ingest: Ingest, query: str) -> None:
    answer = await ingest.post(EVENT, path=f"/v1/events?{query}")
    assert (answer.status, answer.json["code"]) == (400, "invalid_parameter")
    assert not ingest.log.records


async def test_rejected_cloudevents_are_kept_in_the_form_to_send_again(ingest: Ingest) -> None:
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/shop", "ce_type": "orders"}
    first = await ingest.post('{"value":true}', "application/vnd.shop+json", **headers)
    assert first.status == 422
    (error,) = first.json["errors"]
    assert (error["field"], error["code"], error["id"]) == ("data.value", "wrong_type", "/shop/1")
    (record,) = ingest.dead()
    assert record["protocol"] == "cloudevents"
    again = await ingest.post(json.dumps(record["events"][0]["event"]), CLOUDEVENTS)
    assert (again.status, again.json["errors"]) == (422, [error])
