"""What became of one record of `events`: what is in it, where it is counted, and whether it is already."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aggregates.levels import LEVELS, Kept, end_of, start_of
from aggregates.store import Store
from ingest.events import DecodedEvents, decode
from ingest.log import LogRecord

MOST_BUCKETS = 100
"""So many buckets of a level are listed; all are counted."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of a level that a record's events belong to: (start in epoch ms, whether it is complete)."""

    level: str
    count: int
    buckets: tuple[tuple[int, bool], ...]


@dataclass(frozen=True, slots=True)
class RecordMetric:
    """The events of one metric in a record; times in epoch ms."""

    metric: str
    events: int
    series: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class RecordContent:
    """What a record holds; `undecodable` says why it could not be read."""

    appended_ms: int
    size: int
    events: int = 0
    history: bool = False
    undecodable: str | None = None
    metrics: tuple[RecordMetric, ...] = ()
    windows: tuple[Buckets, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """A record and what became of it.

    `content` is None when the log does not keep it any more. `applied_at_ms`, `counted` and `duplicates` are known of
    records that this process applied lately. `lost`: it was given up.
    """

    topic_id: str
    partition: int
    offset: int
    applied: bool
    lost: bool
    applied_at_ms: int | None
    counted: int | None
    duplicates: int | None
    content: RecordContent | None


class NoSuchRecord(Exception):
    """The log has no record at a position."""


class RecordSource(Protocol):
    """The topic `events`, asked beside the event loop. Raises `ingest.log.LogError`."""

    def topic_id(self) -> Awaitable[str]: ...

    def bounds(self) -> Awaitable[tuple[Mapping[int, int], Mapping[int, int]]]:
        """First offset kept and the offset behind the last one, by partition."""
        ...

    def record(self, partition: int, offset: int) -> Awaitable[LogRecord | None]:
        """The first record at or behind an offset."""
        ...


class Receipts:
    """Answers from the log and one store."""

    def __init__(self, source: RecordSource, store: Store) -> None:
        self._source = source
        self._store = store

    async def receipt(self, partition: int, offset: int, topic: str | None = None) -> Receipt:
        """What became of the record at an offset. Raises `NoSuchRecord`, and `LogError` when the log does not answer.

        Args:
            topic: what the topic's id has to begin with.
        """
        topic_id = await self._source.topic_id()
        if topic is not None and not topic_id.startswith(topic):
            raise NoSuchRecord(f"the position belongs to another log: its topic id begins with {topic[:40]}")
        begins, ends = await self._source.bounds()
        if not 0 <= offset < ends.get(partition, 0):
            there = f"it ends before {ends[partition]}" if partition in ends else "there is no such partition"
            raise NoSuchRecord(f"partition {partition} has no record {offset}: {there}")
        content = None
        if offset >= begins[partition]:
            record = await self._source.record(partition, offset)
            if record is None or record.offset != offset:
                raise NoSuchRecord(f"partition {partition} has no record at {offset}")
            content = content_of(record, self._store)
        source = self._store.sources.get((topic_id, partition))
        applied = source is not None and source.history_from <= offset < source.next_offset
        found = self._store.recent.find(topic_id, partition, offset)
        lost = applied and self._is_lost(topic_id, partition, offset)
        return Receipt(
            topic_id=topic_id,
            partition=partition,
            offset=offset,
            applied=applied and not lost,
            lost=lost,
            applied_at_ms=None if found is None else found.applied_at_ms,
            counted=None if found is None else found.counted,
            duplicates=None if found is None else found.duplicates,
            content=content,
        )

    def _is_lost(self, topic_id: str, partition: int, offset: int) -> bool:
        with self._store.reader() as cursor:
            return bool(
                cursor.execute(
                    "SELECT 1 FROM lost WHERE topic_id = ? AND partition = ? AND first_offset <= ? AND next_offset > ?",
                    [topic_id, partition, offset, offset],
                ).fetchall()
            )


def content_of(record: LogRecord, store: Store) -> RecordContent:
    """What a record holds, and the buckets that it belongs to."""
    size = len(record.value or b"")
    found = decode(record.value)
    if not isinstance(found, DecodedEvents):
        return RecordContent(record.timestamp_ms, size, undecodable=found.reason)
    names = np.array(found.series.field("metric").to_pylist(), object)[found.index]
    metrics = []
    for name in sorted(set(names.tolist())):
        own = names == name
        times = found.times[own]
        metrics.append(
            RecordMetric(name, int(own.sum()), len(np.unique(found.index[own])), int(times.min()), int(times.max()))
        )
    windows = tuple(_buckets(level, np.unique(found.times // 1000).tolist(), store) for level in LEVELS)
    return RecordContent(record.timestamp_ms, size, len(found), found.history, None, tuple(metrics), windows)


def _buckets(level: str, seconds: list[int], store: Store) -> Buckets:
    kept: Kept = store.kept
    starts = sorted({start_of(level, second, store.zone) for second in seconds})
    listed = tuple(
        (1000 * start, end_of(level, start + 1, store.zone) <= _complete_until(level, kept))
        for start in starts[:MOST_BUCKETS]
    )
    return Buckets(level, len(starts), listed)


def _complete_until(level: str, kept: Kept) -> int:
    """Buckets of seconds are complete with their minute."""
    return kept.sealed_until["1m" if level == "1s" else level]
