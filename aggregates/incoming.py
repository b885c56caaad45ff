"""A delta as rows of the read model, by series and second. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aggregates.catalogue import IdArray
from aggregates.deltas import Delta
from aggregates.lateness import known_in_seconds
from aggregates.merge import NO_TIME, BinRows, CellRows, Partials, concat
from ingest.series import FloatArray, Int64Array

_PARTITION_SHIFT = 48
_NEVER_LATE_MS = -(1 << 52)
Tally = Counter[tuple[str, int]]
"""Events by metric and minute of record time (epoch s)."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What of a delta is not counted yet: its source records at or behind `start`, and their rows."""

    delta: Delta
    start: int
    rows: pa.RecordBatch

    @classmethod
    def of(cls, delta: Delta, start: int) -> Fresh:
        offsets = delta.rows.column("offset").to_numpy()
        if not len(offsets) or offsets[0] >= start:
            return cls(delta, start, delta.rows)
        return cls(delta, start, delta.rows.slice(int(np.searchsorted(offsets, start))))

    def undecodable(self) -> list[list[object]]:
        """Rows of the table `undecodable`."""
        header = self.delta.header
        return [
            [header.topic_id, header.partition, record.offset, record.timestamp_ms, record.undecodable]
            for record in header.records
            if record.undecodable is not None and record.offset >= self.start
        ]

    def lost(self) -> list[list[object]]:
        """Rows of the table `lost`: what of a loss was not counted in before."""
        header = self.delta.header
        if self.delta.lost_ms is None:
            return []
        return [[header.topic_id, header.partition, self.start, header.next_offset, self.delta.lost_ms]]

    def record_of(self) -> Int64Array:
        """Index among the header's records of each row's source record."""
        offsets = np.array([record.offset for record in self.delta.header.records], np.int64)
        found: Int64Array = np.searchsorted(offsets, self.rows.column("offset").to_numpy())
        return found

    def late_from_ms(self) -> Int64Array:
        """Append time of each row's source record; that of imported history lies before all time."""
        records = self.delta.header.records
        times = [_NEVER_LATE_MS if record.history else record.timestamp_ms for record in records]
        found: Int64Array = np.array(times, np.int64)[self.record_of()]
        return found


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of single series at the 1-second level, and what the ledger notes of them."""

    partials: Partials
    bins: BinRows
    cells: CellRows

    @classmethod
    def together(cls, parts: list[Counted]) -> Counted:
        """All rows of some deltas, at least one."""
        return cls(
            concat([part.partials for part in parts]),
            concat([part.bins for part in parts]),
            concat([part.cells for part in parts]),
        )


def counted(fresh: Fresh, ids: IdArray, grace_s: int, folded_until: int) -> Counted:
    """The rows of a delta; `ids` are the series ids by dictionary index."""
    rows = fresh.rows
    seconds = rows.column("second").view(pa.int64()).to_numpy()
    known = known_in_seconds(seconds, fresh.late_from_ms(), grace_s, folded_until)
    series = ids[rows.column("series").indices.to_numpy()].astype(np.int64)
    offsets = rows.column("offset").to_numpy()
    last_time = rows.column("last_time").view(pa.int64())

    def floats(name: str) -> FloatArray:
        return np.asarray(rows.column(name).to_numpy(zero_copy_only=False), np.float64)

    partials = Partials(
        series,
        seconds,
        known,
        rows.column("count").to_numpy(),
        rows.column("duplicates").to_numpy(),
        floats("sum"),
        floats("min"),
        floats("max"),
        floats("last"),
        (last_time.fill_null(NO_TIME) if last_time.null_count else last_time).to_numpy(),
        (np.int64(fresh.delta.header.partition) << _PARTITION_SHIFT) | offsets,
    )
    of, codes = _listed(rows.column("bins"))
    _, events = _listed(rows.column("bin_counts"))
    bins = BinRows(series[of], seconds[of], known[of], codes.to_numpy(), events.to_numpy().astype(np.int64))
    of, hashes = _listed(rows.column("hashes"))
    return Counted(partials, bins, CellRows(series[of], seconds[of], known[of], hashes.to_numpy()))


def _listed(column: pa.ListArray) -> tuple[Int64Array, pa.Array]:
    """The entries of a list column, and the row of each."""
    if column.null_count == len(column):
        return np.zeros(0, np.int64), pa.array([], column.type.value_type)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    return np.repeat(np.arange(len(column)), lengths), column.flatten()


def accepted(fresh: Fresh) -> Tally:
    """Events that the source records say they hold. Deltas of version 1 do not say: there it is what was counted."""
    header = fresh.delta.header
    found: Tally = Counter()
    if header.version == 1:
        counts, duplicates = tallied(fresh)
        return counts + duplicates
    for record in header.records:
        if record.offset >= fresh.start:
            for metric, events in record.accepted:
                found[header.metrics[metric], record.timestamp_ms // 60_000 * 60] += events
    return found


def tallied(fresh: Fresh) -> tuple[Tally, Tally]:
    """Events that were counted, and duplicates, from the rows."""
    if not fresh.rows.num_rows:
        return Counter(), Counter()
    series = fresh.rows.column("series")
    metrics = series.dictionary.field("metric").dictionary_encode()
    names = metrics.dictionary.to_pylist()
    minutes, place = np.unique(
        [record.timestamp_ms // 60_000 * 60 for record in fresh.delta.header.records], return_inverse=True
    )
    cells = place[fresh.record_of()] * len(names) + metrics.indices.to_numpy()[series.indices.to_numpy()]
    keys = [(name, minute) for minute in minutes.tolist() for name in names]

    def added(column: str) -> Tally:
        events = np.bincount(cells, fresh.rows.column(column).to_numpy(), len(keys)).astype(np.int64).tolist()
        return Counter({key: number for key, number in zip(keys, events, strict=True) if number})

    return added("count"), added("duplicates")
