"""What the rollup worker does when the log changes under it, with the real broker and the real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource

from aggregates import deltas
from ingest.log import KafkaConnection, Log, Topics
from tallyboard.kafka import free_port
from tests.builders import Event, record_value

PATIENCE_S = 40.0


class Worker:
    """A rollup worker as its own process."""

    def __init__(self, connection: KafkaConnection, topics: Topics, folder: Path) -> None:
        self._command = [sys.executable, "-m", "tallyboard", "rollup", "--kafka", connection.bootstrap]
        self._command += ["--data", str(folder)]
        self._env = {**os.environ, "TALLYBOARD_TOPIC_PREFIX": topics.prefix}
        self._log = folder / "rollup.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        self.port = free_port()
        with self._log.open("wb") as log:
            command = [*self._command, "--port", str(self.port)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._env)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def ended(self) -> int:
        """Wait for the process to end by itself; its exit code."""
        assert self._process
        return self._process.wait(PATIENCE_S)

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what}")


@pytest.fixture
def log(kafka_connection: KafkaConnection, topics: Topics) -> Iterator[Log]:
    with Log(kafka_connection) as found:
        found.ensure_topics(topics)
        yield found


@pytest.fixture
def worker(kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path, log: Log) -> Iterator[Worker]:
    found = Worker(kafka_connection, topics, tmp_path)
    yield found
    found.kill()


def event(number: int) -> Event:
    return ("orders", {}, 1000 * number, float(number), f"id-{number}")


def append(connection: KafkaConnection, topics: Topics, values: list[bytes]) -> None:
    producer = KafkaProducer(**connection.client_options(), acks="all")
    for value in values:
        producer.send(topics.events, value, partition=0).get(10)
    producer.close()


def written(log: Log, topics: Topics) -> list[deltas.Delta]:
    records = [log.read(topics.rollups, 0, offset) for offset in range(log.end_offsets(topics.rollups)[0])]
    return [deltas.decode(record.value) for record in records if record]


def covered(log: Log, topics: Topics) -> int:
    found = written(log, topics)
    return found[-1].header.next_offset if found else 0


def test_a_killed_worker_counts_ids_once(
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Worker
) -> None:
    append(kafka_connection, topics, [record_value([event(n)]) for n in range(5)])
    worker.start()
    until(lambda: covered(log, topics) == 5, "five records are rolled up")
    worker.kill()
    repeated = [record_value([event(n), event(100 + n)]) for n in range(5)]
    append(kafka_connection, topics, [*repeated, b"junk"])
    worker.start()
    until(lambda: covered(log, topics) == 11, "the repeated records are rolled up")
    found = written(log, topics)
    assert sum(delta.rows.column("count").to_numpy().sum() for delta in found) == 10
    assert sum(delta.rows.column("duplicates").to_numpy().sum() for delta in found) == 5
    assert found[-1].header.state_from == 0
    assert found[-1].header.records[-1].undecodable
    assert "offset 10" in worker.said


def test_a_topic_created_anew_ends_the_worker_and_is_a_new_source(
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Worker
) -> None:
    append(kafka_connection, topics, [record_value([event(n)]) for n in range(3)])
    worker.start()
    until(lambda: covered(log, topics) == 3, "three records are rolled up")
    until(worker.ready, "the worker is ready")
    before = log.topic_id(topics.events)
    admin = KafkaAdminClient(**kafka_connection.client_options())
    admin.delete_topics([topics.events])
    admin.close()
    until(lambda: _recreated(log, topics), "the topic is there again")
    assert log.topic_id(topics.events) != before
    assert worker.ended() == 1
    assert "created anew" in worker.said
    append(kafka_connection, topics, [record_value([event(7)])])
    worker.start()
    until(lambda: covered(log, topics) == 1, "the new topic is rolled up from its beginning")
    assert written(log, topics)[-1].header.topic_id == log.topic_id(topics.events)


def _recreated(log: Log, topics: Topics) -> bool:
    try:
        log.ensure_topics(topics)
    except Exception:
        return False
    return True


def test_records_removed_before_they_were_read_end_the_worker_with_a_sentence(
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Worker
) -> None:
    append(kafka_connection, topics, [record_value([event(n)]) for n in range(3)])
    worker.start()
    until(lambda: covered(log, topics) == 3, "three records are rolled up")
    worker.kill()
    append(kafka_connection, topics, [record_value([event(n)]) for n in range(3, 9)])
    admin = KafkaAdminClient(**kafka_connection.client_options())
    admin.delete_records({_partition(topics): 6})
    admin.close()
    worker.start()
    assert worker.ended() == 1
    assert "offsets 3 to 5 were removed from Kafka before they were read" in worker.said
    assert covered(log, topics) == 3


def _partition(topics: Topics) -> object:
    from kafka import TopicPartition

    return TopicPartition(topics.events, 0)


def test_a_delta_that_cannot_be_written_ends_the_worker(
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Worker
) -> None:
    """Faust's own end waits for records that are never acknowledged: the process must be gone all the same."""
    admin = KafkaAdminClient(**kafka_connection.client_options())
    limit = ConfigResource("TOPIC", topics.rollups, configs={"max.message.bytes": "64"})
    admin.alter_configs([limit])
    admin.close()
    worker.start()
    until(worker.ready, "the worker is ready")
    append(kafka_connection, topics, [record_value([event(n)]) for n in range(3)])
    assert worker.ended() == 1
    assert covered(log, topics) == 0
