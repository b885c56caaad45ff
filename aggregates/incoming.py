"""A delta as rows of the read model. Pure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from aggregates.catalogue import IdArray
from aggregates.deltas import Delta
from aggregates.merge import NO_TIME, Partials
from ingest.series import FloatArray

_PARTITION_SHIFT = 48


def undecodable_rows(delta: Delta, start: int) -> list[list[object]]:
    """Rows of the table `undecodable` for source records at or behind `start`."""
    header = delta.header
    return [
        [header.topic_id, header.partition, record.offset, record.timestamp_ms, record.undecodable]
        for record in header.records
        if record.undecodable is not None and record.offset >= start
    ]


def fresh_rows(delta: Delta, start: int) -> pa.RecordBatch:
    """The rows of source records at or behind `start`."""
    offsets = delta.rows.column("offset").to_numpy()
    if not len(offsets) or offsets[0] >= start:
        return delta.rows
    return delta.rows.slice(int(np.searchsorted(offsets, start)))


def partials_of(rows: pa.RecordBatch, partition: int, ids: IdArray) -> Partials:
    """Delta rows as partials; `ids` are the series ids by dictionary index."""
    offsets = rows.column("offset").to_numpy()
    last_time = rows.column("last_time").view(pa.int64())

    def floats(name: str) -> FloatArray:
        return np.asarray(rows.column(name).to_numpy(zero_copy_only=False), np.float64)

    return Partials(
        ids[rows.column("series").indices.to_numpy()],
        rows.column("second").view(pa.int64()).to_numpy(),
        rows.column("count").to_numpy(),
        rows.column("duplicates").to_numpy(),
        floats("sum"),
        floats("min"),
        floats("max"),
        floats("last"),
        (last_time.fill_null(NO_TIME) if last_time.null_count else last_time).to_numpy(),
        (np.int64(partition) << _PARTITION_SHIFT) | offsets,
    )
