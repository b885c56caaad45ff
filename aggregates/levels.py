"""Time buckets: which levels exist, when a bucket is sealed, and which level answers which part of a range.

Pure arithmetic on epoch seconds. A *piece* is a half-open range to be read from one level.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FAMILIES = ("total", "view", "series")
SECOND, MINUTE = "1s", "1m"
WIDTH = {SECOND: 1, MINUTE: 60}
"""Level → bucket width in seconds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Read `level` where start <= time < end."""

    level: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What the levels hold: minutes below `sealed_until` are complete in the 1-minute level, seconds below
    `seconds_from` are no longer kept."""

    sealed_until: int
    seconds_from: int


def floor(time: int, width: int) -> int:
    """Start of the bucket of the given width that holds `time`."""
    return time // width * width


def ceil(time: int, width: int) -> int:
    return -(-time // width) * width


def widen(start: int, end: int, step: int, kept: Kept) -> tuple[int, int]:
    """The range that can be answered exactly: aligned to the step, and to minutes where seconds are gone."""
    start, end = floor(start, step), ceil(end, step)
    if start < kept.seconds_from:
        start = floor(start, 60)
    if end < kept.seconds_from:
        end = ceil(end, 60)
    return start, end


def plan(start: int, end: int, step: int, kept: Kept) -> list[Piece]:
    """Pieces that cover [start, end) once: whole sealed minutes from the 1-minute level, the rest from seconds.

    Buckets of `step` seconds below a minute need the 1-second level throughout, where it is still kept.
    """
    if step % 60:
        cut = min(max(start, floor(kept.seconds_from, 60)), end)
        pieces = [Piece(MINUTE, start, cut), Piece(SECOND, cut, end)]
    else:
        first = max(start, min(ceil(start, 60), end))
        last = max(first, min(floor(end, 60), kept.sealed_until))
        pieces = [Piece(SECOND, start, first), Piece(MINUTE, first, last), Piece(SECOND, last, end)]
    return [piece for piece in pieces if piece.start < piece.end]


def sealable(watermark_ms: int, grace_s: int) -> int:
    """Every minute that ends at or before this time can be sealed: the watermark less the grace, floored."""
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
