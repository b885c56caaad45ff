"""Overview tiles: what one says, as the parts a browser keeps of it. Every number is already written in its unit."""

from __future__ import annotations

from typing import Any

from aggregates.queries import EXACT_UNIQUES, Metric, Tile, Window
from dashboard.names import readable
from dashboard.numbers import format_delta, format_exact, format_value, split_unit, unit_of
from dashboard.state import Explore, address
from dashboard.traces import compact

WINDOWS = ("1m", "5m", "1h")
WINDOW_NAMES = {"1m": "1 min", "5m": "5 min", "1h": "1 hour"}
ADDITIVE = frozenset({"count", "sum", "rate", "increase"})
MEASURE_WORDS = {
    "count": "events", "sum": "total", "avg": "average", "min": "lowest", "max": "highest", "last": "latest",
    "rate": "per second", "increase": "increase", "uniques": "distinct", "p50": "median", "p75": "75th percentile",
    "p90": "90th percentile", "p95": "95th percentile", "p99": "99th percentile", "p99.9": "99.9th percentile",
    "ratio": "ratio",
}  # fmt: skip
SILENT_MS = 120_000
Parts = dict[str, Any]
"""`is`: what seldom changes; a list of texts for each window (`said_window`); `spark`: its 59 closed minutes, `open`:
the one that goes on; `late`: places of the minutes that late events changed; `silent`: since when there was no event,
epoch ms, or None."""


def tile(now_ms: int, one: Tile) -> Parts:
    """All parts of a tile."""
    metric = one.metric
    windows = {name: said_window(one.windows.get(name), one.last_week.get(name), metric) for name in WINDOWS}
    silent = silent_ms(now_ms, one)
    closed = [compact(v) for v in begun(one)]
    return {
        "is": facts(metric),
        **windows,
        "spark": closed[:-1],
        "open": closed[-1],
        "late": sorted(one.late),
        "silent": now_ms - silent if silent > SILENT_MS else None,
    }


def facts(metric: Metric) -> dict[str, Any]:
    """What is known about the metric itself."""
    return {
        "metric": metric.name,
        "name": readable(metric.name, 80),
        "group": readable(metric.group, 60),
        "about": readable(metric.description, 300) if metric.description else "",
        "measure": said_measure(metric.measure, metric),
        "additive": metric.measure in ADDITIVE,
        "href": address(Explore(metric=metric.name)),
    }


def begun(one: Tile) -> tuple[float | None, ...]:
    """The sparkline without the zeros from before the metric had any event."""
    hour = one.windows.get("1h")
    if one.metric.measure not in ADDITIVE or (hour is not None and hour.previous):
        return one.spark
    first = next((i for i, v in enumerate(one.spark) if v), 0)
    return (None,) * first + one.spark[first:]


def silent_ms(now_ms: int, one: Tile) -> int:
    """For how long there was no event: exact where the newest is known, else by whole minutes up to an hour."""
    if one.metric.last_event_ms is not None:
        return max(now_ms - one.metric.last_event_ms, 0)
    if one.events_1m:
        return 0
    # minute buckets, the last of them still open; an empty one has no value, or a sum of 0
    busy = (i for i in reversed(range(len(one.spark))) if one.spark[i])
    minutes_ago = len(one.spark) - 1 - next(busy, -1)
    return max(now_ms % 60_000 + (minutes_ago - 1) * 60_000, 0)


def said_measure(measure: str, metric: Metric) -> str:
    """The measure in words, with the unit where that is a word: "total flights", "latest"."""
    _, unit = split_unit(unit_of(measure, metric.unit))
    word = MEASURE_WORDS.get(measure, measure)
    return f"{unit} {word}" if unit and measure == "rate" else f"{word} {unit}" if unit else word


def said_window(window: Window | None, last_week: float | None, metric: Metric) -> list[str]:
    """A window as six texts: value; change against the window before, its tone, what it was; change against the same
    weekday last week, its tone."""
    now, before = values_of(window)
    said = written(now, before, metric, metric.measure)
    unit, _ = split_unit(unit_of(metric.measure, metric.unit))
    week = format_delta(now, last_week, unit, metric.better)
    about = "≈" if metric.measure == "uniques" and now is not None and now > EXACT_UNIQUES else ""
    return [about + said["text"], said["delta"], said["tone"], said["was"], week.text, week.tone]


def values_of(window: Window | None) -> tuple[float | None, float | None]:
    """The value of a window and of the one before."""
    return (window.value, window.previous) if window else (None, None)


def written(now: float | None, before: float | None, metric: Metric, measure: str) -> dict[str, str]:
    """A value of a measure: short, exact, and with its change against the value before."""
    full = unit_of(measure, metric.unit)
    unit, _ = split_unit(full)
    delta = format_delta(now, before, unit, metric.better)
    return {
        "text": format_value(now, unit),
        "exact": format_exact(now, full),
        "delta": delta.text,
        "tone": delta.tone,
        "was": delta.was,
    }
