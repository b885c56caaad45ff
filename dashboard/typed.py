"""A time range as people type it: "last 90 min", "-90m", "yesterday", "20 Nov", "9:00 to 10:30". Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from dashboard.moments import (
    DAY_MS,
    DAYS,
    NOW,
    SPANS,
    TODAY,
    YESTERDAY,
    Moment,
    date_moment,
    local_date,
    parse_moment,
)

Pair = tuple[Moment, Moment]
LONGEST = 120
UNITS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
}
BACK = re.compile(r"(?:(?:the )?(?:last|past) |-)? ?(\d{1,7})? ?([a-z]+)")
PARTS = re.compile(r"\s+(?:to|until|till|[-–—])\s+|\s*\.\.+\s*|(?<=\d)–(?=\d)", re.IGNORECASE)
CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
DATES = ("%Y-%m-%d", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%d.%m.%Y")
DAYS_OF_YEAR = ("%d %b", "%d %B", "%b %d", "%B %d")


def typed_range(text: str, now_ms: int, zone: tzinfo) -> Pair | None:
    """Beginning and end, None when it is not understood. Clock times and dates are those of the zone; without a date it
    is the one that is now, without a year the newest that is not ahead; a last day is a whole one."""
    words = " ".join(text.split())[:LONGEST]
    lower = words.lower()
    if lower in DAYS:
        return (TODAY, NOW) if lower == "today" else (YESTERDAY, TODAY)
    if (age := _age(lower)) is not None:
        return age, NOW
    parts = PARTS.split(words)
    if len(parts) == 1:
        return _alone(words, now_ms, zone)
    if len(parts) != 2:
        return None
    start, day = _moment(parts[0], now_ms, zone, None), _date(parts[0], now_ms, zone)
    end = _moment(parts[1], now_ms, zone, day)
    if start is None or end is None:
        return None
    if end.kind in ("date", "day"):
        end = _next_day(end, now_ms, zone)
    return (start, end) if start.resolve(now_ms, zone) < end.resolve(now_ms, zone) else None


def _alone(words: str, now_ms: int, zone: tzinfo) -> Pair | None:
    """One moment: a day is the whole of it, a time the beginning of what reaches until now."""
    start = _moment(words, now_ms, zone, None)
    if start is None or start == NOW:
        return None
    if start.kind == "date":
        return start, _next_day(start, now_ms, zone)
    return (start, NOW) if start.resolve(now_ms, zone) < now_ms else None


def _age(words: str) -> Moment | None:
    """So long ago: "last 90 min", "-2h", "90m", "last hour"."""
    match = BACK.fullmatch(words)
    unit = next((u for u, names in UNITS.items() if match and match[2] in names), None)
    if match is None or unit is None or (match[1] is None and not words.startswith(("last", "past", "the "))):
        return None
    moment = parse_moment(f"-{match[1] or 1}{unit}")
    return moment if moment is not None and moment.ms >= SPANS["s"] else None


def _moment(words: str, now_ms: int, zone: tzinfo, day: datetime | None) -> Moment | None:
    """One moment; `day` is the date of a time of day that has none, by default the one that is now."""
    lower = words.strip().lower()
    clock = CLOCK.search(lower)
    if not clock:
        if lower in DAYS or lower == "now" or re.fullmatch(r"-\d+[smhdw]|\d{12,14}", lower):
            return parse_moment(lower)
        found = _date(words, now_ms, zone)
        return None if found is None else date_moment(found.date())
    if re.search(r"\d[tT ]\d\d:\d\d.*(?:[zZ]|[+-]\d\d:\d\d)$", words.strip()):
        return parse_moment(words.strip().upper())
    rest = f"{lower[: clock.start()]} {lower[clock.end() :]}".replace(",", " ").strip().removesuffix("t")
    on = _date(rest, now_ms, zone) if rest else day or datetime.combine(local_date(now_ms, zone), datetime.min.time())
    hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
    if on is None or hour > 23 or minute > 59 or second > 59:
        return None
    at = on.replace(hour=hour, minute=minute, second=second, tzinfo=zone)
    return parse_moment(str(round(at.timestamp() * 1000)))


def _date(words: str, now_ms: int, zone: tzinfo) -> datetime | None:
    """The date in a text, at midnight, without a zone."""
    text = " ".join(CLOCK.sub(" ", words).replace(",", " ").split()).lower()
    today = local_date(now_ms, zone)
    if text in DAYS:
        return datetime.combine(today - timedelta(days=DAYS[text]), datetime.min.time())
    for form in DATES:
        if (found := _strptime(text, form)) is not None:
            return found
    for form in DAYS_OF_YEAR:
        for year in (today.year, today.year - 1):
            found = _strptime(f"{text} {year}", f"{form} %Y")
            if found is not None and found.date() <= today:
                return found
    return None


def _strptime(text: str, form: str) -> datetime | None:
    try:
        found = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None
    return found.replace(tzinfo=None) if found.year >= 1970 else None


def _next_day(moment: Moment, now_ms: int, zone: tzinfo) -> Moment:
    if moment.kind == "date":
        return Moment("date", moment.ms + DAY_MS)
    day = local_date(moment.resolve(now_ms, zone), zone) + timedelta(days=1)
    return TODAY if moment == YESTERDAY else date_moment(day)
