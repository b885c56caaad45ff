"""Deltas against a fold in plain Python, and their independence of how records were read."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates import deltas, grouping
from aggregates.duplicates import DuplicateWindow
from aggregates.recovery import recover
from aggregates.rollup import Gap
from aggregates.sketches import MAX_BIN, hash_texts
from ingest.events import encode
from ingest.log import LogRecord, Topics, checksum
from ingest.memory_log import MemoryLog
from tests.builders import Event, columns_of, log_records, record_value, rollup_of

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
Row = tuple[object, ...]
"""offset, metric and kind, dimensions, second, count, sum, min, max, last, its time, duplicates, bins, hashes."""


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
                    None if row["bins"] is None else tuple(zip(row["bins"], row["bin_counts"], strict=True)),
                    None if row["hashes"] is None else tuple(row["hashes"]),
                )
            )
    return sorted(rows, key=repr)


def folded(batches: list[list[Event]]) -> list[Row]:
    """The same by hand."""
    seen: set[tuple[str, str, str]] = set()
    groups: dict[tuple[int, str, str, int], list[tuple[int, int, float | str, bool]]] = {}
    for offset, batch in enumerate(batches):
        for place, (metric, dimensions, time, value, id_) in enumerate(batch):
            kind = "unique" if isinstance(value, str) else "distribution"
            labels = json.dumps(dict(sorted(dimensions.items())), ensure_ascii=False, separators=(",", ":"))
            identity = (metric + kind, labels, id_ or "")
            duplicate = id_ is not None and identity in seen
            if id_ is not None:
                seen.add(identity)
            key = (offset, metric + kind, labels, math.floor(time / 1000))
            groups.setdefault(key, []).append((time, place, value, duplicate))
    return sorted((row_of(key, events) for key, events in groups.items()), key=repr)


def row_of(key: tuple[int, str, str, int], events: list[tuple[int, int, float | str, bool]]) -> Row:
    counted = sorted((e for e in events if not e[3]), key=lambda e: e[:2])
    numbers = [(time, value) for time, _, value, _ in counted if not isinstance(value, str)]
    values = [value for _, value in numbers]
    total = round(math.fsum(values), 2) if values else None
    low, high = (min(values), max(values)) if values else (None, None)
    last_time, last = numbers[-1] if numbers else (None, None)
    bins = hashes = None
    if key[1].endswith("distribution"):
        bins = tuple(sorted(Counter(bin_of(value) for value in values).items()))
    else:
        hashes = tuple(sorted({hash_of(value) for _, _, value, _ in counted if isinstance(value, str)}))
    return (*key, len(counted), total, low, high, last, last_time, len(events) - len(counted), bins, hashes)


def bin_of(value: float) -> int:
    """The definition, word for word."""
    if abs(value) < 1e-12:
        return 0
    log_gamma = math.log(1.01 / 0.99)
    first = math.ceil(math.log(1e-12) / log_gamma)
    last = math.ceil(math.log(1e15) / log_gamma)
    code = min(max(math.ceil(math.log(abs(value)) / log_gamma), first), last) - first + 1
    return code if value > 0 else -code


def hash_of(text: str) -> int:
    return int(hash_texts(pa.array([text]))[0])


@settings(max_examples=120)
@given(BATCHES)
def test_rows_are_those_of_a_plain_fold(batches: list[list[Event]]) -> None:
    delta = rollup_of().add(log_records(batches))
    assert delta is not None
    for found, expected in zip(rows_of([delta]), folded(batches), strict=True):
        assert found[:11] == pytest.approx(expected[:11], abs=0.02)
        assert found[11:] == expected[11:]


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
        left = data.draw(st.integers(1, 4))
        while left:
            offset = worker.next_offset
            found = log.read(topics.events, 0, offset)
            if found is None:
                break
            delta = worker.add([found])
            if delta is not None:
                left -= 1
                log.append(topics.rollups, 0, deltas.encode(delta))
                written.append(delta)
                if data.draw(st.booleans()):
                    break  # killed before the next record
    whole = rollup_of().add(log_records(batches))
    assert whole is not None
    assert rows_of(written) == rows_of([whole])
    positions = [(d.header.first_offset, d.header.next_offset) for d in written]
    assert positions == [(i, i + 1) for i in range(len(batches))]


SENT = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 4_000), st.one_of(VALUES, st.sampled_from(["u", "v", "w"]))),
    min_size=1,
    max_size=20,
)


@settings(max_examples=100)
@given(SENT, st.data())
def test_any_order_split_and_repetition_adds_up_to_the_same(
    sent: list[tuple[str, int, float | str]], data: st.DataObject
) -> None:
    """Every event has an id of its own and is delivered at least once, anywhere."""
    events: list[Event] = [(metric, {}, time, value, str(i)) for i, (metric, time, value) in enumerate(sent)]
    again = data.draw(st.lists(st.sampled_from(events), max_size=20))
    order = data.draw(st.permutations([*events, *again]))
    batches, start = [], 0
    while start < len(order):
        size = data.draw(st.integers(1, len(order) - start))
        batches.append(order[start : start + size])
        start += size
    rollup, found = rollup_of(), []
    for record in log_records(batches):
        delta = rollup.add([record])
        assert delta is not None
        found.append(delta)
    assert merged(rows_of(found)) == merged(folded([events]))
    assert sum(int(delta.rows.column("duplicates").to_numpy().sum()) for delta in found) == len(again)


def merged(rows: list[Row]) -> dict[object, tuple[object, ...]]:
    """Rows of any offsets by series and second: count, sum, min, max, bins, hashes."""
    groups: dict[object, list[Row]] = defaultdict(list)
    for row in rows:
        if row[4]:
            groups[row[1:4]].append(row)
    found: dict[object, tuple[object, ...]] = {}
    for key, parts in groups.items():
        columns: list[list[object]] = [[v for v in column if v is not None] for column in zip(*parts, strict=True)]
        bins: Counter[int] = Counter()
        for part in columns[11]:
            bins.update(dict(part))  # type: ignore[call-overload]
        found[key] = (
            sum(columns[4]),  # type: ignore[arg-type]
            pytest.approx(sum(columns[5]), abs=0.2),  # type: ignore[arg-type]
            min(columns[6], default=None),  # type: ignore[type-var]
            max(columns[7], default=None),  # type: ignore[type-var]
            dict(bins),
            {h for part in columns[12] for h in part},  # type: ignore[attr-defined]
        )
    return found


@settings(max_examples=50)
@given(BATCHES)
def test_what_is_accepted_is_counted_or_a_duplicate(batches: list[list[Event]]) -> None:
    delta = rollup_of().add(log_records(batches))
    assert delta is not None
    header = deltas.decode(deltas.encode(delta)).header
    accepted = {(r.offset, header.metrics[m]): n for r in header.records for m, n in r.accepted}
    judged: Counter[tuple[int, str]] = Counter()
    for row in delta.rows.to_pylist():
        judged[row["offset"], row["series"]["metric"]] += row["count"] + row["duplicates"]
    assert accepted == judged
    assert sum(accepted.values()) == sum(map(len, batches))


def test_values_at_the_ends_of_a_double_are_counted() -> None:
    values = [1e308, 1e308, -1e308, 5e-324, -5e-324, 0.0, -0.0]
    delta = rollup_of().add(log_records([[("a", {}, 0, value, None) for value in values]]))
    assert delta is not None
    (row,) = delta.rows.to_pylist()
    assert (row["count"], row["min"], row["max"]) == (7, -1e308, 1e308)
    assert list(zip(row["bins"], row["bin_counts"], strict=True)) == [(-MAX_BIN, 1), (0, 4), (MAX_BIN, 2)]
    delta = rollup_of().add(log_records([[("a", {}, 0, 1e308, None)] * 2]))
    assert delta is not None
    assert delta.rows.column("sum").to_pylist() == [math.inf]


def test_as_many_series_as_events() -> None:
    batch: list[Event] = [("a", {"x": str(n)}, 0, 1.0, None) for n in range(16_000)]
    delta = rollup_of().add(log_records([batch, batch]))
    assert delta is not None
    assert delta.rows.num_rows == 32_000
    assert len(delta.rows.column("series").dictionary) == 16_000


def test_a_run_of_unreadable_records_alone_is_a_delta_without_rows() -> None:
    delta = rollup_of().add([LogRecord(0, 5, b"junk"), LogRecord(1, 6, None)])
    assert delta is not None
    decoded = deltas.decode(deltas.encode(delta))
    assert decoded.rows.num_rows == 0
    assert [bool(record.undecodable) for record in decoded.header.records] == [True, True]
    assert decoded.header.next_offset == 2


def test_imported_history_is_marked() -> None:
    columns = columns_of([("a", {}, 0, 1.0, None)])
    columns.history = True
    (record,) = encode(columns, 1)
    delta = rollup_of().add([LogRecord(0, 5, record.value), *log_records([[("a", {}, 0, 1.0, None)]], 1)])
    assert delta is not None
    assert [r.history for r in deltas.decode(deltas.encode(delta)).header.records] == [True, False]


def test_event_times_ages_apart_are_grouped_alike() -> None:
    """Series, seconds and places that do not fit into one integer as they are."""
    times = (0, (2**37 - 1) * 1000, 5_000, (2**37 - 1) * 1000 + 1, 1)
    once: list[Event] = [("a", {"x": str(n)}, time, 1.0, None) for n in range(32) for time in times]
    batch = once * 60
    delta = rollup_of().add(log_records([batch]))
    assert delta is not None
    assert rows_of([delta]) == folded([batch])


def test_more_events_than_fit_into_one_integer_are_sorted_by_columns() -> None:
    count = 2**18
    times = np.random.default_rng(1).integers(0, 2**40, count)
    series = np.arange(count) % 2**17
    order, starts = grouping.order_of(np.zeros(count, np.int64), series, times, 2**17)
    assert np.array_equal(order, np.lexsort((np.arange(count), times, series)))
    keys = np.stack([series[order], times[order] // 1000], axis=1)
    assert np.array_equal(starts[1:], np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1)


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


@settings(max_examples=40)
@given(BATCHES, st.data())
def test_deltas_lie_end_to_end_over_holes_that_the_log_has(batches: list[list[Event]], data: st.DataObject) -> None:
    """Transactions leave control records between the records: their offsets belong to the delta behind them."""
    rollup, whole = rollup_of(), rollup_of().add(log_records(batches))
    assert whole is not None
    found, offset = [], 0
    for record in log_records(batches):
        offset += data.draw(st.integers(0, 2))
        rollup.skip_to(offset)
        delta = rollup.add([LogRecord(offset, record.timestamp_ms, record.value)])
        assert delta is not None
        found.append(delta)
        offset += 1
    starts = [delta.header.first_offset for delta in found]
    assert starts == [0, *(delta.header.next_offset for delta in found[:-1])]
    assert found[-1].header.next_offset == offset
    assert sorted(repr(row[1:]) for row in rows_of(found)) == sorted(repr(row[1:]) for row in rows_of([whole]))
