"""The fold the product is: source records of one partition → one delta, plus the state the next delta needs.

Pure: no clock, no network. Rows are grouped by (source offset, series, second), so they depend on single source
records and on what stands before them, never on how many records happened to be read together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aggregates.cumulative import NO_START, PointRecord, RunningTotals
from aggregates.deltas import Delta, Header, SourceRecord
from aggregates.duplicates import BoolArray, DuplicateWindow, IdRecord, SeenIds
from aggregates.grouping import Events, joined, no_rows, rows_of
from aggregates.newest import Points
from aggregates.soundness import read
from ingest.events import DecodedEvents, Undecodable
from ingest.log import LogRecord, checksum
from ingest.series import Kind


class Gap(Exception):
    """The next record is not the expected one: records are missing, or offsets went back."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"expected offset {expected}, found {found}")
        self.expected, self.found = expected, found


@dataclass(frozen=True, slots=True)
class Source:
    """One partition of one topic `events`; a re-created topic has another id and is another source."""

    topic_id: str
    partition: int


@dataclass(frozen=True, slots=True)
class _Readable:
    record: LogRecord
    events: DecodedEvents


class PartitionRollup:
    """The rollup of one source.

    Args:
        source: what is rolled up.
        next_offset: first offset that is not yet covered by a delta in the log.
        state_from: first offset that is read again, only for the state: the ids before `next_offset`, …
        totals_from: … and, from here on, running totals; None when there were none.
    """

    def __init__(
        self,
        source: Source,
        next_offset: int,
        state_from: int,
        window: DuplicateWindow,
        totals_from: int | None = None,
    ) -> None:
        self.source = source
        self._covered = next_offset
        """Where the next delta begins: everything below is covered by deltas or needs none."""
        self._totals_from = next_offset if totals_from is None else totals_from
        self._expected = state_from
        self._seen = SeenIds(window)
        self._totals = RunningTotals(window.events)

    @property
    def next_offset(self) -> int:
        """Offset of the record that is taken next."""
        return self._expected

    @property
    def replaying(self) -> bool:
        """Whether records are still read for the state alone."""
        return self._expected < self._covered

    @property
    def ids_bytes(self) -> int:
        """Memory of the ids seen."""
        return self._seen.bytes

    @property
    def totals_bytes(self) -> int:
        """Memory of the newest points of running totals."""
        return self._totals.bytes

    def skip_to(self, offset: int) -> None:
        """Accept that the log holds no record from `next_offset` to `offset` (control records): the offsets between
        belong to the next delta, so that deltas lie end to end."""
        self._expected = max(self._expected, offset)

    def add(self, records: Sequence[LogRecord]) -> Delta | None:
        """Take in the next records, in order. Records already covered by the output only rebuild the state; the
        delta covers the others, and is None when there are none. Raises `Gap`, leaving nothing half done.
        """
        for expected, record in enumerate(records, self._expected):
            if record.offset != expected:
                raise Gap(expected, record.offset)
        known = sum(record.offset < self._covered for record in records)
        if known:
            self._rebuild(records[:known])
        return self._delta(records[known:]) if known < len(records) else None

    def _rebuild(self, records: Sequence[LogRecord]) -> None:
        """Take in records for the state alone."""
        found = [(record, read(record.value)) for record in records]
        readable = [_Readable(record, events) for record, events in found if isinstance(events, DecodedEvents)]
        flags = self._seen.mark([_ids(item) for item in readable])
        later = [i for i, item in enumerate(readable) if item.record.offset >= self._totals_from]
        if later:
            readable = [readable[i] for i in later]
            self._increased(readable, _joined(readable, [flags[i] for i in later]))
        self._expected += len(records)

    def _delta(self, records: Sequence[LogRecord]) -> Delta:
        found = [(record, read(record.value)) for record in records]
        readable = [_Readable(record, events) for record, events in found if isinstance(events, DecodedEvents)]
        accepted: dict[int, list[tuple[int, int]]] = {}
        metrics: list[str] = []
        if readable:
            flags = self._seen.mark([_ids(item) for item in readable])
            rows = rows_of(self._increased(readable, _joined(readable, flags)))
            metrics, accepted = _accepted(readable)
        else:
            rows = no_rows()
        first, self._covered = self._covered, self._expected + len(records)
        self._expected = self._covered
        starts = [start for start in (self._seen.oldest_offset, self._totals.starts_at) if start is not None]
        header = Header(
            topic_id=self.source.topic_id,
            partition=self.source.partition,
            first_offset=first,
            next_offset=self._expected,
            crc=checksum(records[-1].value),
            state_from=min(starts, default=self._expected),
            records=[_source_record(record, events, accepted.get(record.offset, [])) for record, events in found],
            metrics=metrics,
            totals_from=self._totals.starts_at,
        )
        return Delta(header, rows)

    def _increased(self, readable: Sequence[_Readable], events: Events) -> Events:
        """The events with the increases of running totals in place of their values."""
        rows = np.flatnonzero(events.of_kind(Kind.CUMULATIVE)[events.series])
        if not len(rows) and self._totals.starts_at is None:
            return events
        counts = np.bincount(events.record[rows], minlength=len(readable)).tolist()
        records = [
            PointRecord(item.record.offset, item.record.timestamp_ms, count)
            for item, count in zip(readable, counts, strict=True)
        ]
        keys = events.structs.field("key").to_numpy()[events.series[rows]]
        starts = np.full(len(rows), NO_START) if events.starts is None else events.starts[rows]
        points = Points(keys, events.times[rows], events.values[rows], starts)
        values, duplicate = events.values.copy(), events.duplicate.copy()
        values[rows], later = self._totals.take(records, points)
        duplicate[rows] |= ~later
        return events.judged(values, duplicate)


def _ids(item: _Readable) -> IdRecord:
    events = item.events
    return IdRecord(item.record.offset, item.record.timestamp_ms, events.keys[events.index], events.ids)


def _joined(readable: Sequence[_Readable], flags: Sequence[BoolArray]) -> Events:
    return joined([item.record.offset for item in readable], [item.events for item in readable], flags)


def _source_record(
    record: LogRecord, events: DecodedEvents | Undecodable, accepted: list[tuple[int, int]]
) -> SourceRecord:
    if isinstance(events, Undecodable):
        return SourceRecord(record.offset, record.timestamp_ms, 0, events.reason)
    return SourceRecord(record.offset, record.timestamp_ms, len(events), None, events.history, accepted)


def _accepted(readable: Sequence[_Readable]) -> tuple[list[str], dict[int, list[tuple[int, int]]]]:
    """(names of metrics, source offset → (metric, events of it)): counted from the records as they were read, apart
    from the fold, so that the two can be held against each other."""
    names = pc.dictionary_encode(pa.concat_arrays([item.events.series.field("metric") for item in readable]))
    counts = np.concatenate([np.bincount(item.events.index, minlength=len(item.events.keys)) for item in readable])
    record = np.repeat(np.arange(len(readable)), [len(item.events.keys) for item in readable])
    metrics = names.dictionary.to_pylist()
    accepted: dict[int, list[tuple[int, int]]] = {item.record.offset: [] for item in readable}
    if len(counts):
        cell = record * len(metrics) + names.indices.to_numpy()
        place_bits = max(1, (len(cell) - 1).bit_length())
        packed = (cell << place_bits) | np.arange(len(cell))
        packed.sort()
        ordered = packed >> place_bits
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        sums = np.add.reduceat(counts[packed & ((1 << place_bits) - 1)], starts)
        for at, total in zip(ordered[starts].tolist(), sums.tolist(), strict=True):
            if total:
                accepted[readable[at // len(metrics)].record.offset].append((at % len(metrics), total))
    return metrics, accepted
