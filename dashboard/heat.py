"""A distribution over time as cells: histograms of uneven bins onto even rows. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dashboard.lines import Cells, Chart
from dashboard.tokens import variable
from dashboard.traces import QUIET, WIDTH, Trace, ring, spanned

ROWS = 28
WIDE = 20.0
"""From such a ratio of the largest to the smallest value on rows are even on a logarithmic axis."""
NOT_POSITIVE = 0.01
"""With a larger share of values that are not above zero there is no logarithmic axis."""
LEAST = 0.05
"""Cells of fewer values, shares of bins that reach over a row's edge, are empty."""
COLOURS = 7
GAPS_UNTIL = 100
"""With so many columns or fewer the cells stand apart."""

Bin = Sequence[float]
"""Lower bound, upper bound, how many."""


def cells_of(histograms: Sequence[Sequence[Bin]], rows: int = ROWS) -> Cells | None:
    """The cells of one histogram a bucket; None when there is no value at all."""
    bins = np.array([one for found in histograms for one in found], np.float64).reshape(-1, 3)
    bins = bins[np.isfinite(bins).all(axis=1)]
    if not len(bins):
        return None
    log = _is_wide(bins)
    kept = bins[bins[:, 1] > 0] if log else bins
    low = _least_positive(kept) if log else float(kept[:, 0].min())
    high = float(kept[:, 1].max())
    low, high = _rounded(low, high, log)
    edges = np.geomspace(low, high, rows + 1) if log else np.linspace(low, high, rows + 1)
    counts = np.array([_spread(found, edges) for found in histograms]).T
    roots = tuple(tuple(None if n < LEAST else _short(math.sqrt(n)) for n in row) for row in counts.tolist())
    return Cells(tuple(float(f"{edge:.6g}") for edge in edges), roots, log)


def heat_traces(chart: Chart) -> list[Trace]:
    """The cells, the more values the stronger in colour, and the chart's lines over them."""
    traces = [_heat(chart, chart.cells)] if chart.cells is not None else []
    for number, line in enumerate(chart.lines):
        stroke = {"color": variable(line.colour), "width": WIDTH, **({"dash": "6px,3px"} if number else {})}
        values = line.values
        traces.append({**QUIET, "mode": "lines", **spanned(chart, values, 0, chart.running, 0.5), "line": stroke})
        place = spanned(chart, values, chart.running, chart.buckets, 0.5)
        traces.append({**QUIET, "mode": "markers", **place, "marker": ring(variable(line.colour))})
    return traces


def _heat(chart: Chart, cells: Cells) -> Trace:
    gap = 1 if chart.buckets <= GAPS_UNTIL else 0
    scale: list[list[Any]] = [[i / (COLOURS - 1), variable(f"seq-{i + 1}")] for i in range(COLOURS)]
    return {
        "type": "heatmap",
        "x": [chart.start_of(i) for i in range(chart.buckets + 1)],
        "y": list(cells.edges),
        "z": [list(row) for row in cells.roots],
        "zmin": 0,
        "colorscale": scale,
        "xgap": gap,
        "ygap": gap,
        "showscale": False,
        "hoverinfo": "skip",
        "hoverongaps": False,
    }


def _is_wide(bins: Any) -> bool:
    positive = bins[bins[:, 1] > 0]
    share = 1 - positive[:, 2].sum() / bins[:, 2].sum()
    return bool(share <= NOT_POSITIVE and len(positive) and positive[:, 1].max() / _least_positive(positive) > WIDE)


def _rounded(low: float, high: float, log: bool) -> tuple[float, float]:
    """Bounds that stay while the values move a little."""
    if log:
        return 10 ** (math.floor(math.log10(low) * 4) / 4), 10 ** (math.ceil(math.log10(high) * 4) / 4)
    if low == high:
        low, high = low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
    step = 10 ** math.floor(math.log10((high - low) / 4))
    bounds = math.floor(low / step) * step, math.ceil(high / step) * step
    return bounds if bounds[0] < bounds[1] else (low, high)


def _least_positive(bins: Any) -> float:
    """The smallest bound above zero."""
    lower = bins[:, 0][bins[:, 0] > 0]
    return float(lower.min() if len(lower) else bins[:, 1].min() / 2)


def _spread(found: Sequence[Bin], edges: Any) -> Any:
    """How many values of a histogram lie between each two edges; values within a bin lie evenly, those below the first
    edge belong to the first row."""
    if not found:
        return np.zeros(len(edges) - 1)
    bins = np.array(found, np.float64)
    lower, upper = bins[:, 0], np.maximum(bins[:, 1], np.nextafter(bins[:, 0], np.inf))
    reached = np.cumsum(bins[:, 2])
    below = np.interp(edges, np.stack([lower, upper], 1).ravel(), np.stack([reached - bins[:, 2], reached], 1).ravel())
    below[0], below[-1] = 0.0, reached[-1]
    return np.maximum(np.diff(below), 0.0)


def _short(value: float) -> float:
    return float(f"{value:.3g}")
