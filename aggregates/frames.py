"""What a query's range becomes: the buckets of its answer, and the pieces of the levels that they are made of. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

import numpy as np

from aggregates.days import day_ceil, day_start, is_utc, next_day
from aggregates.levels import (
    DAY,
    LEVELS,
    MINUTE,
    QUARTER,
    SECOND,
    WIDTH,
    Kept,
    Piece,
    ceil,
    end_of,
    finest_at,
    plan,
    plan_as_of,
    start_of,
    widen,
)
from aggregates.queries import DAY_STEP_S, MAX_ROWS, STEPS, TooManyRows, Unanswerable
from aggregates.zones import zone_named
from ingest.series import Int64Array

_HALF_DAY_S = DAY_STEP_S // 2


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a store keeps, and how: `zone` is that of its day level."""

    kept: Kept
    zone: tzinfo
    grace_s: int


@dataclass(frozen=True, slots=True)
class Asked:
    """The part of a query that says when, in epoch seconds; `finest` is the finest level to be read."""

    start: int
    end: int
    step: int | None
    zone: str | None = None
    as_of: int | None = None
    finest: str = SECOND
    earlier: bool = False
    """To be compared with: all of it must be there."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is answered: [start, end) in epoch s, in buckets with these starts and ends. `step` None means that there is
    one bucket, the range.

    `pieces` are read for rows; `minutes` for bins and codes of single series, which begin with minutes.
    `judged` are the pieces that show restatements: those of the answer, without a step in minutes where they are kept.
    """

    step: int | None
    start: int
    end: int
    starts: Int64Array
    ends: Int64Array
    pieces: Sequence[Piece]
    minutes: Sequence[Piece]
    judged: Sequence[Piece]

    @property
    def whole(self) -> Frame:
        """The same range as one bucket."""
        starts, ends = np.array([self.start]), np.array([self.end])
        return replace(self, step=None, starts=starts, ends=ends)

    @property
    def level(self) -> str:
        """The coarsest level that is read."""
        return max((piece.level for piece in self.pieces), key=LEVELS.index, default=SECOND)


def frame(asked: Asked, keeping: Keeping, also: int | None = None) -> Frame:
    """The frame of a range, widened to whole steps and to what is kept; raises `Unanswerable` or `TooManyRows`.

    Args:
        also: a time that must be answered in the same steps, such as the beginning of a range to compare with.
    """
    asked = _still_there(asked, keeping.kept.kept_from[DAY])
    own, coarsest = _zone(asked, keeping)
    step, start, end = asked.step, asked.start, asked.end
    while True:
        start, end = _aligned(asked, step, keeping, own, coarsest)
        wider = _coarsened(step, min(start, start if also is None else also), keeping.kept, asked.finest)
        if wider == step:
            break
        step = wider
    if coarsest != DAY and start < keeping.kept.kept_from[QUARTER]:
        kept_from = datetime.fromtimestamp(keeping.kept.kept_from[QUARTER], UTC).date()
        raise Unanswerable(
            "timezone",
            f"days of another time zone are made of quarters of an hour, which are kept from {kept_from}: ask for a "
            "later range, or leave timezone out",
        )
    if step is not None and (end - start) // step > MAX_ROWS:
        raise TooManyRows((end - start) // step)
    return _planned(asked, keeping, step, start, end, own, coarsest)


def _still_there(asked: Asked, days_from: int) -> Asked:
    """The range without the days that are gone altogether."""
    if asked.start >= days_from:
        return asked
    if asked.earlier or asked.end <= days_from:
        told = datetime.fromtimestamp(days_from, UTC).date()
        raise Unanswerable("compare" if asked.earlier else "from", f"nothing from before {told} is kept of this metric")
    whole = asked.step is None or asked.step == DAY_STEP_S
    return replace(asked, start=days_from if whole else ceil(days_from, asked.step or 1))


def shifted(asked: Asked, of: Frame, by: int, keeping: Keeping) -> Asked:
    """The range `by` seconds before a frame's, in its steps; whole local days are shifted by local days. The caller
    has to see to it that the steps divide `by`."""
    start, end = of.start - by, of.end - by
    own, _ = _zone(asked, keeping)
    if of.step == DAY_STEP_S or (of.step is None and all(at == day_start(at, own) for at in (of.start, of.end))):
        # A day may be an hour longer or shorter than another: half a day further on lies within the day that is meant.
        start, end = day_start(start + _HALF_DAY_S, own), day_start(end + _HALF_DAY_S, own)
    return Asked(start, end, of.step, asked.zone, asked.as_of, asked.finest, earlier=True)


def like(asked: Asked, before: Asked, keeping: Keeping) -> Asked:
    """The range widened to whole buckets of what is kept where an earlier range begins."""
    _, coarsest = _zone(asked, keeping)
    level = finest_at(before.start, keeping.kept, asked.finest, coarsest)
    start, end = (bound(level, at, keeping.zone) for bound, at in ((start_of, asked.start), (end_of, asked.end)))
    return replace(asked, start=start, end=end)


def _zone(asked: Asked, keeping: Keeping) -> tuple[tzinfo, str]:
    """The zone of day steps, and the coarsest level that fits them."""
    found = zone_named(asked.zone) if asked.zone else None
    if found is None or asked.step != DAY_STEP_S or _is_same(found, keeping.zone):
        return keeping.zone, DAY
    return found, QUARTER


def _is_same(one: tzinfo, other: tzinfo) -> bool:
    if is_utc(one) or is_utc(other):
        return is_utc(one) and is_utc(other)
    return getattr(one, "key", one) == getattr(other, "key", other)


def _aligned(asked: Asked, step: int | None, keeping: Keeping, own: tzinfo, coarsest: str) -> tuple[int, int]:
    start, end = asked.start, asked.end
    if coarsest != DAY:
        start, end = day_start(start, own), day_ceil(end, own)
    return widen(start, end, step, keeping.kept, keeping.zone, asked.finest, coarsest)


def _coarsened(step: int | None, start: int, kept: Kept, finest: str) -> int | None:
    """The smallest step, from the one asked for, whose buckets are still kept at `start`."""
    if step is None:
        return None
    levels = LEVELS[LEVELS.index(finest) :]
    width = next((WIDTH[level] for level in levels if kept.kept_from[level] <= start), DAY_STEP_S)
    return step if width <= step else min(s for s in STEPS.values() if s >= width)


def _planned(
    asked: Asked, keeping: Keeping, step: int | None, start: int, end: int, own: tzinfo, coarsest: str
) -> Frame:
    limit = None if asked.as_of is None else _limit(asked.as_of, keeping)

    def pieces(until: int, width: int | None, finest: str, coarsest: str) -> list[Piece]:
        kept, zone = keeping.kept, keeping.zone
        if limit is None:
            return plan(start, until, width, kept, zone, finest, coarsest)
        return plan_as_of(start, until, width, kept, zone, limit, finest, coarsest)

    minutes = pieces(end, step, asked.finest, coarsest)
    covered = end if limit is None else max((piece.end for piece in minutes), default=start)
    found = minutes if asked.finest == SECOND else pieces(covered, step, SECOND, coarsest)
    judged = found if step is not None else pieces(covered, WIDTH[MINUTE], SECOND, coarsest)
    starts, ends = _buckets(step, start, covered, own)
    return Frame(step, start, max([start, *ends[-1:].tolist()]), starts, ends, found, minutes, judged)


def _limit(as_of: int, keeping: Keeping) -> int:
    """The end of the last second that was complete as of a time."""
    limit, folded = as_of - keeping.grace_s, keeping.kept.folded_until
    if limit < folded:
        told = datetime.fromtimestamp(folded + keeping.grace_s, UTC).isoformat(timespec="seconds")
        raise Unanswerable("as_of", f"what was known when is kept from {told.replace('+00:00', 'Z')} on")
    return limit


def _buckets(step: int | None, start: int, end: int, own: tzinfo) -> tuple[Int64Array, Int64Array]:
    """Whole buckets that cover [start, end)."""
    if step is None:
        return np.array([start], np.int64), np.array([max(start, end)], np.int64)
    if step != DAY_STEP_S or is_utc(own):
        starts = np.arange(start, end, step, dtype=np.int64)
        return starts, starts + step
    edges = [start]
    while edges[-1] < end:
        edges.append(next_day(edges[-1], own))
    return np.array(edges[:-1], np.int64), np.array(edges[1:], np.int64)
