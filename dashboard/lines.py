"""The lines of a chart as values, and their names at the right ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.axes import ValueAxis
from dashboard.clocks import TimeMark
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
class Note:
    """An annotation: at a moment, or from it to `end_ms`; epoch milliseconds."""

    id: str
    at_ms: int
    end_ms: int | None
    text: str
    author: str
    metric: str | None = None
    """None: of all metrics."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A distribution over time: `roots[row][bucket]` is the square root of how many values lay between two `edges`,
    None for none. `log` says that the edges are even on a logarithmic axis."""

    edges: tuple[float, ...]
    roots: tuple[tuple[float | None, ...], ...]
    log: bool


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
    kind: str = "lines"
    edges: tuple[int, ...] = ()
    """Beginnings of uneven buckets, and the end of the last; empty when all have `step_ms`."""
    behind: tuple[float | None, ...] = ()
    """The values of the range this one is compared with, bucket by bucket."""
    cells: Cells | None = None
    notes: tuple[Note, ...] = ()
    more_notes: int = 0
    """Annotations of the range that are too many to be shown."""
    restated: tuple[int, ...] = ()
    """Buckets that were final and changed."""
    incomplete_ms: int | None = None
    """There is nothing from before this time."""

    @property
    def buckets(self) -> int:
        """How many buckets every line has."""
        return len(self.lines[0].values) if self.lines else 0

    @property
    def end_ms(self) -> int:
        """Where the last bucket ends."""
        return self.edges[-1] if self.edges else self.start_ms + self.buckets * self.step_ms

    @property
    def several(self) -> bool:
        """Whether there are lines to be told apart."""
        return len(self.lines) > 1

    def start_of(self, bucket: int) -> int:
        """Where a bucket begins; of the one behind the last: the end."""
        return self.edges[bucket] if self.edges else self.start_ms + bucket * self.step_ms


def names_width(chart: Chart) -> int:
    """How many pixels the names need right of the chart."""
    return min(28 + 8 * max(len(readable(line.name, LABEL_LETTERS)) for line in chart.lines), 148)


def end_names(chart: Chart, height: int) -> list[dict[str, Any]]:
    """The names at the right ends of the lines, at least `LABEL_GAP` pixels apart, then a dot in its line's colour
    before each: not every line colour is readable as text."""
    wanted = [chart.axis.part(_last(line, chart)) * height for line in chart.lines]
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
    return closed[-1] if closed else chart.axis.low
