"""Duplicates against a dictionary that remembers everything."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.duplicates import DuplicateWindow, IdRecord, SeenIds, hash_ids
from aggregates.id_table import IdTable
from ingest.events import MAX_RECORD_EVENTS

IDS = st.one_of(
    st.none(),
    st.integers(0, 60).map(str),
    st.sampled_from(["", "a", "b", "ab", "a\0", "abcdefgh", "abcdefghi", "é" * 9, "x" * 300, "y" * 600]),
)
EVENTS = st.lists(st.tuples(st.integers(0, 2), IDS), min_size=1, max_size=12)
FILLERS = st.integers(MAX_RECORD_EVENTS - 3, MAX_RECORD_EVENTS).map(lambda n: [(0, None)] * n)
PAUSES = st.sampled_from([0, 0, 1, 2, 5, 10, -1, -20])
RECORDS = st.lists(st.tuples(PAUSES, st.one_of(EVENTS, EVENTS, FILLERS)), max_size=40)
Events = list[tuple[int, str | None]]


class Everything:
    """The definition, word for word."""

    def __init__(self, window: DuplicateWindow) -> None:
        self.window, self.seen, self.events = window, dict[tuple[int, str], tuple[int, int]](), 0
        self.times: list[int] = []

    def mark(self, now_ms: int, events: Events) -> list[bool]:
        found = []
        self.times.append(now_ms)
        for key, id_ in events:
            before = self.seen.get((key, id_)) if id_ is not None else None
            found.append(before is not None and self.remembers(*before))
            if id_ is not None:
                self.seen[key, id_] = self.events, len(self.times) - 1
            self.events += 1
        return found

    def remembers(self, number: int, record: int) -> bool:
        age_ms = max(self.times[record:]) - self.times[record]
        return self.events - number <= self.window.events and age_ms < self.window.age_ms


def id_record(offset: int, now_ms: int, events: Events) -> IdRecord:
    keys = np.array([key for key, _ in events], np.uint64)
    return IdRecord(offset, now_ms, keys, pa.array([id_ for _, id_ in events], pa.utf8()))


@settings(max_examples=60)
@given(RECORDS, st.sampled_from([0, 1, 40, 20_000]), st.sampled_from([1, 5, 30, 10_000]), st.data())
def test_duplicates_are_those_of_the_definition(
    records: list[tuple[int, Events]], extra: int, age_ms: int, data: st.DataObject
) -> None:
    """However many records are looked at together, and though the broker's clock steps back."""
    window = DuplicateWindow(MAX_RECORD_EVENTS + extra, age_ms, salt=extra)
    seen, everything, now_ms = SeenIds(window), Everything(window), 0
    waiting: list[tuple[IdRecord, list[bool]]] = []
    for offset, (pause, events) in enumerate(records):
        now_ms += pause
        waiting.append((id_record(offset, now_ms, events), everything.mark(now_ms, events)))
        if data.draw(st.booleans()) or offset == len(records) - 1:
            marked = seen.mark([record for record, _ in waiting])
            assert [flags.tolist() for flags in marked] == [flags for _, flags in waiting]
            waiting = []


@pytest.mark.parametrize("seed", range(12))
def test_duplicates_of_a_long_history(seed: int) -> None:
    """Many repetitions around the edges of both windows, with a clock that steps back by more than a window."""
    draw = np.random.default_rng(seed)
    window = DuplicateWindow(MAX_RECORD_EVENTS, int(draw.integers(3, 40)))
    seen, everything, now_ms, offset = SeenIds(window), Everything(window), 0, 0
    for _ in range(80):
        together, expected = [], []
        for _ in range(int(draw.integers(1, 5))):
            now_ms += int(draw.choice([0, 0, 1, 1, 2, 5, 20, -1, -10, -30]))
            size = 6_000 if draw.random() < 0.1 else int(draw.integers(1, 8))
            ids = draw.integers(0, 40, size).tolist() if size < 10 else [40] * size
            events: Events = [(0, str(n) if n < 40 else None) for n in ids]
            together.append(id_record(offset, now_ms, events))
            expected.append(everything.mark(now_ms, events))
            offset += 1
        assert [flags.tolist() for flags in seen.mark(together)] == expected


def test_one_id_for_two_series_counts_for_both() -> None:
    marked = SeenIds(DuplicateWindow()).mark([id_record(0, 0, [(1, "a"), (2, "a"), (1, "a")])])
    assert marked[0].tolist() == [False, False, True]


@pytest.mark.parametrize("size", [1, 700, 5_000])
def test_ids_that_left_the_window_make_room(size: int) -> None:
    """Memory stays level, and 16 bytes an id: through growth, wrapping round and repetition."""
    window = DuplicateWindow(2 * MAX_RECORD_EVENTS)
    seen, everything, draw = SeenIds(window), Everything(window), np.random.default_rng(7)
    everything.times = [0]
    levels = []
    for offset in range(200_000 // size if size > 1 else 3_000):
        drawn = draw.integers(0, 60_000, size).tolist()
        events: Events = [(0, None if n % 7 == 0 else str(n % 50 if n % 3 == 0 else n)) for n in drawn]
        everything.times = everything.times[-1:]
        marked = seen.mark([id_record(offset, 0, events)])
        assert marked[0].tolist() == [
            before is not None and number - before <= window.events for number, before in previous(everything, events)
        ]
        levels.append(seen.bytes)
    assert max(levels) <= (window.events + 2**16) * 16 + 2**16 * 4 + 24 * 2 * 3_000 + 2**18
    if size > 1:
        assert levels[-1] == levels[len(levels) * 3 // 4]
        newest = everything.events - window.events
        assert seen.oldest_offset == newest // size


def previous(everything: Everything, events: Events) -> list[tuple[int, int | None]]:
    """(number, number of the same id before) of each event; remembers every id for ever."""
    found = []
    for key, id_ in events:
        before = None if id_ is None else everything.seen.get((key, id_), (None, 0))[0]
        found.append((everything.events, before))
        if id_ is not None:
            everything.seen[key, id_] = everything.events, 0
        everything.events += 1
    return found


def test_ids_sent_for_ever_make_no_long_chains() -> None:
    """Senders with constant ids: a repeated id takes the place of its last copy, in whatever chain it lies."""
    seen, shortest = SeenIds(DuplicateWindow(MAX_RECORD_EVENTS)), 0
    constant: Events = [(0, f"constant-{n}") for n in range(3_000)]
    for offset in range(30):
        marked = seen.mark([id_record(offset, 0, [*constant, (0, str(offset))])])
        assert marked[0].sum() == (3_000 if offset else 0)
        shortest = shortest or seen.longest_chain
    assert seen.longest_chain <= shortest + 1


def test_entries_and_events_are_counted_beyond_32_bits() -> None:
    table, known = IdTable(MAX_RECORD_EVENTS, first_entry=2**32 - 70_000), dict[int, int]()
    draw = np.random.default_rng(3)
    number = 2**32 - 50_000
    for _ in range(40):
        second = np.unique(draw.integers(0, 30_000, 4000).astype(np.uint64)) << np.uint64(40)
        first = second * np.uint64(3)
        numbers = number + np.arange(len(second))
        rows, slots = table.find(first, second)
        found = dict(zip(rows.tolist(), table.numbers(slots, numbers[rows]).tolist(), strict=True))
        recent = {i: known[s] for i, s in enumerate(second.tolist()) if known.get(s, 0) >= number - MAX_RECORD_EVENTS}
        assert recent.items() <= found.items()
        assert all(known[int(second[i])] == n for i, n in found.items())
        if len(rows):
            table.unlink(second[rows], slots)
        table.insert(first, second, numbers)
        known |= dict(zip(second.tolist(), numbers.tolist(), strict=True))
        number += len(second)
        table.forget(number - MAX_RECORD_EVENTS)
    assert number > 2**32


@given(st.lists(st.one_of(st.text(max_size=40), st.text(min_size=505, max_size=520)), min_size=1, max_size=20))
def test_a_hash_does_not_depend_on_its_neighbours(ids: list[str]) -> None:
    keys = np.arange(len(ids)).astype(np.uint64)
    together = hash_ids(pa.array(ids, pa.utf8()), keys)
    for i, id_ in enumerate(ids):
        alone = hash_ids(pa.array([id_], pa.utf8()), keys[i : i + 1])
        assert (alone[0][0], alone[1][0]) == (together[0][i], together[1][i])


def test_a_million_sequential_ids_have_distinct_hashes() -> None:
    ids = pa.array([f"order-{n:08d}-{n % 97:08d}" for n in range(1_000_000)])
    for hashes in hash_ids(ids, np.zeros(len(ids), np.uint64)):
        assert len(np.unique(hashes)) == len(ids)


@pytest.mark.parametrize(("events", "age_ms"), [(MAX_RECORD_EVENTS - 1, 1), (MAX_RECORD_EVENTS, 0)])
def test_a_window_smaller_than_a_record_is_refused(events: int, age_ms: int) -> None:
    with pytest.raises(ValueError, match="window of duplicates"):
        DuplicateWindow(events, age_ms)
