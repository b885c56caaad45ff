"""What the roles do when the log changes under them or holds what it should not, with the real broker and processes."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource

from aggregates import deltas
from ingest.log import MAX_MESSAGE_BYTES, KafkaConnection, Log, Topics
from tallyboard.kafka import EmbeddedKafka, free_port
from tests.builders import Event, record_value

PATIENCE_S = 90.0


class Role:
    """A role as its own process."""

    def __init__(self, name: str, connection: KafkaConnection, topics: Topics, folder: Path) -> None:
        self._command = [sys.executable, "-m", "tallyboard", name, "--kafka", connection.bootstrap]
        self._command += ["--data", str(folder)]
        self._env = {**os.environ, "TALLYBOARD_TOPIC_PREFIX": topics.prefix}
        self._log = folder / f"{name}.log"
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
def worker(kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path, log: Log) -> Iterator[Role]:
    found = Role("rollup", kafka_connection, topics, tmp_path)
    yield found
    found.kill()


@pytest.fixture
def dashboard(kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path, log: Log) -> Iterator[Role]:
    found = Role("dashboard", kafka_connection, topics, tmp_path)
    yield found
    found.kill()


def event(number: int) -> Event:
    return ("orders", {}, 1000 * number, float(number), f"id-{number}")


def append(connection: KafkaConnection, topics: Topics, values: Sequence[bytes | None]) -> None:
    producer = KafkaProducer(**connection.client_options(), acks="all", max_request_size=MAX_MESSAGE_BYTES)
    for value in values:
        producer.send(topics.events, value, b"key", partition=0).get(10)
    producer.close()


def written(log: Log, topics: Topics) -> list[deltas.Delta]:
    records = [log.read(topics.rollups, 0, offset) for offset in range(log.end_offsets(topics.rollups)[0])]
    return [deltas.decode(record.value) for record in records if record]


def covered(log: Log, topics: Topics) -> int:
    found = written(log, topics)
    return found[-1].header.next_offset if found else 0


def test_a_killed_worker_counts_ids_once(
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Role
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
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Role
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


def ledger(dashboard: Role) -> dict[str, Any]:
    """The ledger of all time; empty while the dashboard does not answer."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{dashboard.port}/api/v1/ledger", params={"from": 0})
    except httpx.HTTPError:
        return {}
    found: dict[str, Any] = answer.json()
    return found


def settled(dashboard: Role, events: int) -> dict[str, Any]:
    """The ledger once so many events are accepted and nothing is pending."""
    found: dict[str, Any] = {}

    def is_settled() -> bool:
        found.update(ledger(dashboard))
        return bool(found) and (found["total"]["accepted"], found["pending"]["records"]) == (events, 0)

    until(is_settled, f"{events} events stand in the ledger")
    assert found["exact"]
    return found


def test_records_removed_before_they_were_read_end_the_worker_with_a_sentence(
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Role, dashboard: Role
) -> None:
    """… until a person gives them up: then the ledger lists exactly them, and everything else is counted."""
    append(kafka_connection, topics, [record_value([event(n)]) for n in range(3)])
    worker.start()
    dashboard.start()
    until(lambda: covered(log, topics) == 3, "three records are rolled up")
    worker.kill()
    append(kafka_connection, topics, [record_value([event(n)]) for n in range(3, 9)])
    admin = KafkaAdminClient(**kafka_connection.client_options())
    admin.delete_records({TopicPartition(topics.events, 0): 6})
    admin.close()
    worker.start()
    assert worker.ended() == 1
    assert "offsets 3 to 5 were removed from Kafka before they were read; `tallyboard accept-loss`" in worker.said
    assert "accept-loss" in worker.said.splitlines()[-1]  # what `up` and `status` show
    assert covered(log, topics) == 3
    assert accept_loss(kafka_connection, topics) == 1
    assert accept_loss(kafka_connection, topics, "--dry-run") == 0
    assert accept_loss(kafka_connection, topics, "--partition", "1", "--yes") == 0  # nothing was lost there
    assert covered(log, topics) == 3  # nothing was changed
    for _ in range(2):
        assert accept_loss(kafka_connection, topics, "--all", "--yes") == 0
    worker.start()
    found = settled(dashboard, 6)
    assert (found["total"]["applied"], found["total"]["duplicates"]) == (6, 0)
    (lost,) = found["lost"]
    assert (lost["partition"], lost["first_offset"], lost["next_offset"], lost["records"]) == (0, 3, 6, 3)


def test_a_replica_behind_removed_deltas_serves_what_it_has(
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Role, dashboard: Role
) -> None:
    append(kafka_connection, topics, [record_value([event(n)]) for n in range(3)])
    worker.start()
    dashboard.start()
    settled(dashboard, 3)
    dashboard.kill()
    for number in (3, 4):  # a delta each
        append(kafka_connection, topics, [record_value([event(number)])])
        until(lambda number=number: covered(log, topics) == number + 1, "the record is rolled up")  # type: ignore[misc]
    admin = KafkaAdminClient(**kafka_connection.client_options())
    admin.delete_records({TopicPartition(topics.rollups, 0): log.end_offsets(topics.rollups)[0] - 1})
    admin.close()
    dashboard.start()
    until(lambda: "counting stopped" in _reasons(dashboard), "the dashboard says that it stands still")
    assert "were removed from Kafka before they were read" in _reasons(dashboard)
    assert ledger(dashboard)["total"]["applied"] == 3


def _reasons(dashboard: Role) -> str:
    """Why it is not ready; nothing while it does not answer."""
    try:
        return httpx.get(f"http://127.0.0.1:{dashboard.port}/health/ready").text
    except httpx.HTTPError:
        return ""


def accept_loss(connection: KafkaConnection, topics: Topics, *options: str) -> int:
    """The command's exit code; what it says is what is lost."""
    command = ["-m", "tallyboard", "accept-loss", "--kafka", connection.bootstrap, *options]
    env = {**os.environ, "TALLYBOARD_TOPIC_PREFIX": topics.prefix}
    done = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, check=False)
    if options == ("--dry-run",):
        assert f"{topics.events}, partition 0: offsets 3 to 5 (3 records), appended after 2" in done.stdout
    return done.returncode


def poisons() -> list[tuple[bytes | None, str]]:
    """What no client of ours writes, and words of what is said about it."""
    good = record_value([("orders", {"country": "NL"}, 1000, 1.0, "poison")])
    return [
        (b"junk", "not a readable Arrow stream"),
        (None, "empty record"),
        (b"", "empty record"),
        (random.Random(1).randbytes(MAX_MESSAGE_BYTES - 1024), "not a readable Arrow stream"),  # what the broker takes
        (good[: len(good) // 2], "not a readable Arrow stream"),
        (_with_version(good, b"0"), "version b'0' is not known"),
        (good.replace(b"distribution", b"contribution"), "kind that is not known"),
        (good.replace(b'{"country":"NL"}', b'{"country":1234}'), "no JSON object of texts"),
    ]


def _with_version(value: bytes, version: bytes) -> bytes:
    with pa.ipc.open_stream(value) as reader:
        metadata = {**(reader.schema.metadata or {}), b"tallyboard.version": version}
        batch = reader.read_next_batch().replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def test_poison_is_listed_with_its_reason_and_the_partition_goes_on(
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Role, dashboard: Role
) -> None:
    """A client's transactions are among it: their control records are offsets without a record."""
    worker.start()
    dashboard.start()
    found = poisons()
    append(kafka_connection, topics, [record_value([event(0)]), *(value for value, _ in found)])
    in_transactions(kafka_connection, topics, [[record_value([event(1)]), record_value([event(2)])]] * 2)
    append(kafka_connection, topics, [record_value([event(3), event(0)])])
    told = settled(dashboard, 7)
    assert (told["total"]["applied"], told["total"]["duplicates"]) == (4, 3)
    assert told["lost"] == []
    listed = {one["position"]["offset"]: one["reason"] for one in told["undecodable"]["newest"]}
    assert told["undecodable"]["records"] == len(listed) == len(found)
    for offset, (_, words) in enumerate(found, 1):
        assert words in listed[offset]
    spans = [(delta.header.first_offset, delta.header.next_offset) for delta in written(log, topics)]
    assert [first for first, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == log.end_offsets(topics.events)[0] == 1 + len(found) + 2 * 3 + 1


def test_a_record_that_rotted_on_disk_ends_the_worker_uncounted(
    broker: EmbeddedKafka, kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Role
) -> None:
    """A flipped bit in Kafka's own file: what stands before it is counted, it never is."""
    append(kafka_connection, topics, [record_value([event(n)]) for n in range(3)])
    worker.start()
    until(lambda: covered(log, topics) == 3, "three records are rolled up")
    worker.kill()
    value = record_value([event(3)])
    append(kafka_connection, topics, [value])
    (segment,) = broker.plan.folder.glob(f"records/{topics.events}-0/*.log")
    place = segment.read_bytes().index(value) + value.index(struct.pack("<d", 3.0))
    with segment.open("r+b") as file:
        file.seek(place)
        file.write(struct.pack("<d", 4.0))
    worker.start()
    assert worker.ended() == 1
    assert "Invalid CRC" in worker.said
    assert covered(log, topics) == 3


def in_transactions(connection: KafkaConnection, topics: Topics, transactions: list[list[bytes]]) -> None:
    producer = KafkaProducer(**connection.client_options(), transactional_id=topics.prefix)
    producer.init_transactions()
    for values in transactions:
        producer.begin_transaction()
        for value in values:
            producer.send(topics.events, value, partition=0)
        producer.commit_transaction()
    producer.close()


def test_a_delta_that_cannot_be_written_ends_the_worker(
    kafka_connection: KafkaConnection, topics: Topics, log: Log, worker: Role
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
