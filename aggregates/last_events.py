"""When each metric had its newest event, without reading the whole history every time."""

from __future__ import annotations

import threading
from collections.abc import Collection

import duckdb

from aggregates.levels import LEVELS, SECOND

_WHOLE_EVERY = 60
"""Readings until all levels are read again: events of long ago, imported later, are then noticed."""
_BACK_S = 600
"""How far behind the newest event of all the others are looked for in between."""


class LastEvents:
    """Metric → time of its newest event in epoch ms: to the second while seconds are kept, later to the bucket."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, int] = {}
        self._readings = 0

    def read(self, cursor: duckdb.DuckDBPyConnection, metrics: Collection[str]) -> dict[str, int]:
        """The newest times, as far as they are known; all of `metrics` are looked for."""
        with self._lock:
            whole = self._readings % _WHOLE_EVERY == 0 or not self._found.keys() >= set(metrics)
            self._readings += 1
            since = None if whole else max(self._found.values()) // 1000 - _BACK_S
        found = _newest(cursor, since)
        with self._lock:
            for metric, at_ms in found.items():
                self._found[metric] = max(at_ms, self._found.get(metric, at_ms))
            return dict(self._found)


def _newest(cursor: duckdb.DuckDBPyConnection, since: int | None) -> dict[str, int]:
    levels, chosen = (LEVELS, "") if since is None else ((SECOND,), " WHERE time >= ?")
    rows = " UNION ALL ".join(
        f"SELECT id, max(time) AS time FROM total_{level}{chosen} GROUP BY id" for level in levels
    )
    sql = f"SELECT metric, 1000 * max(time) FROM groups JOIN ({rows}) ON group_id = id GROUP BY metric"
    return dict(cursor.execute(sql, [] if since is None else [since]).fetchall())
