"""What a view is about, what it hands to the next one, and what it is compared with.

`Held` is what must not jump from tick to tick, or is not worth asking for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from aggregates.queries import Metric, Query
from aggregates.zones import zone_named
from dashboard.boards import Kept
from dashboard.comparisons import earlier, earlier_range
from dashboard.courses import between, first_event, whole
from dashboard.leaders import Group, number_of
from dashboard.ranges import Range, Times
from dashboard.reading import Reading
from dashboard.state import Explore
from dashboard.table import Table

SHRINK_BELOW = 0.7
SHRINK_AFTER_MS = 30_000


@dataclass(frozen=True, slots=True)
class Held:
    """What a view hands to the same view of the next tick."""

    top: tuple[Group, ...] = ()
    high: float = 0.0
    high_since_ms: int = 0
    coarser: int = 0
    least_s: int = 1
    before_key: tuple[object, ...] = ()
    before_total: float | None = None
    behind_key: tuple[object, ...] = ()
    behind: tuple[float | None, ...] = ()
    boards: Mapping[str, Kept] = field(default_factory=dict)
    table: Table | None = None
    """What the chart shows, as rows and columns."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a view is about: `state` as it is asked for, `drawn` as its chart can be drawn, the page's zone, and the
    zone whose days a step of a day is (None: the workspace's)."""

    metric: Metric
    state: Explore
    drawn: Explore
    zone: tzinfo
    days: str | None
    times: Times

    @property
    def day_zone(self) -> tzinfo:
        return zone_named(self.days or self.times.zone) or self.zone

    @property
    def measure(self) -> str:
        return self.state.measure or self.metric.measure


def often_ms(span: Range) -> int:
    """How often a number of the whole range can change to be seen."""
    return min(max(span.step_s * 100, 1000), 60_000)


def steady_high(held: Held, high: float, now_ms: int) -> Held:
    """The top of the axis grows at once and shrinks only after 30 s far below."""
    if high >= held.high or (high < held.high * SHRINK_BELOW and now_ms - held.high_since_ms > SHRINK_AFTER_MS):
        return replace(held, high=high, high_since_ms=now_ms)
    if high >= held.high * SHRINK_BELOW:
        return replace(held, high_since_ms=now_ms)
    return held


def with_number_before(model: Reading, base: Query, scene: Scene, span: Range, held: Held, known_ms: int) -> Held:
    """The number of the same elapsed part of the range it is compared with, asked again only when enough of it has
    changed."""
    state = scene.state
    if state.compare == "off":
        return replace(held, before_key=(), before_total=None)
    key = (span.start_ms, span.step_s, known_ms // often_ms(span), state)
    if held.before_key == key:
        return held
    start = max(earlier(state, span, span.first_ms, scene.zone), 0)
    end = earlier(state, span, max(min(known_ms, span.last_ms), span.first_ms), scene.zone)
    total = model.query(replace(base, start_ms=start, end_ms=max(end, start + 1000)))
    value = number_of(total.rows[0][-1]) if total.rows else None
    return replace(held, before_key=key, before_total=value)


def with_line_behind(model: Reading, base: Query, scene: Scene, span: Range, held: Held) -> Held:
    """The line of the range this one is compared with: of a single line, where the same steps are kept."""
    state = scene.drawn
    if state.compare == "off" or state.by is not None or state.chart not in ("lines", "bars"):
        return replace(held, behind_key=(), behind=())
    key = (span.start_ms, span.end_ms, span.step_s, scene.days)
    if held.behind_key == key:
        return held
    before = earlier_range(state, span, scene.zone, scene.day_zone)
    found = whole(model, base, before, scene.days)
    values: tuple[float | None, ...] = ()
    if found.step_s == span.step_s and any(found.lines[0].values):
        (line,) = between(found.lines, first_event(found.lines), before.buckets)
        values = (*line.values, *[None] * span.buckets)[: span.buckets]
    return replace(held, behind_key=key, behind=values)
