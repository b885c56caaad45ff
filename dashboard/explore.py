"""From the state of the explore page to what it shows: which queries, which lines, which words.

`view` asks the read model and blocks; everything else is a function of its arguments. What must not jump from tick to
tick (which values have lines, in which colour; how high the axis reaches) is kept in `Held` and handed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aggregates.queries import Query, Result, TooManyRows, Unanswerable
from dashboard.boards import Wanted, boards, shown
from dashboard.comparisons import earlier, words
from dashboard.controls import controls, no_events, plain, settled, unknown_metric
from dashboard.courses import (
    LINES,
    QUANTILES,
    Courses,
    Split,
    between,
    courses,
    first_event,
    is_sparse,
    may_have_lines,
    ranked,
)
from dashboard.figures import shift_of, time_chart
from dashboard.leaders import number_of, steady_top
from dashboard.lines import Chart, Line, Note
from dashboard.links import links
from dashboard.moves import around
from dashboard.names import readable
from dashboard.numbers import split_unit, unit_of
from dashboard.pictures import (
    captions,
    chart_of,
    clock_of,
    final_buckets,
    fitting,
    known_until,
    marked,
    reach,
    said_bound,
    said_line,
    said_note,
    unstackable,
)
from dashboard.ranges import Range, Times, resolve, zone_of
from dashboard.reading import Reading
from dashboard.scenes import Held, Scene, often_ms, steady_high, with_line_behind, with_number_before
from dashboard.state import STEP_NAMES, STEPS, Explore, write
from dashboard.table import table_of, table_payload
from dashboard.tiles import ADDITIVE, said_measure, written

FEWEST_BUCKETS = 12


def view(
    model: Reading, state: Explore, held: Held, times: Times, notes: Sequence[Note] = ()
) -> tuple[dict[str, Any], Held]:
    """The chart part of a message and what to hold for the next one. Blocks on the read model."""
    catalogue = model.catalogue()
    metric = next((m for m in catalogue if state.metric in (None, m.name)), None)
    if metric is None:
        return {"empty": unknown_metric(state) if catalogue else "", "state": controls(state, None)}, held
    state, notices = settled(state, metric)
    notes = [note for note in notes if note.metric in (None, metric.name)]
    drawn, unfit = fitting(state, metric)
    times = times.at_most(metric.kept_ms)
    scene = Scene(metric, state, drawn, zone_of(state, times), state.timezone or times.zone, times)
    try:
        payload, held = _seen(model, scene, held, notes)
    except Unanswerable as refused:
        if refused.error.field != "timezone":
            raise
        unfit.append(f"Days of {scene.days} are not kept so far back: days of {times.zone} are shown.")
        payload, held = _seen(model, replace(scene, days=None), held, notes)
    payload["notices"] = [*notices, *unfit, *payload["notices"]]
    return payload, held


def _seen(model: Reading, scene: Scene, held: Held, notes: Sequence[Note]) -> tuple[dict[str, Any], Held]:
    state, times = scene.state, scene.times
    span = resolve(scene.drawn, times, held.coarser, held.least_s, scene.day_zone)
    base = Query(scene.metric.name, (scene.measure,), span.first_ms, span.last_ms, None, (), state.where)
    total = model.query(base)
    largest, groups = ranked(model, base, scene.drawn.by)
    held = replace(held, top=steady_top(held.top, may_have_lines(largest, groups), LINES))
    span, found, held = _asked(model, base, scene, Split(held.top, groups), held)
    known_ms = known_until(span, total.freshness, times)
    held = with_line_behind(model, base, scene, span, with_number_before(model, base, scene, span, held, known_ms))
    payload, held = _payload(scene, span, total, found, held, notes)
    shift = (span.first_ms - earlier(state, span, span.first_ms, scene.zone)) // 1000
    wanted = Wanted(
        replace(base, end_ms=max(min(known_ms, span.last_ms), span.first_ms + 1000)),
        None if state.compare == "off" or not 0 < shift * 1000 <= span.first_ms else shift,
        often_ms(span),
    )
    held = replace(held, boards=boards(model, state, scene.metric, wanted, held.boards, times.now))
    payload["boards"] = shown(state, scene.metric, held.boards, held.top)
    return payload, held


def _asked(model: Reading, base: Query, scene: Scene, split: Split, held: Held) -> tuple[Range, Courses, Held]:
    """The courses, in steps that are kept, that are not too many, and in which a course is seen."""
    for _ in range(2 * len(STEPS)):
        span = resolve(scene.drawn, scene.times, held.coarser, held.least_s, scene.day_zone)
        wider = resolve(scene.drawn, scene.times, held.coarser + 1, held.least_s, scene.day_zone)
        widest = wider.step_s == span.step_s or wider.buckets < FEWEST_BUCKETS
        try:
            found = courses(model, base, scene.drawn, scene.metric, split, span, scene.days)
        except TooManyRows:
            if widest:
                raise
            held = replace(held, coarser=held.coarser + 1)
            continue
        if found.step_s > span.step_s:
            held = replace(held, least_s=found.step_s)
        elif widest or not is_sparse(found.lines):
            break
        else:
            held = replace(held, coarser=held.coarser + 1)
    return span, found, held


def _payload(
    scene: Scene, span: Range, total: Result, found: Courses, held: Held, notes: Sequence[Note]
) -> tuple[dict[str, Any], Held]:
    state, metric, times = scene.state, scene.metric, scene.times
    drawn, notices = scene.drawn, list(span.notices)
    if unstackable(drawn.chart, found.lines):
        drawn = replace(drawn, chart="lines")
        notices.append("What lies below zero cannot be stacked: lines.")
    is_distribution = drawn.chart in QUANTILES
    (unit, _), additive = split_unit(unit_of(scene.measure, metric.unit)), scene.measure in ADDITIVE
    axis_unit, axis_additive = (split_unit(metric.unit)[0], False) if is_distribution else (unit, additive)
    _, running = final = final_buckets(span, known_until(span, total.freshness, times), times.grace)
    # nothing can be known beyond the open bucket, nor before the first event there ever was
    begin = 0 if held.before_total else first_event(found.lines)
    any_value = any(v for line in found.lines for v in line.values)
    known = any(v is not None for line in found.lines for v in line.values)
    found = replace(found, lines=between(found.lines, begin, running + 1))
    held = steady_high(held, reach(drawn, found, held.behind, axis_additive)[1], times.now)
    chart = chart_of(drawn, span, found, held.behind, final, held.high, axis_unit, axis_additive, scene.zone)
    chart = marked(chart, notes, times)
    number = number_of(total.rows[0][-1]) if total.rows else None
    held = replace(held, table=table_of(chart, state.timezone or times.zone, axis_unit, words(state)))
    payload = {
        "metric": readable(metric.name, 120),
        "about": readable(metric.description, 300) if metric.description else "",
        "measure": said_measure(scene.measure, metric),
        "number": _number(number, held, scene),
        "start_ms": span.start_ms,
        "step_ms": span.step_s * 1000,
        "edges": list(span.edges),
        "shift": shift_of(chart.kind),
        "step": STEP_NAMES[span.step_s],
        "running": running,
        "kind": chart.kind,
        "figure": time_chart(chart),
        "marks": [[m.at_ms, m.text, m.day] for m in chart.marks],
        "zone": clock_of(chart, state.timezone or times.zone, scene.zone),
        "lines": [said_line(line, axis_unit) for line in found.lines],
        "beside": _beside(chart, found, axis_unit, scene),
        "bound": said_bound(found.bound),
        "captions": captions(chart, found, scene.zone),
        "annotations": [said_note(note, scene.zone) for note in chart.notes],
        "empty": None if any_value or (known and not axis_additive) else no_events(state, scene.zone, times.now),
        "address": write(state),
        **links(state, drawn, span, times.now, held.top),
        "table": table_payload(held.table) if held.table and state.table == "open" else None,
        "state": {**controls(state, metric, span, times), **around(plain(state, metric), span, times)},
        "notices": notices,
    }
    return payload, held


def _number(number: float | None, held: Held, scene: Scene) -> dict[str, str]:
    """The number of the whole range with its change, and against what that is."""
    said = written(number, held.before_total, scene.metric, scene.measure)
    if scene.state.compare == "off":
        return {**said, "delta": "", "tone": "none", "was": "", "against": ""}
    return {**said, "against": f"vs {words(scene.state)}"}


def _beside(chart: Chart, found: Courses, unit: str | None, scene: Scene) -> list[dict[str, Any]]:
    """What the tip says of a bucket beside the lines' values: of the range behind, of how many events."""
    rows = []
    if chart.behind:
        rows.append(said_line(Line(words(scene.state), chart.behind, "compare"), unit))
    if found.counts:
        rows.append(said_line(Line("events", found.counts, ""), None))
    return rows
