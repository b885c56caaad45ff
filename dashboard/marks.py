"""What is marked in a chart beside its values: the range behind, open and missing time, annotations, restatements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.lines import Chart, Note
from dashboard.tokens import variable
from dashboard.traces import QUIET, THIN, Trace, spanned

MOST_RESTATED = 12
"""More restated buckets are only counted."""
MOST_NOTES = 100
"""More annotations are only counted."""
CLOSEST = 80
"""Annotations nearer than this part of the chart are one mark."""

Shape = dict[str, Any]


def behind_traces(chart: Chart, shift: float) -> list[Trace]:
    """The line of the range this one is compared with, beneath the others; only beside a single line."""
    if not any(v is not None for v in chart.behind):
        return []
    stroke = {"color": variable("compare"), "width": THIN, "dash": "4px,4px"}
    place = spanned(chart, chart.behind, 0, chart.buckets, shift)
    return [{**QUIET, "mode": "lines", **place, "line": stroke, "zorder": -1, "meta": "behind"}]


def restated_traces(chart: Chart, shift: float) -> list[Trace]:
    """A diamond on each bucket that was final and changed, unless they are many."""
    if not 0 < len(chart.restated) <= MOST_RESTATED or not chart.lines:
        return []
    values = chart.lines[0].values
    marked = tuple(values[i] if i in chart.restated else None for i in range(chart.buckets))
    symbol = {"symbol": "diamond-open", "size": 8, "color": variable("warn"), "line": {"width": 1.5}}
    place = spanned(chart, marked, 0, chart.buckets, shift)
    return [{**QUIET, "mode": "markers", **place, "marker": symbol, "meta": "restated"}]


def incomplete_traces(chart: Chart) -> list[Trace]:
    """A hatched ground where nothing is kept any more."""
    if chart.incomplete_ms is None or chart.incomplete_ms <= chart.start_ms:
        return []
    until = min(chart.incomplete_ms, chart.end_ms)
    hatching = {
        "shape": "/",
        "fgcolor": variable("control"),
        "bgcolor": variable("sunken"),
        "size": 7,
        "solidity": 0.15,
    }
    return [{
        **QUIET, "mode": "lines", "yaxis": "y2", "line": {"width": 0}, "fill": "toself", "meta": "incomplete",
        "x": [chart.start_ms, until, until, chart.start_ms], "y": [0, 0, 1, 1], "fillpattern": hatching,
    }]  # fmt: skip


def shapes(chart: Chart) -> list[Shape]:
    """The ground of the open bucket, and the lines and grounds of annotations."""
    found = []
    if chart.running < chart.buckets and chart.kind != "heatmap":
        # at most one bucket is open; those behind it lie ahead
        found.append(_ground(chart.start_of(chart.running), chart.start_of(chart.running + 1), "sunken", 0.7))
    for note in chart.notes:
        if note.end_ms is not None:
            found.append(_ground(max(note.at_ms, chart.start_ms), min(note.end_ms, chart.end_ms), "accent-soft", 0.5))
        if note.at_ms >= chart.start_ms:
            found.append(_hairline(note.at_ms))
    return found


def flags(chart: Chart) -> list[dict[str, Any]]:
    """A ▾ above each annotation's line; of several close together one, with their number."""
    return [_flag(max(group[0].at_ms, chart.start_ms), group[0].id, len(group)) for group in gathered(chart)]


def gathered(chart: Chart) -> list[list[Note]]:
    """The annotations of the chart by their marks, in the order of time."""
    nearest = (chart.end_ms - chart.start_ms) / CLOSEST
    found: list[list[Note]] = []
    for note in sorted(chart.notes, key=lambda n: (n.at_ms, n.id)):
        at = max(note.at_ms, chart.start_ms)
        if found and at - max(found[-1][0].at_ms, chart.start_ms) < nearest:
            found[-1].append(note)
        else:
            found.append([note])
    return found


def within(notes: Sequence[Note], start_ms: int, end_ms: int) -> tuple[Note, ...]:
    """The annotations of a range: those that touch it."""
    return tuple(n for n in notes if n.at_ms < end_ms and (n.at_ms if n.end_ms is None else n.end_ms) >= start_ms)


def _ground(start: int, end: int, token: str, opacity: float) -> Shape:
    return {
        "type": "rect", "yref": "paper", "x0": start, "x1": end, "y0": 0, "y1": 1, "layer": "below",
        "fillcolor": variable(token), "opacity": opacity, "line": {"width": 0},
    }  # fmt: skip


def _hairline(at_ms: int) -> Shape:
    return {
        "type": "line", "yref": "paper", "x0": at_ms, "x1": at_ms, "y0": 0, "y1": 1,
        "line": {"width": 1, "color": variable("control")},
    }  # fmt: skip


def _flag(at_ms: int, id_: str, count: int) -> dict[str, Any]:
    return {
        "xref": "x", "yref": "paper", "x": at_ms, "y": 1, "xanchor": "center", "yanchor": "bottom", "yshift": -4,
        "showarrow": False, "text": "▾" if count == 1 else f"▾{count}", "captureevents": True, "name": id_,
        "font": {"size": 13, "color": variable("text")},
    }  # fmt: skip
