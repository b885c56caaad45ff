"""Small things tests are made of."""

from __future__ import annotations

import numpy as np

from aggregates.deltas import Delta
from aggregates.duplicates import DuplicateWindow
from aggregates.losses import Loss, as_delta
from aggregates.positions import Position
from aggregates.rollup import PartitionRollup, Source
from aggregates.store import Input, Store
from ingest.events import EventColumns, encode
from ingest.log import LogRecord, checksum
from ingest.series import Kind, Series, SeriesTable

TOPIC_ID = "0123456789abcdef0123456789abcdef"
ROLLUPS_ID = "fedcba9876543210fedcba9876543210"

Event = tuple[str, dict[str, str], int, float | str, str | None]
"""metric, dimensions, event time in ms, value, id."""


def series_of(metric: str, dimensions: dict[str, str], text: bool = False) -> Series:
    kind = Kind.UNIQUE if text else Kind.DISTRIBUTION
    return Series(metric, kind, tuple(sorted(dimensions.items())))


def columns_of(events: list[Event]) -> EventColumns:
    """A batch of events as columns over a table of its own."""
    table = SeriesTable()
    numbers = [table.intern(series_of(m, d, isinstance(v, str))) for m, d, _, v, _ in events]
    return EventColumns(
        table,
        np.array(numbers, np.int32),
        np.array([event[2] for event in events], np.int64),
        np.array([np.nan if isinstance(event[3], str) else event[3] for event in events], np.float64),
        [event[3] if isinstance(event[3], str) else None for event in events],
        [event[4] for event in events],
    )


def record_value(events: list[Event]) -> bytes:
    """The events as the value of one record of a log with one partition."""
    (record,) = encode(columns_of(events), 1)
    return record.value


def log_records(batches: list[list[Event]], first_offset: int = 0, timestamp_ms: int = 0) -> list[LogRecord]:
    """One record per batch, at consecutive offsets, a second apart."""
    return [
        LogRecord(first_offset + i, timestamp_ms + 1000 * i, record_value(batch)) for i, batch in enumerate(batches)
    ]


def rollup_of(window: DuplicateWindow | None = None, partition: int = 0) -> PartitionRollup:
    return PartitionRollup(Source(TOPIC_ID, partition), 0, 0, window or DuplicateWindow())


def give_up(store: Store, next_offset: int, noted_ms: int) -> None:
    """Apply the loss of the records from the store's position in partition 0 (none: 0) to `next_offset`."""
    known = store.sources.get((TOPIC_ID, 0))
    first = known.next_offset if known else 0
    store.apply(inputs_of([as_delta(Loss(TOPIC_ID, 0, first, next_offset, None, None), noted_ms)], next_offset))


def inputs_of(deltas: list[Delta], first_offset: int = 0) -> list[Input]:
    """The deltas as records of `rollups`, at consecutive offsets of their partition."""
    return [
        Input(delta, Position(ROLLUPS_ID, delta.header.partition, first_offset + i + 1, checksum(b"")))
        for i, delta in enumerate(deltas)
    ]
