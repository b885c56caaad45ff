"""Events of consecutive records as columns, and the rows they make: one per (source offset, series, second). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aggregates.deltas import ROWS
from aggregates.hashing import distinct, order_by
from aggregates.sketches import MAX_BIN, bins_of, hash_texts
from ingest.events import NO_START, DecodedEvents
from ingest.series import SERIES_TYPE, FloatArray, Int64Array, Kind

BoolArray = npt.NDArray[np.bool_]
_KINDS = list(Kind)
_MS_BITS = 10
_BIN_BITS = (2 * MAX_BIN).bit_length()


@dataclass(frozen=True, slots=True)
class Events:
    """The events of some records. `record` points into `offsets`, `series` into `structs` (distinct, by key)."""

    offsets: Int64Array
    record: Int64Array
    structs: pa.StructArray
    kinds: npt.NDArray[np.int32]
    """Of each of `structs`."""
    series: Int64Array
    times: Int64Array
    """Epoch milliseconds."""
    values: FloatArray
    """NaN where there is no number."""
    texts: pa.StringArray | None
    starts: Int64Array | None
    """Start times of running totals, `NO_START` where there is none."""
    duplicate: BoolArray

    def of_kind(self, kind: Kind) -> BoolArray:
        """Which of `structs` are of the kind."""
        return np.asarray(self.kinds == _KINDS.index(kind))

    def judged(self, values: FloatArray, duplicate: BoolArray) -> Events:
        """The same events with other values and verdicts."""
        return replace(self, values=values, duplicate=duplicate)


def joined(offsets: Sequence[int], records: Sequence[DecodedEvents], flags: Sequence[BoolArray]) -> Events:
    """The events of at least one record, in their order."""
    keys = np.concatenate([events.keys for events in records])
    first, inverse = distinct(keys)
    bases = np.cumsum([0, *(len(events.keys) for events in records[:-1])])
    structs = pa.concat_arrays([events.series for events in records]).take(pa.array(first))
    kinds = pc.index_in(structs.field("kind"), pa.array([kind.value for kind in _KINDS]))
    texts = None
    if any(events.texts is not None for events in records):
        texts = pa.concat_arrays(
            [pa.nulls(len(events), pa.utf8()) if events.texts is None else events.texts for events in records]
        )
    starts = None
    if any(events.starts is not None for events in records):
        starts = np.concatenate(
            [np.full(len(events), NO_START) if events.starts is None else events.starts for events in records]
        )
    return Events(
        np.array(offsets, np.int64),
        np.repeat(np.arange(len(records)), [len(events) for events in records]),
        structs,
        kinds.fill_null(-1).to_numpy(),
        inverse[np.concatenate([events.index + base for events, base in zip(records, bases, strict=True)])],
        np.concatenate([events.times for events in records]),
        np.concatenate([events.values for events in records]),
        texts,
        starts,
        np.concatenate(list(flags)),
    )


def rows_of(events: Events) -> pa.RecordBatch:
    """Rows (`deltas.ROWS`), sorted by offset, series and second."""
    if not len(events.times):
        return no_rows()
    order, starts = order_of(events.record, events.series, events.times, len(events.structs))
    head = order[starts]
    series = events.series[head]
    columns = [
        pa.array(events.offsets[events.record[head]]),
        pa.DictionaryArray.from_arrays(pa.array(series.astype(np.int32)), events.structs),
        pa.array(np.floor_divide(events.times[head], 1000)).view(ROWS.field("second").type),
        *_measures(events.values[order], events.times[order], events.duplicate[order], starts),
        *_bins(events, order, starts, events.of_kind(Kind.DISTRIBUTION)[series]),
        _hashes(events, order, starts, events.of_kind(Kind.UNIQUE)[series]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ROWS)


def no_rows() -> pa.RecordBatch:
    """What a delta without rows holds."""
    series = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], SERIES_TYPE))
    return pa.RecordBatch.from_arrays(
        [series if f.name == "series" else pa.array([], f.type) for f in ROWS], schema=ROWS
    )


def order_of(
    record: Int64Array, series: Int64Array, times: Int64Array, series_count: int
) -> tuple[Int64Array, Int64Array]:
    """Event order by (record, series, second, time, place) and where each (record, series, second) starts.

    The sort key is packed into one integer: sorting plain integers is many times faster than sorting by columns.
    """
    count = len(times)
    place_bits = max(1, (count - 1).bit_length())
    seconds = np.floor_divide(times, 1000)
    milliseconds = times - seconds * 1000
    earliest = int(seconds.min())
    span = int(seconds.max()) - earliest + 1
    room = 63 - _MS_BITS - place_bits
    group, groups = record * series_count + series, (int(record[-1]) + 1) * series_count
    if (groups * span).bit_length() <= room:
        group = group * span + (seconds - earliest)
    else:  # times that lie far apart: their ranks are small
        (group, groups), (second, span) = _ranks(group), _ranks(seconds)
        if (groups * span).bit_length() > room:
            return _sorted_by_columns(group, times)
        group = group * span + second
    packed = (((group << _MS_BITS) | milliseconds) << place_bits) | np.arange(count)
    packed.sort()
    order = packed & ((1 << place_bits) - 1)
    ordered = packed >> (_MS_BITS + place_bits)
    return order, np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def _ranks(values: Int64Array) -> tuple[Int64Array, int]:
    found, rank = np.unique(values, return_inverse=True)
    return rank.astype(np.int64), len(found)


def _sorted_by_columns(group: Int64Array, times: Int64Array) -> tuple[Int64Array, Int64Array]:
    """The slow way, for more events than any sender of ours puts into a record."""
    order = np.lexsort((times, group))
    changes = np.ones(len(order), np.bool_)
    seconds = np.floor_divide(times, 1000)
    changes[1:] = (np.diff(group[order]) != 0) | (np.diff(seconds[order]) != 0)
    return order, np.flatnonzero(changes)


def _measures(values: FloatArray, times: Int64Array, duplicate: BoolArray, starts: Int64Array) -> list[pa.Array]:
    """count, sum, min, max, last, last_time, duplicates of each group of consecutive, time-ordered events."""
    sizes = np.diff(starts, append=len(values))
    repeated = np.add.reduceat(duplicate, starts, dtype=np.int64) if duplicate.any() else np.zeros_like(starts)
    numeric = ~(duplicate | np.isnan(values))
    if numeric.all():
        place, empty = starts + sizes - 1, None
        sums, low, high = values, values, values
    else:
        place = np.maximum.reduceat(np.where(numeric, np.arange(len(values)), -1), starts)
        empty = place < 0
        place = np.maximum(place, 0)
        sums = np.where(numeric, values, 0.0)
        low, high = np.where(numeric, values, np.inf), np.where(numeric, values, -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):  # a sum beyond a double is infinite, and shown as no number
        total = np.add.reduceat(sums, starts)
    return [
        pa.array(sizes - repeated),
        pa.array(total, mask=empty),
        pa.array(np.minimum.reduceat(low, starts), mask=empty),
        pa.array(np.maximum.reduceat(high, starts), mask=empty),
        pa.array(values[place], mask=empty),
        pa.array(times[place], mask=empty).view(ROWS.field("last_time").type),
        pa.array(repeated),
    ]


def _bins(events: Events, order: Int64Array, starts: Int64Array, wanted: BoolArray) -> list[pa.Array]:
    """bins and bin_counts of each group; `wanted`: the groups that are distributions."""
    if not wanted.any():
        return [pa.nulls(len(starts), ROWS.field(name).type) for name in ("bins", "bin_counts")]
    row, chosen = _members(events, order, starts, wanted)
    values = events.values[chosen]
    numeric = ~np.isnan(values)
    if not numeric.all():
        row, values = row[numeric], values[numeric]
    packed = (row << _BIN_BITS) | (bins_of(values).astype(np.int64) + MAX_BIN)
    packed.sort()
    at = np.flatnonzero(np.concatenate([[True], packed[1:] != packed[:-1]])) if len(packed) else packed
    codes = ((packed[at] & ((1 << _BIN_BITS) - 1)) - MAX_BIN).astype(np.int16)
    counts = np.diff(at, append=len(packed)).astype(np.int32)
    ends = np.cumsum(np.bincount(packed[at] >> _BIN_BITS, minlength=len(starts)))
    return [_lists(ends, column, ~wanted) for column in (codes, counts)]


def _hashes(events: Events, order: Int64Array, starts: Int64Array, wanted: BoolArray) -> pa.Array:
    """Distinct hashes of each group; `wanted`: the groups of kind unique."""
    if not wanted.any():
        return pa.nulls(len(starts), ROWS.field("hashes").type)
    row, chosen = _members(events, order, starts, wanted)
    if events.texts is None:
        row, chosen = row[:0], chosen[:0]
    elif events.texts.null_count:
        present = events.texts.is_valid().to_numpy(zero_copy_only=False)[chosen]
        row, chosen = row[present], chosen[present]
    texts = pa.array([], pa.utf8()) if events.texts is None else events.texts.take(pa.array(chosen))
    hashes = hash_texts(texts)
    by_hash = order_by(hashes)
    row, hashes = row[by_hash], hashes[by_hash]
    place_bits = max(1, (len(row) - 1).bit_length())
    packed = (row << place_bits) | np.arange(len(row))
    packed.sort()
    row, hashes = packed >> place_bits, hashes[packed & ((1 << place_bits) - 1)]
    new = np.ones(len(row), np.bool_)
    new[1:] = (row[1:] != row[:-1]) | (hashes[1:] != hashes[:-1])
    ends = np.cumsum(np.bincount(row[new], minlength=len(starts)))
    return _lists(ends, hashes[new], ~wanted)


def _members(events: Events, order: Int64Array, starts: Int64Array, wanted: BoolArray) -> tuple[Int64Array, Int64Array]:
    """(group, event) of the counted events of some groups, by group."""
    row = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    if wanted.all() and not events.duplicate.any():
        return row, order
    kept = wanted[row] & ~events.duplicate[order]
    return row[kept], order[kept]


def _lists(ends: Int64Array, values: npt.NDArray[np.generic], missing: BoolArray) -> pa.ListArray:
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = ends
    mask = pa.array(missing) if missing.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), mask=mask)
