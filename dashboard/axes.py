"""Axes: where the ticks stand and what they say, so that plotly needs to invent nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from dashboard.numbers import (
    BYTES,
    BYTES_IEC,
    CURRENCIES,
    MINUS,
    NARROW,
    SECONDS,
)

NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
SIXTIES = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
DAYTIMES = (1.0, 2.0, 3.0, 6.0, 12.0, 24.0)
DURATIONS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
THOUSANDS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
# seconds between two marks of a time axis
SPACINGS = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    86400, 172800, 604800, 1209600, 2592000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """The y axis: its range and its marks in the values' own unit."""

    low: float
    high: float
    marks: tuple[float, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TimeMark:
    """One mark of the x axis: epoch milliseconds, the time as text and the day it belongs to."""

    at_ms: int
    text: str
    day: str


@dataclass(frozen=True, slots=True)
class _Scale:
    size: float
    prefix: str
    suffix: str
    steps: tuple[float, ...]


def value_axis(low: float, high: float, unit: str | None, from_zero: bool) -> ValueAxis:
    """An axis over [low, high] with three to six round marks; `from_zero` for whatever is summed or filled."""
    bottom, top = _bounds(low, high, from_zero)
    scale = _scale(unit, max(abs(bottom), abs(top)))
    step = _step((top - bottom) / scale.size / 5, scale.steps)
    if scale.size == 1 and step < 10 and float(low).is_integer() and float(high).is_integer():
        step = next(whole for whole in (1.0, 2.0, 5.0, 10.0) if whole >= step)
    first, last = math.ceil(bottom / scale.size / step - 1e-9), math.floor(top / scale.size / step + 1e-9)
    counts = range(first, min(last, first + 12) + 1)
    marks = tuple(n * step * scale.size for n in counts)
    return ValueAxis(bottom, top, marks, tuple(_label(n * step, scale) for n in counts))


def time_marks(start_ms: int, end_ms: int, most: int = 10) -> tuple[TimeMark, ...]:
    """At most `most` marks on round times of [start, end), in UTC."""
    span = max((end_ms - start_ms) / 1000, 1)
    spacing = next((s for s in SPACINGS if span / s <= most), SPACINGS[-1])
    spacing = max(spacing, math.ceil(span / most / 86400) * 86400) if spacing == SPACINGS[-1] else spacing
    first = -(-start_ms // (spacing * 1000))
    marks = (n * spacing * 1000 for n in range(first, first + most + 1))
    return tuple(_time_mark(at, spacing) for at in marks if at < end_ms)


def _time_mark(at_ms: int, spacing: int) -> TimeMark:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    day = f"{at.day} {at:%b}"
    text = f"{at:%H:%M:%S}" if spacing < 60 else f"{at:%H:%M}" if spacing < 86400 else day
    return TimeMark(at_ms, text, day if spacing < 86400 else f"{at:%Y}")


def _bounds(low: float, high: float, from_zero: bool) -> tuple[float, float]:
    low, high = (0.0 if abs(v) < 2.3e-308 else v for v in (low, high))
    if from_zero or 0 <= low < high / 2 or high / 2 < high <= 0:
        bottom, top = min(low, 0.0), max(high, 0.0)
        pad = (top - bottom) * 0.06
        bottom, top = bottom - pad if bottom < 0 else bottom, top + pad if top > 0 else top
    else:
        pad = (high - low) * 0.08
        bottom, top = low - pad, high + pad
    if top - bottom <= max(abs(top) * 1e-9, 1e-300):
        spread = abs(top) * 0.1 or 1.0
        return (0.0, spread) if bottom == top == 0 else (bottom - spread, top + spread)
    return bottom, top


def _scale(unit: str | None, size: float) -> _Scale:
    """The common unit of all labels of an axis that reaches `size`."""
    per = "/s" if unit is not None and unit.endswith("/s") else ""
    unit = (unit[:-2].strip() or None) if per and unit else unit
    if unit in SECONDS:
        factor, name = next((d for d in DURATIONS if size * SECONDS[unit] >= 2 * d[0]), DURATIONS[-1])
        steps = SIXTIES if name in ("s", "min") else DAYTIMES if name == "h" else NICE
        return _Scale(factor / SECONDS[unit], "", f"{NARROW}{name}{per}", steps)
    if unit in BYTES or unit in BYTES_IEC:
        base, own = (1000.0, BYTES) if unit in BYTES else (1024.0, BYTES_IEC)
        names = ("B", "kB", "MB", "GB", "TB", "PB") if unit in BYTES else ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
        bytes_ = size * own[unit]
        index = min(int(math.log(bytes_, base) + 1e-9), len(names) - 1) if bytes_ >= base else 0
        return _Scale(base**index / own[unit], "", f"{NARROW}{names[index]}{per}", NICE)
    if unit in ("ratio", "percent", "%"):
        return _Scale(0.01 if unit == "ratio" else 1.0, "", f"%{per}", NICE)
    factor, suffix = next((t for t in THOUSANDS if size >= 10 * t[0] or size >= t[0] > 1e3), (1.0, ""))
    if unit in CURRENCIES:
        return _Scale(factor, CURRENCIES[unit], suffix + per, NICE)
    return _Scale(factor, "", suffix + (f"{NARROW}{unit}" if unit else "") + per, NICE)


def _step(least: float, steps: tuple[float, ...]) -> float:
    """The smallest round step that is at least `least`."""
    if steps[0] <= least <= steps[-1] or (steps is not NICE and least < steps[0] and least > 0.5):
        return next((s for s in steps if s >= least), steps[-1])
    power = 10.0 ** math.floor(math.log10(least))
    return next(n * power for n in NICE if n * power >= least * (1 - 1e-9))


def _label(value: float, scale: _Scale) -> str:
    if abs(value) < 1e-12:
        return "0"
    size = abs(value)
    plain = 1e-3 <= size < 1e6
    digits = f"{size:,.6f}".rstrip("0").rstrip(".") if plain else f"{size:.3g}".replace("e+", "e").replace("-", MINUS)
    return (MINUS if value < 0 else "") + scale.prefix + digits + scale.suffix
