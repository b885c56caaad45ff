"""Which rows are late, and when what they say was known. Pure.

An event is late for a bucket when its record was appended more than the grace after the bucket's end. `known` of a
record is its append time less the grace, rounded up to a whole minute (on the levels above minutes to a whole quarter
of an hour), in epoch seconds. Ends of minutes, quarters and days are such times themselves, so a row is late for a
bucket of these levels exactly when its `known` lies past the bucket's end; of a second the append time decides.
A row that is not late is baseline: known 0. Imported history always is.
"""

from __future__ import annotations

from datetime import tzinfo

import numpy as np

from aggregates.days import day_starts
from aggregates.levels import BASELINE, DAY, MINUTE, QUARTER, WIDTH
from ingest.series import Int64Array


def known_in_seconds(seconds: Int64Array, record_ms: Int64Array, grace_s: int, folded_until: int) -> Int64Array:
    """`known` of rows of the 1-second level, whose records were appended at the given times.

    Args:
        folded_until: what was known by then is baseline.
    """
    behind_ms = record_ms - 1000 * grace_s
    late = behind_ms > 1000 * (seconds + 1)
    if not late.any():
        return np.zeros(len(seconds), np.int64)
    known = -(-behind_ms // 60_000) * 60
    return np.where(late & (known > folded_until), known, BASELINE)


def coarser(level: str, times: Int64Array, known: Int64Array, zone: tzinfo) -> tuple[Int64Array, Int64Array]:
    """Bucket start and `known` at a coarser level of rows of a finer one."""
    if level == DAY:
        starts, ends = day_starts(times // WIDTH[QUARTER] * WIDTH[QUARTER], zone)
    else:
        starts = times // WIDTH[level] * WIDTH[level]
        ends = starts + WIDTH[level]
    if not known.any():
        return starts, known
    if level != MINUTE:
        known = -(-known // WIDTH[QUARTER]) * WIDTH[QUARTER]
    return starts, np.where(known > ends, known, BASELINE)
