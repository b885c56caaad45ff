"""Merging partials: rows of one (id, time) become one row. Pure arithmetic on columns.

A partial is what a level table holds: count, duplicates, sum, min, max, last and the order of that last (event time,
then place in the log). Merging is associative and order-free, but for the last digits of sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.series import FloatArray, Int64Array

NO_TIME = np.iinfo(np.int64).min
"""`last_time` of a partial in which nothing numeric was counted."""


@dataclass(frozen=True, slots=True)
class Partials:
    """Columns of equal length; floats are NaN where nothing numeric was counted."""

    id: Int64Array
    time: Int64Array
    count: Int64Array
    duplicates: Int64Array
    sum: FloatArray
    min: FloatArray
    max: FloatArray
    last: FloatArray
    last_time: Int64Array
    last_place: Int64Array

    def __len__(self) -> int:
        return len(self.id)

    def take(self, rows: Int64Array, ids: npt.NDArray[np.integer[Any]]) -> Partials:
        """The given rows, under other ids."""
        return Partials(
            ids.astype(np.int64),
            self.time[rows],
            self.count[rows],
            self.duplicates[rows],
            self.sum[rows],
            self.min[rows],
            self.max[rows],
            self.last[rows],
            self.last_time[rows],
            self.last_place[rows],
        )

    def at(self, times: Int64Array) -> Partials:
        """The same rows in other buckets."""
        return Partials(
            self.id,
            times,
            self.count,
            self.duplicates,
            self.sum,
            self.min,
            self.max,
            self.last,
            self.last_time,
            self.last_place,
        )

    def table(self) -> pa.Table:
        """As Arrow, in the column order of a level table."""
        empty = self.last_time == NO_TIME
        nulls = empty if empty.any() else None
        return pa.table(
            {
                "id": pa.array(self.id, pa.int32()),
                "time": pa.array(self.time),
                "count": pa.array(self.count),
                "duplicates": pa.array(self.duplicates),
                "sum": pa.array(self.sum, mask=nulls),
                "min": pa.array(self.min, mask=nulls),
                "max": pa.array(self.max, mask=nulls),
                "last": pa.array(self.last, mask=nulls),
                "last_time": pa.array(self.last_time, mask=nulls),
                "last_place": pa.array(self.last_place, mask=nulls),
            }
        )


def concat(parts: list[Partials]) -> Partials:
    """All rows, in the order given."""
    if len(parts) == 1:
        return parts[0]
    names = Partials.__slots__
    return Partials(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def merge(rows: Partials) -> Partials:
    """One row per (id, time), sorted by both."""
    if not len(rows):
        return rows
    order, starts = _order(rows.id, rows.time)
    head = order[starts]
    sums, minima, maxima = rows.sum[order], rows.min[order], rows.max[order]
    numeric = rows.last_time[order] != NO_TIME
    newest = _newest(rows.last_time[order], rows.last_place[order], starts)
    some = np.logical_or.reduceat(numeric, starts)
    with np.errstate(over="ignore", invalid="ignore"):  # a sum beyond a double is infinite, and shown as no number
        totals = np.add.reduceat(np.where(numeric, sums, 0.0), starts)
    return Partials(
        rows.id[head],
        rows.time[head],
        np.add.reduceat(rows.count[order], starts),
        np.add.reduceat(rows.duplicates[order], starts),
        np.where(some, totals, np.nan),
        np.fmin.reduceat(minima, starts),
        np.fmax.reduceat(maxima, starts),
        rows.last[order][newest],
        rows.last_time[order][newest],
        rows.last_place[order][newest],
    )


def _order(ids: Int64Array, times: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Row order by (id, time, place) and where each (id, time) starts; see `rollup._order` for the packing."""
    earliest = int(times.min())
    span = int(times.max()) - earliest + 1
    bits = max(1, (len(ids) - 1).bit_length())
    if ((int(ids.max()) + 1) * span).bit_length() + bits <= 63:
        packed = ((ids.astype(np.int64) * span + (times - earliest)) << bits) | np.arange(len(ids))
        packed.sort()
        order, groups = packed & ((1 << bits) - 1), packed >> bits
        changes = groups[1:] != groups[:-1]
    else:
        order = np.lexsort((times, ids))
        changes = (np.diff(ids[order]) != 0) | (np.diff(times[order]) != 0)
    return order, np.concatenate([[0], np.flatnonzero(changes) + 1])


def _newest(times: Int64Array, places: Int64Array, starts: Int64Array) -> Int64Array:
    """Row of each group's greatest (time, place)."""
    lengths = np.diff(np.append(starts, len(times)))
    latest = times == np.repeat(np.maximum.reduceat(times, starts), lengths)
    behind = np.where(latest, places, -1)
    furthest = latest & (behind == np.repeat(np.maximum.reduceat(behind, starts), lengths))
    rows: Int64Array = np.maximum.reduceat(np.where(furthest, np.arange(len(times)), -1), starts)
    return rows
