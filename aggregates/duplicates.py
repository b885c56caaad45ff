"""Which events repeat an id: exact within a window of events and record time, in flat arrays.

An event is a duplicate iff the same (series, id) stands at an earlier place of its partition, counted or not, within
the newest `events` events and less than `age_ms` older by record timestamp. Ids are kept as 128-bit hashes in an
open-addressing table (linear probing), looked up for a whole run of records at once.

The hash: for each 8-byte word w of the id, h ← mix((h ⊕ w)·K), mix(x) = x ⊕ (x ≫ 32); the length and the series key
enter last. Each step is a bijection of h, so two ids of one length collide only through the mixing of several words,
about once in 2^128 pairs. It is part of the delta's definition only through collisions; no hash leaves the process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.events import MAX_RECORD_EVENTS
from ingest.series import Int64Array, UInt64Array

BoolArray = npt.NDArray[np.bool_]
_FIRST_SIZE = 1 << 12
_MAX_LOAD = 0.6
_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_SEEDS = (np.uint64(0x165667B19E3779F9), np.uint64(0x27D4EB2F165667C5))
_SHIFT = np.uint64(32)
_WORD_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)


@dataclass(frozen=True, slots=True)
class DuplicateWindow:
    """How far back an id is remembered: at least one full record, so that a repetition inside one always counts."""

    events: int = 5_000_000
    age_ms: int = 24 * 3600 * 1000

    def __post_init__(self) -> None:
        if self.events < MAX_RECORD_EVENTS or self.age_ms < 1:
            raise ValueError(f"the window of duplicates must hold at least {MAX_RECORD_EVENTS} events and 1 ms")


def hash_ids(ids: pa.StringArray, keys: UInt64Array) -> tuple[UInt64Array, UInt64Array]:
    """Two independent 64-bit hashes of each (series key, id): uint64, shape (n,). `ids` holds no nulls."""
    offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset : ids.offset + len(ids) + 1].astype(np.int64)
    # Eight bytes of padding let every start be read as a whole word; what lies behind the id is masked off.
    data = np.concatenate([np.frombuffer(ids.buffers()[2] or b"", np.uint8), np.zeros(8, np.uint8)])
    words = np.ndarray((len(data) - 7,), np.uint64, data.data, strides=(1,))
    starts, lengths = offsets[:-1], np.diff(offsets)
    hashes = [np.full(len(ids), seed) for seed in _SEEDS]
    shortest = int(lengths.min())
    for at in range(0, int(lengths.max(initial=0)), 8):
        left = np.clip(lengths - at, 0, 8)
        word = words[np.minimum(starts + at, len(words) - 1)] & _WORD_MASKS[left]
        mixed = [_mix(h ^ word, k) for h, k in zip(hashes, _MULTIPLIERS, strict=True)]
        # An id's hash must not depend on the length of its neighbours.
        hashes = mixed if at < shortest else [np.where(left > 0, m, h) for m, h in zip(mixed, hashes, strict=True)]
    tails = (lengths.astype(np.uint64), keys)
    for tail in tails:
        hashes = [_mix(h ^ tail, k) for h, k in zip(hashes, _MULTIPLIERS, strict=True)]
    return hashes[0], hashes[1]


def _mix(values: UInt64Array, multiplier: np.uint64) -> UInt64Array:
    product = values * multiplier
    return product ^ (product >> _SHIFT)


class SeenIds:
    """The ids of one partition's window. Numbers every event of the partition, with or without id, from 0."""

    def __init__(self, window: DuplicateWindow) -> None:
        self._window = window
        self._events = 0
        self._allocate(_FIRST_SIZE)
        self._starts: list[int] = []  # first event number of each record with ids, and its timestamp and offset
        self._stamps: list[int] = []
        self._offsets: list[int] = []

    def _allocate(self, size: int) -> None:
        self._first = np.zeros(size, np.uint64)
        self._second = np.zeros(size, np.uint64)
        self._number = np.full(size, -1, np.int64)
        self._used = 0

    @property
    def bytes(self) -> int:
        """Memory held by the table."""
        return self._first.nbytes + self._second.nbytes + self._number.nbytes

    @property
    def oldest_offset(self) -> int | None:
        """Offset of the oldest record whose ids still matter; None when there is none."""
        return self._offsets[0] if self._offsets else None

    def mark(self, offset: int, timestamp_ms: int, keys: UInt64Array, ids: pa.StringArray | None) -> BoolArray:
        """Take in the next record of the partition; True where an event is a duplicate, shape (n,)."""
        base, self._events = self._events, self._events + len(keys)
        duplicate = np.zeros(len(keys), np.bool_)
        if ids is not None and ids.null_count < len(ids):
            rows = np.flatnonzero(ids.is_valid().to_numpy(zero_copy_only=False))
            first, second = hash_ids(ids.drop_null(), keys[rows])
            self._starts.append(base)
            self._stamps.append(timestamp_ms)
            self._offsets.append(offset)
            self._make_room(base, len(rows))
            duplicate[rows] = self._insert(first, second, base + rows, timestamp_ms)
        self._forget(timestamp_ms)
        return duplicate

    def _forget(self, now_ms: int) -> None:
        """Drop records from the front that no later event can be compared with."""
        oldest = self._events - self._window.events
        gone = 0
        while gone < len(self._starts):
            end = self._starts[gone + 1] if gone + 1 < len(self._starts) else self._events
            if end > oldest and self._stamps[gone] > now_ms - self._window.age_ms:
                break
            gone += 1
        if gone:
            del self._starts[:gone], self._stamps[:gone], self._offsets[:gone]

    def _fresh(self, entry: Int64Array, number: Int64Array, now_ms: int) -> BoolArray:
        """Whether an id last seen at event `entry` still counts for event `number`."""
        record = np.searchsorted(np.asarray(self._starts, np.int64), entry, side="right") - 1
        stamps = np.asarray(self._stamps, np.int64)[np.maximum(record, 0)]
        near = number - entry <= self._window.events
        fresh: BoolArray = near & (record >= 0) & (now_ms - stamps < self._window.age_ms)
        return fresh

    def _insert(self, first: UInt64Array, second: UInt64Array, number: Int64Array, now_ms: int) -> BoolArray:
        """Look every id of one record up and remember it. Equal ids walk the table in step, so among them the first
        event takes the slot and is judged against what stood there; the others then find it, and repeat it."""
        duplicate = np.zeros(len(first), np.bool_)
        mask = len(self._number) - 1
        slot = (first & np.uint64(mask)).astype(np.int64)
        waiting = np.arange(len(first))
        while len(waiting):
            at = slot[waiting]
            entry = self._number[at]
            same = (entry >= 0) & (self._first[at] == first[waiting]) & (self._second[at] == second[waiting])
            repeats = same & (entry >= number[0])
            duplicate[waiting[repeats]] = True
            self._number[at[repeats]] = number[waiting[repeats]]  # ascending: the newest stays
            wants = (entry < 0) | (same & ~repeats)
            rows, wanted, stood = waiting[wants], at[wants], entry[wants]
            self._number[wanted[::-1]] = number[rows[::-1]]  # of several, the first event's is written last
            won = self._number[wanted] == number[rows]
            known = won & (stood >= 0)
            if known.any():
                duplicate[rows[known]] = self._fresh(stood[known], number[rows[known]], now_ms)
            taken = won & (stood < 0)
            self._first[wanted[taken]], self._second[wanted[taken]] = first[rows[taken]], second[rows[taken]]
            self._used += int(np.count_nonzero(taken))
            passed = waiting[~wants & ~repeats]
            slot[passed] = (slot[passed] + 1) & mask
            waiting = np.sort(np.concatenate([rows[~won], passed]))
        return duplicate

    def _make_room(self, base: int, coming: int) -> None:
        """Keep the table under its load: forget what left the window, double it if that is not enough."""
        if self._used + coming <= _MAX_LOAD * len(self._number):
            return
        kept = self._number >= max(0, base - self._window.events, self._starts[0])
        first, second, number = self._first[kept], self._second[kept], self._number[kept]
        size = _FIRST_SIZE
        while (len(number) + coming) > _MAX_LOAD * size / 2:
            size *= 2
        self._allocate(size)
        self._refill(first, second, number)

    def _refill(self, first: UInt64Array, second: UInt64Array, number: Int64Array) -> None:
        """Put distinct entries into the empty table."""
        mask = len(self._number) - 1
        slot = (first & np.uint64(mask)).astype(np.int64)
        waiting = np.arange(len(first))
        while len(waiting):
            free = waiting[self._number[slot[waiting]] < 0]
            self._number[slot[free]] = number[free]
            won = free[self._number[slot[free]] == number[free]]
            self._first[slot[won]], self._second[slot[won]] = first[won], second[won]
            placed = np.zeros(len(first), np.bool_)
            placed[won] = True
            waiting = waiting[~placed[waiting]]
            slot[waiting] = (slot[waiting] + 1) & mask
        self._used = len(first)
