"""The table beneath the chart: the lines as columns, the buckets as rows, in the page's time zone.

What the page shows and what CSV and XLSX hold is made from the same `Table`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from aggregates.zones import zone_named
from dashboard.lines import Chart
from dashboard.names import readable
from dashboard.numbers import format_value
from dashboard.traces import compact

FINAL, UNSEALED, OPEN = "final", "may change", "so far"
NEWEST_FIRST = "-time"
DAY_S = 86_400
MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Column:
    """A line: its name, and a value for every row."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by time, oldest first: the beginnings of buckets in epoch milliseconds, a column a line, and how final each
    row is."""

    times: tuple[int, ...]
    columns: tuple[Column, ...]
    states: tuple[str, ...]
    step_s: int
    zone: str
    unit: str | None

    @property
    def heads(self) -> list[str]:
        """What stands above the columns, the times and the states included."""
        return [f"Time ({self.zone})", *(column.name for column in self.columns), "State"]


def table_of(chart: Chart, zone: str, unit: str | None, behind: str = "") -> Table:
    """The table of a chart, from the first bucket with anything in it to the one that is still open.

    Args:
        zone: the IANA name of the page's time zone.
        unit: as the values are written, such as "EUR" or "ms".
        behind: what the range is compared with, such as "last week".
    """
    end = min(chart.running + 1, chart.buckets)
    filled = (i for i in range(end) if any(line.values[i] is not None for line in chart.lines))
    begin = next(filled, 0)
    lines = [(line.name, line.values) for line in chart.lines]
    if chart.behind:
        lines.append((behind or "before", (*chart.behind, *[None] * chart.buckets)[: chart.buckets]))
    columns = tuple(Column(name, values[begin:end]) for name, values in lines)
    rows = range(begin, end)
    states = tuple(FINAL if i < chart.sealed else UNSEALED if i < chart.running else OPEN for i in rows)
    times = tuple(chart.start_of(i) for i in rows)
    return Table(times, _told_apart(columns), states, chart.step_ms // 1000, zone, unit)


def rows_in(table: Table, order: str = NEWEST_FIRST) -> list[int]:
    """The numbers of the rows in an order: "time" or the number of a column, with "-" for the largest first. Rows
    without a value are last."""
    name, largest_first = order.removeprefix("-"), order.startswith("-")
    rows = list(range(len(table.times)))
    if not (name.isascii() and name.isdigit() and int(name) < len(table.columns)):
        return rows[::-1] if largest_first or name != "time" else rows
    values = table.columns[int(name)].values
    sign = -1.0 if largest_first else 1.0
    return sorted(rows, key=lambda i: (values[i] is None, sign * (values[i] or 0.0)))


def table_payload(table: Table) -> dict[str, Any]:
    """The table for the page: texts to show, and values with six digits to sort by."""
    zone = zone_named(table.zone) or UTC
    return {
        "heads": table.heads,
        "times": times_text(table, zone),
        "states": ["" if state == FINAL else state for state in table.states],
        "texts": [[None if v is None else format_value(v, table.unit) for v in c.values] for c in table.columns],
        "values": [[compact(v) for v in c.values] for c in table.columns],
    }


def times_text(table: Table, zone: tzinfo) -> list[str]:
    """The times of all rows; where clocks went back, and so show a time twice, with the name of the summer or winter
    time."""
    texts = [time_text(at, table.step_s, zone) for at in table.times]
    if len(set(texts)) == len(texts):
        return texts
    return [f"{text} {datetime.fromtimestamp(at / 1000, zone):%Z}" for at, text in zip(table.times, texts, strict=True)]


def time_text(at_ms: int, step_s: int, zone: tzinfo) -> str:
    """The beginning of a bucket in a time zone, as exact as the step."""
    at = datetime.fromtimestamp(at_ms / 1000, zone)
    day = f"{at.day} {at:%b %Y}"
    if step_s >= DAY_S:
        return f"{at:%a} {day}"
    return f"{day}, {at:%H:%M:%S}" if step_s < MINUTE_S else f"{day}, {at:%H:%M}"


def _told_apart(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Columns of different names: values that read the same, being long or full of invisible characters, are
    numbered."""
    seen: dict[str, int] = {}
    named = []
    for column in columns:
        name = readable(column.name, 200)
        seen[name] = seen.get(name, 0) + 1
        named.append(Column(name if seen[name] == 1 else f"{name} ({seen[name]})", column.values))
    return tuple(named)
