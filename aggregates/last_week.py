"""What tiles showed at the same time of the same weekday a week before, made anew once a minute.

The week is one of the calendar, so over a change of the clocks it has 167 or 169 hours. Seconds of that day are gone:
windows end with the minute that has begun now.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

import duckdb

from aggregates.levels import DAY, MINUTE, QUARTER, SECOND, Kept, floor
from aggregates.queries import Metric
from aggregates.rolling import WINDOWS, Span, measured, parts_of, ratio
from ingest.registry import DerivedMetric

COMPARED = ("1m", "5m", "1h")
"""Windows that are compared with a week before."""
Values = Mapping[str, float | None]
"""By window; None where the metric was not counted yet."""


def a_week_before(now_s: int, zone: tzinfo) -> int:
    """The same local time of the same weekday, epoch seconds."""
    there = datetime.fromtimestamp(now_s, zone).replace(tzinfo=None) - timedelta(days=7)
    return int(there.replace(tzinfo=zone).timestamp())


class LastWeek:
    """Remembers the values of the minute. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = -1
        self._found: dict[str, Values] = {}

    def read(
        self,
        cursor: duckdb.DuckDBPyConnection,
        kept: Kept,
        zone: tzinfo,
        metrics: Sequence[Metric],
        derived: Mapping[str, DerivedMetric],
        now_s: int,
    ) -> Mapping[str, Values]:
        """Metric → values; what changes within a minute is seen in the next one."""
        minute = floor(now_s, 60)
        with self._lock:
            if minute == self._minute and self._found.keys() >= {metric.name for metric in metrics}:
                return self._found
        found = _values(cursor, kept, metrics, derived, a_week_before(minute, zone))
        with self._lock:
            self._minute, self._found = minute, found
        return found


def _values(
    cursor: duckdb.DuckDBPyConnection,
    kept: Kept,
    metrics: Sequence[Metric],
    derived: Mapping[str, DerivedMetric],
    end: int,
) -> dict[str, Values]:
    began = _first_events(cursor, kept)
    made_of = {metric.name: parts_of(metric, derived) for metric in metrics}
    parts = sorted({part for found in made_of.values() for part in found if began.get(part[0], end) < end})
    spans: dict[str, Span] = {name: (end - WINDOWS[name], end) for name in COMPARED}
    values = measured(cursor, kept, parts, spans) if parts else {}
    known = {
        part: {name: value if began[part[0]] <= spans[name][0] else None for name, value in found.items()}
        for part, found in values.items()
    }
    nothing: Values = dict.fromkeys(COMPARED)
    return {name: _together([known.get(part, nothing) for part in found]) for name, found in made_of.items()}


def _together(parts: Sequence[Values]) -> Values:
    if len(parts) == 1:
        return parts[0]
    return {name: ratio(above, parts[1][name]) for name, above in parts[0].items()}


def _first_events(cursor: duckdb.DuckDBPyConnection, kept: Kept) -> dict[str, int]:
    """Metric → start of the minute (of old ones: of the finest bucket that is kept) of its first event."""
    coarse = {DAY: kept.kept_from[QUARTER], QUARTER: kept.kept_from[MINUTE]}
    levels = " UNION ALL ".join(
        f"SELECT id, min(time) AS time FROM total_{level}{' WHERE time < ?' if level in coarse else ''} GROUP BY id"
        for level in (DAY, QUARTER, MINUTE, SECOND)
    )
    sql = f"SELECT metric, min(time) FROM groups JOIN ({levels}) ON group_id = id WHERE view = '' GROUP BY metric"
    found = cursor.execute(sql, list(coarse.values())).fetchall()
    return {metric: floor(first, 60) for metric, first in found}
