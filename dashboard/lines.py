"""The lines of a chart as values, and their names at the right ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.axes import TimeMark, ValueAxis
from dashboard.names import escaped, readable
from dashboard.tokens import variable

LABEL_GAP = 15
LABEL_LETTERS = 15


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart: its name as it came, a value for every bucket (None: no value), a colour token."""

    name: str
    values: tuple[float | None, ...]
    colour: str
    is_rest: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """What a time chart shows. Buckets [:sealed] are final, [sealed:running] may change, [running:] are open."""

    start_ms: int
    step_ms: int
    lines: tuple[Line, ...]
    sealed: int
    running: int
    additive: bool
    axis: ValueAxis
    marks: tuple[TimeMark, ...]

    @property
    def buckets(self) -> int:
        """How many buckets every line has."""
        return len(self.lines[0].values) if self.lines else 0


def names_width(chart: Chart) -> int:
    """How many pixels the names need right of the chart."""
    return min(28 + 8 * max(len(readable(line.name, LABEL_LETTERS)) for line in chart.lines), 148)


def end_names(chart: Chart, height: int) -> list[dict[str, Any]]:
    """The names at the right ends of the lines, at least `LABEL_GAP` pixels apart, then a dot in its line's colour
    before each: not every line colour is readable as text."""
    span = chart.axis.high - chart.axis.low
    wanted = [(_last(line, chart) - chart.axis.low) / span * height for line in chart.lines]
    places = [round(place / height, 4) for place in spread_apart(wanted, LABEL_GAP, height)]
    names = [
        _beside(place, 20, escaped(readable(line.name, LABEL_LETTERS)), "muted" if line.is_rest else "text", 12)
        for line, place in zip(chart.lines, places, strict=True)
    ]
    dots = [_beside(place, 6, "●", line.colour, 10) for line, place in zip(chart.lines, places, strict=True)]
    return names + dots


def _beside(place: float, shift: int, text: str, token: str, size: int) -> dict[str, Any]:
    """A text right of the chart; `place` is the part of its height, `shift` in pixels."""
    return {
        "xref": "paper",
        "yref": "paper",
        "x": 1,
        "y": place,
        "xanchor": "left",
        "yanchor": "middle",
        "xshift": shift,
        "showarrow": False,
        "text": text,
        "font": {"size": size, "color": variable(token)},
    }


def spread_apart(wanted: Sequence[float], gap: float, height: float) -> list[float]:
    """Places near the wanted ones (pixels from the bottom), in their order and `gap` apart, within [0, height] if
    they fit."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    places = [0.0] * len(wanted)
    floor = 0.0
    for i in order:
        places[i] = max(wanted[i], floor)
        floor = places[i] + gap
    ceiling = max(height, gap * (len(wanted) - 1))
    for i in reversed(order):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - gap
    return places


def _last(line: Line, chart: Chart) -> float:
    closed = [v for v in line.values[: chart.running] if v is not None] or [v for v in line.values if v is not None]
    return min(max(closed[-1], chart.axis.low), chart.axis.high) if closed else chart.axis.low
