"""Hashes of ids with their event numbers, in flat arrays: found in one look, forgotten by age, never rebuilt. Pure.

The upper bits of an id's second hash choose one of the chains; an entry keeps the first hash, its event number (32 bits
of it) and the entry before it in the chain: 16 bytes. Entries stand in a ring in the order of batches, so that the
oldest are overwritten; a chain ends at the first entry that is no longer live.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ingest.series import Int64Array, UInt64Array

UInt32Array = npt.NDArray[np.uint32]
_Number = TypeVar("_Number", np.uint32, np.uint64)
BATCH = 1 << 16
"""Most ids of one `insert`."""
_SHORT_BATCH = 1 << 12
_FIRST_CAPACITY = 1 << 12
_FEW = 1 << 15
"""Up to so many entries there are few chains, and entries know more bits of theirs, to be spread over all of them."""
_FEW_CHAIN_BITS = 14


class IdTable:
    """The ids of the newest `events` events.

    Entries are numbered from 1 (or `first_entry`) in the order they are written, links are such numbers, 0 is none.
    Chains fall: the entry before is always an older one.
    """

    def __init__(self, events: int, first_entry: int = 1) -> None:
        self._most = events + BATCH
        self._all_chain_bits = events.bit_length() - 1
        self._chain_bits = _FEW_CHAIN_BITS
        self._heads = np.zeros(1 << self._chain_bits, np.uint32)
        self._capacity = 0
        self._first, self._number, self._older = np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.uint32)
        self._chain: UInt32Array | None = np.zeros(0, np.uint32)  # upper half of the second hash, while there are few
        self._next, self._live = first_entry, first_entry
        self._batches: deque[tuple[int, int]] = deque()  # first entry and last event number of each batch
        self._resize(_FIRST_CAPACITY)

    @property
    def bytes(self) -> int:
        arrays = self._heads, self._first, self._number, self._older
        return sum(array.nbytes for array in arrays) + (0 if self._chain is None else self._chain.nbytes)

    @property
    def longest_chain(self) -> int:
        """Most steps a search can take; walks all chains."""
        entry, steps = self._heads, 0
        while len(entry := entry[entry >= self._live]):
            entry, steps = self._older[self._slot(entry)], steps + 1
        return steps

    def find(self, first: UInt64Array, second: UInt64Array) -> tuple[Int64Array, Int64Array]:
        """(rows, slots): which of the ids are known, and where they stand."""
        entry = self._heads[self._chain_of(second)]
        rows = np.flatnonzero(entry >= self._live)
        entry = entry[rows]
        places, slots = [rows[:0]], [rows[:0]]
        while len(rows):  # ends: entry numbers fall along a chain
            slot = self._slot(entry)
            same = self._first[slot] == first[rows]
            places.append(rows[same])
            slots.append(slot[same])
            entry = self._older[slot]
            on = ~same & (entry >= self._live)
            rows, entry = rows[on], entry[on]
        return np.concatenate(places), np.concatenate(slots)

    def numbers(self, slots: Int64Array, since: Int64Array) -> Int64Array:
        """The event numbers in the slots, each the newest one before `since` with the 32 bits that are kept."""
        return since - (since.astype(np.uint32) - self._number[slots])

    def unlink(self, second: UInt64Array, slots: Int64Array) -> None:
        """Take entries out of their chains, so that a chain holds each id once, however often it is repeated."""
        gone = np.sort(slots)
        chain, left = np.unique(self._chain_of(second), return_counts=True)
        entry, before = self._heads[chain], np.full(len(chain), -1)
        while len(chain):
            slot = self._slot(entry)
            out = gone[np.minimum(np.searchsorted(gone, slot), len(gone) - 1)] == slot
            entry, ahead = self._older[slot], before < 0
            self._heads[chain[out & ahead]] = entry[out & ahead]
            self._older[before[out & ~ahead]] = entry[out & ~ahead]
            before, left = np.where(out, before, slot), left - out
            on = left > 0
            chain, entry, before, left = chain[on], entry[on], before[on], left[on]

    def insert(self, first: UInt64Array, second: UInt64Array, number: Int64Array) -> None:
        """Put in at most `BATCH` ids that are not in a chain, second hashes ascending."""
        count = len(second)
        needed = self._next + count - self._live
        if needed > self._capacity:
            self._resize(min(max(2 * self._capacity, needed), self._most))
        if self._next + count >= 1 << 32:
            self._renumber()
        entry = np.arange(self._next, self._next + count).astype(np.uint32)
        slot = self._slot(entry)
        self._first[slot] = first
        self._number[slot] = number.astype(np.uint32)
        if self._chain is not None:
            self._chain[slot] = second >> np.uint64(32)
        self._link(self._chain_of(second), entry, slot)
        start = self._next
        if self._batches and self._next + count - self._batches[-1][0] <= _SHORT_BATCH:
            start, _ = self._batches.pop()
        self._batches.append((start, int(number.max())))
        self._next += count

    def forget(self, oldest: int) -> None:
        """Events below number `oldest` are never asked for again."""
        while self._batches and self._batches[0][1] < oldest:
            self._batches.popleft()
        self._live = self._batches[0][0] if self._batches else self._next

    def _chain_of(self, second: UInt64Array) -> Int64Array:
        return (second >> np.uint64(64 - self._chain_bits)).astype(np.int64)

    def _slot(self, entry: UInt32Array) -> Int64Array:
        return (entry % np.uint32(self._capacity)).astype(np.int64)

    def _link(self, chain: Int64Array, entry: UInt32Array, slot: Int64Array) -> None:
        """Put entries at the heads of their chains; chains ascending, of each the oldest entry first."""
        new_chain = np.ones(len(chain), np.bool_)
        new_chain[1:] = chain[1:] != chain[:-1]
        before = np.concatenate([np.zeros(1, np.uint32), entry[:-1]])
        self._older[slot] = np.where(new_chain, self._heads[chain], before)
        last = np.ones(len(chain), np.bool_)
        last[:-1] = new_chain[1:]
        self._heads[chain[last]] = entry[last]

    def _resize(self, capacity: int) -> None:
        entry = np.arange(self._live, self._next)
        old, new = entry % max(1, self._capacity), entry % capacity
        self._first, self._number = _moved(self._first, old, new, capacity), _moved(self._number, old, new, capacity)
        self._older = _moved(self._older, old, new, capacity)
        self._capacity = capacity
        if self._chain is not None:
            self._chain = _moved(self._chain, old, new, capacity)
            if capacity > _FEW:
                self._spread(entry, new, self._chain[new])

    def _spread(self, entry: Int64Array, slot: Int64Array, second: UInt32Array) -> None:
        """Use all chains from here on."""
        self._chain, self._chain_bits = None, self._all_chain_bits
        self._heads = np.zeros(1 << self._chain_bits, np.uint32)
        chain = (second >> np.uint32(32 - self._chain_bits)).astype(np.int64)
        first = self._first[slot]
        order = np.lexsort((entry, first, chain))
        newest = np.ones(len(order), np.bool_)  # of an id that was repeated
        newest[:-1] = (chain[order][1:] != chain[order][:-1]) | (first[order][1:] != first[order][:-1])
        order = order[newest]
        order = order[np.lexsort((entry[order], chain[order]))]
        self._link(chain[order], entry[order].astype(np.uint32), slot[order])

    def _renumber(self) -> None:
        """Count entries from the start again, in their places, before numbers exceed 32 bits."""
        down = (self._live - 1) // self._capacity * self._capacity
        for links in (self._heads, self._older):
            links[:] = np.where(links > down, links - np.uint32(down), 0)
        self._next, self._live = self._next - down, self._live - down
        self._batches = deque((start - down, number) for start, number in self._batches)


def _moved(values: npt.NDArray[_Number], old: Int64Array, new: Int64Array, capacity: int) -> npt.NDArray[_Number]:
    moved = np.zeros(capacity, values.dtype)
    moved[new] = values[old]
    return moved
