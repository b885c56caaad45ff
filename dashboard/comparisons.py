"""What a range is compared with: where the earlier range lies, and how that is said. Pure.

Like with like: ranges of whole days are compared with whole days, and so many days earlier means the same local time.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from dashboard.moments import NOW, TODAY, YESTERDAY, age_words, local_date
from dashboard.ranges import DAY_S, Range, bucketed
from dashboard.state import COMPARED_DAYS, Explore

WORDS = {"previous": "the time before", "off": "", "-1d": "a day earlier", "-7d": "last week", "-28d": "4 weeks ago"}
"""What it is called, behind "vs" and at its line."""
MENU = {"previous": "previous period", "off": "nothing"}
"""What the menu calls it where that is something else."""
HALF_DAY_MS = DAY_S * 500


def words(state: Explore) -> str:
    """What the range is compared with, such as "last week"; empty when with nothing."""
    if state.compare == "previous" and is_of_days(state):
        if state.start == TODAY:
            return "yesterday"
        return "the day before" if state.start == YESTERDAY else "the days before"
    if state.compare == "-1d" and state.start == TODAY:
        return "yesterday"
    if state.compare == "previous" and state.start.kind == "ago" and state.live:
        return f"the {age_words(state.start)} before"
    return WORDS[state.compare]


def is_of_days(state: Explore) -> bool:
    """Whether the range begins and ends with local days, or with the one that is now."""
    days = ("day", "date")
    return state.start.kind in days and (state.end.kind in days or state.end == NOW)


def days_in(state: Explore, span: Range, zone: tzinfo) -> int:
    """How many local days a range of days has, the one that is now included."""
    last = span.last_ms if state.end == NOW else span.last_ms - HALF_DAY_MS
    return (local_date(last, zone) - local_date(span.first_ms, zone)).days + 1


def earlier(state: Explore, span: Range, at_ms: int, zone: tzinfo) -> int:
    """The moment that a moment of the range is compared with."""
    if (days := COMPARED_DAYS.get(state.compare)) is not None:
        return days_before(at_ms, days, zone)
    if is_of_days(state):
        return days_before(at_ms, days_in(state, span, zone), zone)
    return at_ms - (span.last_ms - span.first_ms)


def earlier_range(state: Explore, span: Range, zone: tzinfo, days: tzinfo) -> Range:
    """The range behind the one that is shown, with as many buckets of the same step.

    Args:
        days: the zone whose days a step of a day is.
    """
    if span.edges:
        first = earlier(state, span, span.start_ms + HALF_DAY_MS, zone)
        last = first + max(span.buckets - 1, 0) * 2 * HALF_DAY_MS
        return bucketed(first, last, span.step_s, days, follows=True)
    start = max(earlier(state, span, span.start_ms, zone), 0) // (span.step_s * 1000) * span.step_s * 1000
    return bucketed(start, start + span.buckets * span.step_s * 1000, span.step_s, days)


def days_before(at_ms: int, days: int, zone: tzinfo) -> int:
    """The same local time so many days earlier; epoch milliseconds, never before 1970."""
    at = datetime.fromtimestamp(at_ms / 1000, zone)
    there = at.replace(tzinfo=None) - timedelta(days=days)
    return max(round(there.replace(tzinfo=zone, fold=at.fold).timestamp() * 1000), 0)
