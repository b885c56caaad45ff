"""The courses of a chart over its range: what is asked of the read model, bucket by bucket, and which lines that makes.

Asking blocks; what is made of the answers are functions of their arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aggregates.queries import Filter, Metric, Query, Result
from dashboard.heat import Bin
from dashboard.leaders import Group, Ranked, group_of, number_of, rank
from dashboard.lines import Line
from dashboard.names import readable
from dashboard.ranges import DAY_S, Range
from dashboard.reading import Reading
from dashboard.state import Explore
from dashboard.tiles import ADDITIVE
from dashboard.tokens import CATEGORIES

LINES = len(CATEGORIES)
SPARSE = 0.34
QUANTILES: Mapping[str, Mapping[str, str]] = {
    "bands": {"p50": "cat-1", "p75": "seq-4", "p90": "seq-3", "p99": "seq-2"},
    "heatmap": {"p50": "cat-2", "p99": "cat-4"},
}
"""Kinds of charts of a distribution: percentile → colour."""


@dataclass(frozen=True, slots=True)
class Courses:
    """Lines with a value for every bucket, or a distribution too; `step_s` is that of the answer, `bound` the largest
    relative error of the values."""

    lines: tuple[Line, ...]
    step_s: int
    restated: bool = False
    bound: float | None = None
    histograms: tuple[Sequence[Bin], ...] = ()
    counts: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """The values of the split dimension that have lines, and how many values there are in all."""

    top: tuple[Group, ...] = ()
    groups: int = 0


def ranked(model: Reading, base: Query, by: str | None) -> tuple[Ranked, int]:
    """The largest groups of a dimension that pass every filter, and how many there are in all."""
    if by is None:
        return [], 0
    found = model.query(replace(base, by=(by,), top=LINES * 4))
    rows = found.rows[:-1] if found.others else found.rows
    return rank({group_of(row[0]): number_of(row[1]) for row in rows}), len(rows) + (found.others or 0)


def may_have_lines(largest: Ranked, groups: int) -> Ranked:
    """The groups that may have a line. Among many, those without the dimension belong to the others: no filter can
    name them."""
    return largest if groups <= LINES else [pair for pair in largest if pair[0] is not None]


def courses(
    model: Reading, base: Query, state: Explore, metric: Metric, split: Split, span: Range, days: str | None
) -> Courses:
    """What the chart shows. Raises what a query raises.

    Args:
        base: the query of the whole.
        state: as it is drawn, its kind of chart one that fits the metric.
        days: the time zone of steps of a day, None for the workspace's.
    """
    query = stepped(base, span, days)
    if state.chart in QUANTILES:
        return _distribution(model, query, state.chart, span)
    return _lines(model, query, state, metric, split, span)


def whole(model: Reading, base: Query, span: Range, days: str | None) -> Courses:
    """The one line of a range."""
    query = stepped(base, span, days)
    empty = 0.0 if query.measures[0] in ADDITIVE else None
    result = model.query(query)
    values = series(result, span, empty).get(None, (empty,) * span.buckets)
    return _of([result], (Line(query.metric, values, CATEGORIES[0]),))


def stepped(base: Query, span: Range, days: str | None) -> Query:
    """The query of a range in its buckets."""
    zone = days if span.step_s == DAY_S else None
    return replace(base, start_ms=span.start_ms, end_ms=span.end_ms, step_s=span.step_s, timezone=zone)


def series(
    result: Result, span: Range, empty: float | None, measure: str | None = None
) -> dict[Group, tuple[float | None, ...]]:
    """A result with steps, as group → one value a bucket; the whole is the group None.

    Args:
        measure: which of several; None: the last column.
    """
    split = any(column.type == "string" for column in result.columns)
    names = [column.name for column in result.columns]
    place = names.index(measure) if measure else -1
    lines: dict[Group, list[float | None]] = {}
    for row in result.rows:
        bucket = span.place(row[0]) if isinstance(row[0], int) else -1
        line = lines.setdefault(group_of(row[1]) if split else None, [empty] * span.buckets)
        if 0 <= bucket < span.buckets:
            line[bucket] = number_of(row[place])
    return {group: tuple(values) for group, values in lines.items()}


def is_sparse(lines: Sequence[Line]) -> bool:
    """Whether so few buckets have anything in them that single events are seen instead of a course."""
    buckets = [value for line in lines if not line.is_rest for value in line.values[first_event(lines) :]]
    return sum(map(bool, buckets)) < SPARSE * len(buckets)


def first_event(lines: Sequence[Line]) -> int:
    """The first bucket in which a line has something; 0 when none has."""
    buckets = zip(*(line.values for line in lines), strict=True)
    return next((i for i, values in enumerate(buckets) if any(values)), 0)


def between(lines: Sequence[Line], begin: int, end: int) -> tuple[Line, ...]:
    """The lines with nothing outside of buckets [begin, end)."""
    return tuple(
        replace(line, values=tuple(v if begin <= i < end else None for i, v in enumerate(line.values)))
        for line in lines
    )


def _lines(model: Reading, query: Query, state: Explore, metric: Metric, split: Split, span: Range) -> Courses:
    """The whole, or the top groups and all others together."""
    empty = 0.0 if query.measures[0] in ADDITIVE else None
    blank = (empty,) * span.buckets
    if state.by is None:
        result = model.query(query)
        return _of([result], (Line(metric.name, series(result, span, empty).get(None, blank), CATEGORIES[0]),))
    named = tuple(g for g in split.top if g is not None)
    only = () if split.groups <= LINES else (Filter(state.by, named),)
    results = [model.query(replace(query, by=(state.by,), where=(*query.where, *only)))]
    found = series(results[0], span, empty)
    lines = [Line(readable(g), found.get(g, blank), CATEGORIES[i % LINES]) for i, g in enumerate(split.top)]
    if split.groups > len(split.top):
        results.append(model.query(replace(query, where=(*query.where, Filter(state.by, named, negate=True)))))
        others = series(results[1], span, empty).get(None, blank)
        lines.append(Line(f"other ({split.groups - len(split.top)})", others, "other", is_rest=True))
    return _of(results, tuple(lines))


def _distribution(model: Reading, query: Query, kind: str, span: Range) -> Courses:
    """Percentiles, and for a heatmap how many values lie where."""
    colours = QUANTILES[kind]
    result = model.query(replace(query, measures=(*colours, "count")))
    blank: tuple[float | None, ...] = (None,) * span.buckets
    lines = tuple(Line(name, series(result, span, None, name).get(None, blank), colours[name]) for name in colours)
    counts = series(result, span, None, "count").get(None, blank)
    found = _of([result], lines)
    if kind != "heatmap":
        return replace(found, counts=counts)
    cells = model.query(replace(query, measures=("histogram",)))
    histograms: list[Sequence[Bin]] = [[] for _ in range(span.buckets)]
    for at, bins in ((row[0], row[-1]) for row in cells.rows):
        bucket = span.place(at) if isinstance(at, int) else -1
        if 0 <= bucket < span.buckets and isinstance(bins, list):
            histograms[bucket] = bins
    return replace(found, histograms=tuple(histograms), counts=counts)


def _of(results: Sequence[Result], lines: tuple[Line, ...]) -> Courses:
    bounds = [bound for result in results for bound in (result.error_bound or {}).values()]
    step = max(result.step_s or 0 for result in results)
    return Courses(lines, step, any(result.restated for result in results), max(bounds, default=None))
