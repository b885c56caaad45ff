"""A small life of a read model: always the same, broken off anywhere, gone on with, and held against the events.

Two days of events with repeated ids and late ones go through real rollups into a log in memory. From it a store is
filled batch by batch; levels are sealed and merged, old buckets deleted, checkpoints taken. `violations` compares what
a file holds, whenever it was left, with the plain oracle over the records below the file's own positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from aggregates import deltas
from aggregates.accounts import LedgerQuery
from aggregates.checkpoints import Checkpoints
from aggregates.duplicates import DuplicateWindow
from aggregates.levels import sealable
from aggregates.positions import Position
from aggregates.queries import Query, UnknownMetric
from aggregates.readmodel import ReadModel
from aggregates.rollup import PartitionRollup, Source
from aggregates.store import Input, Store
from ingest.events import encode
from ingest.log import LogRecord, Topics, checksum
from ingest.memory_log import MemoryLog
from ingest.registry import Registry
from tests.builders import Event, columns_of
from tests.chaos.oracle import Figures, Group, LoggedEvent, counted_once, decode, tally

PARTITIONS = 2
TOPICS = Topics(partitions=PARTITIONS)
NOON = 1_795_435_200
"""23 Nov 2026, 12:00 UTC."""
GRACE_S = 10
BATCHES = 9
METRIC = "orders"
_STEP_S = 17_977
_COUNTRIES = ("NL", "DE", "FR")
_KEEP_S = {"1s": 3600.0, "1m": 6 * 3600.0, "15m": None, "1d": None}
_VIEWS = {METRIC: (("country",),)}
CHECKPOINTS_AT = (1, 6)
"""With the first commit of these batches."""
_ASKED: tuple[tuple[tuple[str, ...], int | None], ...] = (
    ((), None), (("country",), None), (("product",), None), ((), 86_400), (("country",), 900),
)  # fmt: skip


def batch(number: int, size: int = 12) -> tuple[list[Event], int]:
    """Events that reach the log together, and when (epoch ms): every third repeats an id, one is a day late and one is
    of a new series."""
    at_ms = 1000 * (NOON + _STEP_S * number)
    events: list[Event] = []
    for place in range(size):
        product = f"new-{number}" if place == 5 else f"p{place % 4}"
        dimensions = {"country": _COUNTRIES[place % 3], "product": product}
        serial = size * number + place
        time_ms = at_ms - 997 * place - (86_400_000 if place == 7 and number > 4 else 0)
        events.append((METRIC, dimensions, time_ms, 0.25 * serial, f"id-{serial - size if place % 3 == 0 else serial}"))
    return events, at_ms + 500


class _Logged(NamedTuple):
    """A record as the oracle reads them."""

    offset: int
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp: int


@dataclass(slots=True)
class Life:
    """The log the read model is filled from, and what is in it, event by event."""

    log: MemoryLog = field(default_factory=MemoryLog)
    events: list[LoggedEvent] = field(default_factory=list)
    arrivals_ms: list[int] = field(default_factory=list)

    @classmethod
    def made(cls, batches: int = BATCHES) -> Life:
        found = cls()
        found.log.ensure_topics(TOPICS)
        topic_id = found.log.topic_id(TOPICS.events)
        rollups = [PartitionRollup(Source(topic_id, p), 0, 0, DuplicateWindow()) for p in range(PARTITIONS)]
        for number in range(batches):
            events, arrival_ms = batch(number)
            found.arrivals_ms.append(arrival_ms)
            for record in encode(columns_of(events), PARTITIONS):
                offset = found.log.append(TOPICS.events, record.partition, record.value, arrival_ms)
                logged = _Logged(offset, record.value, record.headers, arrival_ms)
                found.events += decode(record.partition, logged)
                delta = rollups[record.partition].add([LogRecord(offset, arrival_ms, record.value)])
                assert delta is not None
                found.log.append(TOPICS.rollups, record.partition, deltas.encode(delta), arrival_ms)
        return found

    def inputs(self, store: Store, number: int) -> Iterator[Input]:
        """What the file has not read of the batch: every batch is one record of each partition."""
        for partition in range(PARTITIONS):
            position = store.inputs.get(partition)
            record = self.log.read(TOPICS.rollups, partition, number)
            if record is not None and record.value is not None and number >= (position.next_offset if position else 0):
                behind = Position(self.log.topic_id(TOPICS.rollups), partition, number + 1, checksum(record.value))
                yield Input(deltas.decode(record.value), behind)

    def opened(self, path: Path) -> Store:
        return Store(path, _VIEWS, ZoneInfo("UTC"), GRACE_S, 86_400)

    def go_on(self, store: Store, path: Path, checkpoints_at: tuple[int, ...] = CHECKPOINTS_AT) -> None:
        """From wherever the file stands to the end of the log. A copy of the file while the store is open is what
        SIGKILL would leave of it."""
        now_s = 0.0
        store._checkpoints = Checkpoints(path, lambda: now_s)
        for number, arrival_ms in enumerate(self.arrivals_ms):
            now_s += 1000.0 if number in checkpoints_at else 0.0
            if inputs := list(self.inputs(store, number)):
                store.apply(inputs)
            if number % 2:
                store.seal(sealable(arrival_ms, GRACE_S))
                store.retain(arrival_ms // 1000, _KEEP_S)

    def violations(self, store: Store, ended: bool) -> list[str]:
        """What is wrong with what a file holds: `ended` when that has to be the whole log."""
        reached = {source.partition: source.next_offset for source in store.sources.values()}
        read = {partition: position.next_offset for partition, position in store.inputs.items()}
        wrong = [] if read == reached else [f"deltas read up to {read}, events counted up to {reached}"]
        if ended and reached != self.log.end_offsets(TOPICS.events):
            wrong.append(f"the file stands at {reached}, the log ends at {self.log.end_offsets(TOPICS.events)}")
        below = [event for event in self.events if event.offset < reached.get(event.partition, 0)]
        model = ReadModel(store, Registry())
        for by, step_s in _ASKED:
            wrong += self._differences(model, below, by, step_s)
        account = model.ledger(LedgerQuery(None, 0, 4_000_000_000_000))
        accepted = sum(row.account.accepted for row in account.rows)
        if accepted != len(below) or not all(row.account.exact for row in account.rows):
            wrong.append(f"the ledger holds {accepted} accepted events of {len(below)}: {account.rows}")
        return wrong

    def _differences(
        self, model: ReadModel, below: list[LoggedEvent], by: tuple[str, ...], step_s: int | None
    ) -> list[str]:
        start, end = NOON - 4 * 86_400, NOON + 8 * 86_400
        query = Query(METRIC, ("count", "sum", "min", "max"), 1000 * start, 1000 * end, step_s, by)
        try:
            rows: list[Any] = list(model.query(query).rows)
        except UnknownMetric:
            rows = []
        found: dict[Group, Figures] = {}
        for row in rows:
            timed = step_s is not None
            bucket, labels, cells = row[0] if timed else None, row[timed : timed + len(by)], row[-4:]
            if cells[0]:
                found[METRIC, labels, None if bucket is None else bucket // 1000] = Figures(*cells)
        wanted = tally(counted_once(below), by, step_s)
        nothing = Figures(0, 0.0, 0.0, 0.0)
        pairs = {group: (found.get(group, nothing), wanted.get(group, nothing)) for group in {*found, *wanted}}
        return [
            f"{by} {step_s} {group}: answered {a}, the log holds {b}"
            for group, (a, b) in pairs.items()
            if not a.near(b)
        ]


def healed(life: Life, path: Path) -> list[str]:
    """Violations of a file as a crash left it, and when it has been gone on with."""
    store = life.opened(path)
    wrong = [f"as it was left: {one}" for one in life.violations(store, ended=False)]
    life.go_on(store, path)
    wrong += [f"at the end: {one}" for one in life.violations(store, ended=True)]
    store.close()
    return wrong
