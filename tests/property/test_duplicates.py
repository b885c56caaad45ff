"""Duplicates against a dictionary that remembers everything."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.duplicates import DuplicateWindow, SeenIds, hash_ids
from ingest.events import MAX_RECORD_EVENTS

IDS = st.sampled_from([None, "", "a", "b", "ab", "a\0", "abcdefgh", "abcdefghi", "é" * 9, "x" * 300])
EVENTS = st.lists(st.tuples(st.integers(0, 2), IDS), min_size=1, max_size=30)
FILLERS = st.integers(MAX_RECORD_EVENTS - 3, MAX_RECORD_EVENTS).map(lambda n: [(0, None)] * n)
RECORDS = st.lists(st.tuples(st.integers(0, 10), st.one_of(EVENTS, EVENTS, FILLERS)), max_size=25)


class Everything:
    """The definition, word for word."""

    def __init__(self, window: DuplicateWindow) -> None:
        self.window, self.seen, self.events = window, dict[tuple[int, str], tuple[int, int]](), 0

    def mark(self, now_ms: int, events: list[tuple[int, str | None]]) -> list[bool]:
        found = []
        for key, id_ in events:
            before = self.seen.get((key, id_)) if id_ is not None else None
            found.append(
                before is not None
                and self.events - before[0] <= self.window.events
                and now_ms - before[1] < self.window.age_ms
            )
            if id_ is not None:
                self.seen[key, id_] = self.events, now_ms
            self.events += 1
        return found


@settings(max_examples=50)
@given(RECORDS, st.sampled_from([0, 1, 40, 20_000]), st.sampled_from([1, 5, 30, 10_000]))
def test_duplicates_are_those_of_the_definition(
    records: list[tuple[int, list[tuple[int, str | None]]]], extra: int, age_ms: int
) -> None:
    window = DuplicateWindow(MAX_RECORD_EVENTS + extra, age_ms)
    seen, everything, now_ms = SeenIds(window), Everything(window), 0
    for offset, (pause, events) in enumerate(records):
        now_ms += pause
        keys = np.array([key for key, _ in events], np.uint64)
        ids = pa.array([id_ for _, id_ in events], pa.utf8())
        assert seen.mark(offset, now_ms, keys, ids).tolist() == everything.mark(now_ms, events)


def test_ids_that_left_the_window_make_room() -> None:
    window = DuplicateWindow(2 * MAX_RECORD_EVENTS)
    seen, everything, draw = SeenIds(window), Everything(window), np.random.default_rng(7)
    largest = 0
    for offset in range(200):
        events: list[tuple[int, str | None]] = [(0, str(n)) for n in draw.integers(0, 60_000, 1000).tolist()]
        marked = seen.mark(offset, offset, np.zeros(1000, np.uint64), pa.array([id_ for _, id_ in events]))
        assert marked.tolist() == everything.mark(offset, events)
        largest = max(largest, seen.bytes)
    assert largest <= 2**17 * 24
    assert seen.oldest_offset == 200 - 33  # the records that hold the newest 32,768 events


@given(st.lists(st.text(max_size=40), min_size=1, max_size=20))
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
