"""Kinds of charts beside lines: stacked areas, bars, bands of percentiles. Pure.

All keep the same marks for what is not final: areas and lines go on in dots, an open bucket is a ring, an open bar is
hatched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.lines import Chart, Line
from dashboard.tokens import variable
from dashboard.traces import QUIET, THIN, WIDTH, Trace, Values, compact, lone, ring, spanned

BAR = 0.8
"""The part of a bucket that its bar, or its bars, take."""
BAND_COLOURS = ("cat-1", "seq-4", "seq-3", "seq-2")
"""The middle, then the bands from the innermost to the outermost."""


def tops(lines: Sequence[Line]) -> list[tuple[float | None, ...]]:
    """Each line on top of those before it; None where no line has a value."""
    found: list[tuple[float | None, ...]] = []
    below: tuple[float | None, ...] = (None,) * (len(lines[0].values) if lines else 0)
    for line in lines:
        pairs = zip(below, line.values, strict=True)
        below = tuple(None if a is None and b is None else (a or 0.0) + (b or 0.0) for a, b in pairs)
        found.append(below)
    return found


def middles(lines: Sequence[Line]) -> list[tuple[float | None, ...]]:
    """The middle of each line's part of the stack, where its name goes."""
    pairs = zip(tops(lines), lines, strict=True)
    return [
        tuple(None if t is None else t - (v or 0.0) / 2 for t, v in zip(top, line.values, strict=True))
        for top, line in pairs
    ]


def stacked_traces(chart: Chart) -> list[Trace]:
    """Areas on top of each other, the first at the bottom: the final parts, those that may change, the open ones."""
    stack = list(zip(chart.lines, tops(chart.lines), strict=True))
    tail = max(chart.sealed - 1, 0)
    parts: tuple[tuple[int, int, dict[str, str], float], ...]
    parts = ((0, chart.sealed, {}, 1.0), (tail, chart.running, {"dash": "1px,3px"}, 0.55))
    traces: list[Trace] = []
    for start, end, dash, opacity in parts:
        for number, (line, top) in enumerate(stack):
            traces.append({
                **QUIET, "mode": "lines", **spanned(chart, top, start, end),
                "line": {"color": variable(line.colour), "width": THIN, **dash},
                "fill": "tonexty" if number else "tozeroy",
                "opacity": opacity,
            })  # fmt: skip
    for line, top in stack:
        place = spanned(chart, top, chart.running, chart.buckets)
        traces.append({**QUIET, "mode": "markers", **place, "marker": ring(variable(line.colour), THIN)})
    return traces


def bar_traces(chart: Chart) -> list[Trace]:
    """Bars: on top of each other where they add up, else side by side; hatched while they may change."""
    beside = 1 if chart.additive else len(chart.lines)
    parts = ((0, chart.sealed, ""), (chart.sealed, chart.running, "."), (chart.running, chart.buckets, "/"))
    return [
        {
            "type": "bar",
            "hoverinfo": "skip",
            **spanned(chart, line.values, start, end),
            **_places(chart, start, end, 0 if chart.additive else number, beside),
            "marker": _filling(variable(line.colour), pattern),
        }
        for number, line in enumerate(chart.lines)
        for start, end, pattern in parts
        if start < end
    ]


def band_traces(chart: Chart) -> list[Trace]:
    """The first line as a line, over the areas between it and the next, and so on outwards."""
    traces: list[Trace] = []
    for below, above in reversed(list(zip(chart.lines, chart.lines[1:], strict=False))):
        outline = polygons(chart, below.values, above.values)
        traces.append({
            **QUIET, "mode": "lines", **outline, "fill": "toself", "fillcolor": variable(above.colour),
            "line": {"width": 0, "color": variable(above.colour)},
        })  # fmt: skip
    return traces + [trace for line in chart.lines[:1] for trace in _course(chart, line)]


def polygons(chart: Chart, lower: Values, upper: Values) -> dict[str, Any]:
    """The area between two lines as outlines, one for each stretch without a gap: x and y, parted by None."""
    x: list[int | None] = []
    y: list[float | int | None] = []
    start = 0
    known = [a is not None and b is not None for a, b in zip(lower, upper, strict=True)]
    for i, there in enumerate([*known, False]):
        if there:
            continue
        if i > start:
            times = [chart.start_of(bucket) for bucket in range(start, i)]
            edge = [*upper[start:i], *reversed(lower[start:i])]
            x += [*times, *reversed(times), None]
            y += [*map(compact, edge), None]
        start = i + 1
    return {"x": x[:-1], "y": y[:-1]}


def _course(chart: Chart, line: Line) -> list[Trace]:
    colour = variable(line.colour)
    stroke = {"color": colour, "width": WIDTH}
    final = line.values[: chart.sealed]
    tail = max(chart.sealed - 1, 0)
    return [
        {**QUIET, **spanned(chart, line.values, 0, chart.sealed), **lone(final, colour), "line": stroke},
        {**QUIET, "mode": "lines", **spanned(chart, line.values, tail, chart.buckets),
         "line": {**stroke, "dash": "1px,3px"}},
        {**QUIET, "mode": "markers", **spanned(chart, line.values, chart.running, chart.buckets),
         "marker": ring(colour)},
    ]  # fmt: skip


def _places(chart: Chart, start: int, end: int, number: int, of: int) -> dict[str, Any]:
    """Where bars stand within their buckets, and how wide they are; milliseconds."""
    first = (1 - BAR) / 2 + number * BAR / of
    if not chart.edges:
        return {"width": round(chart.step_ms * BAR / of), "offset": round(chart.step_ms * first)}
    sizes = [chart.start_of(i + 1) - chart.start_of(i) for i in range(start, end)]
    return {"width": [round(s * BAR / of) for s in sizes], "offset": [round(s * first) for s in sizes]}


def _filling(colour: str, pattern: str) -> dict[str, Any]:
    if not pattern:
        return {"color": colour, "line": {"width": 0}}
    # the hatching is in the bar's own colour, on the ground of the chart
    lines = {"shape": pattern, "fgcolor": colour, "bgcolor": variable("surface"), "size": 5, "solidity": 0.35}
    return {"color": colour, "line": {"width": 1, "color": colour}, "pattern": lines}
