"""From the state of the explore page to what it shows: which queries, which lines, which words.

`view` asks the read model and blocks; everything else is a function of its arguments. What must not jump from tick to
tick (which values have lines, in which colour; how high the axis reaches) is kept in `Held` and handed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aggregates.queries import Filter, Freshness, Metric, Query, Result
from dashboard.axes import time_marks, value_axis
from dashboard.controls import api_query, controls, no_events, settled, unknown_metric
from dashboard.figures import time_chart
from dashboard.leaders import Group, Ranked, group_of, groups, leaderboard, number_of, rank, steady_top
from dashboard.lines import Chart, Line
from dashboard.names import readable
from dashboard.numbers import format_value, split_unit, unit_of
from dashboard.reading import Reading
from dashboard.state import STEP_NAMES, Explore, Range, resolve, write
from dashboard.tiles import ADDITIVE, said_measure, written
from dashboard.tokens import CATEGORIES

LINES = len(CATEGORIES)
SHRINK_BELOW = 0.7
SPARSE = 0.34
FEWEST_BUCKETS = 12
SHRINK_AFTER_MS = 30_000


@dataclass(frozen=True, slots=True)
class Held:
    """What a view hands to the same view of the next tick."""

    top: tuple[Group, ...] = ()
    high: float = 0.0
    high_since_ms: int = 0
    coarser: int = 0
    before_key: tuple[object, ...] = ()
    before: Mapping[Group, float | None] = field(default_factory=dict)
    before_total: float | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Settings and times a view needs; all in milliseconds."""

    now: int
    grace: int
    kept_1s: int


def view(model: Reading, state: Explore, held: Held, times: Times) -> tuple[dict[str, Any], Held]:
    """The chart part of a message and what to hold for the next one. Blocks on the read model."""
    catalogue = model.catalogue()
    metric = next((m for m in catalogue if state.metric in (None, m.name)), None)
    if metric is None:
        return {"empty": unknown_metric(state) if catalogue else "", "state": controls(state, None)}, held
    state, notices = settled(state, metric)
    span = resolve(state, times.now, times.kept_1s, held.coarser, metric.kept_ms)
    base = Query(metric.name, (state.measure or metric.measure,), span.first_ms, span.last_ms, None, (), state.where)
    total = model.query(base)
    ranked = _ranked(model, base, state)
    held = _before(model, base, state, span, held, known_until(span, total.freshness, times))
    shown = _lined(ranked, state)
    held = replace(held, top=steady_top(held.top, shown, LINES))
    groups_shown = sum(_passes(group, state) for group, _ in ranked)
    lines = _lines(model, base, state, metric, held.top, groups_shown, span)
    while is_sparse(lines):
        wider = resolve(state, times.now, times.kept_1s, held.coarser + 1, metric.kept_ms)
        if wider.step_s == span.step_s or wider.buckets < FEWEST_BUCKETS:
            break
        held, span = replace(held, coarser=held.coarser + 1), wider
        lines = _lines(model, base, state, metric, held.top, groups_shown, span)
    payload, held = _payload(metric, state, span, total, lines, held, times)
    payload["notices"] = [*notices, *span.notices]
    if state.by is not None:
        payload["leaders"] = leaderboard(ranked, state, metric, held.top, held.before)
    return payload, held


def steady_high(held: Held, high: float, now_ms: int) -> Held:
    """The top of the axis grows at once and shrinks only after 30 s far below."""
    if high >= held.high or (high < held.high * SHRINK_BELOW and now_ms - held.high_since_ms > SHRINK_AFTER_MS):
        return replace(held, high=high, high_since_ms=now_ms)
    if high >= held.high * SHRINK_BELOW:
        return replace(held, high_since_ms=now_ms)
    return held


def series(result: Result, span: Range, empty: float | None) -> dict[Group, tuple[float | None, ...]]:
    """A result with steps, as group → one value a bucket; the whole is the group None."""
    size = span.step_s * 1000
    split = len(result.columns) > 2
    lines: dict[Group, list[float | None]] = {}
    for row in result.rows:
        at = row[0]
        bucket = (at - span.start_ms) // size if isinstance(at, int) else -1
        line = lines.setdefault(group_of(row[1]) if split else None, [empty] * span.buckets)
        if 0 <= bucket < span.buckets:
            line[bucket] = number_of(row[-1])
    return {group: tuple(values) for group, values in lines.items()}


def known_until(span: Range, freshness: Freshness, times: Times) -> int:
    """Up to when everything of the range is counted; epoch milliseconds within it."""
    known = times.now if freshness.watermark_ms is None else min(freshness.watermark_ms, times.now)
    return min(max(known, span.start_ms), span.end_ms)


def final_buckets(span: Range, known_ms: int, grace_ms: int) -> tuple[int, int]:
    """(sealed, running): how many buckets are final, how many are over."""
    size = span.step_s * 1000
    return max((known_ms - grace_ms - span.start_ms) // size, 0), (known_ms - span.start_ms) // size


def is_sparse(lines: Sequence[Line]) -> bool:
    """Whether so few buckets have anything in them that single events are seen instead of a course."""
    buckets = [value for line in lines if not line.is_rest for value in line.values[first_event(lines) :]]
    return sum(map(bool, buckets)) < SPARSE * len(buckets)


def first_event(lines: Sequence[Line]) -> int:
    """The first bucket in which a line has something; 0 when none has."""
    buckets = zip(*(line.values for line in lines), strict=True)
    return next((i for i, values in enumerate(buckets) if any(values)), 0)


def _payload(
    metric: Metric, state: Explore, span: Range, total: Result, lines: tuple[Line, ...], held: Held, times: Times
) -> tuple[dict[str, Any], Held]:
    measure = state.measure or metric.measure
    (unit, _), additive = split_unit(unit_of(measure, metric.unit)), measure in ADDITIVE
    sealed, running = final_buckets(span, known_until(span, total.freshness, times), times.grace)
    values = [v for line in lines for v in line.values if v is not None]
    held = steady_high(held, max(values, default=0.0), times.now)
    axis = value_axis(min(values, default=0.0), max(held.high, max(values, default=0.0)), unit, additive)
    marks = time_marks(span.start_ms, span.end_ms)
    # nothing can be known beyond the open bucket, nor before the first event there ever was
    begin = 0 if held.before_total else first_event(lines)
    lines = tuple(replace(line, values=_hushed(line.values, begin, running + 1)) for line in lines)
    chart = Chart(span.start_ms, span.step_s * 1000, lines, sealed, running, additive, axis, marks)
    number = number_of(total.rows[0][-1]) if total.rows else None
    api = api_query(state, span)
    payload = {
        "metric": readable(metric.name, 120),
        "about": readable(metric.description, 300) if metric.description else "",
        "measure": said_measure(measure, metric),
        "number": written(number, held.before_total, metric, measure),
        "start_ms": span.start_ms,
        "step_ms": span.step_s * 1000,
        "step": STEP_NAMES[span.step_s],
        "running": running,
        "figure": time_chart(chart),
        "marks": [[m.at_ms, m.text, m.day] for m in marks],
        "lines": [_said_line(line, unit) for line in lines],
        "empty": None if any(values) or (values and not additive) else no_events(state),
        "address": write(state),
        "csv": f"/api/v1/query?{api}&format=csv",
        "query": f"/api/v1/query?{api}",
        "state": controls(state, metric),
        "leaders": None,
    }
    return payload, held


def _ranked(model: Reading, base: Query, state: Explore) -> Ranked:
    """The groups of the split dimension, without that dimension's own filter."""
    if state.by is None:
        return []
    return rank(groups(model.query(replace(base, by=(state.by,), where=_others(state)))))


def _said_line(line: Line, unit: str | None) -> dict[str, Any]:
    """A line for the tip and the table: every value as text."""
    return {
        "name": readable(line.name, 80),
        "colour": line.colour,
        "rest": line.is_rest,
        "texts": [None if v is None else format_value(v, unit) for v in line.values],
    }


def _before(model: Reading, base: Query, state: Explore, span: Range, held: Held, known_ms: int) -> Held:
    """The same elapsed part of the range just before, asked again only when enough of it has changed."""
    length = span.last_ms - span.first_ms
    often = min(max(span.step_s * 100, 1000), 60_000)
    key = (span.start_ms, span.step_s, known_ms // often, state)
    if held.before_key == key:
        return held
    start = max(span.first_ms - length, 0)
    earlier = replace(base, start_ms=start, end_ms=max(min(known_ms, span.last_ms) - length, start + 1000))
    total = model.query(earlier)
    value = number_of(total.rows[0][-1]) if total.rows else None
    return replace(held, before_key=key, before=dict(_ranked(model, earlier, state)), before_total=value)


def _lines(
    model: Reading, query: Query, state: Explore, metric: Metric, top: Sequence[Group], shown: int, span: Range
) -> tuple[Line, ...]:
    """The lines: the whole, or the top groups and all others together."""
    query = replace(query, start_ms=span.start_ms, end_ms=span.end_ms, step_s=span.step_s)
    empty = 0.0 if query.measures[0] in ADDITIVE else None
    blank = (empty,) * span.buckets
    if state.by is None:
        whole = series(model.query(query), span, empty).get(None, blank)
        return (Line(metric.name, whole, CATEGORIES[0]),)
    named = tuple(g for g in top if g is not None)
    if shown <= LINES:
        split = series(model.query(replace(query, by=(state.by,))), span, empty)
    else:
        only = replace(query, by=(state.by,), where=(*query.where, Filter(state.by, named)))
        split = series(model.query(only), span, empty)
    lines = [Line(readable(g), split.get(g, blank), CATEGORIES[i % LINES]) for i, g in enumerate(top)]
    if shown > len(top):
        rest = replace(query, where=(*query.where, Filter(state.by, named, negate=True)))
        others = series(model.query(rest), span, empty).get(None, blank)
        lines.append(Line(f"other ({shown - len(top)})", others, "other", is_rest=True))
    return tuple(lines)


def _others(state: Explore) -> tuple[Filter, ...]:
    return tuple(f for f in state.where if f.dimension != state.by)


def _lined(ranked: Ranked, state: Explore) -> Ranked:
    """The groups that may have a line. Among many, those without the dimension belong to the others: no filter can
    name them."""
    passing = [pair for pair in ranked if _passes(pair[0], state)]
    return passing if len(passing) <= LINES else [pair for pair in passing if pair[0] is not None]


def _passes(group: Group, state: Explore) -> bool:
    """Whether a group of the split dimension stays under that dimension's own filters."""
    own = [f for f in state.where if f.dimension == state.by]
    return all((group in f.values) != f.negate for f in own)


def _hushed(values: tuple[float | None, ...], begin: int, end: int) -> tuple[float | None, ...]:
    return tuple(v if begin <= i < end else None for i, v in enumerate(values))
