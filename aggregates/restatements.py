"""Which minutes of a tile's sparkline were changed by events that came too late for them."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from aggregates.levels import MINUTE, SECOND, Kept, floor
from aggregates.rolling import SPARK_MINUTES
from ingest.registry import DerivedMetric

LateMinutes = Mapping[int, int]
"""Place of a minute in the sparkline → events that came later than the grace after it."""


def late_minutes(
    cursor: duckdb.DuckDBPyConnection, kept: Kept, derived: Mapping[str, DerivedMetric], now_s: int
) -> dict[str, LateMinutes]:
    """Metric → the minutes that were changed; metrics that none was changed of are left out."""
    first = floor(now_s, 60) - 60 * (SPARK_MINUTES - 1)
    seconds_from = max(kept.kept_from[SECOND], first)
    rows = cursor.execute(
        f"SELECT metric, (time - ?) // 60, sum(count)::BIGINT FROM ("
        f"SELECT id, time, count FROM total_{SECOND} WHERE time >= ? AND time < ? AND known > 0 "
        "AND known > time // 60 * 60 + 60 "
        f"UNION ALL SELECT id, time, count FROM total_{MINUTE} WHERE time >= ? AND time < ? AND known > time + 60"
        ") JOIN groups ON group_id = id WHERE view = '' GROUP BY ALL",
        [first, seconds_from, now_s, first, seconds_from],
    ).fetchall()
    found: dict[str, dict[int, int]] = {}
    for metric, minute, events in rows:
        found.setdefault(metric, {})[minute] = events
    for name, said in derived.items():
        parts = [found[metric] for metric in dict.fromkeys((said.numerator[0], said.denominator[0])) if metric in found]
        if parts and name not in found:
            found[name] = {at: sum(part.get(at, 0) for part in parts) for at in sorted({m for p in parts for m in p})}
    return dict(found)
