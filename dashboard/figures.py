"""Figures as plain dicts that plotly takes: values in, traces and layout out.

Colours are `var(--tb-…)`, resolved by the page, so that one figure serves both themes. A line never falls off a cliff
at its end: dots are buckets that may still change, a hollow ring is the bucket that is still open. No text that came
with the data enters a figure unescaped: plotly reads markup.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dashboard.areas import band_traces, bar_traces, middles, stacked_traces
from dashboard.axes import ValueAxis
from dashboard.heat import heat_traces
from dashboard.lines import Chart, Line, end_names, names_width
from dashboard.marks import behind_traces, flags, incomplete_traces, restated_traces, shapes
from dashboard.tokens import variable
from dashboard.traces import QUIET, THIN, WIDTH, Figure, Trace, lone, ring, spanned

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
HEIGHT = 360
TOP, BOTTOM, LEFT = 14, 38, 44
WITHIN = ("bars", "heatmap")
"""Kinds of which a bucket is a width, not a point: its values stand in its middle."""


def time_chart(chart: Chart) -> Figure:
    """The figure: the traces of its kind, the ends of lines named when there are several, what is marked, and one
    quiet trace last that takes the pointer and knows every bucket."""
    shift = shift_of(chart.kind)
    traces = [*incomplete_traces(chart), *KINDS[chart.kind](chart), *behind_traces(chart, shift)]
    layout = time_layout(chart)
    layout["shapes"], layout["annotations"] = shapes(chart), flags(chart)
    if chart.several and chart.kind != "bars":
        layout["annotations"] += end_names(_named(chart), HEIGHT - TOP - BOTTOM)
        layout["margin"]["r"] = names_width(chart)
    return {"data": [*traces, *restated_traces(chart, shift), pointer_trace(chart, shift)], "layout": layout}


def shift_of(kind: str) -> float:
    """The part of a bucket that its values stand behind its beginning."""
    return 0.5 if kind in WITHIN else 0.0


def all_lines(chart: Chart) -> list[Trace]:
    """Three traces a line."""
    return [trace for line in chart.lines for trace in line_traces(chart, line, fill=not chart.several)]


def line_traces(chart: Chart, line: Line, fill: bool) -> list[Trace]:
    """The final part, the part that may still change and the open buckets of one line."""
    colour = variable(line.colour)
    width = THIN if line.is_rest else WIDTH
    stroke = {"color": colour, "width": width, **({"dash": "2px,3px"} if line.is_rest else {})}
    tail = max(chart.sealed - 1, 0)
    end = chart.running if chart.additive else chart.buckets
    area = {"fill": "tozeroy", "fillcolor": variable("fill")} if fill and chart.additive else {}
    final, values = line.values[: chart.sealed], line.values
    return [
        {**QUIET, **spanned(chart, values, 0, chart.sealed), **lone(final, colour), "line": stroke, **area},
        {**QUIET, "mode": "lines", **spanned(chart, values, tail, end), "line": {**stroke, "dash": "1px,3px"}},
        {**QUIET, "mode": "markers", **spanned(chart, values, chart.running, chart.buckets),
         "marker": ring(colour, width)},
    ]  # fmt: skip


KINDS: Mapping[str, Callable[[Chart], list[Trace]]] = {
    "lines": all_lines,
    "stacked": stacked_traces,
    "bars": bar_traces,
    "heatmap": heat_traces,
    "bands": band_traces,
}


def pointer_trace(chart: Chart, shift: float = 0.0) -> Trace:
    """The trace the pointer meets: a point in every bucket, nothing drawn; the page shows the values beside it."""
    axis = chart.axis
    middle = (axis.low * axis.high) ** 0.5 if axis.log else (axis.low + axis.high) / 2
    return {
        "type": "scatter",
        "mode": "lines",
        **spanned(chart, (middle,) * chart.buckets, 0, chart.buckets, shift),
        "line": {"width": 0, "color": variable("accent")},
        "opacity": 0,
        "hoverinfo": "none",
        "showlegend": False,
    }


def _named(chart: Chart) -> Chart:
    """The chart with its lines where their names go."""
    if chart.kind != "stacked":
        return chart
    lines = zip(chart.lines, middles(chart.lines), strict=True)
    return replace(chart, lines=tuple(replace(line, values=values) for line, values in lines))


def time_layout(chart: Chart) -> dict[str, Any]:
    """Everything around the lines."""
    axis: dict[str, Any] = {
        "showline": False,
        "automargin": False,
        "tickmode": "array",
        "tickfont": {"size": 11, "color": variable("faint")},
    }
    return {
        "height": HEIGHT,
        "margin": {
            "l": max(16 + 7 * max(map(len, chart.axis.labels), default=0), LEFT),
            "r": 14,
            "t": TOP,
            "b": BOTTOM,
            "pad": 0,
        },
        "font": {"family": FONT, "size": 12, "color": variable("text")},
        "paper_bgcolor": variable("surface"),
        "plot_bgcolor": variable("surface"),
        "showlegend": False,
        "uirevision": "range",
        "transition": {"duration": 0},
        "dragmode": "zoom",
        "hovermode": "x",
        "hoverdistance": -1,
        "spikedistance": -1,
        "clickmode": "event",
        "xaxis": {**axis, **_time_axis(chart)},
        "yaxis": {**axis, **_value_axis(chart.axis)},
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
        "barmode": "relative" if chart.additive else "overlay",
        "shapes": [],
        "annotations": [],
    }


def _time_axis(chart: Chart) -> dict[str, Any]:
    return {
        "type": "date",
        "range": [chart.start_ms, chart.end_ms],
        "tickvals": [m.at_ms for m in chart.marks],
        "ticktext": [m.text for m in chart.marks],
        "tickangle": 0,
        "fixedrange": False,
        "showgrid": False,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": variable("line"),
        "showspikes": True,
        "spikemode": "across",
        "spikesnap": "data",
        "spikethickness": 1,
        "spikedash": "solid",
        "spikecolor": variable("control"),
    }


def _value_axis(axis: ValueAxis) -> dict[str, Any]:
    span = [math.log10(axis.low), math.log10(axis.high)] if axis.log else [axis.low, axis.high]
    return {
        "type": "log" if axis.log else "linear",
        "range": span,
        "tickvals": list(axis.marks),
        "ticktext": list(axis.labels),
        "ticks": "",
        "ticklabelstandoff": 6,
        "fixedrange": True,
        "gridcolor": variable("grid"),
        "gridwidth": 1,
        "zeroline": axis.low <= 0 and not axis.log,
        "zerolinecolor": variable("line"),
    }
