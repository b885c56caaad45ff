"""Numbers as people read them: one pure function from (value, unit) to text.

Three significant digits, whole parts in full below 10,000, then k M B T; half rounds up; a true minus; a narrow
no-break space before a unit. Units it knows: durations, bytes, currencies, `ratio`, `percent`, and any of them with
`/s` behind it; every other unit is written after the number.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Literal

NARROW = "\u202f"
MINUS = "\u2212"
MISSING = "–"

SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip
BYTES = {"B": 1.0, "byte": 1.0, "bytes": 1.0, "By": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
BYTES_IEC = {"bytes_iec": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3, "TiB": 1024.0**4}
CURRENCIES = {
    "EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "BRL": "R$",
    "CHF": "CHF" + NARROW, "SEK": "SEK" + NARROW, "NOK": "NOK" + NARROW, "DKK": "DKK" + NARROW,
    "PLN": "PLN" + NARROW, "CAD": "CA$", "AUD": "A$", "CNY": "CN¥",
}  # fmt: skip
NO_CENTS = frozenset({"JPY", "KRW"})
PERIODS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d"))
THREE = Context(prec=3, rounding=ROUND_HALF_UP)

Tone = Literal["good", "bad", "plain", "none"]


@dataclass(frozen=True, slots=True)
class Delta:
    """A change against an earlier value: `text` with its arrow, `tone` for its colour, `was` the earlier value."""

    text: str
    tone: Tone
    was: str


def format_value(value: float | None, unit: str | None = None) -> str:
    """The value in its unit, as a card or a table shows it; "–" where there is none."""
    if value is None or math.isnan(value):
        return MISSING
    sign = MINUS if value < 0 else ""
    size = abs(value)
    if math.isinf(size):
        return f"{sign}∞"
    if unit is not None and unit.endswith("/s"):
        return sign + _rate(size, unit[:-2].strip())
    return sign + _sized(size, unit)


def format_exact(value: float | None, unit: str | None = None) -> str:
    """The value with all its digits and the unit's own name, for a title or the clipboard."""
    if value is None or math.isnan(value):
        return "No data"
    text = f"{int(value):,}" if value == int_or_nan(value) and abs(value) < 1e15 else f"{value:,.12g}"
    return text.replace("-", MINUS) + (f"{NARROW}{unit}" if unit else "")


def format_delta(now: float | None, before: float | None, unit: str | None, better: str | None) -> Delta:
    """The change from `before` to `now`; `better` ("up", "down" or None) decides between good, bad and plain."""
    if now is None or math.isnan(now):
        return Delta("", "none", "no events")
    if before is None or math.isnan(before):
        return Delta(MISSING, "none", "no data before")
    was = f"was {format_value(before, unit)}"
    if now == before:
        return Delta("no change", "plain", was)
    rising = now > before
    tone: Tone = "plain" if better not in ("up", "down") else "good" if rising == (better == "up") else "bad"
    return Delta(f"{'▲' if rising else '▼'} {_change(now, before, unit)}", tone, was)


def unit_of(measure: str, unit: str | None) -> str | None:
    """The unit of a measure of a metric: counting events loses the unit, a rate gets one per second."""
    if measure == "count":
        return None
    return f"{unit or ''}/s" if measure == "rate" else unit


def split_unit(unit: str | None) -> tuple[str | None, str]:
    """(unit to write at a number, word to say beside it): a symbol stays at its number, a word such as "processes"
    would only be repeated and leave no room."""
    per_second = unit is not None and unit.endswith("/s")
    name = (unit or "").removesuffix("/s").strip()
    known = any(name in units for units in (SECONDS, BYTES, BYTES_IEC, CURRENCIES, ("ratio", "percent", "%")))
    if known or len(name) <= 3:
        return unit, ""
    return "/s" if per_second else None, name


def int_or_nan(value: float) -> float:
    """The whole part of a finite value, else NaN, which equals nothing."""
    return math.nan if math.isinf(value) else float(math.trunc(value))


def _sized(size: float, unit: str | None) -> str:
    if unit == "ratio":
        return _percent(_times(size, 100))
    if unit in ("percent", "%"):
        return _percent(size)
    if unit in SECONDS:
        return _duration(_times(size, SECONDS[unit]))
    if unit in BYTES:
        return _stepped(_times(size, BYTES[unit]), 1000.0, ("B", "kB", "MB", "GB", "TB", "PB", "EB"))
    if unit in BYTES_IEC:
        return _stepped(_times(size, BYTES_IEC[unit]), 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))
    if unit in CURRENCIES:
        return _money(size, unit)
    return _plain(size) + (f"{NARROW}{unit}" if unit else "")


def _times(size: float, factor: float) -> float:
    """The product, or the largest double: a number in a smaller unit may be beyond what a double holds."""
    return min(size * factor, sys.float_info.max)


def _plain(size: float) -> str:
    if size == 0:
        return "0"
    if size >= 1e15 or size < 1e-4:
        return _exponent(size)
    if size < 100:
        return str(int(size)) if size == int(size) else _three(size)
    whole = _half_up(size)
    if whole < 10_000:
        return f"{whole:,}"
    for suffix in ("k", "M", "B", "T"):
        size /= 1000
        text = _three(size)
        if text != "1000" and size < 1000:
            return text + suffix
    return _exponent(size * 1e12)


def _three(size: float) -> str:
    """Three significant digits, zeros kept; for sizes below 1,000."""
    rounded = THREE.create_decimal(repr(size))
    places = 2 - rounded.adjusted()
    return format(rounded.quantize(Decimal(1).scaleb(-places)), "f") if places > 0 else str(int(rounded))


def _exponent(size: float) -> str:
    mantissa, exponent = f"{THREE.create_decimal(repr(size)):.2e}".split("e")
    digits = mantissa.rstrip("0").rstrip(".")
    return f"{digits}e{exponent.lstrip('+')}".replace("-", MINUS)


def _half_up(size: float, places: int = 0) -> int | Decimal:
    rounded = Decimal(repr(size)).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return rounded if places else int(rounded)


def _percent(size: float) -> str:
    if size == 0:
        return "0%"
    if size < 0.01:
        return "<0.01%"
    if size < 1:
        return f"{_half_up(size, 2)}%"
    if 99 < size < 100:
        # two digits of what is missing, so that it never reads 100%
        places = min(1 - math.floor(math.log10(100 - size)), 9)
        return ">99.9999999%" if places == 9 else f"{_half_up(size, places)}%"
    if size < 100 or 100 < size < 100.5:
        return f"{_half_up(size, 1)}%"
    return f"{_plain(size)}%"


def _duration(seconds: float) -> str:
    if seconds == 0:
        return f"0{NARROW}s"
    if seconds >= 100 * 86400:
        return f"{_plain(seconds / 86400)}{NARROW}d"
    for size, name in ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")):
        count = seconds / size
        if abs(count - round(count)) < 1e-9 * max(count, 1):
            count = float(round(count))
        limit = 59.95 if name == "s" else 999.5
        if count < limit:
            return f"{_plain(count)}{NARROW}{name}"
    whole = int(_half_up(seconds))
    if whole < 3600:
        return f"{whole // 60}{NARROW}m {whole % 60:02d}{NARROW}s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60}{NARROW}h {minutes % 60:02d}{NARROW}m"
    hours = whole // 3600
    return f"{hours // 24}{NARROW}d {hours % 24}{NARROW}h"


def _stepped(size: float, base: float, names: tuple[str, ...]) -> str:
    if size < base and (size == int(size) or size >= 100) and _half_up(size) < base:
        return f"{_half_up(size)}{NARROW}{names[0]}"
    for index, name in enumerate(names):
        scaled = size / base**index
        if scaled < 999.5 or index == len(names) - 1:
            text = _three(scaled) if 1e-4 <= scaled < 1000 else _plain(scaled)
            return f"{text}{NARROW}{name}"
    return ""


def _money(size: float, unit: str) -> str:
    symbol = CURRENCIES[unit]
    cents = 0 if unit in NO_CENTS else 2
    if 0 < size < 0.5 / 10**cents:
        return f"<{symbol}{Decimal(1).scaleb(-cents)}"
    if size < 99.995:
        return f"{symbol}{_half_up(size, cents)}" if size else f"{symbol}0"
    return f"{symbol}{_plain(size)}"


def _rate(size: float, unit: str) -> str:
    """`size` is per second; the period is the first in which it reaches 1."""
    period, name = next((p for p in PERIODS if size * p[0] >= 1 or size == 0), PERIODS[-1])
    scaled = size * period
    if abs(scaled - round(scaled)) < 1e-9:
        scaled = float(round(scaled))
    return f"{_sized(scaled, unit or None)}/{name}"


def _change(now: float, before: float, unit: str | None) -> str:
    if unit in ("ratio", "percent", "%"):
        points = abs(now - before) * (100 if unit == "ratio" else 1)
        return f"<0.1{NARROW}pp" if points < 0.05 else f"{_half_up(points, 1)}{NARROW}pp"
    if now < 0 or before < 0:
        return format_value(abs(now - before), unit)
    if before == 0:
        return "new"
    factor = now / before
    if math.isinf(factor):
        return "new"
    if factor >= 10:
        return f"×{_plain(factor)}"
    percent = abs(factor - 1) * 100
    if percent < 0.05:
        return "<0.1%"
    if percent >= 100:
        return f"{_half_up(percent)}%"
    return f"{min(Decimal(_half_up(percent, 1)), Decimal('99.9'))}%"
