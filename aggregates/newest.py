"""The newest point of many series, in flat arrays: an open-addressing table from series key to row. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.series import FloatArray, Int64Array, UInt64Array

_NONE = int(np.iinfo(np.int64).min)
_FIRST_SIZE = 1 << 8
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Points:
    """Points as columns: series keys, event times (epoch ms), values, start times (epoch ms). A time or start that is
    not known is the least int64."""

    keys: UInt64Array
    times: Int64Array
    values: FloatArray
    starts: Int64Array

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        return self.keys, self.times, self.values, self.starts

    def rows(self, rows: Int64Array) -> Points:
        return Points(self.keys[rows], self.times[rows], self.values[rows], self.starts[rows])

    def or_later(self, others: Points) -> Points:
        """Row by row the later point; of two equally late ones the other, which stands earlier in the log."""
        later = self.times > others.times
        return Points(*(np.where(later, a, b) for a, b in zip(self.columns, others.columns, strict=True)))


class NewestPoints:
    """Series key → its newest point. Grows with the series put in."""

    def __init__(self) -> None:
        self._slots = np.zeros(_FIRST_SIZE, np.int32)  # row + 1; 0 is free
        self._points = _room(_FIRST_SIZE // 2)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        return self._slots.nbytes + sum(column.nbytes for column in self._points.columns)

    def find(self, keys: UInt64Array) -> Points:
        """The point of each key; where there is none, time and start are not known."""
        rows = self._rows(keys)
        found = self._points.rows(np.maximum(rows, 0))
        unknown = rows < 0
        return Points(keys, np.where(unknown, _NONE, found.times), found.values, np.where(unknown, _NONE, found.starts))

    def put(self, points: Points) -> None:
        """Points of distinct series, each kept if it is later than what is known."""
        rows = self._rows(points.keys)
        new = np.flatnonzero(rows < 0)
        if len(new):
            self._make_room(len(new))
            rows[new] = np.arange(self._count, self._count + len(new))
            self._points.keys[rows[new]] = points.keys[new]
            self._link(rows[new])
            self._count += len(new)
        later = np.flatnonzero(points.times > self._points.times[rows])
        for mine, theirs in zip(self._points.columns, points.columns, strict=True):
            mine[rows[later]] = theirs[later]

    def _first_slot(self, keys: UInt64Array) -> Int64Array:
        bits = len(self._slots).bit_length() - 1
        return ((keys * _SPREAD) >> np.uint64(64 - bits)).astype(np.int64)

    def _rows(self, keys: UInt64Array) -> Int64Array:
        rows = np.full(len(keys), -1)
        slot, waiting = self._first_slot(keys), np.arange(len(keys))
        while len(waiting):  # ends: at least half of the slots are free
            row = self._slots[slot].astype(np.int64) - 1
            same = (row >= 0) & (self._points.keys[row] == keys[waiting])
            rows[waiting[same]] = row[same]
            on = (row >= 0) & ~same
            waiting, slot = waiting[on], (slot[on] + 1) & (len(self._slots) - 1)
        return rows

    def _link(self, rows: Int64Array) -> None:
        """Give new rows a slot."""
        slot = self._first_slot(self._points.keys[rows])
        while len(rows):
            free = self._slots[slot] == 0
            self._slots[slot[free]] = rows[free] + 1
            placed = self._slots[slot] == rows + 1  # of several that want one slot, one has it
            rows, slot = rows[~placed], (slot[~placed] + 1) & (len(self._slots) - 1)

    def _make_room(self, coming: int) -> None:
        size = len(self._slots)
        while 2 * (self._count + coming) > size:
            size *= 2
        if size == len(self._slots):
            return
        known, self._points = self._points, _room(size // 2)
        for mine, theirs in zip(self._points.columns, known.columns, strict=True):
            mine[: self._count] = theirs[: self._count]
        self._slots = np.zeros(size, np.int32)
        self._link(np.arange(self._count))


def _room(size: int) -> Points:
    times, starts = np.full(size, _NONE), np.full(size, _NONE)
    return Points(np.zeros(size, np.uint64), times, np.zeros(size), starts)
