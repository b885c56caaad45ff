"""The x axis: marks on round local times of a zone, right over daylight saving. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from dashboard.moments import DAY_MS, local_date, midnight

# seconds between two marks within days
SPACINGS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
DAY_SPACINGS = (1, 2, 7, 14)
MONTH_SPACINGS = (1, 2, 3, 6, 12)
MONTHS_FROM_MS = 120 * DAY_MS
"""Ranges as long as this have months for marks."""
MONTH_MS = 30.4 * DAY_MS
LAST_YEAR = 9990


@dataclass(frozen=True, slots=True)
class TimeMark:
    """One mark of the x axis: epoch milliseconds, the time as text and the day it belongs to."""

    at_ms: int
    text: str
    day: str


def time_marks(start_ms: int, end_ms: int, most: int = 10, zone: tzinfo = UTC) -> tuple[TimeMark, ...]:
    """At most `most` marks on round local times of [start, end)."""
    span = max(end_ms - start_ms, 1000)
    if span >= MONTHS_FROM_MS:
        months = next((m for m in MONTH_SPACINGS if span / (m * MONTH_MS) <= most - 1), None)
        found = _months(start_ms, end_ms, zone, months or -(-span // round(12 * MONTH_MS * (most - 1))) * 12)
    else:
        spacing = next((s for s in SPACINGS if span / (s * 1000) <= most), None)
        found = _times(start_ms, end_ms, zone, spacing) if spacing else _days(start_ms, end_ms, zone, most)
    return tuple(mark for mark in found if start_ms <= mark.at_ms < end_ms)[:most]


def offsets(start_ms: int, end_ms: int, zone: tzinfo) -> list[list[int]]:
    """How far the zone is ahead of UTC over a range: pairs of a time and the offset from it on, both in
    milliseconds."""
    found = [[start_ms, _offset(start_ms, zone)]]
    known = start_ms
    while known < end_ms:
        following = min(known + 7 * DAY_MS, end_ms)
        if _offset(following, zone) != found[-1][1]:
            change = _change(known, following, zone)
            found.append([change, _offset(change, zone)])
            following = change
        known = following
    return found


def _change(before: int, after: int, zone: tzinfo) -> int:
    """The first second of a range that has another offset than its beginning; to the second."""
    low, high, own = before // 1000, -(-after // 1000), _offset(before, zone)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle * 1000, zone) == own else (low, middle)
    return high * 1000


def _offset(at_ms: int, zone: tzinfo) -> int:
    ahead = datetime.fromtimestamp(at_ms / 1000, zone).utcoffset() or timedelta()
    return round(ahead.total_seconds() * 1000)


def _times(start_ms: int, end_ms: int, zone: tzinfo, spacing: int) -> Iterator[TimeMark]:
    """Round times of day, as the clocks of the zone show them."""
    size = spacing * 1000
    for since, ahead in (pairs := offsets(start_ms, end_ms, zone)):
        until = next((at for at, _ in pairs if at > since), end_ms)
        for local in range(-(-(since + ahead) // size) * size, until + ahead, size):
            at = datetime.fromtimestamp(local / 1000, UTC)
            text = f"{at:%H:%M:%S}" if spacing < 60 else f"{at:%H:%M}"
            yield TimeMark(local - ahead, text, _day(at.date()))


def _days(start_ms: int, end_ms: int, zone: tzinfo, most: int) -> Iterator[TimeMark]:
    days = (end_ms - start_ms) / DAY_MS
    spacing = next((s for s in DAY_SPACINGS if days / s <= most), DAY_SPACINGS[-1])
    day = local_date(start_ms, zone)
    # the same dates however the range slides
    day += timedelta(days=-day.toordinal() % spacing)
    while (at := midnight(day, zone)) < end_ms:
        yield TimeMark(at, _day(day), f"{day:%Y}")
        day += timedelta(days=spacing)


def _months(start_ms: int, end_ms: int, zone: tzinfo, spacing: int) -> Iterator[TimeMark]:
    first = local_date(start_ms, zone)
    number = -(-(first.year * 12 + first.month - 1) // spacing) * spacing
    while number // 12 < LAST_YEAR:
        day = date(number // 12, number % 12 + 1, 1)
        at = midnight(day, zone)
        if at >= end_ms:
            return
        yield TimeMark(at, f"{day:%b}", f"{day:%Y}")
        number += spacing


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"
