"""Moving complete buckets to the next level, and keeping every level small. All inside the caller's transaction.

Four kinds of work, each on rows that a condition on `time` and `known` picks, so that nothing rescans history:

- sealing: the rows of buckets that are complete become rows of the next level;
- merging late rows: restatements known since the last time become one row per (id, bucket, known);
- merging touched buckets: those that got rows without being late (`aggregates.families`), once they are quiet;
- folding: restatements beyond the horizon of `as_of` become baseline.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import tzinfo

import duckdb
import numpy as np
import pyarrow as pa

from aggregates.days import day_starts
from aggregates.families import FIRST_LEVEL, closed, table_of
from aggregates.levels import DAY, LEVELS, MINUTE, QUARTER, SECOND, WIDTH, Kept, start_of
from aggregates.merge import NEWEST
from aggregates.retention import Expiry, OwnKept
from aggregates.uniques import merge_gathered

MEASURES = (
    "sum(count)::BIGINT AS count, sum(duplicates)::BIGINT AS duplicates, sum(sum) AS sum, min(min) AS min, "
    f"max(max) AS max, arg_max(last, {NEWEST}) AS last, max(last_time) AS last_time, "
    f"arg_max(last_place, {NEWEST}) AS last_place"
)
_FINER = dict(zip(LEVELS[1:], LEVELS, strict=False))
_QUIET_AFTER_S = 900
_TOUCHED_AT_ONCE = 2000
_NEVER_MERGED = ("series", "", SECOND)
"""Seconds of single series hardly ever have two rows."""
Condition = tuple[str, list[object]]
Restated = dict[str, int]
"""Table → the latest `known` of restatements that came after their bucket was sealed."""


def restatements(connection: duckdb.DuckDBPyConnection, kept: Kept) -> Restated:
    """Restatements that a process before this one may have left unmerged."""
    found: Restated = {}
    for level, merged_until in closed(kept).items():
        for family, what in tables(level):
            table = table_of(family, what, level)
            row = connection.execute(f"SELECT max(known) FROM {table} WHERE known > ?", [merged_until]).fetchone()
            if row and row[0] is not None:
                found[table] = row[0]
    return found


def tables(level: str) -> Iterator[tuple[str, str]]:
    """(family, kind of rows) of the tables of a level."""
    return ((f, what) for (f, what), first in FIRST_LEVEL.items() if LEVELS.index(first) <= LEVELS.index(level))


def seal(connection: duckdb.DuckDBPyConnection, kept: Kept, until: int, zone: tzinfo, restated: Restated) -> Kept:
    """Complete every level up to `until` (a whole minute, epoch s); returns what holds then.

    Args:
        restated: what may not be merged yet; gets smaller.
    """
    sealed = dict(kept.sealed_until)
    for level in LEVELS[1:]:
        start, end = sealed[level], start_of(level, until, zone)
        if start < end:
            _seal_level(connection, level, start, end, zone)
            sealed[level] = end
    after = Kept(sealed, kept.kept_from, kept.folded_until)
    for level in LEVELS:
        low, high = closed(kept)[level], closed(after)[level]
        if low < high:
            old = kept.sealed_until[MINUTE if level == SECOND else level]
            window: Condition = ("known > ? AND known <= ? AND time < ?", [low, high, old])
            for family, what in tables(level):
                latest = restated.get(table_of(family, what, level), 0)
                if latest > low:
                    merge_table(connection, family, what, level, window)
                if latest <= high:
                    restated.pop(table_of(family, what, level), None)
    _merge_touched(connection, until)
    for level in LEVELS[1:]:
        connection.execute("UPDATE levels SET sealed_until = ? WHERE level = ?", [sealed[level], level])
    for name in ("merged_once", "gathered", "day_of"):  # they would stay in memory until the next time
        connection.execute(f"DROP TABLE IF EXISTS temp.{name}")
    return after


def _seal_level(connection: duckdb.DuckDBPyConnection, level: str, start: int, end: int, zone: tzinfo) -> None:
    """Write the buckets in [start, end) to a level. Before, the rows of the level below that belong to them and were
    not merged yet are; those of minutes and above are single already."""
    finer = _FINER[level]
    window: Condition = ("time >= ? AND time < ?", [start, end])
    if finer == SECOND:
        _merge_seconds(connection, window)
    source = _bucketed(connection, level, start, end, zone)
    for family, what in tables(level):
        if FIRST_LEVEL[family, what] == level:
            merge_table(connection, family, what, level, window)
            continue
        rows = source.format(table=table_of(family, what, finer))
        append_merged(connection, rows, window[1], what, table_of(family, what, level))


def _merge_seconds(connection: duckdb.DuckDBPyConnection, window: Condition) -> None:
    """Merge the seconds of totals; those of views, bins and codes only if it spares a third of the rows, going by the
    last seconds: they are not kept for long, and where groups or values differ there is nothing to merge."""
    for family, what in tables(SECOND):
        if (family == "total" and not what) or (family != "series" and _repeats(connection, family, what, window[1])):
            merge_table(connection, family, what, SECOND, window)


def _repeats(connection: duckdb.DuckDBPyConnection, family: str, what: str, bounds: list[object]) -> bool:
    code = {"": "known", "bins": "bin", "cells": "code"}[what]
    row = connection.execute(
        f"SELECT count(*), count(DISTINCT (id, time, known, {code})) FROM {table_of(family, what, SECOND)} "
        "WHERE time >= greatest(?, ? - 5) AND time < ?",
        [*bounds, bounds[1]],
    ).fetchone()
    return row is not None and 3 * row[1] <= 2 * row[0]


def _bucketed(connection: duckdb.DuckDBPyConnection, level: str, start: int, end: int, zone: tzinfo) -> str:
    """SQL of the rows of a finer table in [?, ?), with the bucket's start as `time` and `known` at the level."""
    if level != DAY:
        width = WIDTH[level]
        source, bucket, ends = "{table}", f"time // {width} * {width}", f"time // {width} * {width} + {width}"
    else:
        _map_days(connection, start, end, zone)
        source, bucket, ends = "{table} JOIN day_of USING (time)", "day", "day_end"
    known = "known" if level == MINUTE else f"(known + {WIDTH[QUARTER] - 1}) // {WIDTH[QUARTER]} * {WIDTH[QUARTER]}"
    late = f"CASE WHEN {known} > {ends} THEN {known} ELSE 0 END"
    return f"SELECT * REPLACE ({bucket} AS time, {late} AS known) FROM {source} WHERE time >= ? AND time < ?"


def _map_days(connection: duckdb.DuckDBPyConnection, start: int, end: int, zone: tzinfo) -> None:
    found = connection.execute("SELECT DISTINCT time FROM total_15m WHERE time >= ? AND time < ?", [start, end])
    times = found.fetchnumpy()["time"].astype(np.int64)
    starts, ends = day_starts(np.asarray(times), zone)
    connection.register("days_found", pa.table({"time": times, "day": starts, "day_end": ends}))
    connection.execute("CREATE OR REPLACE TEMP TABLE day_of AS FROM days_found")
    connection.unregister("days_found")


def merged_select(what: str, rows: str) -> str:
    """SQL that merges rows (a SELECT, or a table) of equal id, time and known; of uniques it leaves the codes."""
    if what == "bins":
        return f"SELECT id, time, known, bin, sum(n)::BIGINT AS n FROM ({rows}) GROUP BY ALL"
    if what == "cells":  # a code stands with the earliest time at which it was known
        return f"SELECT id, time, min(known) AS known, code FROM ({rows}) GROUP BY id, time, code"
    return f"SELECT id, time, known, {MEASURES} FROM ({rows}) GROUP BY ALL"


def append_merged(
    connection: duckdb.DuckDBPyConnection, rows: str, bounds: Sequence[object], what: str, target: str
) -> None:
    """Append rows (a SELECT) to a table, merged."""
    if what == "cells":
        connection.execute(f"CREATE OR REPLACE TEMP TABLE gathered AS {merged_select(what, rows)}", bounds)
        merge_gathered(connection, target)
    else:
        connection.execute(f"INSERT INTO {target} BY NAME {merged_select(what, rows)}", bounds)


def merge_table(
    connection: duckdb.DuckDBPyConnection, family: str, what: str, level: str, condition: Condition
) -> None:
    """Merge the rows of one table that a condition picks: in place."""
    if (family, what, level) == _NEVER_MERGED:
        return
    table, (where, values) = table_of(family, what, level), condition
    if connection.execute(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1", values).fetchone() is None:
        return
    rows = f"SELECT * FROM {table} WHERE {where}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE merged_once AS {merged_select(what, rows)}", values)
    connection.execute(f"DELETE FROM {table} WHERE {where}", values)
    if what == "cells":
        connection.execute("CREATE OR REPLACE TEMP TABLE gathered AS FROM merged_once")
        merge_gathered(connection, table)
    else:
        connection.execute(f"INSERT INTO {table} BY NAME FROM merged_once")


def _merge_touched(connection: duckdb.DuckDBPyConnection, until: int) -> None:
    """Merge touched buckets that were quiet for a minute, or have waited long."""
    found = connection.execute(
        "SELECT level, time FROM touched GROUP BY ALL HAVING max(noted) < ? - 60 OR min(noted) < ? "
        "ORDER BY min(noted) LIMIT ?",
        [until, until - _QUIET_AFTER_S, _TOUCHED_AT_ONCE],
    ).fetchall()
    for level in LEVELS:
        times = [time for touched, time in found if touched == level]
        if times:
            where = "time >= ? AND time <= ? AND list_contains(?::BIGINT[], time)"
            condition: Condition = (where, [min(times), max(times), times])
            for family, what in tables(level):
                merge_table(connection, family, what, level, condition)
            connection.execute("DELETE FROM touched WHERE level = ? AND list_contains(?, time)", [level, times])


def fold(connection: duckdb.DuckDBPyConnection, until: int) -> None:
    """Make restatements known at or before `until` (epoch s, a whole quarter) part of the baseline."""
    for level in LEVELS:
        for family, what in tables(level):
            table = table_of(family, what, level)
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE folding AS SELECT DISTINCT id, time FROM {table} "
                "WHERE known > 0 AND known <= ?",
                [until],
            )
            if connection.execute("SELECT 1 FROM folding LIMIT 1").fetchone() is None:
                continue
            connection.execute(f"UPDATE {table} SET known = 0 WHERE known > 0 AND known <= ?", [until])
            where = "known = 0 AND time >= ? AND time <= ? AND (id, time) IN (SELECT (id, time) FROM folding)"
            merge_table(connection, family, what, level, (where, _bounds(connection)))
    connection.execute("UPDATE levels SET folded_until = ?", [until])


def _bounds(connection: duckdb.DuckDBPyConnection) -> list[object]:
    return list(connection.execute("SELECT min(time), max(time) FROM folding").fetchone() or (0, 0))


def delete(connection: duckdb.DuckDBPyConnection, expiry: Expiry, apart: Collection[str]) -> None:
    """Delete the buckets that are due, and note what is kept now.

    Args:
        apart: all metrics that stood apart until now; nothing of them is meant by what the others share.
    """
    for level, start in expiry.shared.items():
        _delete(connection, level, start, "NOT " if apart else "", sorted(apart))
        connection.execute("UPDATE levels SET kept_from = ? WHERE level = ?", [start, level])
    for (level, start), metrics in expiry.by_time().items():
        _delete(connection, level, start, "", metrics)
    store_own_kept(connection, expiry.own)


def _delete(connection: duckdb.DuckDBPyConnection, level: str, start: int, negate: str, metrics: list[str]) -> None:
    """Delete the buckets of a level that begin before `start`, of some metrics or of all others; of all if there are
    none."""
    for family, what in tables(level):
        ids = "SELECT series_id FROM series" if family == "series" else "SELECT group_id FROM groups"
        chosen = f" AND id {negate}IN ({ids} WHERE list_contains(?::VARCHAR[], metric))" if metrics else ""
        connection.execute(
            f"DELETE FROM {table_of(family, what, level)} WHERE time < ?{chosen}",
            [start, *([metrics] if metrics else [])],
        )


def store_own_kept(connection: duckdb.DuckDBPyConnection, own: OwnKept) -> None:
    """Replace what is kept of the metrics that stand apart."""
    connection.execute("DELETE FROM metric_levels")
    rows = [(metric, level, start) for metric, levels in own.items() for level, start in levels.items()]
    if rows:
        connection.register("own_levels", pa.table({
            name: [row[place] for row in rows] for place, name in enumerate(("metric", "level", "kept_from"))
        }))  # fmt: skip
        connection.execute("INSERT INTO metric_levels BY NAME FROM own_levels")
        connection.unregister("own_levels")
