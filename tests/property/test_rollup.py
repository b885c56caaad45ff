"""Deltas against a fold in plain Python, and their independence of how records were read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates import deltas
from aggregates.duplicates import DuplicateWindow
from aggregates.recovery import recover
from aggregates.rollup import Gap
from ingest.log import LogRecord, Topics, checksum
from ingest.memory_log import MemoryLog
from tests.builders import Event, log_records, record_value, rollup_of

VALUES = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))
TIMES = st.one_of(st.integers(-5_000, 5_000), st.integers(1_795_428_000_000, 1_795_428_090_000), st.integers(0, 10**14))
EVENT: st.SearchStrategy[Event] = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from([{}, {"x": "1"}, {"x": "2", "y": "é"}]),
    TIMES,
    st.one_of(VALUES, VALUES, st.sampled_from(["u", "v"])),
    st.sampled_from([None, None, "1", "2", "3"]),
)
BATCHES = st.lists(st.lists(EVENT, min_size=1, max_size=25), min_size=1, max_size=8)
Row = tuple[int, str, str, int, int, float | None, float | None, float | None, float | None, int | None, int]


def rows_of(found: Iterable[deltas.Delta]) -> list[Row]:
    """Rows as plain tuples, sorted; sums rounded, their last digits depend on the order of adding."""
    rows = []
    for delta in found:
        for row in deltas.decode(deltas.encode(delta)).rows.to_pylist():
            series = row["series"]
            last_time = row["last_time"]
            rows.append(
                (
                    row["offset"],
                    series["metric"] + series["kind"],
                    series["dimensions"],
                    int(row["second"].timestamp()),
                    row["count"],
                    None if row["sum"] is None else round(row["sum"], 2),
                    row["min"],
                    row["max"],
                    row["last"],
                    None if last_time is None else round(last_time.timestamp() * 1000),
                    row["duplicates"],
                )
            )
    return sorted(rows, key=repr)


def folded(batches: list[list[Event]]) -> list[Row]:
    """The same by hand."""
    seen: set[tuple[str, str, str]] = set()
    groups: dict[tuple[int, str, str, int], list[tuple[int, int, float | None, bool]]] = {}
    for offset, batch in enumerate(batches):
        for place, (metric, dimensions, time, value, id_) in enumerate(batch):
            kind = "unique" if isinstance(value, str) else "distribution"
            labels = json.dumps(dict(sorted(dimensions.items())), ensure_ascii=False, separators=(",", ":"))
            identity = (metric + kind, labels, id_ or "")
            duplicate = id_ is not None and identity in seen
            if id_ is not None:
                seen.add(identity)
            number = None if isinstance(value, str) else value
            key = (offset, metric + kind, labels, math.floor(time / 1000))
            groups.setdefault(key, []).append((time, place, number, duplicate))
    rows = []
    for key, events in groups.items():
        counted = sorted(e for e in events if not e[3])
        numbers = [e for e in counted if e[2] is not None]
        values = [e[2] for e in numbers if e[2] is not None]
        total = round(math.fsum(values), 2) if values else None
        low, high = (min(values), max(values)) if values else (None, None)
        last, last_time = (numbers[-1][2], numbers[-1][0]) if numbers else (None, None)
        rows.append((*key, len(counted), total, low, high, last, last_time, len(events) - len(counted)))
    return sorted(rows, key=repr)


@settings(max_examples=200)
@given(BATCHES)
def test_rows_are_those_of_a_plain_fold(batches: list[list[Event]]) -> None:
    delta = rollup_of().add(log_records(batches))
    assert delta is not None
    for found, expected in zip(rows_of([delta]), folded(batches), strict=True):
        assert found == pytest.approx(expected, abs=0.02)


@settings(max_examples=80)
@given(BATCHES, st.data())
def test_rows_do_not_depend_on_the_runs_they_were_read_in(batches: list[list[Event]], data: st.DataObject) -> None:
    records = log_records(batches)
    whole = rollup_of().add(records)
    assert whole is not None
    split, parts, start = rollup_of(), [], 0
    while start < len(records):
        size = data.draw(st.integers(1, len(records) - start))
        part = split.add(records[start : start + size])
        assert part is not None
        parts.append(part)
        start += size
    assert rows_of(parts) == rows_of([whole])
    assert parts[-1].header.crc == whole.header.crc == checksum(records[-1].value)


@settings(max_examples=25)
@given(BATCHES, st.data())
def test_a_worker_killed_anywhere_goes_on_with_the_same_rows(batches: list[list[Event]], data: st.DataObject) -> None:
    """At every kill the next worker starts from what stands in `rollups`; a delta that was written but never
    acknowledged stands there too."""
    topics = Topics(partitions=1)
    log, window = MemoryLog(), DuplicateWindow()
    log.ensure_topics(topics)
    for record in log_records(batches):
        log.append(topics.events, 0, record.value, record.timestamp_ms)
    written: list[deltas.Delta] = []
    while log.end_offsets(topics.events)[0] > (written[-1].header.next_offset if written else 0):
        worker = recover(log, topics, 0, window)
        for _ in range(data.draw(st.integers(1, 4))):
            offset = worker.next_offset
            found = log.read(topics.events, 0, offset)
            if found is None:
                break
            delta = worker.add([found])
            if delta is not None:
                log.append(topics.rollups, 0, deltas.encode(delta))
                written.append(delta)
                if data.draw(st.booleans()):
                    break  # killed before the next record
    whole = rollup_of().add(log_records(batches))
    assert whole is not None
    assert rows_of(written) == rows_of([whole])
    positions = [(d.header.first_offset, d.header.next_offset) for d in written]
    assert positions == [(i, i + 1) for i in range(len(batches))]


def test_event_times_decades_apart_take_the_slow_path_to_the_same_rows() -> None:
    ends = 4 * 10**13
    times = (0, ends, -ends, 5, ends + 1)
    once: list[Event] = [("a", {"x": str(n)}, time, 1.0, None) for n in range(32) for time in times]
    batch = once * 60
    delta = rollup_of().add(log_records([batch]))
    assert delta is not None
    assert rows_of([delta]) == folded([batch])


def test_an_unreadable_record_is_passed_with_its_reason() -> None:
    records = log_records([[("a", {}, 0, 1.0, None)], [("a", {}, 0, 2.0, None)]])
    junk = LogRecord(1, 5, b"\x80\x04\x95junk")
    delta = rollup_of().add([records[0], junk, LogRecord(2, 9, records[1].value)])
    assert delta is not None
    assert [(r.offset, r.events) for r in delta.header.records] == [(0, 1), (1, 0), (2, 1)]
    assert delta.header.records[1].undecodable
    assert delta.rows.column("offset").to_pylist() == [0, 2]


def test_a_hole_is_refused_before_anything_changes() -> None:
    rollup = rollup_of()
    value = record_value([("a", {}, 0, 1.0, "id")])
    with pytest.raises(Gap):
        rollup.add([LogRecord(0, 0, value), LogRecord(2, 0, value)])
    delta = rollup.add([LogRecord(0, 0, value)])
    assert delta is not None
    assert np.array_equal(delta.rows.column("duplicates").to_numpy(), [0])


def test_state_from_names_the_oldest_record_whose_ids_matter() -> None:
    window = DuplicateWindow(age_ms=10_000)
    rollup = rollup_of(window)
    ids = [None, *(str(number) for number in range(20))]
    batches: list[list[Event]] = [[("a", {}, 0, 1.0, id_)] for id_ in ids]
    states = []
    for record in log_records(batches):
        delta = rollup.add([record])
        assert delta is not None
        states.append(delta.header.state_from)
    # Offset 0 holds no id; records a second apart matter for less than ten seconds.
    assert states == [1, *([1] * 10), *range(2, 12)]
