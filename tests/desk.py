"""A replica's desk for dead letters without Kafka: a real ingest, a real store, the log in memory, and accidents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from aggregates.letterbox import Letterbox
from aggregates.settings import ReadModelSettings
from aggregates.side_topics import SideTopics
from aggregates.store import Store
from dashboard.annotations import annotations_router
from dashboard.rejected import rejected_router
from dashboard.resend import Ingest
from ingest.app import create_app
from ingest.events import DecodedEvents, decode
from ingest.log import Topics
from ingest.memory_log import MemoryLog
from ingest.publish import MemoryPublisher, Message, Outcome
from ingest.registry import MetricDefinition, Registry
from ingest.settings import IngestSettings

TOPICS = Topics(prefix="t.")
HOUR_MS = 3_600_000
KNOWN = Registry({"orders": MetricDefinition("orders", minimum=0)}, unknown="reject")
PATIENCE_S = 20.0


class Clock:
    """The wall clock, moved ahead by hand."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


class TimedLog(MemoryLog):
    """A log that stamps its records, as a broker does."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def append(self, name: str, partition: int, value: bytes | None, timestamp_ms: int = 0) -> int:
        return super().append(name, partition, value, timestamp_ms or self._clock())


class Plant(MemoryPublisher):
    """Where ingest publishes: accepted events are kept here, rejected ones stand in the log as well."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__()
        self._log = log

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        for message in messages:
            if message.topic == TOPICS.rejected:
                self._log.append(message.topic, message.partition, message.value)
        return await super().publish(messages)

    def accepted(self) -> list[tuple[str, float, str | None]]:
        """Dimensions as JSON, value and id of every accepted event."""
        found: list[tuple[str, float, str | None]] = []
        for (topic, _), messages in sorted(self.records.items()):
            for message in messages if topic == TOPICS.events else ():
                events = decode(message.value)
                assert isinstance(events, DecodedEvents)
                ids = events.ids.to_pylist() if events.ids is not None else [None] * len(events)
                series = events.series.to_pylist()
                found += [
                    (series[number]["dimensions"], float(value), id_)
                    for number, value, id_ in zip(events.index, events.values, ids, strict=True)
                ]
        return found


class Wire(httpx.ASGITransport):
    """The way from the dashboard to ingest; `cut` loses answers after the events arrived, `away` the way itself."""

    cut = False
    away = False

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.requests = 0
        self.seen: list[str | None] = []
        """Authorization headers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused")
        self.requests += 1
        self.seen.append(request.headers.get("authorization"))
        answer = await super().handle_async_request(request)
        if self.cut:
            raise httpx.ReadError("the connection was reset")
        return answer


class Replica:
    """One dashboard replica's view: its store and its API."""

    def __init__(self, side: SideTopics, letters: Letterbox, client: httpx.AsyncClient) -> None:
        self.side = side
        self.letters = letters
        self.client = client

    async def get(self, path: str = "", **parameters: Any) -> Any:
        answer = await self.client.get(f"/rejected{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def replay(self, **body: Any) -> Any:
        answer = await self.client.post("/rejected/replay", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def caught_up(self, desk: Desk) -> None:
        """Wait until both topics are read to their ends."""
        deadline = time.monotonic() + PATIENCE_S
        for following in self.side.followings:
            while True:
                ends = desk.log.end_offsets(following.topic)
                position = following.freshness().position.partition(";")[2]
                if position == ",".join(f"{p}:{end}" for p, end in sorted(ends.items())):
                    break
                assert time.monotonic() < deadline, f"{following.topic}: {position} of {ends}"
                await asyncio.sleep(0.01)


class Desk:
    """The log, ingest, and what clients do."""

    def __init__(self, registry: Registry = KNOWN) -> None:
        self.clock = Clock()
        self.log = TimedLog(self.clock)
        self.log.ensure_topics(TOPICS)
        self.plant = Plant(self.log)
        settings = IngestSettings(topics=TOPICS)
        self.wire = Wire(create_app(settings, registry, self.plant, self.clock))

    async def send(self, *events: Any, status: int | None = None, headers: dict[str, str] | None = None) -> Any:
        """Send events as a client does; the answer's JSON."""
        async with httpx.AsyncClient(transport=self.wire, base_url="http://127.0.0.1:8080") as client:
            answer = await client.post("/v1/events", json=list(events), headers=headers)
        assert status is None or answer.status_code == status, answer.text
        return answer.json()

    @asynccontextmanager
    async def replica(self, folder: Path, **settings: Any) -> AsyncIterator[Replica]:
        """A replica that reads the log from where its file is."""
        chosen = ReadModelSettings(topics=TOPICS, data=folder, **settings)
        store = Store(chosen.file, {})
        writer = ThreadPoolExecutor(1)
        turn = asyncio.Lock()

        async def ask(question: Any, *arguments: Any) -> Any:
            async with turn:
                return await asyncio.to_thread(question, *arguments)

        async def write(change: Any, *arguments: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(writer, change, *arguments)

        failures: list[BaseException] = []
        side = SideTopics(chosen, self.log, store, ask, write, self.log.follow, self.log)
        letters = Letterbox(store, side.letters, self.clock)
        app = FastAPI()
        app.include_router(annotations_router(side.annotations, side.journal, self.clock))
        app.include_router(rejected_router(letters, side.journal, Ingest("http://127.0.0.1", self.wire), self.clock))
        tasks = side.start(failures.append)
        base = "http://test/api/v1"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            replica = Replica(side, letters, client)
            try:
                yield replica
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks, timeout=5)
                writer.shutdown()
                store.close()
        assert not failures, failures
