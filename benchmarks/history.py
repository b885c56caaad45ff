"""Weeks of events of three metrics, made as ingest would write them, their sums, and the same events as Parquet.

- `orders.revenue`, a counter of 20 countries × 5 channels, and `request.duration`, a distribution of 20 routes × 5
  regions: a steady load over all days;
- `page.views`, a counter of 10,000 pages: a trickle, and two fifths of all events in the last five hours of either
  half.

A record holds ten seconds of events and is appended as the last of them happens, so none is late. All draws come from
a seed; times and numbers of events do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from aggregates.deltas import encode as encode_delta
from aggregates.duplicates import DuplicateWindow
from aggregates.rollup import PartitionRollup, Source
from ingest import events
from ingest.log import LogRecord
from ingest.series import FloatArray, Int32Array, Int64Array, Kind, Series, SeriesTable

ORDERS, DURATION, PAGES = METRICS = ("orders.revenue", "request.duration", "page.views")
COUNTRIES, CHANNELS, ROUTES, REGIONS, PAGE_COUNT = 20, 5, 20, 5, 10_000
FIRST_DURATION, FIRST_PAGE = COUNTRIES * CHANNELS, COUNTRIES * CHANNELS + ROUTES * REGIONS
SERIES = FIRST_PAGE + PAGE_COUNT
END_S = 1_795_446_440
"""2026-11-23T15:07:20Z: the end of the history."""
DAY_S, SLICE_S, CHUNK_S, BURST_S = 86_400, 10, 3600, 5 * 3600
BURST_SHARE, PAGE_SHARE, LIVE_PAGE_SHARE = 0.4, 0.2, 0.4
SOURCE = Source("0" * 32, 0)
_RUN_EVENTS, _RUN_SLICES = 10_000, 60
Sums = dict[str, tuple[int, float]]
"""`metric|country|day`, the country of orders alone → events and sum of values."""


@dataclass(frozen=True, slots=True)
class History:
    """How much: 100 million events lie in 30 days, fewer in as many fewer, two at least."""

    events: int
    seed: int = 1

    @property
    def days(self) -> int:
        return max(2, round(30 * self.events / 100_000_000))

    @property
    def start_s(self) -> int:
        return END_S - self.days * DAY_S

    @property
    def half_s(self) -> int:
        """The end of the first half."""
        return END_S - self.days * DAY_S // 2

    def sizes(self, starts: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Events of the steady load, and of the rush beside it, in the slices that begin then (epoch s)."""
        half, length = self.events // 2, self.half_s - self.start_s
        place = (starts - self.start_s) % length
        rushing = place >= length - BURST_S

        def shared(total: int, number: Int64Array, slices: int) -> Int64Array:
            return (number + 1) * total // slices - number * total // slices

        rush = shared(round(BURST_SHARE * half), (place - (length - BURST_S)) // SLICE_S, BURST_S // SLICE_S)
        steady = shared(half - round(BURST_SHARE * half), place // SLICE_S, length // SLICE_S)
        return steady, np.where(rushing, rush, 0)


@dataclass(frozen=True, slots=True)
class Events:
    """Columns of equal length, in the order of time; `series` as `series_table` numbers them."""

    series: Int32Array
    times_ms: Int64Array
    values: FloatArray

    def __len__(self) -> int:
        return len(self.series)

    def part(self, start: int, end: int) -> Events:
        return Events(self.series[start:end], self.times_ms[start:end], self.values[start:end])


def series_table() -> SeriesTable:
    """Every series: those of orders, of durations, of pages."""
    table = SeriesTable()
    for n in range(COUNTRIES * CHANNELS):
        table.intern(Series(ORDERS, Kind.COUNTER, (("channel", f"ch{n % CHANNELS}"), ("country", f"c{n // CHANNELS}"))))
    for n in range(ROUTES * REGIONS):
        named = (("region", f"r{n % REGIONS}"), ("route", f"/route/{n // REGIONS}"))
        table.intern(Series(DURATION, Kind.DISTRIBUTION, named))
    for n in range(PAGE_COUNT):
        table.intern(Series(PAGES, Kind.COUNTER, (("page", f"/page/{n}"),)))
    return table


def drawn(draw: np.random.Generator, times_ms: Int64Array, pages: FloatArray | float) -> Events:
    """Events at these times; `pages` is the share of page views. The share of a page falls as the root of its rank
    rises. Orders are whole cents, durations lognormal, views count 1."""
    number = len(times_ms)
    metric = draw.random(number)
    where = draw.random(number)
    is_page = metric < pages
    is_order = ~is_page & (draw.random(number) < 0.5)
    series = np.where(is_order, where * FIRST_DURATION, FIRST_DURATION + where * (FIRST_PAGE - FIRST_DURATION))
    series = np.where(is_page, FIRST_PAGE + where * where * PAGE_COUNT, series).astype(np.int32)
    values = np.exp(4 + draw.standard_normal(number, np.float32)).astype(np.float64).round(2)
    values[is_order] = draw.integers(1, 100_000, int(is_order.sum())) / 100
    values[is_page] = 1.0
    return Events(series, times_ms, values)


def chunks(history: History) -> Iterator[tuple[Int64Array, Events]]:
    """(where each slice of an hour ends in the events, the events); no hour reaches over the half."""
    draw = np.random.default_rng(history.seed)
    for first, last in ((history.start_s, history.half_s), (history.half_s, END_S)):
        for start in range(first, last, CHUNK_S):
            starts = np.arange(start, min(start + CHUNK_S, last), SLICE_S)
            steady, rush = history.sizes(starts)
            sizes = steady + rush
            ends = np.cumsum(sizes)
            within = np.arange(int(ends[-1])) - np.repeat(ends - sizes, sizes)
            times = np.repeat(1000 * starts, sizes) + within * (1000 * SLICE_S) // np.repeat(sizes, sizes)
            share = (PAGE_SHARE * steady + rush) / np.maximum(sizes, 1)
            yield ends, drawn(draw, times, np.repeat(share, sizes))


@dataclass(slots=True)
class Deltas:
    """The fold the rollup worker makes, over records as ingest encodes them: events in, delta records out."""

    next_offset: int = 0
    table: SeriesTable = field(default_factory=series_table)
    record_bytes: int = 0
    delta_bytes: int = 0
    _rollup: PartitionRollup | None = None
    _waiting: list[LogRecord] = field(default_factory=list)
    _events: int = 0

    def take(self, found: Events, at_ms: int, at_once: bool = False) -> bytes | None:
        """Append the events as a record at this time; a delta when enough wait, or always `at_once`."""
        columns = events.EventColumns(self.table, found.series, found.times_ms, found.values)
        for record in events.encode(columns, 1):
            self._waiting.append(LogRecord(self.next_offset, at_ms, record.value))
            self.next_offset += 1
            self.record_bytes += len(record.value)
        self._events += len(found)
        if at_once or self._events >= _RUN_EVENTS or len(self._waiting) >= _RUN_SLICES:
            return self.flush()
        return None

    def flush(self) -> bytes | None:
        """The delta of what waits."""
        if not self._waiting:
            return None
        if self._rollup is None:
            first = self._waiting[0].offset
            self._rollup = PartitionRollup(SOURCE, first, first, DuplicateWindow())
        delta = self._rollup.add(self._waiting)
        assert delta is not None
        self._waiting, self._events = [], 0
        value = encode_delta(delta)
        self.delta_bytes += len(value)
        return value


def add_up(sums: Sums, found: Events) -> None:
    """Count events in: by metric and UTC day, orders by country too."""
    days = found.times_ms // (1000 * DAY_S)
    first = int(days.min())
    part = np.where(found.series < FIRST_DURATION, found.series // CHANNELS, COUNTRIES)
    part = np.where(found.series >= FIRST_PAGE, COUNTRIES + 1, part)
    cells = (days - first) * (COUNTRIES + 2) + part
    counts, totals = np.bincount(cells), np.bincount(cells, found.values)
    for cell in np.flatnonzero(counts).tolist():
        day, number = divmod(cell, COUNTRIES + 2)
        key = f"{(*[f'{ORDERS}|c{n}' for n in range(COUNTRIES)], DURATION, PAGES)[number]}|{(first + day) * DAY_S}"
        count, total = sums.get(key, (0, 0.0))
        sums[key] = count + int(counts[cell]), total + float(totals[cell])


class RawFile:
    """The events as one Parquet file, in the order of time; a dimension that a metric lacks is null."""

    def __init__(self, path: Path) -> None:
        self._names = {
            "country": [f"c{n}" for n in range(COUNTRIES)],
            "channel": [f"ch{n}" for n in range(CHANNELS)],
            "route": [f"/route/{n}" for n in range(ROUTES)],
            "region": [f"r{n}" for n in range(REGIONS)],
            "page": [f"/page/{n}" for n in range(PAGE_COUNT)],
        }
        text = pa.dictionary(pa.int32(), pa.utf8())
        fields = [("time", pa.timestamp("ms")), ("metric", text), ("value", pa.float64())]
        self._schema = pa.schema([*fields, *((name, text) for name in self._names)])
        self._writer = pq.ParquetWriter(path, self._schema)
        self._parts: list[Events] = []
        self._rows = 0

    def write(self, found: Events) -> None:
        """Add events; row groups get a million."""
        self._parts.append(found)
        self._rows += len(found)
        if self._rows >= 1_000_000:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        series = np.concatenate([part.series for part in self._parts])
        order, page = series < FIRST_DURATION, series >= FIRST_PAGE
        metric = np.where(order, 0, np.where(page, 2, 1))
        columns = [
            pa.array(np.concatenate([part.times_ms for part in self._parts])).view(pa.timestamp("ms")),
            self._texts(metric, np.ones(len(series), np.bool_), list(METRICS)),
            pa.array(np.concatenate([part.values for part in self._parts])),
        ]
        other = ~(order | page)
        places = {
            "country": (series // CHANNELS, order),
            "channel": (series % CHANNELS, order),
            "route": ((series - FIRST_DURATION) // REGIONS, other),
            "region": ((series - FIRST_DURATION) % REGIONS, other),
            "page": (series - FIRST_PAGE, page),
        }
        columns += [self._texts(*places[name], named) for name, named in self._names.items()]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema), row_group_size=len(series))
        self._parts, self._rows = [], 0

    @staticmethod
    def _texts(places: npt.NDArray[np.integer], there: npt.NDArray[np.bool_], names: list[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32), mask=~there), pa.array(names))
