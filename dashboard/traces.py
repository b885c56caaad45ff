"""Pieces of traces that every kind of chart is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.lines import Chart
from dashboard.tokens import variable

QUIET: dict[str, Any] = {"type": "scatter", "hoverinfo": "skip", "connectgaps": False, "cliponaxis": False}
WIDTH, THIN = 1.75, 1.25

Trace = dict[str, Any]
Figure = dict[str, Any]
Values = Sequence[float | None]


def spanned(chart: Chart, values: Values, start: int, end: int, shift: float = 0.0) -> dict[str, Any]:
    """Buckets [start, end) of a line as x and y; `shift` is the part of a bucket that its point stands behind its
    beginning."""
    y = [compact(v) for v in values[start:end]]
    if not chart.edges:
        return {"x0": chart.start_ms + round((start + shift) * chart.step_ms), "dx": chart.step_ms, "y": y}
    places = range(start, min(end, chart.buckets))
    widths = {i: chart.edges[i + 1] - chart.edges[i] for i in places}
    return {"x": [chart.edges[i] + round(shift * widths[i]) for i in places], "y": y}


def lone(values: Values, colour: str) -> dict[str, Any]:
    """How a line is drawn: values without a neighbour, which a line would not show, as points."""
    around = (None, *values, None)
    sizes = [
        4 if v is not None and before is None and after is None else 0
        for before, v, after in zip(around, values, around[2:], strict=False)
    ]
    if not any(sizes):
        return {"mode": "lines"}
    return {"mode": "lines+markers", "marker": {"size": sizes, "color": colour, "line": {"width": 0}}}


def ring(colour: str, width: float = WIDTH) -> dict[str, Any]:
    """The marker of an open bucket."""
    return {"size": 7, "color": variable("surface"), "line": {"color": colour, "width": width}}


def compact(value: float | None) -> float | int | None:
    """The value with six significant digits: more than a pixel shows, far less to send."""
    if value is None:
        return None
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
