"""The source records counted in last: when, and how many of their events were new. In memory, from the start on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aggregates.incoming import Fresh
from ingest.series import Int64Array

MOST_RECORDS = 50_000


@dataclass(frozen=True, slots=True)
class AppliedRecord:
    """When a record was counted in (epoch ms), how many of its events were, and how many were duplicates."""

    applied_at_ms: int
    counted: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive records, by offset ascending."""

    topic_id: str
    partition: int
    applied_at_ms: int
    offsets: Int64Array
    counted: Int64Array
    duplicates: Int64Array


class RecentlyApplied:
    """Written by the store's writer, read by everybody. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: deque[_Run] = deque()
        self._records = 0

    def note(self, found: Sequence[Fresh], now_ms: int) -> None:
        """Deltas were committed."""
        runs = [_run_of(fresh, now_ms) for fresh in found]
        with self._lock:
            self._runs.extend(runs)
            self._records += sum(len(run.offsets) for run in runs)
            while self._records > MOST_RECORDS:
                self._records -= len(self._runs.popleft().offsets)

    def find(self, topic_id: str, partition: int, offset: int) -> AppliedRecord | None:
        """What is known of a record; None when it was applied too long ago, or not at all."""
        with self._lock:
            runs = list(self._runs)
        for run in reversed(runs):
            if (run.topic_id, run.partition) == (topic_id, partition) and offset in run.offsets:
                place = int(np.searchsorted(run.offsets, offset))
                return AppliedRecord(run.applied_at_ms, int(run.counted[place]), int(run.duplicates[place]))
        return None


def _run_of(fresh: Fresh, now_ms: int) -> _Run:
    header = fresh.delta.header
    offsets = np.array([record.offset for record in header.records if record.offset >= fresh.start], np.int64)
    places = np.searchsorted(offsets, fresh.rows.column("offset").to_numpy())

    def totals(column: str) -> Int64Array:
        found = np.zeros(len(offsets), np.int64)
        np.add.at(found, places, fresh.rows.column(column).to_numpy())
        return found

    return _Run(header.topic_id, header.partition, now_ms, offsets, totals("count"), totals("duplicates"))
