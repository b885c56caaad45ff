"""The state of the explore page and its one written form, the query string.

The names are those of the query API: metric, measures, from, to, step, compare, where (repeated), by, timezone; and the
page's own words: chart, sort, open, find, table. What is default is left out and the order is fixed, so equal views
have equal addresses. A bad or unknown parameter never breaks the page: the rest applies and a notice names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote

from aggregates.queries import MEASURES, RATIO, Filter
from aggregates.zones import zone_named
from dashboard.moments import NOW, Moment, parse_moment, write_moment
from dashboard.names import readable

SHOWN = tuple(name for name in (*MEASURES, RATIO) if name != "histogram")
"""Measures that are one number, and so can be a line."""
STEPS = (1, 10, 60, 300, 900, 3600, 86400)
STEP_NAMES = {1: "1s", 10: "10s", 60: "1m", 300: "5m", 900: "15m", 3600: "1h", 86400: "1d"}
LONGEST_TEXT = 8_192
MOST_FIELDS = 64
MOST_NOTICES = 4
DEFAULT_FROM = Moment("ago", 15 * 60_000)
CHARTS = ("lines", "stacked", "bars", "heatmap", "bands")
"""How a chart is drawn; the first is the default."""
COMPARED = ("previous", "off", "-1d", "-7d", "-28d")
"""What a range is compared with: the range just before, nothing, or the same range so long before."""
COMPARED_DAYS = {"-1d": 1, "-7d": 7, "-28d": 28}
"""Comparisons with the same local time so many days before."""
SORTED = ("value", "change", "name")
"""The orders of a leaderboard."""
CHOICES = {"compare": COMPARED, "chart": CHARTS, "sort": SORTED, "table": ("closed", "open")}
"""Fields with a closed set of values, the default first."""


@dataclass(frozen=True, slots=True)
class Explore:
    """What the explore page shows. None is the default: the first metric, its headline measure, an automatic step."""

    metric: str | None = None
    measure: str | None = None
    start: Moment = DEFAULT_FROM
    end: Moment = NOW
    step_s: int | None = None
    compare: str = COMPARED[0]
    where: tuple[Filter, ...] = ()
    by: str | None = None
    timezone: str | None = None
    chart: str = CHARTS[0]
    sort: str = SORTED[0]
    open: str | None = None
    """The dimension whose leaderboard is shown whole."""
    find: str | None = None
    """The text that values in the open leaderboard contain."""
    table: str = "closed"
    """Whether the table beneath the chart is open."""

    @property
    def live(self) -> bool:
        """Whether the range ends now and so moves."""
        return self.end == NOW


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
    optional = (("by", state.by), ("timezone", state.timezone), ("open", state.open), ("find", state.find))
    fields += [(name, value) for name, value in optional if value is not None]
    fields += [(name, getattr(state, name)) for name in CHOICES if getattr(state, name) != CHOICES[name][0]]
    return encode(fields)


def address(state: Explore) -> str:
    """Where the explore page shows this state."""
    return f"/explore?{write(state)}"


def encode(fields: list[tuple[str, str]]) -> str:
    """Fields as a query string; every character that means something to a shell is percent-coded."""
    return "&".join(f"{name}={quote(value, safe='-._~:!')}" for name, value in fields)


def toggled(where: tuple[Filter, ...], dimension: str, value: str, *, exclude: bool = False) -> tuple[Filter, ...]:
    """The filters with one value of a dimension taken in (or excluded), or no longer; values of a dimension are
    alternatives. A value is never both."""
    own = next((f for f in where if f.dimension == dimension and f.negate == exclude), None)
    rest = tuple(_without(f, value) if f.dimension == dimension else f for f in where if f is not own)
    values = own.values if own else ()
    kept = tuple(v for v in values if v != value) if value in values else (*values, value)
    return normal(tuple(f for f in (*rest, Filter(dimension, kept, exclude)) if f.values))


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
        case "timezone" if zone_named(value) is not None:
            return replace(state, timezone=value)
        case "by" | "open" | "find":
            named: dict[str, Any] = {name: value or None}
            return replace(state, **named)
        case _ if value in CHOICES.get(name, ()):
            chosen: dict[str, Any] = {name: value}
            return replace(state, **chosen)
        case "where" if one := _parse_filter(value):
            return replace(state, where=normal((*state.where, one)))
    return ignored


def _parse_filter(text: str) -> Filter | None:
    dimension, colon, value = text.partition(":")
    negate = dimension.startswith("!")
    dimension = dimension.removeprefix("!")
    return Filter(dimension, (value,), negate) if dimension and colon else None


def _without(one: Filter, value: str) -> Filter:
    return replace(one, values=tuple(v for v in one.values if v != value))


def _where_texts(where: tuple[Filter, ...]) -> list[str]:
    return [f"{'!' if f.negate else ''}{f.dimension}:{v}" for f in normal(where) for v in f.values]
