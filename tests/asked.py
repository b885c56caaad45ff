"""A read model with some events behind the real HTTP server of the dashboard, and ways to make its queries slow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from aggregates.queries import QueryLimits
from aggregates.readmodel import ReadModel
from aggregates.receipts import Receipts
from aggregates.store import Store
from dashboard.api import router
from dashboard.app import not_found
from dashboard.edge import Compressor
from dashboard.receipts import receipts_router
from dashboard.reference import reference_router
from dashboard.runner import Runner
from ingest.log import LogRecord, Topics
from ingest.memory_log import MemoryLog
from ingest.registry import DerivedMetric, MetricDefinition, Registry
from ingest.service import HttpLimits
from tests.builders import TOPIC_ID, Event, inputs_of, record_value, rollup_of
from tests.ingest_server import ThreadedServer, serving_app
from tests.noted import Noted

NOON = 1_795_435_200
"""23 Nov 2026, 12:00:00 UTC."""
NOON_MS = 1000 * NOON
REGISTRY = Registry(
    {"orders.revenue": MetricDefinition("orders.revenue", unit="EUR", measure="sum")},
    derived={
        "orders.share": DerivedMetric("orders.share", ("orders.visitors", "uniques"), ("orders.revenue", "count"))
    },
)
EVENTS: list[Event] = [
    ("orders.revenue", {"country": country, "product": f"p{n % 7}"}, NOON_MS - 1000 * (n + 1), 0.1 * n, f"e{n}")
    for n, country in enumerate(["NL", "DE", "FR", "NL", "it's; DROP TABLE series; --"] * 40)
] + [("orders.visitors", {"country": "NL"}, NOON_MS - 1000 * n, f"v{n % 30}", None) for n in range(1, 100)]
SLOW = "(SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE hash(a.range * b.range) % 7 = 3) >= 0"
"""True after hours."""


class Source:
    """The topic `events` in memory."""

    def __init__(self) -> None:
        self.topics = Topics(partitions=2)
        self.log = MemoryLog()
        self.log.ensure_topics(self.topics)

    async def topic_id(self) -> str:
        return TOPIC_ID

    async def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        return self.log.begin_offsets(self.topics.events), self.log.end_offsets(self.topics.events)

    async def record(self, partition: int, offset: int) -> LogRecord | None:
        return self.log.read(self.topics.events, partition, offset)


class Board:
    """Events in a log, counted by a read model, asked over HTTP."""

    def __init__(self, folder: Path, seconds: float = 5.0, memory_mb: int | None = None, **runner: Any) -> None:
        self.store = Store(folder / "dashboard.duckdb", {}, memory_mb=memory_mb)
        self.model = ReadModel(self.store, REGISTRY, lambda: NOON_MS, QueryLimits(seconds))
        self.model.observe(TOPIC_ID, NOON_MS - 400)
        self.source = Source()
        self.runner = Runner(**runner)
        self._rollup = rollup_of()
        self.app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        self.app.include_router(router(self.model, lambda: NOON_MS, self.runner))
        self.receipts = Receipts(self.source, self.store)
        self.app.include_router(receipts_router(self.receipts, self.model, lambda: NOON_MS))
        self.app.include_router(reference_router())
        self.noted = Noted(folder, lambda: NOON_MS)
        self.app.include_router(self.noted.router())
        self.app.add_api_route("/{path:path}", not_found)
        self.app.add_middleware(Compressor)

    def add(self, *events: Event, apply: bool = True) -> int:
        """Append a record with these events, count it; returns its offset."""
        return self.add_record(record_value(list(events)), apply)

    def add_record(self, value: bytes, apply: bool = True) -> int:
        topic = self.source.topics.events
        offset = self.source.log.append(topic, 0, value, NOON_MS)
        if apply:
            delta = self._rollup.add([LogRecord(offset, NOON_MS, value)])
            assert delta is not None
            self.store.apply(inputs_of([delta], offset))
        return offset

    def slow_down(self) -> None:
        """From now on queries of totals do not end by themselves."""
        with self.store.writing() as connection:
            for level in ("1s", "1m", "15m", "1d"):
                connection.execute(f"ALTER TABLE total_{level} RENAME TO real_{level}")
                connection.execute(f"CREATE VIEW total_{level} AS FROM real_{level} WHERE {SLOW}")

    def speed_up(self) -> None:
        with self.store.writing() as connection:
            for level in ("1s", "1m", "15m", "1d"):
                connection.execute(f"DROP VIEW total_{level}")
                connection.execute(f"ALTER TABLE real_{level} RENAME TO total_{level}")


@contextlib.contextmanager
def board(folder: Path, **settings: Any) -> Iterator[tuple[Board, ThreadedServer]]:
    """A board with `EVENTS` in its first record, behind a server that takes a closed socket for a client that left."""
    found = Board(folder, **settings)
    found.add(*EVENTS)
    with serving_app(found.app, HttpLimits(half_open=False)) as server:
        yield found, server
    found.store.close()
    found.noted.close()
