"""Which kind of chart fits, and the chart that courses make: its axes, its marks, its words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import Any

from aggregates.queries import Freshness, Metric
from dashboard.areas import tops
from dashboard.axes import ValueAxis, log_axis, value_axis
from dashboard.clocks import offsets, time_marks
from dashboard.courses import QUANTILES, Courses
from dashboard.heat import cells_of
from dashboard.lines import Cells, Chart, Line, Note
from dashboard.marks import MOST_NOTES, MOST_RESTATED, within
from dashboard.moves import stretch_words, time_words
from dashboard.names import readable
from dashboard.numbers import NARROW, format_value
from dashboard.ranges import Range, Times
from dashboard.state import Explore
from dashboard.tiles import ADDITIVE, said_measure

KIND_WORDS = {"lines": "lines", "stacked": "areas", "bars": "bars", "heatmap": "a heatmap", "bands": "bands"}


def fitting(state: Explore, metric: Metric) -> tuple[Explore, list[str]]:
    """The state as it can be drawn, and what is drawn otherwise than asked for."""
    name, kind = readable(metric.name, 60), state.chart
    if kind in QUANTILES:
        if not set(QUANTILES[kind]) <= set(metric.measures):
            words = f"{name} is no distribution: there are lines instead of {KIND_WORDS[kind]}."
            return replace(state, chart="lines"), [words]
        if state.by is not None:
            words = f"{KIND_WORDS[kind].capitalize()} show all together: not split by {readable(state.by, 60)}."
            return replace(state, by=None), [words.replace("A heatmap show ", "A heatmap shows ")]
    if kind == "stacked" and (measure := state.measure or metric.measure) not in ADDITIVE:
        return replace(state, chart="lines"), [f"{said_measure(measure, metric).capitalize()} does not add up: lines."]
    return state, []


def unstackable(kind: str, lines: Sequence[Line]) -> bool:
    """Whether lines cannot be areas on top of each other, as some lie below zero."""
    return kind == "stacked" and any(v < 0 for line in lines for v in line.values if v is not None)


def known_until(span: Range, freshness: Freshness, times: Times) -> int:
    """Up to when everything of the range is counted; epoch milliseconds within it."""
    known = times.now if freshness.watermark_ms is None else min(freshness.watermark_ms, times.now)
    return min(max(known, span.start_ms), span.end_ms)


def final_buckets(span: Range, known_ms: int, grace_ms: int) -> tuple[int, int]:
    """(sealed, running): how many buckets are final, how many are over."""
    return max(span.place(known_ms - grace_ms), 0), span.place(known_ms)


def reach(state: Explore, courses: Courses, behind: Sequence[float | None], additive: bool) -> tuple[float, float]:
    """The lowest and the highest of what is drawn."""
    stacked = state.chart == "stacked" or (state.chart == "bars" and additive)
    rows = tops(courses.lines) if stacked else [line.values for line in courses.lines]
    values = [v for row in (*rows, behind) for v in row if v is not None]
    return min(values, default=0.0), max(values, default=0.0)


def chart_of(
    state: Explore, span: Range, courses: Courses, behind: Sequence[float | None], final: tuple[int, int],
    high: float, unit: str | None, additive: bool, zone: tzinfo,
) -> Chart:  # fmt: skip
    """The chart of courses.

    Args:
        final: how many buckets are final, how many over.
        high: how far the axis reaches at least.
    """
    low, top = reach(state, courses, behind, additive)
    cells = cells_of(courses.histograms) if state.chart == "heatmap" else None
    axis = value_axis(low, max(high, top), unit, additive or state.chart == "bars")
    return Chart(
        span.start_ms,
        span.step_s * 1000,
        courses.lines,
        *final,
        additive,
        axis if cells is None else axis_of(cells, unit),
        time_marks(span.start_ms, span.end_ms, zone=zone),
        state.chart,
        span.edges,
        tuple(behind),
        cells,
    )


def axis_of(cells: Cells, unit: str | None) -> ValueAxis:
    """The axis of a heatmap: that of its rows."""
    low, high = cells.edges[0], cells.edges[-1]
    if cells.log:
        return log_axis(low, high, unit)
    axis = value_axis(low, high, unit, from_zero=False)
    kept = [(at, words) for at, words in zip(axis.marks, axis.labels, strict=True) if low <= at <= high]
    return ValueAxis(low, high, tuple(at for at, _ in kept), tuple(words for _, words in kept))


def marked(chart: Chart, notes: Sequence[Note], times: Times) -> Chart:
    """The chart with the last annotations of its range, and where nothing is kept any more."""
    gone = None if times.kept_1d is None else times.now - times.kept_1d
    incomplete = gone if gone is not None and gone > chart.start_ms else None
    found = within(notes, chart.start_ms, chart.end_ms)
    shown = found[-MOST_NOTES:]
    return replace(chart, notes=shown, more_notes=len(found) - len(shown), incomplete_ms=incomplete)


def captions(chart: Chart, courses: Courses, zone: tzinfo) -> list[dict[str, str]]:
    """What stands beneath the chart: what was restated, what is missing."""
    found = []
    if courses.restated:
        many = len(chart.restated)
        words = f"{many} buckets restated" if many > MOST_RESTATED else "Restated"
        found.append({"tone": "warn", "text": f"◇ {words}: events of this range came late and are counted in."})
    if chart.more_notes:
        words = f"The last {len(chart.notes)} annotations of {len(chart.notes) + chart.more_notes} are shown."
        found.append({"tone": "info", "text": words})
    if chart.incomplete_ms is not None:
        when = time_words(chart.incomplete_ms, zone)
        found.append({"tone": "warn", "text": f"Incomplete before {when}: nothing older is kept."})
    return found


def said_line(line: Line, unit: str | None) -> dict[str, Any]:
    """A line for the tip and the table: every value as text."""
    return {
        "name": readable(line.name, 80),
        "colour": line.colour,
        "rest": line.is_rest,
        "texts": [None if v is None else format_value(v, unit) for v in line.values],
    }


def said_bound(bound: float | None) -> str:
    """The error that values may have, as the tip says it."""
    return f"≈ within ±{bound * 100:.2g}{NARROW}%".replace(NARROW, "") if bound else ""


def clock_of(chart: Chart, name: str, zone: tzinfo) -> dict[str, Any]:
    """The page's time zone as its scripts need it: its name, and how far it is ahead of UTC from when on."""
    return {"name": name, "offsets": offsets(chart.start_ms, chart.end_ms, zone)}


def said_note(note: Note, zone: tzinfo) -> dict[str, Any]:
    """An annotation for the tip, the list beneath the chart and whoever changes it."""
    return {
        "id": note.id,
        "at_ms": note.at_ms,
        "end_ms": note.end_ms,
        "when": stretch_words(note.at_ms, note.at_ms if note.end_ms is None else note.end_ms, zone),
        "text": readable(note.text, 500),
        "author": readable(note.author, 80) if note.author else "",
        "metric": note.metric,
    }
