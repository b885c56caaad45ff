"""Moving complete minutes to the 1-minute level, and deleting what is too old. Inside the caller's transaction."""

from __future__ import annotations

import duckdb

from aggregates.levels import FAMILIES
from aggregates.planner import NEWEST

_MEASURES = (
    "sum(count)::BIGINT AS count, sum(duplicates)::BIGINT AS duplicates, sum(sum) AS sum, min(min) AS min, "
    f"max(max) AS max, arg_max(last, {NEWEST}) AS last, max(last_time) AS last_time, "
    f"arg_max(last_place, {NEWEST}) AS last_place"
)
_MERGED = "id, time, " + _MEASURES
_MERGED_MINUTES = "id, time // 60 * 60 AS time, " + _MEASURES


def seal(connection: duckdb.DuckDBPyConnection, start: int, until: int) -> None:
    """Write the minutes in [start, until) (epoch seconds) to the 1-minute level. On the way the seconds of totals and
    views are merged into one row each; single series hardly ever have two."""
    bounds = [start, until]
    for family in FAMILIES:
        seconds = f"{family}_1s WHERE time >= ? AND time < ?"
        connection.execute(f"INSERT INTO {family}_1m SELECT {_MERGED_MINUTES} FROM {seconds} GROUP BY ALL", bounds)
        if family != "series":
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE compacted AS SELECT {_MERGED} FROM {seconds} GROUP BY ALL", bounds
            )
            connection.execute(f"DELETE FROM {seconds}", bounds)
            connection.execute(f"INSERT INTO {family}_1s FROM compacted")
    connection.execute("UPDATE levels SET sealed_until = ?", [until])


def delete(connection: duckdb.DuckDBPyConnection, seconds_from: int, minutes_from: int) -> None:
    """Delete seconds and minutes that begin before the given times (epoch seconds)."""
    for family in FAMILIES:
        connection.execute(f"DELETE FROM {family}_1s WHERE time < ?", [seconds_from])
        connection.execute(f"DELETE FROM {family}_1m WHERE time < ?", [minutes_from])
    connection.execute("UPDATE levels SET seconds_from = ?", [seconds_from])
