"""Which events repeat an id: exact within a window of events and record time, in flat arrays.

An event is a duplicate iff the same (series, id) stands at an earlier place of its partition, counted or not, within
the newest `events` events and less than `age_ms` older by record timestamp. Of several the latest counts. Should record
timestamps run back, an id stays forgotten that was `age_ms` old once: so what an event is compared with depends on the
records between the two alone, and a worker that starts between them finds the same.

Every id is two 64-bit hashes (`aggregates.hashing`, the series key mixed in last), kept by `aggregates.id_table`. With
its 2^22 chains two ids are mixed up when 86 bits agree: with five million ids in the window, for one new id in 10^19.
Within a batch all 128 bits are compared. No hash leaves the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aggregates.hashing import Mix, hash_texts, order_by
from aggregates.id_table import BATCH, IdTable
from aggregates.recent import RecentRecords
from ingest.events import MAX_RECORD_EVENTS
from ingest.series import Int64Array, UInt64Array

BoolArray = npt.NDArray[np.bool_]
_FAMILY = (
    Mix(np.uint64(0x165667B19E3779F9), np.uint64(0x9E3779B97F4A7C15)),
    Mix(np.uint64(0x27D4EB2F165667C5), np.uint64(0xC2B2AE3D27D4EB4F)),
)


@dataclass(frozen=True, slots=True)
class DuplicateWindow:
    """How far back an id is remembered: at least one full record, so that a repetition inside one always counts.

    `salt` (64 bits) enters the hashes: where senders do not know it, none can choose ids that share a chain.
    """

    events: int = 5_000_000
    age_ms: int = 24 * 3600 * 1000
    salt: int = 0

    def __post_init__(self) -> None:
        if self.events < MAX_RECORD_EVENTS or self.age_ms < 1:
            raise ValueError(f"the window of duplicates must hold at least {MAX_RECORD_EVENTS} events and 1 ms")


@dataclass(frozen=True, slots=True)
class IdRecord:
    """What a record says about ids: offset, append time (epoch ms), its events' series keys, and ids, if any."""

    offset: int
    timestamp_ms: int
    keys: UInt64Array
    ids: pa.StringArray | None


def hash_ids(ids: pa.StringArray, keys: UInt64Array, salt: int = 0) -> tuple[UInt64Array, UInt64Array]:
    """Two independent 64-bit hashes of each (series key, id): uint64, shape (n,). `ids` holds no nulls."""
    family = tuple(Mix(mix.seed ^ np.uint64(salt), mix.multiplier) for mix in _FAMILY)
    first, second = (mix(h ^ keys) for h, mix in zip(hash_texts(ids, family), family, strict=True))
    return first, second


class SeenIds:
    """The ids of one partition's window. Numbers every event of the partition, with or without id, from 0."""

    def __init__(self, window: DuplicateWindow) -> None:
        self._window = window
        self._events = 0
        self._records = RecentRecords(window.events, window.age_ms)
        self._table = IdTable(window.events)

    @property
    def bytes(self) -> int:
        """Memory held by ids and records."""
        return self._table.bytes + self._records.bytes

    @property
    def oldest_offset(self) -> int | None:
        """Offset of the oldest record whose ids still matter; None when there is none."""
        return self._records.oldest_offset

    @property
    def longest_chain(self) -> int:
        """Most steps the search for an id can take; counts them all."""
        return self._table.longest_chain

    def mark(self, records: Sequence[IdRecord]) -> list[BoolArray]:
        """Take in the next records of the partition; True where an event is a duplicate, one array per record."""
        flags: list[BoolArray] = []
        for group in _rising(records):
            flags += self._mark(group)
        return flags

    def _mark(self, records: Sequence[IdRecord]) -> list[BoolArray]:
        """The same for records whose timestamps do not run back."""
        starts = self._events + np.cumsum([0, *(len(record.keys) for record in records)])
        found = [_places(record.ids) for record in records]
        duplicate = np.zeros(int(starts[-1]) - self._events, np.bool_)
        holding = [i for i, places in enumerate(found) if len(places)]
        if holding:
            numbers = np.concatenate([starts[i] + found[i] for i in holding])
            stamps = np.repeat([records[i].timestamp_ms for i in holding], [len(found[i]) for i in holding])
            keys = np.concatenate([records[i].keys[found[i]] for i in holding])
            ids = pa.concat_arrays([_present(records[i].ids) for i in holding])
            for i in holding:
                self._records.append(records[i].offset, records[i].timestamp_ms, int(starts[i] + found[i][-1]))
            first, second = hash_ids(ids, keys, self._window.salt)
            for start in range(0, len(numbers), BATCH):
                part = slice(start, start + BATCH)
                marked = self._take(first[part], second[part], numbers[part], stamps[part])
                duplicate[numbers[part][marked] - self._events] = True
        self._events = int(starts[-1])
        self._records.rise(records[-1].timestamp_ms, self._events - 1)
        self._table.forget(self._records.forget(self._events, records[-1].timestamp_ms))
        bounds = starts - starts[0]
        return [duplicate[bounds[i] : bounds[i + 1]] for i in range(len(records))]

    def _take(self, first: UInt64Array, second: UInt64Array, number: Int64Array, stamp: Int64Array) -> Int64Array:
        """Look up one batch, numbers ascending, and put it in; returns the places of the duplicates."""
        events, now_ms = int(number[-1]) + 1, int(stamp[-1])
        order = order_by(second)
        first, second, number, stamp = first[order], second[order], number[order], stamp[order]
        again = np.zeros(len(order), np.bool_)
        again[1:] = (first[1:] == first[:-1]) & (second[1:] == second[:-1])
        duplicate = np.zeros(len(order), np.bool_)
        repeats = np.flatnonzero(again)
        near = number[repeats] - number[repeats - 1] <= self._window.events
        duplicate[repeats] = near & (stamp[repeats] - stamp[repeats - 1] < self._window.age_ms)
        fresh = np.flatnonzero(~again)
        place, slot = self._table.find(first[fresh], second[fresh])
        if len(place):
            rows = fresh[place]
            before = self._table.numbers(slot, number[rows])
            duplicate[rows] = self._records.remembers(before, number[rows], stamp[rows])
            self._table.unlink(second[rows], slot)
        self._table.forget(self._records.forget(events, now_ms))
        newest = np.ones(len(order), np.bool_)
        newest[:-1] = ~again[1:]
        self._table.insert(first[newest], second[newest], number[newest])
        return order[duplicate]


def _rising(records: Sequence[IdRecord]) -> Iterator[Sequence[IdRecord]]:
    """The records, cut where timestamps run back."""
    start = 0
    for i in range(1, len(records)):
        if records[i].timestamp_ms < records[i - 1].timestamp_ms:
            yield records[start:i]
            start = i
    if len(records):
        yield records[start:]


def _places(ids: pa.StringArray | None) -> Int64Array:
    """Places of the events that have an id."""
    if ids is None or ids.null_count == len(ids):
        return np.zeros(0, np.int64)
    if not ids.null_count:
        return np.arange(len(ids))
    return np.flatnonzero(ids.is_valid().to_numpy(zero_copy_only=False))


def _present(ids: pa.StringArray | None) -> pa.StringArray:
    return ids.drop_null() if ids is not None and ids.null_count else ids
