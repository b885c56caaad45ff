"""Running totals become increases: how much a series of kind cumulative grew with each point. Pure.

A point is compared with the newest point of its series that stands before it in the partition, counted or not:

- not later than that: a duplicate, which adds nothing;
- none, or more than 15 minutes later: a baseline, which adds 0;
- a smaller value, or a start time behind that of the newest: a reset, which adds its whole value (never less than 0);
- otherwise it adds the difference.

A point that repeats an id is a duplicate like any other event, yet it is the newest of its series when it is the
latest. A value that is not finite is counted and otherwise passed over.

**What is remembered.** Points are kept by generations of records. A generation begins with the first record that
holds a point, and is closed by the first record 30 minutes of append time away from its beginning (or by too many
points). The open one and the one before are known, the latter until twice that time: a point is remembered for 30
minutes at least. So the state depends on the records from `starts_at` on and on nothing before: whoever takes in
those, from exactly there, has the same state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aggregates.hashing import distinct
from aggregates.newest import NewestPoints, Points
from ingest.series import FloatArray, Int64Array, UInt64Array

BoolArray = npt.NDArray[np.bool_]
BASELINE_MS = 15 * 60 * 1000
"""A point that comes later than this behind the one before begins anew."""
HOLD_MS = 30 * 60 * 1000
NO_START = int(np.iinfo(np.int64).min)
"""Start time of a point that names none."""


class Generation:
    """The newest points of the series met in one stretch of records."""

    def __init__(self, offset: int, timestamp_ms: int) -> None:
        self.offset, self.timestamp_ms = offset, timestamp_ms
        self.points = 0
        self.newest = NewestPoints()

    def away(self, timestamp_ms: int, span_ms: int) -> bool:
        return abs(timestamp_ms - self.timestamp_ms) >= span_ms


@dataclass(frozen=True, slots=True)
class PointRecord:
    """A record's offset, append time (epoch ms) and how many points of cumulative series it holds."""

    offset: int
    timestamp_ms: int
    points: int


class RunningTotals:
    """The newest points of one partition's cumulative series."""

    def __init__(self, most_points: int = 5_000_000) -> None:
        self._most_points = most_points
        self._open: Generation | None = None
        self._before: Generation | None = None

    @property
    def starts_at(self) -> int | None:
        """Offset of the record the state begins with; None when nothing is remembered."""
        oldest = self._before or self._open
        return None if oldest is None else oldest.offset

    @property
    def bytes(self) -> int:
        return sum(g.newest.bytes for g in (self._open, self._before) if g is not None)

    def take(self, records: Sequence[PointRecord], points: Points) -> tuple[FloatArray, BoolArray]:
        """Take in the points of the next records, in their order: the increase of each (NaN for a value that is not
        finite, 0 for what adds nothing), and whether it is later than those before it."""
        increases, later = np.zeros(len(points)), np.ones(len(points), np.bool_)
        start = end = 0
        for record in records:
            if self._passes(record.timestamp_ms):
                self._fold(points, slice(start, end), increases, later)
                self._pass_on(record.timestamp_ms)
                start = end
            if record.points:
                if self._open is None:
                    self._open = Generation(record.offset, record.timestamp_ms)
                self._open.points += record.points
                end += record.points
        self._fold(points, slice(start, end), increases, later)
        return increases, later

    def _passes(self, timestamp_ms: int) -> bool:
        """Whether a generation ends before a record of this time."""
        return self._closes(timestamp_ms) or (self._before is not None and self._before.away(timestamp_ms, 2 * HOLD_MS))

    def _closes(self, timestamp_ms: int) -> bool:
        found = self._open
        return found is not None and (found.away(timestamp_ms, HOLD_MS) or found.points >= self._most_points)

    def _pass_on(self, timestamp_ms: int) -> None:
        if self._closes(timestamp_ms):
            self._before, self._open = self._open, None
        if self._before is not None and self._before.away(timestamp_ms, 2 * HOLD_MS):
            self._before = None

    def _fold(self, points: Points, part: slice, increases: FloatArray, later: BoolArray) -> None:
        """Increases of points that belong to the open generation."""
        finite = np.isfinite(points.values[part])
        increases[part][~finite] = np.nan
        rows = part.start + np.flatnonzero(finite)
        if self._open is None or not len(rows):
            return
        _, series = distinct(points.keys[rows])
        # By series, then by place: one stretch per series.
        place_bits = max(1, (len(rows) - 1).bit_length())
        order = (series << place_bits) | np.arange(len(rows))
        order.sort()
        order &= (1 << place_bits) - 1
        rows = rows[order]
        starts = np.flatnonzero(np.diff(series[order], prepend=-1))
        keys = points.keys[rows[starts]]
        known = self._known(keys)
        chosen = points.rows(rows)
        later[rows] = is_later = _later(chosen.times, starts, known)
        increases[rows[is_later]] = _increases(chosen, starts, known, is_later)
        increases[rows[~is_later]] = 0.0
        self._open.newest.put(_newest(chosen, starts))

    def _known(self, keys: UInt64Array) -> Points:
        """The newest point of each series; its time is `NO_START` where there is none."""
        assert self._open is not None
        found = self._open.newest.find(keys)
        if self._before is None:
            return found
        return found.or_later(self._before.newest.find(keys))


def _later(times: Int64Array, starts: Int64Array, known: Points) -> BoolArray:
    """Whether each point is later than all before it in its stretch and than the known point of its series."""
    sizes = np.diff(starts, append=len(times))
    stretch = np.repeat(np.arange(len(starts)), sizes)
    unknown = known.times == NO_START
    earliest = int(min(times.min(), known.times[~unknown].min(initial=times.min())))
    span = int(max(times.max(), known.times.max())) - earliest + 2
    if span * len(starts) < 1 << 62:
        scaled, head = times - earliest + 1, np.where(unknown, 0, known.times - earliest + 1)
    else:  # times so far apart that they do not fit side by side: their ranks will do
        _, rank = np.unique(np.concatenate([times, known.times]), return_inverse=True)
        scaled, head, span = rank[: len(times)], rank[len(times) :], len(rank) + 1
        head = np.where(unknown, -1, head) + 1
        scaled = scaled + 1
    base = np.arange(len(starts)) * span
    head, scaled = head + base, scaled + base[stretch]
    raised = scaled.copy()
    raised[starts] = np.maximum(raised[starts], head)
    highest = np.maximum.accumulate(raised)
    before = np.empty_like(highest)
    before[1:] = highest[:-1]
    before[starts] = head
    return np.asarray(scaled > before)


def _increases(points: Points, starts: Int64Array, known: Points, later: BoolArray) -> FloatArray:
    """What each of the later points adds."""
    sizes = np.diff(starts, append=len(points))
    rows = np.flatnonzero(later)
    stretch = np.repeat(np.arange(len(starts)), sizes)[rows]
    opens = np.diff(stretch, prepend=-1) != 0
    before = Points(
        *(
            np.where(opens, head[stretch], np.concatenate([[0], column[rows[:-1]]]).astype(column.dtype))
            for column, head in zip(points.columns, known.columns, strict=True)
        )
    )
    now = points.rows(rows)
    baseline = (before.times == NO_START) | (now.times - BASELINE_MS > before.times)
    with np.errstate(over="ignore", invalid="ignore"):
        restarted = (now.starts > before.starts) & (before.starts != NO_START)
        grown = np.where(restarted | (now.values < before.values), now.values, now.values - before.values)
    return np.where(baseline, 0.0, np.maximum(grown, 0.0) + 0.0)


def _newest(points: Points, starts: Int64Array) -> Points:
    """The first of the latest points of each stretch."""
    sizes = np.diff(starts, append=len(points))
    latest = np.repeat(np.maximum.reduceat(points.times, starts), sizes)
    places = np.where(points.times == latest, np.arange(len(points)), len(points))
    return points.rows(np.minimum.reduceat(places, starts))
