"""The read contract: a query as a value, and its answer as a value.

`aggregates.query_fields` makes a query of what a client sends, `aggregates.planner` SQL of a query.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

MEASURES = ("count", "sum", "avg", "min", "max", "last", "rate")
STEPS = {"1s": 1, "10s": 10, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86_400}
"""Name of a step → seconds."""
MAX_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Keep series whose dimension has one of the values; with `negate`, those that have none of them."""

    dimension: str
    values: tuple[str, ...]
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: half-open range in epoch ms; `step_s` None means one row per group over the whole range."""

    metric: str
    measures: tuple[str, ...]
    start_ms: int
    end_ms: int
    step_s: int | None = None
    by: tuple[str, ...] = ()
    where: tuple[Filter, ...] = ()

    @property
    def dimensions(self) -> frozenset[str]:
        """Every dimension the answer depends on."""
        return frozenset(self.by) | {f.dimension for f in self.where}


@dataclass(frozen=True, slots=True)
class QueryError:
    """Why a query cannot be answered; `field` is the one to change."""

    code: str
    field: str | None
    message: str


class UnknownMetric(Exception):
    """No event of this metric was ever counted."""

    def __init__(self, metric: str) -> None:
        super().__init__(f"no event of a metric {metric[:200]!r} has been counted")
        self.metric = metric


class TooManyRows(Exception):
    """The answer would have more rows than `MAX_ROWS`."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"the answer would have {rows} rows, at most {MAX_ROWS} are given: widen the step")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an answer; `type` is time, string, integer or number."""

    name: str
    type: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How current an answer is: everything up to `watermark_ms` is in it."""

    position: str
    watermark_ms: int | None
    lag_ms: int | None
    applied_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """An answer. Cells: epoch ms for `time`, text for dimensions (None: the series has none), numbers or None."""

    columns: tuple[Column, ...]
    rows: list[tuple[object, ...]]
    freshness: Freshness
    start_ms: int
    end_ms: int
    step_s: int | None
    level: str
    view: str
    took_ms: float


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as the catalogue shows it; `measure` is its headline measure."""

    name: str
    kind: str
    unit: str | None
    dimensions: tuple[str, ...]
    description: str
    better: str | None
    measure: str
    last_event_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The headline measure over a rolling window, and over the window before."""

    value: float | None
    previous: float | None


@dataclass(frozen=True, slots=True)
class Tile:
    """A metric at a glance: rolling windows by name, 60 minute buckets (the last still open), events of the last
    minute."""

    metric: Metric
    windows: Mapping[str, Window]
    spark: tuple[float | None, ...]
    events_1m: int


EMPTY: Mapping[str, object] = {"count": 0, "sum": 0.0}
"""A merged partial of no events."""


def measure_of(measure: str, partial: Mapping[str, object], seconds: float) -> object:
    """A measure from a merged partial: count and sum of nothing are 0, everything else of nothing is None, and so is
    what went beyond the numbers of a double. `rate` is the sum per second of the bucket."""
    found = _measure(measure, partial, seconds)
    return None if isinstance(found, float) and not math.isfinite(found) else found


def _measure(measure: str, partial: Mapping[str, object], seconds: float) -> object:
    numbers, total = partial.get("numbers"), partial.get("sum")
    match measure:
        case "count":
            return partial.get("count")
        case "sum":
            return total
        case "avg":
            return total / numbers if isinstance(total, float) and isinstance(numbers, int) and numbers else None
        case "rate":
            return total / seconds if isinstance(total, float) else None
        case _:
            return partial.get(measure)
