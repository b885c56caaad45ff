"""From a range to those beside it: the one before, the one after, wider and narrower ones; ranges in words. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from dashboard.comparisons import days_in, is_of_days
from dashboard.moments import DAY_MS, NOW, TODAY, YESTERDAY, Moment, age_words, date_moment, local_date, write_moment
from dashboard.ranges import Range, Times, zone_of
from dashboard.state import Explore, address

SHORTEST_MS = 10_000
LONGEST_MS = 3653 * DAY_MS


def around(state: Explore, span: Range, times: Times) -> dict[str, Any]:
    """The addresses of the ranges beside this one, None where there is none, and the dates it covers."""
    zone = zone_of(state, times)
    moved = {
        "earlier": earlier(state, span, zone),
        "later": later(state, span, times.now, zone),
        "wider": scaled(state, span, times.now, 2.0),
        "narrower": scaled(state, span, times.now, 0.5),
    }
    last = local_date(max(span.last_ms - 1, span.first_ms), zone)
    return {
        **{name: address(one) if one is not None and one != state else None for name, one in moved.items()},
        "dates": [f"{local_date(span.first_ms, zone):%Y-%m-%d}", f"{last:%Y-%m-%d}"],
        "today": f"{local_date(times.now, zone):%Y-%m-%d}",
    }


def earlier(state: Explore, span: Range, zone: tzinfo) -> Explore | None:
    """The range of the same length directly before."""
    if span.first_ms <= 0:
        return None
    if is_of_days(state):
        return _days(state, span, zone, -days_in(state, span, zone), now_ms=None)
    size = span.step_s * 1000
    first = span.first_ms // size * size if state.live else span.first_ms
    return _at(state, first - (span.last_ms - span.first_ms), first)


def later(state: Explore, span: Range, now_ms: int, zone: tzinfo) -> Explore | None:
    """The range directly behind; the one that follows now when it reaches that far, None from there on."""
    if state.live or span.last_ms >= now_ms:
        return None
    if is_of_days(state):
        return _days(state, span, zone, days_in(state, span, zone), now_ms)
    length = span.last_ms - span.first_ms
    end = span.last_ms + length
    return _following(state, length) if end >= now_ms else _at(state, span.last_ms, end)


def scaled(state: Explore, span: Range, now_ms: int, factor: float) -> Explore:
    """A range so many times as long, around the same middle; of one that follows now, with the same end."""
    length = span.last_ms - span.first_ms
    wanted = min(max(round(length * factor), SHORTEST_MS), max(LONGEST_MS, length))
    unit = 60_000 if wanted >= 120_000 else 1000
    wanted = wanted // unit * unit
    if state.live:
        return _following(state, wanted)
    unit = min(unit, span.step_s * 1000)
    first = max(span.first_ms + (length - wanted) // 2, 0) // unit * unit
    return _following(state, wanted) if first + wanted >= now_ms else _at(state, first, first + wanted)


def range_words(state: Explore, zone: tzinfo = UTC, now_ms: int = 0) -> str:
    """The range as it is said: "last 15 min", "yesterday", "20–22 Nov 2026" or two times."""
    if state.start.kind == "ago" and state.live:
        return f"last {age_words(state.start)}"
    if state.start == TODAY and state.live:
        return "today"
    if (state.start, state.end) == (YESTERDAY, TODAY):
        return "yesterday"
    first, last = state.start.resolve(now_ms, zone), state.end.resolve(now_ms, zone)
    if is_of_days(state):
        return _dates(first, last if state.live else last - DAY_MS // 2, zone)
    if state.start.kind == "at" and state.end.kind == "at":
        return _times(first, last, zone)
    return f"{_said(state.start, zone)} to {_said(state.end, zone)}"


def _days(state: Explore, span: Range, zone: tzinfo, by: int, now_ms: int | None) -> Explore:
    """Whole days so many days on, as words where there are words."""
    first = local_date(span.first_ms, zone) + timedelta(days=by)
    end = first + timedelta(days=abs(by))
    if state.live and by == -1:
        return replace(state, start=YESTERDAY, end=TODAY)
    today = None if now_ms is None else local_date(now_ms, zone)
    if today is not None and first == today and abs(by) == 1:
        return replace(state, start=TODAY, end=NOW)
    return replace(state, start=date_moment(first), end=date_moment(end))


def _at(state: Explore, first_ms: int, last_ms: int) -> Explore:
    return replace(state, start=Moment("at", max(first_ms, 0)), end=Moment("at", last_ms))


def _following(state: Explore, length_ms: int) -> Explore:
    whole = max(length_ms // 1000 * 1000, SHORTEST_MS)
    return replace(state, start=Moment("ago", whole), end=NOW)


def _said(moment: Moment, zone: tzinfo) -> str:
    return write_moment(moment) if moment.kind != "at" else _times(moment.ms, moment.ms, zone)


def _dates(first_ms: int, last_ms: int, zone: tzinfo) -> str:
    first, last = local_date(first_ms, zone), local_date(last_ms, zone)
    until = f"{last.day} {last:%b %Y}"
    if first == last:
        return until
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{until}"
    return f"{first.day} {first:%b}{f' {first.year}' if first.year != last.year else ''} – {until}"


def time_words(at_ms: int, zone: tzinfo) -> str:
    """A moment as it is said: "23 Nov 2026, 11:40"."""
    return _times(at_ms, at_ms, zone)


def stretch_words(first_ms: int, last_ms: int, zone: tzinfo) -> str:
    """A stretch of time as it is said: "23 Nov 2026, 11:40–11:55"."""
    return _times(first_ms, last_ms, zone)


def _times(first_ms: int, last_ms: int, zone: tzinfo) -> str:
    first, last = (datetime.fromtimestamp(ms / 1000, zone) for ms in (first_ms, last_ms))
    clock = "%H:%M:%S" if first.second or last.second else "%H:%M"
    day = f"{first.day} {first:%b %Y}, {first.strftime(clock)}"
    if first_ms == last_ms:
        return day
    if first.date() == last.date():
        return f"{day}–{last.strftime(clock)}"
    return f"{day} – {last.day} {last:%b %Y}, {last.strftime(clock)}"
