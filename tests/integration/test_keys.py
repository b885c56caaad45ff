"""Keys over real sockets: what comes before the body, what a key may do, and changes beside a running role."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest.app import RELOAD_S, create_app
from ingest.events import DecodedEvents, decode
from ingest.keys import Key, KeyRing, NewKey, Scope, mint
from ingest.log import KafkaConnection, Log, Topics
from ingest.publish import MemoryPublisher
from ingest.registry import Registry
from ingest.service import HttpServer
from ingest.settings import IngestSettings
from tallyboard.kafka import free_port
from tests.raw_http import Answer, head, request, talk

SETTINGS = IngestSettings(hosts=("localhost",), max_body_bytes=300_000, body_timeout_s=5)
EVENT = '{"metric":"orders","value":1}'
WRITER = Key("", "shop", frozenset({Scope.WRITE}))
TAKES_HOLD_S = 5.0
"""How soon a change of the keys is promised to hold."""


def a_key(**fields: Any) -> NewKey:
    return mint(KeyRing(), replace(WRITER, **fields), time.time_ns() // 1_000_000, os.urandom)


WRITE, READ = a_key(), a_key(scopes=frozenset({Scope.READ}))
ADMIN, EXPIRED = a_key(scopes=frozenset({Scope.ADMIN})), a_key(expires_ms=1)
SLOW = a_key(rate=10.0, burst=20)
FEW = a_key(series_limit=2)


@dataclass
class Ingest:
    """A server that asks for keys."""

    port: int
    log: MemoryPublisher

    async def post(self, body: str | bytes, key: NewKey | str | None = None, *headers: tuple[str, str]) -> Answer:
        return (await talk(self.port, request(body, headers=[*authorization(key), *headers]))).answer

    @property
    def produced(self) -> int:
        """Records of any topic."""
        return sum(map(len, self.log.records.values()))

    def dead(self) -> list[dict[str, Any]]:
        topic = SETTINGS.topics.rejected
        return [json.loads(one.value) for (name, _), all_ in self.log.records.items() if name == topic for one in all_]


def authorization(key: NewKey | str | None) -> list[tuple[str, str]]:
    text = f"Bearer {key.text}" if isinstance(key, NewKey) else key
    return [] if text is None else [("Authorization", text)]


@pytest.fixture
async def ingest() -> AsyncIterator[Ingest]:
    ring = KeyRing()
    for key in (WRITE, READ, ADMIN, EXPIRED, SLOW, FEW):
        ring = ring.including(key.stored)
    log = MemoryPublisher()
    app = create_app(SETTINGS, Registry(), log, lambda: time.time_ns() // 1_000_000, ring)
    port = free_port()
    server = HttpServer(app, "127.0.0.1", port, ws="none")
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    yield Ingest(port, log)
    server.stop()
    await task


# --- before the body ----------------------------------------------------------------------------------------------


WRONG = {"none": None, "scheme": "Bearer", "short": "Bearer x", "basic": "Basic eDp5", "old": EXPIRED, "other": a_key()}


@pytest.mark.parametrize("key", WRONG.values(), ids=WRONG)
async def test_without_a_valid_key_nothing_is_taken_and_nothing_told(key: NewKey | str | None, ingest: Ingest) -> None:
    answer, nobody = await ingest.post(EVENT, key), await ingest.post(EVENT)
    assert (answer.status, answer.json["code"], answer.headers["www-authenticate"]) == (401, "unauthorized", "Bearer")
    different = {"request_id"}
    assert {k: v for k, v in answer.json.items() if k not in different} == {
        k: v for k, v in nobody.json.items() if k not in different
    }
    assert ingest.produced == 0


async def test_the_answer_comes_before_the_body(ingest: Ingest) -> None:
    """Only the head of a huge request is sent: whoever waits for its body answers 408 or 413, or not at all."""
    announced = request(b"", headers=[("Expect", "100-continue")], length=10**12)
    for key, status in ((None, 401), (READ, 403)):
        heard = await talk(ingest.port, announced.replace(b"Host", headers_of(key) + b"Host"))
        assert heard.answer.status == status
        assert heard.interim == [], "the client is not asked for the body"
        assert heard.closed, "what comes after is no request"
    fields = [("Host", "localhost"), ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
    assert (await talk(ingest.port, head(fields) + b"5\r\n[1,")).answer.status == 401


def headers_of(key: NewKey | None) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in authorization(key)).encode()


async def test_a_gzip_bomb_is_not_unpacked_for_a_stranger(ingest: Ingest) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    packed = ("Content-Encoding", "gzip")
    assert (await ingest.post(bomb, None, packed)).status == 401
    assert (await ingest.post(bomb, READ, packed)).status == 403
    assert (await ingest.post(bomb, WRITE, packed)).status == 413


@pytest.mark.parametrize("wrong", [("Content-Type", "text/html"), ("Idempotency-Key", ""), ("Content-Encoding", "br")])
async def test_a_stranger_is_told_of_no_other_mistake(wrong: tuple[str, str], ingest: Ingest) -> None:
    fields = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": "2", wrong[0]: wrong[1]}
    answer = (await talk(ingest.port, head(list(fields.items()), "/v1/events?atomic=perhaps") + b"{}")).answer
    assert answer.status == 401


async def test_what_says_nothing_of_events_is_open(ingest: Ingest) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"):
        answer = await talk(ingest.port, request(content_type=None, method="GET", path=path))
        assert answer.answer.status == 200, path


# --- what a key may do --------------------------------------------------------------------------------------------


async def test_scopes(ingest: Ingest) -> None:
    assert [(await ingest.post(EVENT, key)).status for key in (WRITE, ADMIN)] == [202, 202]
    produced = ingest.produced
    answer = await ingest.post(EVENT, READ)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert READ.stored.key.id in answer.json["detail"]
    assert ingest.produced == produced
    assert (await ingest.post(EVENT, f"token {WRITE.text}")).status == 202


async def test_over_the_rate_nothing_is_produced(ingest: Ingest) -> None:
    events = f"[{','.join([EVENT] * 19)},{{}}]"
    assert (await ingest.post(events, SLOW)).status == 202
    produced = ingest.produced
    answer = await ingest.post(f"[{','.join(['{}'] * 20)}]", SLOW)
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (429, "rate_limited", "2")
    assert ingest.produced == produced, "no event, and no dead letter of those that would have been rejected"
    assert (await ingest.post("[]", SLOW)).status == 202
    assert (await ingest.post(EVENT, WRITE)).status == 202, "other keys are not held up"
    assert (await ingest.post("[", SLOW)).status == 400, "what is no batch is not charged"


async def test_a_key_makes_no_more_series_than_it_may(ingest: Ingest) -> None:
    events = [{"metric": "m", "value": 1, "dimensions": {"d": str(number)}} for number in (1, 2, 3, 1)]
    answer = await ingest.post(json.dumps(events), FEW)
    assert (answer.status, answer.json["accepted"]) == (202, 3)
    assert [(error["index"], error["code"]) for error in answer.json["errors"]] == [(2, "series_limit")]
    assert (await ingest.post(json.dumps(events), WRITE)).json["accepted"] == 4
    assert [letter["key"] for letter in ingest.dead()] == [FEW.stored.key.id]


async def test_the_secret_is_repeated_nowhere(ingest: Ingest, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    typo = f"Bearer {WRITE.text[:-1]}"
    answers = [await ingest.post(body, key) for body in ("{}", EVENT, "[") for key in (WRITE, READ, SLOW, typo)]
    answers.append((await talk(ingest.port, request(content_type=None, method="GET", path="/metrics"))).answer)
    records = [part for all_ in ingest.log.records.values() for one in all_ for part in (one.value, str(one).encode())]
    seen = b"\n".join([caplog.text.encode(), *records, *(one.body + str(one.headers).encode() for one in answers)])
    assert WRITE.stored.key.id.encode() in seen, "the id is"
    assert not [key for key in (WRITE, READ, SLOW) if key.text.split("_")[2][:-1].encode() in seen]


# --- a running role -----------------------------------------------------------------------------------------------


class Process:
    """`tallyboard ingest` with a workspace, on a real broker."""

    def __init__(self, workspace: Path, kafka: KafkaConnection, topics: Topics, *flags: str) -> None:
        self.workspace, self.port = workspace, free_port()
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYBOARD_")}
        self.environment["TALLYBOARD_TOPIC_PREFIX"] = topics.prefix
        self.log = workspace / "ingest.log"
        run = ("ingest", "--port", str(self.port), "--kafka", kafka.bootstrap, *flags)
        with self.log.open("wb") as file:
            self.child = subprocess.Popen(self.command(*run), stderr=file, env=self.environment)
        self.accepted, self.counting = 0, threading.Lock()
        """Events that were answered with 202."""
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tallyboard", *arguments, "--workspace", str(self.workspace)]

    def key(self, *arguments: str) -> str:
        run = subprocess.run(
            self.command("key", *arguments), env=self.environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return run.stdout.strip()

    def post(self, key: str | None, events: int = 1) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        body = [{"metric": "orders", "value": 1}] * events
        try:
            status = self.client.post("/v1/events", json=body, headers=headers).status_code
        except httpx.ConnectError:
            return 0
        with self.counting:
            self.accepted += events * (status == 202)
        return status

    def until(self, key: str | None, status: int, seconds: float = 30.0) -> None:
        """Send until it is answered so."""
        deadline = time.monotonic() + seconds
        while self.post(key) != status:
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.child.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def end(self) -> None:
        self.client.close()
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(10)


@pytest.fixture
def process(tmp_path: Path, kafka_connection: KafkaConnection, topics: Topics) -> Iterator[Process]:
    running = Process(tmp_path, kafka_connection, topics)
    yield running
    running.end()


def stored(kafka: KafkaConnection, topics: Topics) -> int:
    """Events in the log."""
    found = 0
    with Log(kafka) as log:
        for partition, end in log.end_offsets(topics.events).items():
            for offset in range(end):
                record = log.read(topics.events, partition, offset)
                assert record is not None
                assert record.value is not None
                batch = decode(record.value)
                assert isinstance(batch, DecodedEvents)
                found += len(batch)
    return found


def test_keys_are_made_and_revoked_under_load(
    process: Process, kafka_connection: KafkaConnection, topics: Topics
) -> None:
    """The file appears, changes, becomes wrong and vanishes beside a role that goes on."""
    assert RELOAD_S * 2 < TAKES_HOLD_S
    process.until(None, 202)
    shop, app = process.key("create", "shop"), process.key("create", "app")
    process.until(None, 401)
    answers: list[int] = []
    over = threading.Event()

    def load() -> None:
        while not over.wait(0.005):
            answers.append(process.post(shop, 10))

    sender = threading.Thread(target=load)
    sender.start()
    try:
        process.until(app, 202)
        process.key("revoke", "shop")
        process.until(shop, 401)
    finally:
        over.set()
        sender.join()
    assert set(answers) == {202, 401}
    assert answers == sorted(answers), "once refused, always refused"
    assert process.post(app) == 202, "the other key is not concerned"

    file = process.workspace / "keys.toml"
    before = file.read_text()
    file.write_text(before.replace("scopes", "scoops"))
    eventually(lambda: "scoops" in process.client.get("/health/ready").text)
    assert (process.post(app), process.post(shop), process.post(None)) == (202, 401, 401), (
        "a wrong file changes nothing"
    )
    file.unlink()
    eventually(lambda: "gone" in process.client.get("/health/ready").text)
    assert process.post(None) == 401, "a file that vanished opens nothing"
    file.write_text(before)
    eventually(lambda: "keys.toml" not in process.client.get("/health/ready").text)
    assert (process.post(app), process.post(shop)) == (202, 401)
    assert stored(kafka_connection, topics) == process.accepted, "what was refused was not written"
    for secret in (shop, app):
        assert secret.split("_")[2] not in process.log.read_text()


def eventually(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_network_is_let_in_by_keys_only(tmp_path: Path, kafka_connection: KafkaConnection, topics: Topics) -> None:
    closed = Process(tmp_path, kafka_connection, topics, "--host", "0.0.0.0")
    try:
        assert closed.child.wait(60) == 1
        assert "tallyboard key create" in closed.log.read_text()
        key = closed.key("create", "shop")
    finally:
        closed.end()
    opened = Process(tmp_path, kafka_connection, topics, "--host", "0.0.0.0")
    try:
        opened.until(key, 202)
        assert opened.post(None) == 401
    finally:
        opened.end()
