"""Axes: where the ticks stand and what they say, so that plotly needs to invent nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
LOG_SECONDS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0, 86400.0, 864000.0)


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """The y axis: its range and its marks in the values' own unit."""

    low: float
    high: float
    marks: tuple[float, ...]
    labels: tuple[str, ...]
    log: bool = False
    """Logarithmic: the range is above zero."""

    def part(self, value: float) -> float:
        """The part of the axis that is below a value, 0 to 1."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


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


def log_axis(low: float, high: float, unit: str | None) -> ValueAxis:
    """A logarithmic axis over [low, high], both above zero, with marks on round values."""
    marks = _log_marks(low, high, unit)
    return ValueAxis(low, high, tuple(marks), tuple(_label_alone(mark, unit) for mark in marks), log=True)


def _log_marks(low: float, high: float, unit: str | None) -> list[float]:
    if unit in SECONDS and high * SECONDS[unit] > 60:
        found = [s / SECONDS[unit] for s in LOG_SECONDS if low <= s / SECONDS[unit] <= high]
    else:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [p for n in powers if low <= (p := 10.0**n) <= high]
        if len(found) < 3:
            found = [p for n in powers for f in (1, 2, 5) if low <= (p := f * 10.0**n) <= high]
    stride = -(-len(found) // 6)
    return found[::stride]


def _label_alone(value: float, unit: str | None) -> str:
    """A mark in the unit that fits it, not the whole axis."""
    if unit in SECONDS:
        seconds = value * SECONDS[unit]
        factor, name = next((d for d in DURATIONS if seconds >= d[0] * (1 - 1e-9)), DURATIONS[-1])
        return f"{seconds / factor:.6g}{NARROW}{name}"
    return _label(value / (scale := _scale(unit, value)).size, scale)


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
