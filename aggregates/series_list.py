"""Which series a metric has, page by page, and how many. Inside the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from aggregates.queries import Filter


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a metric."""

    dimensions: Mapping[str, str]
    kind: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """Some series in the order in which they were first counted. `total` is of the whole filter, `next` what the next
    page is asked for with, None on the last one."""

    series: tuple[Series, ...]
    total: int
    next: int | None


def read_series(
    cursor: duckdb.DuckDBPyConnection, metric: str, where: Sequence[Filter], limit: int, after: int
) -> SeriesPage:
    """Up to `limit` series whose ids are greater than `after`."""
    chosen, parameters = "metric = ?", list[object]([metric])
    for found in where:
        label = "json_extract_string(dimensions, ?)"
        pointer = "/" + found.dimension.replace("~", "~0").replace("/", "~1")
        marks = ", ".join("?" * len(found.values))
        if found.negate:
            chosen += f" AND ({label} IS NULL OR {label} NOT IN ({marks}))"
            parameters += [pointer, pointer, *found.values]
        else:
            chosen += f" AND {label} IN ({marks})"
            parameters += [pointer, *found.values]
    ((total,),) = cursor.execute(f"SELECT count(*) FROM series WHERE {chosen}", parameters).fetchall()
    rows = cursor.execute(
        f"SELECT series_id, dimensions, kind, unit FROM series WHERE {chosen} AND series_id > ? "
        "ORDER BY series_id LIMIT ?",
        [*parameters, after, limit + 1],
    ).fetchall()
    page = tuple(Series(json.loads(dimensions), kind, unit) for _, dimensions, kind, unit in rows[:limit])
    return SeriesPage(page, total, rows[limit - 1][0] if len(rows) > limit else None)
