"""The read contract: a query as a value, and its answer as a value.

`aggregates.query_fields` makes a query of what a client sends, `aggregates.planner` SQL of a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from aggregates import measures, sketches

MEASURES = measures.MEASURES
RATIO = measures.RATIO
STEPS = {"1s": 1, "10s": 10, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86_400}
"""Name of a step → seconds."""
DAY_STEP_S = STEPS["1d"]
"""Stands for a local day, however long it is."""
MAX_ROWS = 50_000
EXACT_UNIQUES = sketches.EXACT_UNIQUES
"""Up to so many distinct texts are counted exactly."""
OTHER = "other"
"""Stands in the columns of the dimensions for all groups that are not among the top."""
Previous = Literal["previous"]
_ASK_FOR_LESS = "ask for a shorter range, a wider step, or fewer dimensions"


@dataclass(frozen=True, slots=True)
class Filter:
    """Keep series whose dimension has one of the values; with `negate`, those that have none of them."""

    dimension: str
    values: tuple[str, ...]
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: half-open range in epoch ms; `step_s` None means one row per group over the whole range.

    `measures` empty means count, of a derived metric its ratio.
    """

    metric: str
    measures: tuple[str, ...]
    start_ms: int
    end_ms: int
    step_s: int | None = None
    by: tuple[str, ...] = ()
    where: tuple[Filter, ...] = ()
    top: int | None = None
    """So many groups, the largest ones; the others together are one more."""
    order: str | None = None
    """The measure that says which are the largest; None: the first one asked for, where `top` is given."""
    compare: Previous | int | None = None
    """Beside the range of the same length directly before, or so many seconds earlier."""
    as_of_ms: int | None = None
    timezone: str | None = None
    """IANA name of the zone of day steps; None: that of the workspace."""

    @property
    def dimensions(self) -> frozenset[str]:
        """Every dimension the answer depends on."""
        return frozenset(self.by) | {f.dimension for f in self.where}


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What queries may take: time, and bytes of answers that are remembered."""

    seconds: float = 5.0
    cache_bytes: int = 64 * 2**20


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
        super().__init__(f"the answer would have {rows} rows or more, at most {MAX_ROWS} are given: widen the step")


class TooSlow(Exception):
    """The query ran as long as a query may."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the query was ended after {limit_s:g} s: {_ASK_FOR_LESS}")


class OutOfMemory(Exception):
    """The query needs more memory than there is."""

    def __init__(self) -> None:
        super().__init__(f"the query needs too much memory: {_ASK_FOR_LESS}")


class Abandoned(Exception):
    """Nobody waits for the answer any more."""


class Unanswerable(Exception):
    """The metric, or what is kept of it, does not answer this query; `error` says what to change."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.error = QueryError("invalid_query", field, message)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an answer; `type` is time, string, integer, number or histogram."""

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
    """An answer. Cells: epoch ms for `time`, text for dimensions (None: the series has none), numbers or None, of a
    histogram a list of (lower, upper, n)."""

    columns: tuple[Column, ...]
    rows: list[tuple[object, ...]]
    freshness: Freshness
    start_ms: int
    end_ms: int
    step_s: int | None
    level: str
    view: str
    took_ms: float
    restated: bool = False
    """Whether an event came later than the grace after its bucket's end; without a step buckets are minutes."""
    error_bound: Mapping[str, float] | None = None
    """Measure → largest relative error, of those that are not exact."""
    others: int | None = None
    """How many groups stand together as `OTHER`, in the last row (of each bucket); None without `top`."""


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
    measures: tuple[str, ...] = ()
    """All it has."""
    series: int = 0
    """How many there are; of a derived metric those of both parts."""
    group: str = ""
    """Where it stands on the overview: as the registry says, else its name up to the first dot, or Other."""
    kept_ms: tuple[tuple[int, int], ...] = ()
    """Width of a bucket (s), and how long such buckets are kept of it at the most (ms): where the registry says so."""


@dataclass(frozen=True, slots=True)
class Window:
    """The headline measure over a rolling window, and over the window before."""

    value: float | None
    previous: float | None


@dataclass(frozen=True, slots=True)
class Tile:
    """A metric at a glance: rolling windows by name, 60 minute buckets (the last still open), events of the last
    minute.

    `last_week`: some windows, to the minute, at the same time of the same weekday of the week before; None where the
    metric had no event before. `late`: place of a minute in `spark` → events that came later than the grace after it.
    """

    metric: Metric
    windows: Mapping[str, Window]
    spark: tuple[float | None, ...]
    events_1m: int
    last_week: Mapping[str, float | None] = field(default_factory=dict)
    late: Mapping[int, int] = field(default_factory=dict)
