"""The corpus against `tallyboard ingest` as a process, with Kafka behind it: what was taken is there, and no more."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ingest.events import DecodedEvents, decode
from ingest.log import KafkaConnection, Log, Topics
from tallyboard.kafka import EmbeddedKafka, free_port
from tests.corpus import bodies, heads
from tests.corpus.case import REGISTRY
from tests.corpus.check import check_answer, send_good
from tests.raw_http import talk

SLOW_STATUS = 408
"""Waits for a time-out that is longer here."""
CASES = [case for case in (*heads.CASES, *bodies.CASES) if case.world == "plain" and case.status != SLOW_STATUS]


@dataclass
class Process:
    port: int
    child: subprocess.Popen[bytes]
    log: Path


@pytest.fixture
def process(broker: EmbeddedKafka, topics: Topics, tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "metrics.toml").write_text(REGISTRY)
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "tallyboard", "ingest", "--kafka", broker.bootstrap, "--port", str(port)]
    env = {**os.environ, "TALLYBOARD_TOPIC_PREFIX": topics.prefix}
    with log.open("wb") as out:
        child = subprocess.Popen([*command, "--workspace", str(tmp_path)], stdout=out, stderr=out, env=env)
    try:
        wait_until_ready(child, port, log)
        yield Process(port, child, log)
    finally:
        child.terminate()
        child.wait(20)


def wait_until_ready(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert child.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)


async def test_the_corpus_against_a_process(process: Process, broker: EmbeddedKafka, topics: Topics) -> None:
    good: list[str] = []
    taken = 0
    for case in CASES:
        if case.before:
            check = await talk(process.port, case.before)
            assert check.answer.status == 202, case
            taken += check.answer.json["accepted"]
        beside = [asyncio.create_task(send_good(process.port)) for _ in range(2)]
        heard = await talk(process.port, case.raw, finish=case.finish)
        good += [await each for each in beside]
        try:
            check_answer(case, heard)
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error
        taken += case.accepted
    assert process.child.poll() is None
    stored = await asyncio.to_thread(ids_in_kafka, broker.bootstrap, topics)
    assert len(stored) == len(good) + taken
    kept = Counter(stored)
    assert [id_ for id_ in good if kept[id_] != 1] == []
    assert "Traceback" not in process.log.read_text()


def ids_in_kafka(bootstrap: str, topics: Topics) -> list[str | None]:
    """The id of every event in the log."""
    found: list[str | None] = []
    with Log(KafkaConnection(bootstrap)) as log:
        for partition, end in log.end_offsets(topics.events).items():
            for offset in range(end):
                record = log.read(topics.events, partition, offset)
                assert record is not None
                batch = decode(record.value)
                assert isinstance(batch, DecodedEvents)
                found += batch.ids.to_pylist() if batch.ids else [None] * len(batch)
    return found
