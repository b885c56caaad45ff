"""From a query to SQL: which family and pieces answer it, and the statement with its parameters.

Pure. Values are always bound; table names come from the closed sets of `aggregates.levels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aggregates.catalogue import SERIES_VIEW, TOTAL_VIEW, MetricEntry
from aggregates.levels import MINUTE, SECOND, Kept, Piece, plan, widen
from aggregates.queries import Filter, Query

NEWEST = "last_time::HUGEINT * 18446744073709551616 + last_place"
"""The total order by which one partial's last is newer than another's: event time, then place in the log."""
MERGES = {
    "count": "sum(count)::BIGINT",
    "numbers": "sum(count) FILTER (WHERE sum IS NOT NULL)::BIGINT",
    "sum": "sum(sum)",
    "min": "min(min)",
    "max": "max(max)",
    "last": f"arg_max(last, {NEWEST})",
}
"""Part → SQL that merges partials. `numbers` counts the events with a numeric value; avg and rate are made of parts."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and its parameters; the answer's columns are bucket (seconds), one per dimension of `by`, then the
    parts of `MERGES`."""

    sql: str
    parameters: list[object]
    view: str
    level: str
    start_s: int
    end_s: int


def choose_view(entry: MetricEntry, dimensions: frozenset[str]) -> str:
    """The smallest view that answers: the total, a view that holds the dimensions and covers every series, else the
    single series."""
    if not dimensions:
        return TOTAL_VIEW
    usable = [view for view in entry.covered if dimensions <= set(view.split(",")) and entry.covers(view)]
    return min(usable, key=lambda view: (view.count(","), view), default=SERIES_VIEW)


def statement(query: Query, entry: MetricEntry, kept: Kept) -> Statement:
    """The statement that answers a query for a metric that is known."""
    step = query.step_s or 1
    start, end = widen(query.start_ms // 1000, -(-query.end_ms // 1000), step, kept)
    pieces = plan(start, end, query.step_s or 60, kept)
    view = choose_view(entry, query.dimensions)
    names = sorted(query.dimensions)
    picked, parameters = _picked(query.metric, view, names)
    conditions = [_condition(names, found, parameters) for found in query.where]
    family = {TOTAL_VIEW: "total", SERIES_VIEW: "series"}.get(view, "view")
    rows = " UNION ALL ".join(_piece(family, piece, parameters) for piece in pieces)
    bucket = f"time // {step} * {step}" if query.step_s else str(start)
    labels = "".join(f", d{names.index(name)}" for name in query.by)
    merged = ", ".join(f"{sql} AS {name}" for name, sql in MERGES.items() if name != "last" or "last" in query.measures)
    sql = (
        f"WITH picked AS ({picked}), wanted AS (SELECT * FROM picked{_where(conditions)}), rows AS ({rows}) "
        # Over no rows at all an ungrouped aggregate is a row of nulls: HAVING leaves it out.
        f"SELECT {bucket} AS bucket{labels}, {merged} FROM rows JOIN wanted USING (id) GROUP BY ALL HAVING count(*) > 0"
    )
    level = MINUTE if any(piece.level == MINUTE for piece in pieces) else SECOND
    return Statement(sql, parameters, view, level, start, end)


def _picked(metric: str, view: str, names: Sequence[str]) -> tuple[str, list[object]]:
    """Ids and wanted labels (d0, d1, … by name) of the groups, or series, that a view keeps for the metric."""
    if view == SERIES_VIEW:
        labels = "".join(f", json_extract_string(dimensions, ?) AS d{i}" for i in range(len(names)))
        return f"SELECT series_id AS id{labels} FROM series WHERE metric = ?", [*map(_pointer, names), metric]
    order = view.split(",")
    labels = "".join(f", labels[{order.index(name) + 1}] AS d{i}" for i, name in enumerate(names))
    return f"SELECT group_id AS id{labels} FROM groups WHERE metric = ? AND view = ?", [metric, view]


def _pointer(name: str) -> str:
    """The JSON pointer (RFC 6901) of a member."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _condition(names: Sequence[str], found: Filter, parameters: list[object]) -> str:
    column = f"d{names.index(found.dimension)}"
    parameters.extend(found.values)
    marks = ", ".join("?" * len(found.values))
    if found.negate:
        return f"({column} IS NULL OR {column} NOT IN ({marks}))"
    return f"{column} IN ({marks})"


def _where(conditions: Sequence[str]) -> str:
    return " WHERE " + " AND ".join(conditions) if conditions else ""


def _piece(family: str, piece: Piece, parameters: list[object]) -> str:
    parameters += [piece.start, piece.end]
    return f"SELECT * FROM {family}_{piece.level} WHERE time >= ? AND time < ?"
