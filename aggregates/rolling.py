"""Rolling windows of every metric at one moment: the window, the window before, and an hour of minutes.

Read from the totals alone: minutes where they are sealed, seconds at the edges, each window exact to the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from aggregates.levels import Kept, floor, plan
from aggregates.planner import MERGES
from aggregates.queries import EMPTY, Metric, Window, measure_of

WINDOWS = {"1m": 60, "5m": 300, "1h": 3600}
"""Name of a window → seconds."""
SPARK_MINUTES = 60
Partial = Mapping[str, object]
TileValues = tuple[dict[str, Window], tuple[float | None, ...], int]


def spans(now_s: int) -> dict[str, tuple[int, int]]:
    """Every range a tile needs, by name: each window, the one before (`-` in front), and the minutes of the spark."""
    found: dict[str, tuple[int, int]] = {}
    for name, width in WINDOWS.items():
        found[name] = (now_s - width, now_s)
        found["-" + name] = (now_s - 2 * width, now_s - width)
    first = floor(now_s, 60) - 60 * (SPARK_MINUTES - 1)
    for minute in range(SPARK_MINUTES):
        found[f"m{minute}"] = (first + 60 * minute, first + 60 * (minute + 1))
    return found


def tile_values(
    cursor: duckdb.DuckDBPyConnection, kept: Kept, metrics: Sequence[Metric], now_s: int
) -> list[TileValues]:
    """Windows, spark and events of the last minute of each metric, in order."""
    merged = _read(cursor, kept, now_s)
    return [_tile(metric, merged.get(metric.name, {})) for metric in metrics]


def _read(cursor: duckdb.DuckDBPyConnection, kept: Kept, now_s: int) -> dict[str, dict[str, Partial]]:
    """Metric → span name → merged partial, in one statement."""
    pieces: dict[str, list[tuple[str, int, int]]] = {}
    for name, (start, end) in spans(now_s).items():
        for piece in plan(start, end, 60, kept):
            pieces.setdefault(piece.level, []).append((name, piece.start, piece.end))
    if not pieces:
        return {}
    parts: list[str] = []
    parameters: list[object] = []
    for level, ranges in pieces.items():
        marks = ", ".join(["(?, ?, ?)"] * len(ranges))
        parts.append(
            f"SELECT s.name AS span, r.* FROM (SELECT * FROM total_{level} WHERE time >= ? AND time < ?) r "
            f"JOIN (VALUES {marks}) s(name, low, high) ON r.time >= s.low AND r.time < s.high"
        )
        parameters += [min(low for _, low, _ in ranges), max(high for _, _, high in ranges)]
        parameters += [cell for found in ranges for cell in found]
    measures = ", ".join(f"{sql} AS {name}" for name, sql in MERGES.items())
    sql = (
        f"SELECT g.metric, span, {measures} FROM ({' UNION ALL '.join(parts)}) rows "
        "JOIN groups g ON g.group_id = rows.id GROUP BY g.metric, span"
    )
    found: dict[str, dict[str, Partial]] = {}
    for metric, span, *cells in cursor.execute(sql, parameters).fetchall():
        found.setdefault(metric, {})[span] = dict(zip(MERGES, cells, strict=True))
    return found


def _tile(metric: Metric, merged: Mapping[str, Partial]) -> TileValues:
    windows = {
        name: Window(_value(metric, merged.get(name), width), _value(metric, merged.get("-" + name), width))
        for name, width in WINDOWS.items()
    }
    spark = tuple(_value(metric, merged.get(f"m{minute}"), 60) for minute in range(SPARK_MINUTES))
    events = merged.get("1m", {}).get("count", 0)
    return windows, spark, events if isinstance(events, int) else 0


def _value(metric: Metric, partial: Partial | None, seconds: int) -> float | None:
    found = measure_of(metric.measure, partial or EMPTY, seconds)
    return float(found) if isinstance(found, int | float) else None
