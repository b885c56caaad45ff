"""A real dashboard process on a real log: events with their deltas in Kafka, the process, its answers, its file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from aggregates import deltas
from aggregates.duplicates import DuplicateWindow
from aggregates.rollup import PartitionRollup, Source
from ingest.events import encode
from ingest.log import KafkaConnection, Log, LogRecord, Topics
from tallyboard.kafka import free_port
from tallyboard.lifeline import own_command
from tests.builders import Event, columns_of
from tests.chaos.oracle import Figures, Group, counted_once, read_log, tally

METRICS = ("orders", "visits")
PATIENCE_S = 90.0
_ASKED: Sequence[tuple[tuple[str, ...], int | None]] = (((), None), (("country",), None), ((), 60))


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


class Filler:
    """Appends events and, as the rollup worker does, their deltas."""

    def __init__(self, connection: KafkaConnection, topics: Topics, seed: int = 1) -> None:
        self._topics = topics
        self._draw = random.Random(seed)
        self._producer = KafkaProducer(**connection.client_options(), acks="all", linger_ms=5)
        self._serial = 0
        with Log(connection) as log:
            log.ensure_topics(topics)
            self.topic_id = log.topic_id(topics.events)
        partitions = range(topics.partitions)
        self._rollups = [PartitionRollup(Source(self.topic_id, p), 0, 0, DuplicateWindow()) for p in partitions]

    def fill(self, batches: int = 10, size: int = 40) -> None:
        """Events of now, a fifth of them with an id that was there before; returns when all deltas are in the log."""
        sent = []
        for _ in range(batches):
            for record in encode(columns_of(self._events(size)), self._topics.partitions):
                headers = list(record.headers)
                where = self._producer.send(
                    self._topics.events, record.value, headers=headers, partition=record.partition
                )
                sent.append((where.get(10), record.value))
        written = []
        for at, value in sent:
            delta = self._rollups[at.partition].add([LogRecord(at.offset, at.timestamp, value)])
            assert delta is not None
            written.append(self._producer.send(self._topics.rollups, deltas.encode(delta), partition=at.partition))
        for one in written:
            one.get(10)

    def _events(self, size: int) -> list[Event]:
        now_ms = time.time_ns() // 1_000_000
        events: list[Event] = []
        for _ in range(size):
            self._serial += 1
            serial = self._serial if self._draw.random() > 0.2 else self._draw.randint(1, self._serial)
            dimensions = {"country": self._draw.choice(("NL", "DE", "FR", "ES")), "shop": f"s{serial % 40}"}
            at_ms = now_ms - self._draw.randint(0, 200_000)
            events.append((METRICS[serial % 2], dimensions, at_ms, float(self._draw.randint(-50, 900)), f"e{serial}"))
        return events

    def close(self) -> None:
        self._producer.close()


@dataclass(slots=True)
class Replica:
    """One dashboard, its folder, and the log it reads."""

    folder: Path
    connection: KafkaConnection
    topics: Topics
    filler: Filler
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        return self.folder / "data" / "dashboard.duckdb"

    @property
    def wal(self) -> Path:
        return self.file.with_name(self.file.name + ".wal")

    @property
    def said(self) -> str:
        return (self.folder / "dashboard.log").read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def command(self) -> tuple[str, ...]:
        return own_command("dashboard", "--port", str(self.port))

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLYBOARD_")}
        return kept | {
            "TALLYBOARD_KAFKA": self.connection.bootstrap,
            "TALLYBOARD_TOPIC_PREFIX": self.topics.prefix,
            "TALLYBOARD_DATA": str(self.folder / "data"),
            "TALLYBOARD_WORKSPACE": str(self.folder),
            "TALLYBOARD_GRACE_S": "2",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    def start(self) -> None:
        with (self.folder / "dashboard.log").open("ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out, env=self.environment)
        until(self.ready, "the dashboard is ready")

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def health(self) -> Mapping[str, Any]:
        try:
            return dict(httpx.get(f"{self.url}/health/ready", timeout=5.0, trust_env=False).json())
        except httpx.HTTPError:
            return {"ready": False, "reasons": ["no answer"]}

    def ready(self) -> bool:
        assert self.process is None or self.process.poll() is None, self.said[-3000:]
        return bool(self.health()["ready"])

    def ended(self) -> int:
        """Wait for the process to end by itself; its exit status."""
        assert self.process
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    # --- what has to hold -----------------------------------------------------------------------------------------

    def violations(self, seconds: float = PATIENCE_S) -> list[str]:
        """What the answers, once everything in the log is counted in, have other than the log."""
        log = read_log(self.connection.bootstrap, self.topics.events)
        position = f"{self.filler.topic_id[:8]};{','.join(f'{p}:{end}' for p, end in sorted(log.ends.items()))}"
        once, wrong = counted_once(log.events), []
        times = [event.time_ms for event in log.events]
        fields: dict[str, Any] = {
            "from": min(times) // 60_000 * 60_000,
            "to": -(-max(times) // 60_000) * 60_000 + 60_000,
        }
        fields |= {"measures": ["count", "sum", "min", "max"], "min_position": position, "timeout": 5}
        deadline = time.monotonic() + seconds
        for by, step_s in _ASKED:
            found: dict[Group, Figures] = {}
            for metric in METRICS:
                asked = {**fields, "metric": metric, "by": by, **({"step": "1m"} if step_s else {})}
                found |= _figures(metric, len(by), bool(step_s), self._rows(asked, deadline))
            wanted = tally(once, by, step_s)
            for group in {*found, *wanted}:
                answered, held = found.get(group), wanted.get(group)
                if answered is None or held is None or not answered.near(held):
                    wrong.append(f"{group}: answered {answered}, the log holds {held}")
        return wrong

    def _rows(self, asked: Mapping[str, Any], deadline: float) -> list[list[Any]]:
        last = "no answer"
        while time.monotonic() < deadline:
            try:
                answer = httpx.post(f"{self.url}/api/v1/query", json=asked, timeout=15.0, trust_env=False)
            except httpx.HTTPError as error:
                last = repr(error)
            else:
                if answer.status_code == 200:
                    return list(answer.json()["rows"])
                assert "invalid" not in answer.text, answer.text
                last = answer.text
            time.sleep(0.1)
        raise AssertionError(f"not everything was counted: {last}; {self.health()}\n{self.said[-3000:]}")

    def positions(self) -> tuple[dict[int, int], dict[int, int]]:
        """Of the file of a dashboard that is not running: partition → next offset of events, and of deltas."""
        with duckdb.connect(str(self.file)) as connection:
            sources = connection.execute("SELECT partition, max(next_offset) FROM sources GROUP BY ALL").fetchall()
            inputs = connection.execute("SELECT partition, max(next_offset) FROM inputs GROUP BY ALL").fetchall()
        return dict(sources), dict(inputs)

    def group(self) -> str:
        with duckdb.connect(str(self.file)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = 'consumer_group'").fetchone()
        assert row
        return str(row[0])

    def group_offsets(self, group: str, planted: Mapping[int, int] | None = None) -> dict[int, int]:
        """What the broker has as the group's offsets in `rollups`; first they are set, if any are given."""
        consumer = KafkaConsumer(**self.connection.client_options(), group_id=group, enable_auto_commit=False)
        try:
            partitions = [TopicPartition(self.topics.rollups, p) for p in range(self.topics.partitions)]
            consumer.assign(partitions)
            if planted is not None:
                consumer.commit({TopicPartition(self.topics.rollups, p): OffsetAndMetadata(offset, "", -1)
                                 for p, offset in planted.items()})  # fmt: skip
            return {tp.partition: consumer.committed(tp) or 0 for tp in partitions}
        finally:
            consumer.close()


def _figures(metric: str, width: int, timed: bool, rows: list[list[Any]]) -> dict[Group, Figures]:
    found: dict[Group, Figures] = {}
    for row in rows:
        bucket = round(datetime.fromisoformat(row[0]).timestamp()) if timed else None
        count, total, least, most = row[timed + width :]
        if count:
            found[metric, tuple(row[timed : timed + width]), bucket] = Figures(count, total, least, most)
    return found
