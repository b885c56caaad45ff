"""Local days of a time zone as ranges of epoch seconds. Pure.

A day begins at its first moment and ends where the next one begins: 23, 24 or 25 hours, seldom something else. Where
the clock is put forward at midnight it begins after the gap; a day that a zone left out has no length and is no day.
Beginnings are floored to a quarter of an hour, which every offset in use today is a multiple of.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

import numpy as np

from ingest.series import Int64Array

DAY_S = 86_400
_QUARTER_S = 900
_EPOCH = date(1970, 1, 1).toordinal()
_PLAIN_BELOW, _PLAIN_ABOVE = -62_000_000_000, 253_000_000_000
"""Outside of the years 5 to 9987 a day is one of UTC: near the ends of the calendar a zone cannot be asked."""


def is_utc(zone: tzinfo) -> bool:
    return zone is UTC or getattr(zone, "key", None) == "UTC"


def day_start(time: int, zone: tzinfo) -> int:
    """Beginning (epoch s) of the local day that holds `time`."""
    if is_utc(zone) or not _PLAIN_BELOW < time < _PLAIN_ABOVE:
        return time // DAY_S * DAY_S
    ordinal = datetime.fromtimestamp(time, zone).date().toordinal()
    # Where the clock is put back over midnight a date comes twice: its second time belongs to the day after.
    start = _midnight(ordinal + 1, zone)
    while start > time:
        start = _midnight(ordinal, zone)
        ordinal -= 1
    return start


def next_day(start: int, zone: tzinfo) -> int:
    """Beginning of the day after the one that begins at `start`."""
    if is_utc(zone) or not _PLAIN_BELOW < start < _PLAIN_ABOVE:
        return start // DAY_S * DAY_S + DAY_S
    ordinal = start // DAY_S + _EPOCH - 1
    following = start
    while following <= start:
        following = _midnight(ordinal, zone)
        ordinal += 1
    return following


def day_ceil(time: int, zone: tzinfo) -> int:
    """The first beginning of a day at or behind `time`."""
    start = day_start(time, zone)
    return start if start == time else next_day(start, zone)


def day_starts(times: Int64Array, zone: tzinfo) -> tuple[Int64Array, Int64Array]:
    """Beginning and end of the local day of each time."""
    if is_utc(zone) or not len(times):
        starts = times // DAY_S * DAY_S
        return starts, starts + DAY_S
    edges: set[int] = set()
    for day in np.unique(times // DAY_S).tolist():
        edge = day_start(day * DAY_S, zone)
        edges.add(edge)
        while edge < (day + 1) * DAY_S:
            edge = next_day(edge, zone)
            edges.add(edge)
    bounds = np.array(sorted(edges), np.int64)
    at = np.searchsorted(bounds, times, "right")
    return bounds[at - 1], bounds[at]


@lru_cache(maxsize=4096)
def _midnight(ordinal: int, zone: tzinfo) -> int:
    """The first moment of a date; in a zone that left the date out, that of the date behind it."""
    day = date.fromordinal(ordinal)
    moment = datetime(day.year, day.month, day.day, tzinfo=zone)
    seconds = (moment.astimezone(UTC) - datetime.fromtimestamp(0, UTC)) // timedelta(seconds=1)
    return seconds // _QUARTER_S * _QUARTER_S
