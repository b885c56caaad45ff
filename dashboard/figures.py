"""Figures as plain dicts that plotly takes: values in, traces and layout out.

Colours are `var(--tb-…)`, resolved by the page, so that one figure serves both themes. A line never falls off a cliff
at its end: dots are buckets that may still change, a hollow ring is the bucket that is still open. No text that came
with the data enters a figure unescaped: plotly reads markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.axes import ValueAxis
from dashboard.lines import Chart, Line, end_names, names_width
from dashboard.tokens import variable

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
HEIGHT = 360
TOP, BOTTOM, LEFT = 14, 38, 44
QUIET: dict[str, Any] = {"type": "scatter", "hoverinfo": "skip", "connectgaps": False, "cliponaxis": False}

Trace = dict[str, Any]
Figure = dict[str, Any]


def time_chart(chart: Chart) -> Figure:
    """The figure: three traces a line, the ends named when there are several, one quiet trace last that takes the
    pointer and knows every bucket."""
    several = len(chart.lines) > 1
    traces = [trace for line in chart.lines for trace in line_traces(chart, line, fill=not several)]
    layout = time_layout(chart)
    if several:
        layout["annotations"] = end_names(chart, HEIGHT - TOP - BOTTOM)
        layout["margin"]["r"] = names_width(chart)
    return {"data": [*traces, pointer_trace(chart)], "layout": layout}


def line_traces(chart: Chart, line: Line, fill: bool) -> list[Trace]:
    """The final part, the part that may still change and the open buckets of one line."""
    colour = variable(line.colour)
    width = 1.25 if line.is_rest else 1.75
    stroke = {"color": colour, "width": width, **({"dash": "2px,3px"} if line.is_rest else {})}
    tail = max(chart.sealed - 1, 0)
    end = chart.running if chart.additive else chart.buckets
    area = {"fill": "tozeroy", "fillcolor": variable("fill")} if fill and chart.additive else {}
    ring = {"size": 7, "color": variable("surface"), "line": {"color": colour, "width": width}}
    return [
        {
            **QUIET,
            **_span(chart, line, 0, chart.sealed),
            **_lone(line.values[: chart.sealed], colour),
            "line": stroke,
            **area,
        },
        {**QUIET, "mode": "lines", **_span(chart, line, tail, end), "line": {**stroke, "dash": "1px,3px"}},
        {**QUIET, "mode": "markers", **_span(chart, line, chart.running, chart.buckets), "marker": ring},
    ]


def pointer_trace(chart: Chart) -> Trace:
    """The trace the pointer meets: a point in every bucket, nothing drawn; the page shows the values beside it."""
    middle = (chart.axis.low + chart.axis.high) / 2
    return {
        "type": "scatter",
        "mode": "lines",
        "x0": chart.start_ms,
        "dx": chart.step_ms,
        "y": [middle] * chart.buckets,
        "line": {"width": 0, "color": variable("accent")},
        "opacity": 0,
        "hoverinfo": "none",
        "showlegend": False,
    }


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
        "shapes": [],
        "annotations": [],
    }


def _span(chart: Chart, line: Line, start: int, end: int) -> dict[str, Any]:
    """Buckets [start, end) of a line on the even grid of the chart."""
    return {
        "x0": chart.start_ms + start * chart.step_ms,
        "dx": chart.step_ms,
        "y": [compact(v) for v in line.values[start:end]],
    }


def _lone(values: Sequence[float | None], colour: str) -> dict[str, Any]:
    """How a line is drawn: values without a neighbour, which a line would not show, as points."""
    around = (None, *values, None)
    sizes = [
        4 if v is not None and before is None and after is None else 0
        for before, v, after in zip(around, values, around[2:], strict=False)
    ]
    if not any(sizes):
        return {"mode": "lines"}
    return {"mode": "lines+markers", "marker": {"size": sizes, "color": colour, "line": {"width": 0}}}


def compact(value: float | None) -> float | int | None:
    """The value with six significant digits: more than a pixel shows, far less to send."""
    if value is None:
        return None
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _time_axis(chart: Chart) -> dict[str, Any]:
    end = chart.start_ms + chart.buckets * chart.step_ms
    return {
        "type": "date",
        "range": [chart.start_ms, end],
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
    return {
        "range": [axis.low, axis.high],
        "tickvals": list(axis.marks),
        "ticktext": list(axis.labels),
        "ticks": "",
        "ticklabelstandoff": 6,
        "fixedrange": True,
        "gridcolor": variable("grid"),
        "gridwidth": 1,
        "zeroline": axis.low <= 0,
        "zerolinecolor": variable("line"),
    }
