"""Points in time as an address writes them: `now`, `-90m`, `today`, `yesterday`, a date, RFC 3339 or epoch
milliseconds. Days are those of the page's time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

from aggregates.days import day_start

SPANS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DAY_MS = SPANS["d"]
FURTHEST_MS = 4_102_444_800_000  # the year 2100
RELATIVE = re.compile(r"-(\d{1,10})([smhdw])")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
DAYS = {"today": 0, "yesterday": 1}
"""Word → how many days before the one that is now."""
AGE_WORDS = {"m": "min", "d": "days"}
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: `ms` before now, at epoch `ms`, or the beginning of a local day: `ms` before the one that is now
    (`day`), or that of the date which begins at epoch `ms` in UTC (`date`)."""

    kind: Literal["ago", "at", "day", "date"]
    ms: int

    def resolve(self, now_ms: int, zone: tzinfo = UTC) -> int:
        """Epoch milliseconds."""
        match self.kind:
            case "ago":
                return now_ms - self.ms
            case "at":
                return self.ms
            case "day":
                return midnight(local_date(now_ms, zone) - timedelta(days=self.ms // DAY_MS), zone)
        return midnight(EPOCH + timedelta(days=self.ms // DAY_MS), zone)


NOW = Moment("ago", 0)
TODAY = Moment("day", 0)
YESTERDAY = Moment("day", DAY_MS)


def parse_moment(text: str) -> Moment | None:
    """The moment of a text, None for what is none."""
    if text == "now":
        return NOW
    if text in DAYS:
        return Moment("day", DAYS[text] * DAY_MS)
    if match := RELATIVE.fullmatch(text):
        return _within(Moment("ago", int(match[1]) * SPANS[match[2]]))
    if text.isascii() and text.isdigit() and len(text) <= 14:
        return _within(Moment("at", int(text)))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if DATE.fullmatch(text):
        return _within(date_moment(at.date()))
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return _within(Moment("at", int(at.timestamp() * 1000)))


def write_moment(moment: Moment) -> str:
    """The shortest text that `parse_moment` reads as the same moment."""
    match moment.kind:
        case "ago":
            return _written_age(moment.ms)
        case "day":
            return next(word for word, days in DAYS.items() if days * DAY_MS == moment.ms)
        case "date":
            return f"{EPOCH + timedelta(days=moment.ms // DAY_MS):%Y-%m-%d}"
    return rfc3339(moment.ms) if moment.ms % 1000 == 0 else str(moment.ms)


def age_words(moment: Moment) -> str:
    """How long ago a moment is, as it is said: "15 min", "7 days"."""
    text = _written_age(moment.ms)
    return f"{text[1:-1]} {AGE_WORDS.get(text[-1], text[-1])}" if moment.ms else text


def rfc3339(at_ms: int) -> str:
    """A whole second as RFC 3339, in UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def date_moment(day: date) -> Moment:
    """The beginning of a local day."""
    return Moment("date", (day - EPOCH).days * DAY_MS)


def local_date(at_ms: int, zone: tzinfo) -> date:
    """The date of a moment in a zone."""
    return datetime.fromtimestamp(at_ms / 1000, zone).date()


def midnight(day: date, zone: tzinfo) -> int:
    """Epoch milliseconds of the beginning of a local day: its first moment where clocks change at midnight."""
    noon = datetime.combine(day, time(12), zone)
    return day_start(int(noon.timestamp()), zone) * 1000


def _written_age(ms: int) -> str:
    if ms == 0:
        return "now"
    # a day is rather said as 24 hours
    unit = next(u for u in ("d", "h", "m", "s") if ms % SPANS[u] == 0 and (u, ms) != ("d", DAY_MS))
    return f"-{ms // SPANS[unit]}{unit}"


def _within(moment: Moment) -> Moment | None:
    return moment if 0 <= moment.ms <= FURTHEST_MS else None
