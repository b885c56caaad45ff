"""Rolling windows of every metric at one moment: each window, the window before, and an hour of minutes.

Read from the totals alone. The ranges are cut at all their edges, each cut is read once, from the coarsest level that
fits, and the ranges are put together from the cuts: one statement for all metrics, one more for percentiles and one for
distinct counts where a tile shows any. A window is exact to the second while seconds are kept; an edge further back
lies at the beginning of its minute. Where not even quarters of an hour are kept there is no value.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

import duckdb
import numpy as np
import pyarrow as pa

from aggregates.asking import columns_of
from aggregates.grids import Columns, Grid, grid_of
from aggregates.levels import MINUTE, QUARTER, SECOND, WIDTH, Kept, Piece, floor, plan
from aggregates.measures import needs_bins, needs_codes
from aggregates.planner import MERGES, WANTED
from aggregates.queries import Metric, Tile, Window
from aggregates.retention import OwnKept, kept_for
from ingest.registry import DerivedMetric
from ingest.series import Int64Array

WINDOWS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "24h": 86_400}
"""Name of a window → seconds."""
SPARK_MINUTES = 60
_LONG = frozenset({"24h", "-24h"})
_LONG_EVERY_S = 30
"""Percentiles and distinct counts of a day are made anew so often: they are much to read and change slowly."""
_CUTS = "cuts"
Part = tuple[str, str]
"""A metric and one of its measures."""
Span = tuple[int, int]


def spans(now_s: int, kept: Kept) -> dict[str, Span]:
    """Every range a tile needs, by name: each window, the one before (`-` in front), and the minutes of the spark."""
    found: dict[str, Span] = {}
    for name, width in WINDOWS.items():
        first, middle = _edge(now_s - 2 * width, kept), _edge(now_s - width, kept)
        found[name], found["-" + name] = (middle, now_s), (first, middle)
    first = floor(now_s, 60) - 60 * (SPARK_MINUTES - 1)
    for minute in range(SPARK_MINUTES):
        found[f"m{minute}"] = (first + 60 * minute, first + 60 * (minute + 1))
    return found


def _edge(time: int, kept: Kept) -> int:
    """The last edge at or before `time` of the finest level that is kept there."""
    finest = next((level for level in (SECOND, MINUTE) if kept.kept_from[level] <= time), QUARTER)
    return floor(time, WIDTH[finest])


@dataclass(frozen=True, slots=True)
class _Cuts:
    """The time line, cut at the edges of all ranges."""

    spans: Mapping[str, Span]
    edges: Int64Array

    @classmethod
    def of(cls, found: Mapping[str, Span]) -> _Cuts:
        return cls(found, np.unique(np.array(list(found.values()), np.int64)))

    def pieces(self, names: Collection[str], kept: Kept) -> list[Piece]:
        """What to read for these ranges, each time once."""
        wanted = [self.range_of(name) for name in names]
        pieces: list[Piece] = []
        for cut, (start, end) in enumerate(zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), strict=True)):
            if any(first <= cut < last for first, last in wanted):
                pieces += plan(start, end, None, kept, UTC, SECOND, QUARTER)
        return _joined(pieces)

    def range_of(self, name: str) -> tuple[int, int]:
        """First cut of a range, and the one behind its last."""
        start, end = np.searchsorted(self.edges, self.spans[name]).tolist()
        return start, end

    def grid(self, cuts: Grid, names: Sequence[str]) -> Grid:
        """The grid of ranges, from that of cuts."""
        seconds = np.array([self.spans[name][1] - self.spans[name][0] for name in names], np.float64)
        return cuts.over([self.range_of(name) for name in names], seconds)


class Rolling:
    """Makes tiles: at once those of all metrics that the same is kept of. Remembers only what is dear to make."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, ...], _Windows] = {}

    def tiles(
        self,
        cursor: duckdb.DuckDBPyConnection,
        kept: Kept,
        own: OwnKept,
        metrics: Sequence[Metric],
        derived: Mapping[str, DerivedMetric],
        now_s: int,
    ) -> tuple[Tile, ...]:
        """Windows, spark and events of the last minute of each metric, in order."""
        alike: dict[tuple[int, ...], tuple[Kept, list[Metric]]] = {}
        oldest = now_s - 2 * max(WINDOWS.values()) - WIDTH[QUARTER]
        for metric in metrics:
            of_parts = kept_for([name for name, _ in parts_of(metric, derived)], kept, own)
            key = tuple(max(oldest, of_parts.kept_from[level]) for level in (SECOND, MINUTE, QUARTER))
            alike.setdefault(key, (of_parts, []))[1].append(metric)
        groups = {tuple(metric.name for metric in found): (of_parts, found) for of_parts, found in alike.values()}
        with self._lock:
            self._windows = windows = {names: self._windows.get(names) or _Windows() for names in groups}
        made = [
            windows[names].tiles(cursor, of_parts, found, derived, now_s) for names, (of_parts, found) in groups.items()
        ]
        tiles = {tile.metric.name: tile for group in made for tile in group}
        return tuple(tiles[metric.name] for metric in metrics)


class _Windows:
    """The tiles of metrics that the same is kept of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._long: dict[Part, dict[str, float | None]] = {}
        self._long_at_s = 0

    def tiles(
        self,
        cursor: duckdb.DuckDBPyConnection,
        kept: Kept,
        metrics: Sequence[Metric],
        derived: Mapping[str, DerivedMetric],
        now_s: int,
    ) -> tuple[Tile, ...]:
        """Windows, spark and events of the last minute of each metric, in order."""
        made_of = {metric.name: parts_of(metric, derived) for metric in metrics}
        parts = sorted({part for found in made_of.values() for part in found})
        totals = _Totals(cursor, sorted({metric for metric, _ in parts}))
        cuts = _Cuts.of(spans(now_s, kept))
        read = totals.read(cuts, kept)
        grid = cuts.grid(read, tuple(cuts.spans))
        values = totals.values(grid, [part for part in parts if not _is_dear(part)], tuple(cuts.spans))
        values |= self._estimates(totals, cuts, kept, read, [part for part in parts if _is_dear(part)], now_s)
        gone = [name for name, (start, _) in cuts.spans.items() if start < kept.kept_from[QUARTER]]
        values = {part: {**found, **dict.fromkeys(gone)} for part, found in values.items()}
        events = totals.column(grid, "count")[list(cuts.spans).index("1m")]
        return tuple(
            _tile(metric, [values[part] for part in made_of[metric.name]],
                  max(int(events[totals.slots[name]]) for name, _ in made_of[metric.name]))
            for metric in metrics
        )  # fmt: skip

    def _estimates(
        self, totals: _Totals, cuts: _Cuts, kept: Kept, read: Grid, parts: Sequence[Part], now_s: int
    ) -> dict[Part, dict[str, float | None]]:
        if not parts:
            return {}
        with self._lock:
            held = {part: self._long[part] for part in parts if part in self._long}
            fresh = len(held) == len(parts) and 0 <= now_s - self._long_at_s < _LONG_EVERY_S
        names = tuple(name for name in cuts.spans if not (fresh and name in _LONG))
        grid = cuts.grid(totals.estimated(read, cuts.pieces(names, kept), [measure for _, measure in parts]), names)
        found = totals.values(grid, parts, names)
        if fresh:
            return {part: {**values, **held[part]} for part, values in found.items()}
        with self._lock:
            self._long = {part: {name: values[name] for name in _LONG} for part, values in found.items()}
            self._long_at_s = now_s
        return found


class _Totals:
    """Reads the totals of some metrics: the columns of the grids are the metrics."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, metrics: Sequence[str]) -> None:
        self._cursor = cursor
        self.slots = {metric: slot for slot, metric in enumerate(metrics)}
        found = cursor.execute("SELECT group_id, metric FROM groups WHERE view = ''").fetchall()
        known = [(group, self.slots[metric]) for group, metric in found if metric in self.slots]
        ids, slots = ([row[place] for row in known] for place in (0, 1))
        cursor.register(WANTED, pa.table({"id": pa.array(ids, pa.int32()), "slot": pa.array(slots, pa.int32())}))

    def read(self, cuts: _Cuts, kept: Kept) -> Grid:
        """The grid of the cuts and metrics."""
        size = len(cuts.edges) - 1
        starts = pa.table({"at": pa.array(cuts.edges[:-1]), "bucket": pa.array(np.arange(size, dtype=np.int32))})
        self._cursor.register(_CUTS, starts)
        merged = ", ".join(f"{sql} AS {part}" for part, sql in MERGES.items())
        rows = self._read("total_", cuts.pieces(tuple(cuts.spans), kept), merged)
        return grid_of(rows, np.diff(cuts.edges).astype(np.float64), len(self.slots))

    def estimated(self, grid: Grid, pieces: Sequence[Piece], measures: Sequence[str]) -> Grid:
        """The grid of the cuts with what the measures are estimated from, as far as the pieces reach."""
        if needs_bins(measures):
            grid = grid.with_bins(self._read("total_bins_", pieces, "bin, sum(n)::BIGINT AS n"))
        if needs_codes(measures):
            grid = grid.with_codes(self._read("total_cells_", pieces, "code"))
        return grid

    def _read(self, prefix: str, pieces: Iterable[Piece], columns: str) -> Columns:
        parts, parameters = [f"SELECT * FROM {prefix}{SECOND} WHERE false"], list[object]()
        for piece in pieces:
            parts.append(f"SELECT * FROM {prefix}{piece.level} WHERE time >= ? AND time < ?")
            parameters += [piece.start, piece.end]
        sql = (
            f"SELECT bucket, slot, {columns} FROM ({' UNION ALL '.join(parts)}) r "
            f"JOIN {WANTED} USING (id) ASOF JOIN {_CUTS} c ON r.time >= c.at GROUP BY ALL"
        )
        return columns_of(self._cursor, sql, parameters)

    def column(self, grid: Grid, measure: str) -> list[list[float]]:
        """A measure by range and metric."""
        values: list[list[float]] = grid.measure(measure).tolist()
        return values

    def values(self, grid: Grid, parts: Sequence[Part], names: Sequence[str]) -> dict[Part, dict[str, float | None]]:
        """Measures of metrics by range; each measure is made once, of all metrics together."""
        made = {measure: grid.measure(measure).astype(np.float64).T for measure in {measure for _, measure in parts}}
        found: dict[Part, dict[str, float | None]] = {}
        for metric, measure in parts:
            column = made[measure][self.slots[metric]].tolist()
            found[metric, measure] = {
                name: value if math.isfinite(value) else None for name, value in zip(names, column, strict=True)
            }
        return found


def measured(
    cursor: duckdb.DuckDBPyConnection, kept: Kept, parts: Sequence[Part], found: Mapping[str, Span]
) -> dict[Part, dict[str, float | None]]:
    """Measures of metrics over ranges, by range."""
    totals, cuts = _Totals(cursor, sorted({metric for metric, _ in parts})), _Cuts.of(found)
    measures = [measure for _, measure in parts]
    read = totals.estimated(totals.read(cuts, kept), cuts.pieces(tuple(found), kept), measures)
    grid = cuts.grid(read, tuple(found))
    return totals.values(grid, parts, tuple(found))


def parts_of(metric: Metric, derived: Mapping[str, DerivedMetric]) -> list[Part]:
    """What the metric's headline is made of: one measure, or numerator and denominator."""
    said = derived.get(metric.name) if metric.kind == "derived" else None
    return [(metric.name, metric.measure)] if said is None else [said.numerator, said.denominator]


def _is_dear(part: Part) -> bool:
    return needs_bins([part[1]]) or needs_codes([part[1]])


def _tile(metric: Metric, parts: Sequence[Mapping[str, float | None]], events: int) -> Tile:
    values = parts[0] if len(parts) == 1 else {n: ratio(above, parts[1][n]) for n, above in parts[0].items()}
    windows = {name: Window(values[name], values["-" + name]) for name in WINDOWS}
    return Tile(metric, windows, tuple(values[f"m{minute}"] for minute in range(SPARK_MINUTES)), events)


def ratio(above: float | None, below: float | None) -> float | None:
    """None without events, and of nothing."""
    return above / below if above is not None and below else None


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces of one level that touch become one."""
    joined: list[Piece] = []
    for piece in sorted(pieces, key=lambda found: (found.level, found.start)):
        if joined and joined[-1].level == piece.level and joined[-1].end == piece.start:
            joined.append(Piece(piece.level, joined.pop().start, piece.end))
        else:
            joined.append(piece)
    return joined
