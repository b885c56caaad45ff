"""The records whose ids are remembered: a queue in flat arrays, bounded by events and by age. Pure."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from ingest.series import Int64Array

BoolArray = npt.NDArray[np.bool_]
_LAST, _STAMP, _OFFSET = range(3)
_STEP = 64


class RecentRecords:
    """Records with ids, oldest first: number of the last event with an id, append time (epoch ms), offset.

    A record is forgotten when more than `events` events came since, or once a record stood `age_ms` above it.
    """

    def __init__(self, events: int, age_ms: int) -> None:
        self._events, self._age_ms = events, age_ms
        self._rows = np.zeros((3, _STEP), np.int64)
        self._from, self._to = 0, 0
        self._left = 0
        """First event number behind the records that are forgotten."""
        # Timestamps that no later record has reached, and the events they stand behind: falling, mostly a single one.
        self._peaks: list[int] = []
        self._peak_stamps: list[int] = []

    def __len__(self) -> int:
        return self._to - self._from

    @property
    def bytes(self) -> int:
        return self._rows.nbytes

    @property
    def oldest_offset(self) -> int | None:
        return int(self._rows[_OFFSET, self._from]) if len(self) else None

    def append(self, offset: int, timestamp_ms: int, last_number: int) -> None:
        """A record with ids; `last_number` is the number of its last event that has one."""
        if self._to == self._rows.shape[1]:
            kept = self._rows[:, self._from : self._to]
            self._rows = np.zeros((3, len(self) + max(_STEP, len(self) // 4)), np.int64)
            self._rows[:, : kept.shape[1]] = kept
            self._from, self._to = 0, kept.shape[1]
        self._rows[:, self._to] = last_number, timestamp_ms, offset
        self._to += 1

    def rise(self, timestamp_ms: int, last_number: int) -> None:
        """Time has come to `timestamp_ms` with event `last_number`."""
        while self._peak_stamps and self._peak_stamps[-1] <= timestamp_ms:
            self._peaks.pop()
            self._peak_stamps.pop()
        self._peaks.append(last_number)
        self._peak_stamps.append(timestamp_ms)

    def remembers(self, before: Int64Array, number: Int64Array, now_ms: Int64Array) -> BoolArray:
        """Whether event `before` is still known to event `number` of a record with timestamp `now_ms`."""
        rows = self._rows[:, self._from : self._to]
        at = np.searchsorted(rows[_LAST], before)
        within = (number - before <= self._events) & (before >= self._left) & (at < rows.shape[1])
        stamp = rows[_STAMP, np.minimum(at, rows.shape[1] - 1)]
        return np.asarray(within & (np.maximum(self._highest(before), now_ms) - stamp < self._age_ms))

    def _highest(self, numbers: Int64Array) -> Int64Array:
        """Highest timestamp of the records at or behind the events, as far as time has come."""
        if not self._peaks:
            return np.full(len(numbers), np.iinfo(np.int64).min)
        at = np.searchsorted(np.array(self._peaks), numbers)
        return np.append(np.array(self._peak_stamps), np.iinfo(np.int64).min)[at]

    def forget(self, events: int, now_ms: int) -> int:
        """Drop the oldest records that no event from number `events` on can know; returns the first event number that
        may still be known."""
        while len(self):
            rows = self._rows[:, self._from : min(self._to, self._from + _STEP)]
            highest = np.maximum(self._highest(rows[_LAST]), now_ms)
            gone = (events - rows[_LAST] > self._events) | (highest - rows[_STAMP] >= self._age_ms)
            count = len(gone) if gone.all() else int(np.argmin(gone))
            if count:
                self._left = int(rows[_LAST, count - 1]) + 1
            self._from += count
            if count < len(gone):
                break
        oldest = max(self._left, events - self._events) if len(self) else events
        cut = bisect_left(self._peaks, oldest)
        del self._peaks[:cut], self._peak_stamps[:cut]
        return oldest
