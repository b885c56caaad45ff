"""Merging rows of the read model: rows of one (id, time, known) become one. Pure arithmetic on columns.

Three sets of columns, as the level tables hold them: partials (count, duplicates, sum, min, max, last and the order of
that last), bins of distributions, and codes of uniques. Merging is associative and order-free, but for the last digits
of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.series import FloatArray, Int64Array, UInt64Array

NO_TIME: Final = np.iinfo(np.int64).min
"""`last_time` of a partial in which nothing numeric was counted."""
NEWEST: Final = "last_time::HUGEINT * 18446744073709551616 + last_place"
"""The same order in SQL: of two partials the one with the greater (last_time, last_place) has the newer last."""
_BIN_OFFSET: Final = 1 << 15
_Rows = TypeVar("_Rows", bound="Rows")


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of equal length. `time` is a bucket's start, `known` 0 or when a restatement was known (epoch s)."""

    id: Int64Array
    time: Int64Array
    known: Int64Array

    def __len__(self) -> int:
        return len(self.id)

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """The rows at the given places, or where a mask is true."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__match_args__))

    def under(self, ids: npt.NDArray[np.integer[Any]]) -> Self:
        """The same rows under other ids."""
        return replace(self, id=ids.astype(np.int64))

    def table(self) -> pa.Table:
        """As Arrow, in the column order of a level table."""
        arrays = [pa.array(self.id, pa.int32()), *(pa.array(getattr(self, n)) for n in self.__match_args__[1:])]
        return pa.Table.from_arrays(arrays, names=list(self.__match_args__))

    def at(self, times: Int64Array, known: Int64Array) -> Self:
        """The same rows in other buckets."""
        return replace(self, time=times, known=known)


@dataclass(frozen=True, slots=True)
class Partials(Rows):
    """Floats are NaN where nothing numeric was counted."""

    count: Int64Array
    duplicates: Int64Array
    sum: FloatArray
    min: FloatArray
    max: FloatArray
    last: FloatArray
    last_time: Int64Array
    last_place: Int64Array

    def table(self) -> pa.Table:
        empty = self.last_time == NO_TIME
        nulls = empty if empty.any() else None
        arrays = [pa.array(self.id, pa.int32()), *(pa.array(getattr(self, n)) for n in _PLAIN)]
        arrays += [pa.array(getattr(self, name), mask=nulls) for name in _NULLABLE]
        return pa.Table.from_arrays(arrays, names=list(self.__match_args__))


_PLAIN: Final = ("time", "known", "count", "duplicates")
_NULLABLE: Final = ("sum", "min", "max", "last", "last_time", "last_place")


@dataclass(frozen=True, slots=True)
class BinRows(Rows):
    """Events by bin of a distribution."""

    bin: npt.NDArray[np.int16]
    n: Int64Array


@dataclass(frozen=True, slots=True)
class CellRows(Rows):
    """Codes (hashes or cells) of a unique, each once or more often."""

    code: UInt64Array


def concat(parts: Sequence[_Rows]) -> _Rows:
    """All rows, in the order given; at least one part."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return type(first)(*(np.concatenate([getattr(part, name) for part in parts]) for name in first.__match_args__))


def merge(rows: Partials) -> Partials:
    """One row per (id, time, known)."""
    if not len(rows):
        return rows
    order, starts = _order(_groups(rows))
    head = order[starts]
    if len(head) == len(rows):
        return rows
    last_time = rows.last_time[order]
    numeric = last_time != NO_TIME
    newest = _newest(last_time, rows.last_place[order], starts)
    totals = rows.sum[order]
    if not numeric.all():
        totals = np.where(numeric, totals, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # a sum beyond a double is infinite, and shown as no number
        totals = np.add.reduceat(totals, starts)
    return Partials(
        rows.id[head],
        rows.time[head],
        rows.known[head],
        np.add.reduceat(rows.count[order], starts),
        np.add.reduceat(rows.duplicates[order], starts),
        np.where(np.logical_or.reduceat(numeric, starts), totals, np.nan),
        np.fmin.reduceat(rows.min[order], starts),
        np.fmax.reduceat(rows.max[order], starts),
        rows.last[order[newest]],
        last_time[newest],
        rows.last_place[order[newest]],
    )


def merge_bins(rows: BinRows) -> BinRows:
    """One row per (id, time, known, bin)."""
    if not len(rows):
        return rows
    groups, size = _groups(rows)
    order, starts = _order((groups << 16 | (rows.bin.astype(np.int64) + _BIN_OFFSET), size << 16))
    if len(starts) == len(rows):
        return rows
    return replace(rows.take(order[starts]), n=np.add.reduceat(rows.n[order], starts))


def merge_cells(rows: CellRows) -> CellRows:
    """One row per (id, time, known, code); hashes stay hashes."""
    if not len(rows):
        return rows
    groups, _ = _groups(rows)
    order = np.lexsort((rows.code, groups))
    groups, codes = groups[order], rows.code[order]
    first = np.ones(len(rows), np.bool_)
    first[1:] = (groups[1:] != groups[:-1]) | (codes[1:] != codes[:-1])
    return rows.take(order[first])


def _groups(rows: Rows) -> tuple[Int64Array, int]:
    """A number for every (id, known, time), in this order, and a bound above all of them."""
    earliest = int(rows.time.min())
    span = int(rows.time.max()) - earliest + 1
    ids = rows.id.astype(np.int64, copy=False)
    size = int(ids.max()) + 1
    numbers = ids
    if rows.known.any():
        knowns, places = np.unique(rows.known, return_inverse=True)
        numbers, size = numbers * len(knowns) + places, size * len(knowns)
    if (size * span).bit_length() > 46:  # times lie decades apart
        times, places = np.unique(rows.time, return_inverse=True)
        return numbers * len(times) + places, size * len(times)
    return numbers * span + (rows.time - earliest), size * span


def _order(groups: tuple[Int64Array, int]) -> tuple[Int64Array, Int64Array]:
    """Row order by group and where each group starts. Where they fit together, group and place are packed into one
    integer: sorting plain integers is several times faster than sorting by columns."""
    numbers, size = groups
    bits = max(1, (len(numbers) - 1).bit_length())
    if size.bit_length() + bits <= 63:
        packed = (numbers << bits) | np.arange(len(numbers))
        packed.sort()
        order, ordered = packed & ((1 << bits) - 1), packed >> bits
    else:
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
    return order, np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def _newest(times: Int64Array, places: Int64Array, starts: Int64Array) -> Int64Array:
    """Row of each group's greatest (time, place)."""
    lengths = np.diff(np.append(starts, len(times)))
    latest = times == np.repeat(np.maximum.reduceat(times, starts), lengths)
    behind = np.where(latest, places, -1)
    furthest = latest & (behind == np.repeat(np.maximum.reduceat(behind, starts), lengths))
    rows: Int64Array = np.maximum.reduceat(np.where(furthest, np.arange(len(times)), -1), starts)
    return rows
