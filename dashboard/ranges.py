"""From a state to the range it shows: where it begins and ends, in which buckets. Pure.

Buckets of a day are local days of the page's time zone, 23 to 25 hours long; all others are the same everywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo

from aggregates.days import day_ceil, day_start, is_utc, next_day
from aggregates.settings import ReadModelSettings
from aggregates.zones import zone_named
from dashboard.moments import DAY_MS
from dashboard.state import COMPARED_DAYS, DEFAULT_FROM, STEP_NAMES, STEPS, Explore

AUTO_BUCKETS = 400
SPLIT_BUCKETS = 120  # several lines over each other have to be calmer to be read
CHART_BUCKETS = {"bars": 60, "heatmap": 100, "bands": 120}
"""Bars and cells are wider than a point of a line, and percentiles want some events."""
MOST_BUCKETS = 2_000
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Times:
    """Settings and times a view needs, in milliseconds: the levels' retention (None: for ever), and the workspace's
    time zone."""

    now: int
    grace: int
    kept_1s: int
    kept_1m: int = 15 * DAY_MS
    kept_15m: int = 100 * DAY_MS
    kept_1d: int | None = None
    zone: str = "UTC"

    def at_most(self, kept_ms: Sequence[tuple[int, int]]) -> Times:
        """The same for a metric of which buckets (of so many seconds) are kept no longer than that."""
        keeps = {1: self.kept_1s, 60: self.kept_1m, 900: self.kept_15m}
        keeps |= {width: min(keep, keeps[width]) for width, keep in kept_ms if width in keeps}
        days = [keep for width, keep in kept_ms if width == DAY_S] + ([] if self.kept_1d is None else [self.kept_1d])
        return replace(self, kept_1s=keeps[1], kept_1m=keeps[60], kept_15m=keeps[900], kept_1d=min(days, default=None))

    def finest(self, at_ms: int) -> int:
        """The finest step (s) that is kept at a time."""
        kept = ((1, self.kept_1s), (60, self.kept_1m), (900, self.kept_15m))
        return next((step for step, keep in kept if at_ms >= self.now - keep), DAY_S)


@dataclass(frozen=True, slots=True)
class Range:
    """A range, half-open, epoch milliseconds: `first_ms` to `last_ms` as asked for, `start_ms` to `end_ms` widened to
    whole buckets, of which the last may reach past now. `edges` are the beginnings of uneven buckets, and the end."""

    first_ms: int
    last_ms: int
    start_ms: int
    end_ms: int
    step_s: int
    notices: tuple[str, ...] = field(default=())
    edges: tuple[int, ...] = ()

    @property
    def buckets(self) -> int:
        """How many steps it has."""
        return len(self.edges) - 1 if self.edges else (self.end_ms - self.start_ms) // (self.step_s * 1000)

    @property
    def starts(self) -> Sequence[int]:
        """Where the buckets begin."""
        return self.edges[:-1] if self.edges else range(self.start_ms, self.end_ms, self.step_s * 1000)

    def place(self, at_ms: int) -> int:
        """The number of the bucket that holds a time; outside the range below 0, or at least `buckets`."""
        if self.edges:
            return bisect_right(self.edges, at_ms) - 1
        return (at_ms - self.start_ms) // (self.step_s * 1000)


def times_of(kept: ReadModelSettings, now_ms: int) -> Times:
    """What a view needs to know of the read model's settings, at a moment."""
    keeps = [None if seconds is None else round(seconds * 1000) for seconds in kept.keep_s.values()]
    second, minute, quarter = (keep or 0 for keep in keeps[:3])
    return Times(now_ms, kept.grace_s * 1000, second, minute, quarter, keeps[3], kept.timezone)


def zone_of(state: Explore, times: Times) -> tzinfo:
    """The time zone of the page: the address's, else the workspace's."""
    return zone_named(state.timezone or times.zone) or UTC


def resolve(state: Explore, times: Times, coarser: int = 0, least_s: int = 1, days: tzinfo | None = None) -> Range:
    """The range, in buckets as fine as a chart can show and as is kept, or so many steps coarser; never finer than
    `least_s`.

    Args:
        days: the zone whose days a step of a day is; None: the page's.
    """
    zone, now = zone_of(state, times), times.now
    start, end = state.start.resolve(now, zone), state.end.resolve(now, zone)
    notices: tuple[str, ...] = ()
    if start >= end:
        start, end = now - DEFAULT_FROM.ms, now
        notices = ("The range is empty: showing the last 15 minutes.",)
    start = max(start, 0)
    finest = max(times.finest(start), least_s)
    step = _automatic(state, times, start, end, finest, coarser)
    if state.step_s is not None:
        wanted = max(state.step_s, finest)
        if (end - start) / (wanted * 1000) <= MOST_BUCKETS:
            step = wanted
        if step != state.step_s:
            notices += (f"A step of {STEP_NAMES[state.step_s]} is too fine for this range: {STEP_NAMES[step]}.",)
    return bucketed(start, max(end, start + 1), step, days or zone, notices, follows=state.live)


def bucketed(
    first: int, last: int, step_s: int, zone: tzinfo, notices: tuple[str, ...] = (), follows: bool = False
) -> Range:
    """[first, last) in whole buckets. A range that follows now always has its open bucket, and so the same number of
    buckets at every moment."""
    if step_s == DAY_S and not is_utc(zone):
        edges = [day_start(first // 1000, zone)]
        end = next_day(day_start(last // 1000, zone), zone) if follows else day_ceil(-(-last // 1000), zone)
        while edges[-1] < end:
            edges.append(next_day(edges[-1], zone))
        bounds = tuple(edge * 1000 for edge in edges)
        return Range(first, last, bounds[0], bounds[-1], step_s, notices, bounds)
    size = step_s * 1000
    end = last // size * size + size if follows else -(-last // size) * size
    return Range(first, last, first // size * size, end, step_s, notices)


def _automatic(state: Explore, times: Times, start: int, end: int, finest: int, coarser: int) -> int:
    most = AUTO_BUCKETS if state.by is None else SPLIT_BUCKETS
    most = min(most, CHART_BUCKETS.get(state.chart, most))
    if state.by is None:
        # the line behind it has to have the same steps
        days = COMPARED_DAYS.get(state.compare)
        reach = days * DAY_MS if days else end - start if state.compare == "previous" else 0
        finest = max(finest, times.finest(start - reach))
    steps = [s for s in STEPS if s >= finest and (end - start) / (s * 1000) <= most] or [STEPS[-1]]
    return steps[min(coarser, len(steps) - 1)]
