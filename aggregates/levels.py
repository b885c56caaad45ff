"""Time buckets: which levels exist, when a bucket is sealed, and which level answers which part of a range.

Pure arithmetic on epoch seconds. A *piece* is a half-open range to be read from one level. Buckets of the day level
are local days of the workspace's time zone; all others are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

from aggregates.days import DAY_S, day_ceil, day_start

FAMILIES: Final = ("total", "view", "series")
SECOND, MINUTE, QUARTER, DAY = "1s", "1m", "15m", "1d"
LEVELS: Final = (SECOND, MINUTE, QUARTER, DAY)
"""From fine to coarse: every bucket lies within one bucket of the next level."""
WIDTH: Final = {SECOND: 1, MINUTE: 60, QUARTER: 900, DAY: DAY_S}
"""Level → bucket width in seconds; that of a day is nominal."""
BASELINE: Final = 0
"""`known` of a row that came in time."""
FOREVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Piece:
    """Read `level` where start <= time < end, and known <= `known` unless that is None."""

    level: str
    start: int
    end: int
    known: int | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What the levels hold, by level: buckets that end at or before `sealed_until` are complete in it, those that
    start before `kept_from` are gone from it. Restatements known at or before `folded_until` have become baseline."""

    sealed_until: Mapping[str, int]
    kept_from: Mapping[str, int]
    folded_until: int = 0

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, int, int]]) -> Kept:
        """From the rows of the table `levels`: level, sealed_until, kept_from, folded_until."""
        found = list(rows)
        return cls(
            {SECOND: FOREVER, **{level: sealed for level, sealed, _, _ in found if level != SECOND}},
            {level: kept for level, _, kept, _ in found},
            max((folded for _, _, _, folded in found), default=0),
        )


def floor(time: int, width: int) -> int:
    """Start of the bucket of the given width that holds `time`."""
    return time // width * width


def ceil(time: int, width: int) -> int:
    return -(-time // width) * width


def start_of(level: str, time: int, zone: tzinfo) -> int:
    """Start of the level's bucket that holds `time`."""
    return day_start(time, zone) if level == DAY else floor(time, WIDTH[level])


def end_of(level: str, time: int, zone: tzinfo) -> int:
    """The first edge of the level's buckets at or behind `time`."""
    return day_ceil(time, zone) if level == DAY else ceil(time, WIDTH[level])


def widen(
    start: int, end: int, step: int | None, kept: Kept, zone: tzinfo, finest: str = SECOND, coarsest: str = DAY
) -> tuple[int, int]:
    """The range that can be answered exactly: aligned to the step, and to the buckets of the finest level that is
    still kept there.

    Args:
        step: seconds; `DAY_S` means the local days of `zone` where `coarsest` is the day level (else align before).
        finest: the finest level to read; bins and cells of single series begin with minutes.
    """
    if step == DAY_S and coarsest == DAY:
        start, end = day_start(start, zone), day_ceil(end, zone)
    elif step != DAY_S:
        start, end = floor(start, step or 1), ceil(end, step or 1)
    start = start_of(finest_at(start, kept, finest, coarsest), start, zone)
    end = end_of(finest_at(end, kept, finest, coarsest), end, zone)
    return start, end


def finest_at(time: int, kept: Kept, finest: str, coarsest: str) -> str:
    """The finest level that still holds `time`."""
    usable = LEVELS[LEVELS.index(finest) : LEVELS.index(coarsest) + 1]
    return next((level for level in usable if kept.kept_from[level] <= time), coarsest)


def plan(
    start: int, end: int, step: int | None, kept: Kept, zone: tzinfo, finest: str = SECOND, coarsest: str = DAY
) -> list[Piece]:
    """Pieces that cover [start, end) once, in order: the coarsest level whose buckets fit the step and the edges, the
    unsealed tail from finer ones.

    A level fits a step that its buckets divide; no step (None) is fitted by all. Where no fitting level is kept any
    more the finest one that is answers. Arguments as for `widen`, which should have given the range.
    """
    usable = LEVELS[LEVELS.index(finest) : LEVELS.index(coarsest) + 1]
    fitting = [level for level in usable[1:] if _fits(level, step)]
    return _joined(_covered(start, end, fitting, usable, kept, zone))


def _fits(level: str, step: int | None) -> bool:
    return step is None or (step == DAY_S if level == DAY else step % WIDTH[level] == 0)


def _covered(
    start: int, end: int, fitting: Sequence[str], usable: Sequence[str], kept: Kept, zone: tzinfo
) -> Iterator[Piece]:
    """[start, end) from whole sealed buckets of the coarsest fitting level, what is left from finer ones."""
    if start >= end:
        return
    if not fitting:
        yield from _finest_kept(start, end, usable, kept)
        return
    level, finer = fitting[-1], fitting[:-1]
    first = min(end_of(level, max(start, kept.kept_from[level]), zone), end)
    last = max(start_of(level, min(end, kept.sealed_until[level]), zone), first)
    yield from _covered(start, first, finer, usable, kept, zone)
    if first < last:
        yield Piece(level, first, last)
    yield from _covered(last, end, finer, usable, kept, zone)


def _finest_kept(start: int, end: int, usable: Sequence[str], kept: Kept) -> Iterator[Piece]:
    """[start, end), cut where levels begin to be kept, each part from the finest level that is."""
    for number in range(len(usable) - 1, -1, -1):
        high = max(start, min(end, kept.kept_from[usable[number - 1]] if number else end))
        if start < high:
            yield Piece(usable[number], start, high)
        start = high


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].level == piece.level and joined[-1].end == piece.start:
            joined.append(Piece(piece.level, joined.pop().start, piece.end))
        else:
            joined.append(piece)
    return joined


def plan_as_of(
    start: int,
    end: int,
    step: int | None,
    kept: Kept,
    zone: tzinfo,
    limit: int,
    finest: str = SECOND,
    coarsest: str = DAY,
) -> list[Piece]:
    """Pieces that answer from what was known when the watermark stood `limit` + grace (epoch s): buckets that end at
    or before `limit`, and restatements known by then.

    Times of knowing are whole minutes, on the coarse levels whole quarters: those are read where the limit is one, or
    where minutes are gone. So the answer never depends on what is sealed. It holds for limits at or behind
    `kept.folded_until`.
    """
    known = floor(limit, WIDTH[MINUTE])
    if known % WIDTH[QUARTER]:
        minutes_from = kept.kept_from[MINUTE]
        behind = {level: min(kept.sealed_until[level], start_of(level, minutes_from, zone)) for level in (QUARTER, DAY)}
        kept = Kept({**kept.sealed_until, **behind}, kept.kept_from, kept.folded_until)
    end = min(end, limit)
    end = start_of(finest_at(end, kept, finest, coarsest), end, zone)
    return [Piece(p.level, p.start, p.end, known) for p in plan(start, end, step, kept, zone, finest, coarsest)]


def sealable(watermark_ms: int, grace_s: int) -> int:
    """Every bucket that ends at or before this time can be sealed: the watermark less the grace, floored to a
    minute."""
    return floor(watermark_ms // 1000 - grace_s, 60)


def watermark(
    partitions: Iterable[int], positions: Mapping[int, tuple[int, int]], ends: Mapping[int, int], asked_ms: int
) -> int | None:
    """The time up to which a replica has seen everything, epoch ms; None while that is unknown.

    Per partition it is the clock just before the end offsets were asked for, if all records up to that end are
    applied, else the append time of the last applied record; of the replica it is the smallest.

    Args:
        positions: partition → (next offset, append time in ms of the record before it).
        ends: partition → end offset of `events`.
    """
    marks: list[int] = []
    for partition in partitions:
        next_offset, record_ms = positions.get(partition, (0, -1))
        if next_offset >= ends.get(partition, 1 << 62):
            marks.append(asked_ms)
        elif record_ms >= 0:
            marks.append(record_ms)
        else:
            return None
    return min(marks, default=None)


def expired(now_s: int, keep_s: Mapping[str, float | None], kept: Kept, zone: tzinfo) -> dict[str, int]:
    """Level → the new `kept_from`, for the levels that have buckets to delete.

    Nothing is deleted before the coarser bucket it belongs to is sealed, nothing from a level before it is from the
    level below.

    Args:
        keep_s: level → how long its buckets are kept (s), None for ever.
    """
    found: dict[str, int] = {}
    finer_from = FOREVER
    for level, coarser in zip(LEVELS, [*LEVELS[1:], DAY], strict=True):
        age, start = keep_s[level], kept.kept_from[level]
        if age is not None:
            oldest = min(start_of(coarser, now_s - round(age), zone), kept.sealed_until[coarser], finer_from)
            if oldest > start:
                found[level] = start = oldest
        finer_from = start
    return found
