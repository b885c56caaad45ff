"""Overview tiles as the push carries them: every number already written in its unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aggregates.queries import Metric, Tile, Window
from dashboard.figures import compact
from dashboard.names import readable
from dashboard.numbers import format_delta, format_exact, format_value, split_unit, unit_of
from dashboard.state import Explore, address

WINDOWS = ("1m", "5m", "1h")
ADDITIVE = frozenset({"count", "sum", "rate", "increase"})
MEASURE_WORDS = {
    "count": "events", "sum": "total", "avg": "average", "min": "lowest", "max": "highest", "last": "latest",
    "rate": "per second", "increase": "increase", "uniques": "distinct", "p50": "median", "p75": "75th percentile",
    "p90": "90th percentile", "p95": "95th percentile", "p99": "99th percentile", "p99.9": "99.9th percentile",
    "ratio": "ratio",
}  # fmt: skip
SILENT_MS = 120_000


def tiles(now_ms: int, of: Iterable[Tile]) -> list[dict[str, Any]]:
    """All tiles, in the order given."""
    return [tile(now_ms, one) for one in of]


def tile(now_ms: int, one: Tile) -> dict[str, Any]:
    """One tile: names, the three windows as text, the sparkline's values, the age of the newest event."""
    metric = one.metric
    silent = silent_ms(now_ms, one)
    return {
        "metric": metric.name,
        "name": readable(metric.name, 80),
        "dimensions": list(metric.dimensions),
        "about": readable(metric.description, 300) if metric.description else "",
        "measure": said_measure(metric.measure, metric),
        "windows": {name: written(*values_of(one.windows.get(name)), metric, metric.measure) for name in WINDOWS},
        "spark": [compact(v) for v in begun(one)],
        "additive": metric.measure in ADDITIVE,
        "silent_ms": silent if silent > SILENT_MS else None,
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
