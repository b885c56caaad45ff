"""The fold the product is: source records of one partition → one delta, plus the state the next delta needs.

Pure: no clock, no network. Rows are grouped by (source offset, series, second), so they depend on single source
records and on the ids before them, never on how many records happened to be read together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from aggregates.deltas import ROWS, Delta, Header, SourceRecord
from aggregates.duplicates import BoolArray, DuplicateWindow, SeenIds
from ingest.events import DecodedEvents, Undecodable, decode
from ingest.log import LogRecord, checksum
from ingest.series import FloatArray, Int64Array


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


class PartitionRollup:
    """The rollup of one source.

    Args:
        source: what is rolled up.
        next_offset: first offset that is not yet covered by a delta in the log.
        state_from: first offset that is read again, only to know the ids before `next_offset`.
    """

    def __init__(self, source: Source, next_offset: int, state_from: int, window: DuplicateWindow) -> None:
        self.source = source
        self._resume = next_offset
        self._expected = state_from
        self._seen = SeenIds(window)

    @property
    def next_offset(self) -> int:
        """Offset of the record that is taken next."""
        return self._expected

    @property
    def replaying(self) -> bool:
        """Whether records are still read for their ids alone."""
        return self._expected < self._resume

    @property
    def state_bytes(self) -> int:
        return self._seen.bytes

    def skip_to(self, offset: int) -> None:
        """Accept that the log holds no record below `offset` (control records, or nothing was ever there)."""
        self._expected = max(self._expected, offset)

    def add(self, records: Sequence[LogRecord]) -> Delta | None:
        """Take in the next records, in order. Records already covered by the output only rebuild the state; the
        delta covers the others, and is None when there are none. Raises `Gap`, leaving nothing half done.
        """
        for expected, record in enumerate(records, self._expected):
            if record.offset != expected:
                raise Gap(expected, record.offset)
        batches = [(record, decode(record.value)) for record in records]
        flags = [self._mark(record, events) for record, events in batches]
        self._expected += len(records)
        fresh = [i for i, record in enumerate(records) if record.offset >= self._resume]
        if not fresh:
            return None
        start = fresh[0]
        return self._delta(batches[start:], flags[start:])

    def _mark(self, record: LogRecord, events: DecodedEvents | Undecodable) -> BoolArray:
        if isinstance(events, Undecodable):
            return np.zeros(0, np.bool_)
        return self._seen.mark(record.offset, record.timestamp_ms, events.keys[events.index], events.ids)

    def _delta(self, batches: list[tuple[LogRecord, DecodedEvents | Undecodable]], flags: list[BoolArray]) -> Delta:
        oldest = self._seen.oldest_offset
        last = batches[-1][0]
        header = Header(
            topic_id=self.source.topic_id,
            partition=self.source.partition,
            first_offset=batches[0][0].offset,
            next_offset=self._expected,
            crc=checksum(last.value),
            state_from=self._expected if oldest is None else oldest,
            records=[_source_record(record, events) for record, events in batches],
        )
        readable = [
            (record.offset, events, duplicate)
            for (record, events), duplicate in zip(batches, flags, strict=True)
            if isinstance(events, DecodedEvents) and len(events)
        ]
        return Delta(header, group_rows(readable) if readable else ROWS.empty_table().to_batches()[0])


def _source_record(record: LogRecord, events: DecodedEvents | Undecodable) -> SourceRecord:
    if isinstance(events, Undecodable):
        return SourceRecord(record.offset, record.timestamp_ms, 0, events.reason)
    return SourceRecord(record.offset, record.timestamp_ms, len(events))


def group_rows(batches: list[tuple[int, DecodedEvents, BoolArray]]) -> pa.RecordBatch:
    """Rows (`deltas.ROWS`) of (offset, events, duplicate flags), sorted by offset, series and second."""
    lengths = [len(events) for _, events, _ in batches]
    sizes = [len(events.keys) for _, events, _ in batches]
    keys = np.concatenate([events.keys for _, events, _ in batches])
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    bases = np.cumsum([0, *sizes[:-1]])
    series = inverse[np.concatenate([e.index + base for (_, e, _), base in zip(batches, bases, strict=True)])]
    record = np.repeat(np.arange(len(batches)), lengths)
    times = np.concatenate([events.times for _, events, _ in batches])
    values = np.concatenate([events.values for _, events, _ in batches])
    duplicate = np.concatenate([flags for _, _, flags in batches])

    order, starts = _order(record, series, times, len(first))
    head = order[starts]
    offsets = np.array([offset for offset, _, _ in batches], np.int64)
    structs = pa.concat_arrays([events.series for _, events, _ in batches]).take(pa.array(first))
    columns = [
        pa.array(offsets[record[head]]),
        pa.DictionaryArray.from_arrays(pa.array(series[head].astype(np.int32)), structs),
        pa.array(np.floor_divide(times[head], 1000)).view(ROWS.field("second").type),
        *_measures(values[order], times[order], duplicate[order], starts),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ROWS)


def _order(
    record: Int64Array, series: Int64Array, times: Int64Array, series_count: int
) -> tuple[Int64Array, Int64Array]:
    """Event order by (record, series, second, time, place) and where each (record, series, second) starts.

    The sort key is packed into one integer when it fits, which it does unless event times lie decades apart: sorting
    plain integers is several times faster than sorting by columns.
    """
    count = len(times)
    seconds = np.floor_divide(times, 1000)
    earliest = int(seconds.min())
    span = int(seconds.max()) - earliest + 1
    place_bits = max(1, (count - 1).bit_length())
    groups = (int(record[-1]) + 1) * series_count * span
    if groups.bit_length() + 10 + place_bits <= 63:
        group = (record * series_count + series) * span + (seconds - earliest)
        packed = (((group << 10) | (times - seconds * 1000)) << place_bits) | np.arange(count)
        packed.sort()
        order = packed & ((1 << place_bits) - 1)
        ordered = packed >> (10 + place_bits)
        changes = ordered[1:] != ordered[:-1]
    else:
        order = np.lexsort((times, series, record))
        changes = np.zeros(count - 1, np.bool_)
        for column in (record, series, seconds):
            ordered = column[order]
            changes |= ordered[1:] != ordered[:-1]
    return order, np.concatenate([[0], np.flatnonzero(changes) + 1])


def _measures(values: FloatArray, times: Int64Array, duplicate: BoolArray, starts: Int64Array) -> list[pa.Array]:
    """count, sum, min, max, last, last_time, duplicates of each group of consecutive, time-ordered events."""
    counted = ~duplicate
    numeric = counted & ~np.isnan(values)
    place = np.maximum.reduceat(np.where(numeric, np.arange(len(values)), -1), starts)
    empty = place < 0
    found = np.maximum(place, 0)

    with np.errstate(over="ignore", invalid="ignore"):  # a sum beyond a double is infinite, and shown as no number
        sums = np.add.reduceat(np.where(numeric, values, 0.0), starts)

    def floats(result: FloatArray) -> pa.Array:
        return pa.array(result, mask=empty) if empty.any() else pa.array(result)

    return [
        pa.array(np.add.reduceat(counted.astype(np.int64), starts)),
        floats(sums),
        floats(np.minimum.reduceat(np.where(numeric, values, np.inf), starts)),
        floats(np.maximum.reduceat(np.where(numeric, values, -np.inf), starts)),
        floats(values[found]),
        pa.array(times[found], mask=empty).view(ROWS.field("last_time").type),
        pa.array(np.add.reduceat(duplicate.astype(np.int64), starts)),
    ]
