"""The state of the explore page and its one written form, the query string.

The names are those of the query API: metric, measures, from, to, step, where (repeated), by. What is default is left
out and the order is fixed, so equal views have equal addresses. A bad or unknown parameter never breaks the page: the
rest applies and a notice names it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qsl, quote

from aggregates.queries import MEASURES, RATIO, Filter
from dashboard.names import readable

SHOWN = tuple(name for name in (*MEASURES, RATIO) if name != "histogram")
"""Measures that are one number, and so can be a line."""
STEPS = (1, 10, 60, 300, 900, 3600, 86400)
STEP_NAMES = {1: "1s", 10: "10s", 60: "1m", 300: "5m", 900: "15m", 3600: "1h", 86400: "1d"}
SPANS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
AUTO_BUCKETS = 400
SPLIT_BUCKETS = 120  # several lines over each other have to be calmer to be read
MOST_BUCKETS = 2_000
LONGEST_TEXT = 4_096
MOST_FIELDS = 64
MOST_NOTICES = 4
FURTHEST_MS = 4_102_444_800_000  # the year 2100
RELATIVE = re.compile(r"-(\d{1,10})([smhdw])")


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: `ms` before now, or at epoch `ms`."""

    kind: Literal["ago", "at"]
    ms: int

    def resolve(self, now_ms: int) -> int:
        """Epoch milliseconds."""
        return now_ms - self.ms if self.kind == "ago" else self.ms


NOW = Moment("ago", 0)
DEFAULT_FROM = Moment("ago", 15 * 60_000)


@dataclass(frozen=True, slots=True)
class Explore:
    """What the explore page shows. None is the default: the first metric, its headline measure, an automatic step."""

    metric: str | None = None
    measure: str | None = None
    start: Moment = DEFAULT_FROM
    end: Moment = NOW
    step_s: int | None = None
    where: tuple[Filter, ...] = ()
    by: str | None = None

    @property
    def live(self) -> bool:
        """Whether the range ends now and so moves."""
        return self.end == NOW


@dataclass(frozen=True, slots=True)
class Range:
    """A range, half-open, epoch milliseconds: `first_ms` to `last_ms` as asked for, `start_ms` to `end_ms` widened to
    whole buckets, of which the last may reach past now."""

    first_ms: int
    last_ms: int
    start_ms: int
    end_ms: int
    step_s: int
    notices: tuple[str, ...] = field(default=())

    @property
    def buckets(self) -> int:
        """How many steps it has."""
        return (self.end_ms - self.start_ms) // (self.step_s * 1000)


def parse(search: str) -> tuple[Explore, tuple[str, ...]]:
    """A query string, with or without its "?", as state and the notices about what was left out."""
    if len(search) > LONGEST_TEXT:
        return Explore(), (f"The address is longer than {LONGEST_TEXT} characters and was ignored.",)
    state, notices = Explore(), []
    pairs = parse_qsl(search.removeprefix("?"), keep_blank_values=True, errors="replace")
    for name, value in pairs[:MOST_FIELDS]:
        changed = _apply(state, name, value)
        if isinstance(changed, str):
            notices.append(changed)
        else:
            state = changed
    if state.start.kind == state.end.kind and state.start.resolve(0) >= state.end.resolve(0):
        notices.append("from must be before to: showing the last 15 minutes.")
        state = replace(state, start=DEFAULT_FROM, end=NOW)
    return state, tuple(notices[:MOST_NOTICES])


def write(state: Explore) -> str:
    """The query string of a state, without "?"; `parse(write(s))` is `s` again."""
    fields: list[tuple[str, str]] = []
    if state.metric is not None:
        fields.append(("metric", state.metric))
    if state.measure is not None:
        fields.append(("measures", state.measure))
    if state.start != DEFAULT_FROM or state.end != NOW:
        fields.append(("from", write_moment(state.start)))
    if state.end != NOW:
        fields.append(("to", write_moment(state.end)))
    if state.step_s is not None:
        fields.append(("step", STEP_NAMES[state.step_s]))
    fields += [("where", text) for text in _where_texts(state.where)]
    if state.by is not None:
        fields.append(("by", state.by))
    return encode(fields)


def address(state: Explore) -> str:
    """Where the explore page shows this state."""
    return f"/explore?{write(state)}"


def encode(fields: list[tuple[str, str]]) -> str:
    """Fields as a query string; every character that means something to a shell is percent-coded."""
    return "&".join(f"{name}={quote(value, safe='-._~:!')}" for name, value in fields)


def parse_moment(text: str) -> Moment | None:
    """`now`, `-90m`, RFC 3339 or epoch milliseconds; None for anything else."""
    if text == "now":
        return NOW
    if match := RELATIVE.fullmatch(text):
        return _within(Moment("ago", int(match[1]) * SPANS[match[2]]))
    if text.isascii() and text.isdigit() and len(text) <= 14:
        return _within(Moment("at", int(text)))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return _within(Moment("at", int(at.timestamp() * 1000)))


def write_moment(moment: Moment) -> str:
    """The shortest text that `parse_moment` reads as the same moment."""
    if moment.kind == "ago":
        if moment.ms == 0:
            return "now"
        # a day is rather said as 24 hours
        unit = next(
            u for u in ("d", "h", "m", "s") if moment.ms % SPANS[u] == 0 and (u, moment.ms) != ("d", SPANS["d"])
        )
        return f"-{moment.ms // SPANS[unit]}{unit}"
    if moment.ms % 1000:
        return str(moment.ms)
    return f"{datetime.fromtimestamp(moment.ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def resolve(
    state: Explore, now_ms: int, kept_1s_ms: int, coarser: int = 0, kept_ms: Sequence[tuple[int, int]] = ()
) -> Range:
    """The range, in buckets as fine as a chart can show and as is kept, or so many steps coarser.

    Args:
        kept_ms: how long buckets (of so many seconds) are kept of the metric at the most, where it is not like others.
    """
    start, end = state.start.resolve(now_ms), state.end.resolve(now_ms)
    notices: tuple[str, ...] = ()
    if start >= end:
        start, end = now_ms - DEFAULT_FROM.ms, now_ms
        notices = ("The range is empty: showing the last 15 minutes.",)
    finest = _finest(now_ms - start, [(1, kept_1s_ms), *kept_ms])
    most = AUTO_BUCKETS if state.by is None else SPLIT_BUCKETS
    steps = [s for s in STEPS if s >= finest and (end - start) / (s * 1000) <= most] or [STEPS[-1]]
    step = steps[min(coarser, len(steps) - 1)]
    if state.step_s is not None:
        wanted = max(state.step_s, finest)
        if (end - start) / (wanted * 1000) <= MOST_BUCKETS:
            step = wanted
        if step != state.step_s:
            notices += (f"A step of {STEP_NAMES[state.step_s]} is too fine for this range: {STEP_NAMES[step]}.",)
    size = step * 1000
    start = max(start, 0)
    # a range that follows now always has its open bucket, and so the same number of buckets at every moment
    last = end // size * size + size if state.live else -(-end // size) * size
    return Range(start, max(end, start + 1), start // size * size, last, step, notices)


def _finest(age_ms: int, kept_ms: Sequence[tuple[int, int]]) -> int:
    """Width of the finest buckets that are still kept at an age."""
    gone = {width for width, most in kept_ms if age_ms > most}
    return next((width for width in (1, 60, 900) if width not in gone), 86_400)


def range_words(state: Explore) -> str:
    """The range as it is said: "last 15 min" or the two times."""
    if state.start.kind == "ago" and state.live:
        number, unit = write_moment(state.start)[1:-1], write_moment(state.start)[-1]
        return f"last {number} {({'m': 'min', 'd': 'days'}).get(unit, unit)}"
    return f"{write_moment(state.start)} to {write_moment(state.end)}"


def toggled(where: tuple[Filter, ...], dimension: str, value: str) -> tuple[Filter, ...]:
    """The filters with one value of a dimension switched on or off; values of a dimension are alternatives."""
    own = next((f for f in where if f.dimension == dimension and not f.negate), None)
    rest = tuple(f for f in where if f is not own)
    values = own.values if own else ()
    kept = tuple(v for v in values if v != value) if value in values else (*values, value)
    return normal((*rest, Filter(dimension, kept))) if kept else normal(rest)


def normal(where: tuple[Filter, ...]) -> tuple[Filter, ...]:
    """The same filters in their one written order, without repetition."""
    merged: dict[tuple[str, bool], list[str]] = {}
    for one in where:
        values = merged.setdefault((one.dimension, one.negate), [])
        values += [v for v in one.values if v not in values]
    return tuple(Filter(name, tuple(sorted(merged[name, no])), no) for name, no in sorted(merged))


def _apply(state: Explore, name: str, value: str) -> Explore | str:
    """The state with one field set, or the notice that says why not."""
    ignored = f"{readable(name, 40)}={readable(value, 40)} was not understood and left out."
    match name:
        case "metric" if value:
            return replace(state, metric=value)
        case "measures" if value in SHOWN:
            return replace(state, measure=value)
        case "from" | "to" if moment := parse_moment(value):
            return replace(state, start=moment) if name == "from" else replace(state, end=moment)
        case "step" if value == "auto":
            return replace(state, step_s=None)
        case "step" if value in STEP_NAMES.values():
            return replace(state, step_s=next(s for s, text in STEP_NAMES.items() if text == value))
        case "by":
            return replace(state, by=value or None)
        case "where" if one := _parse_filter(value):
            return replace(state, where=normal((*state.where, one)))
    return ignored


def _parse_filter(text: str) -> Filter | None:
    dimension, colon, value = text.partition(":")
    negate = dimension.startswith("!")
    dimension = dimension.removeprefix("!")
    return Filter(dimension, (value,), negate) if dimension and colon else None


def _where_texts(where: tuple[Filter, ...]) -> list[str]:
    return [f"{'!' if f.negate else ''}{f.dimension}:{v}" for f in normal(where) for v in f.values]


def _within(moment: Moment) -> Moment | None:
    return moment if moment.ms <= FURTHEST_MS else None
