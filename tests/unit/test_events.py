"""The record format of `events`: golden bytes, stable keys, and what is no batch of events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ingest.events import MAX_RECORD_EVENTS, NO_START, DecodedEvents, EventColumns, Record, Undecodable, decode, encode
from ingest.series import Kind, Series, SeriesTable, partition_of

GOLDEN = Path(__file__).parents[1] / "golden" / "events-v1.arrow"
ORDERS = Series("orders.revenue", Kind.DISTRIBUTION, (("country", "NL"), ("product", "p17")), "EUR")
VISITORS = Series("visitors", Kind.UNIQUE)


def golden_columns() -> EventColumns:
    table = SeriesTable()
    numbers = [table.intern(series) for series in (ORDERS, VISITORS, ORDERS)]
    return EventColumns(
        table,
        np.array(numbers, np.int32),
        np.array([1_795_428_000_250, 1_795_428_000_251, -1], np.int64),
        np.array([12.5, np.nan, -0.25]),
        [None, "Zoë", None],
        ["0190f", None, None],
    )


def test_version_1_keeps_its_bytes() -> None:
    (record,) = encode(golden_columns(), 1)
    assert record.value == GOLDEN.read_bytes()
    assert record.headers == [("events", b"3")]


def test_version_1_is_read_for_ever() -> None:
    events = decode(GOLDEN.read_bytes())
    assert isinstance(events, DecodedEvents)
    assert [events.series[int(i)].as_py()["metric"] for i in events.index] == [
        "orders.revenue",
        "visitors",
        "orders.revenue",
    ]
    assert events.series[0].as_py() == {
        "key": ORDERS.key,
        "metric": "orders.revenue",
        "kind": "distribution",
        "unit": "EUR",
        "dimensions": '{"country":"NL","product":"p17"}',
    }
    assert events.times.tolist() == [1_795_428_000_250, 1_795_428_000_251, -1]
    assert events.values[[0, 2]].tolist() == [12.5, -0.25]
    assert np.isnan(events.values[1])
    assert events.texts is not None
    assert events.texts.to_pylist() == [None, "Zoë", None]
    assert events.ids is not None
    assert events.ids.to_pylist() == ["0190f", None, None]


def test_start_times_are_a_column_only_where_there_are_any() -> None:
    table = SeriesTable()
    numbers = [table.intern(Series("served", Kind.CUMULATIVE, (("pod", pod),))) for pod in "abc"]
    plain = EventColumns(table, np.array(numbers, np.int32), np.arange(3), np.ones(3))
    none = replace(plain, starts=np.full(3, NO_START))
    assert encode(none, 1) == encode(plain, 1)
    some = replace(plain, starts=np.array([5, NO_START, -7]))
    (record,) = encode(some, 1)
    events = decode(record.value)
    assert isinstance(events, DecodedEvents)
    assert events.starts is not None
    assert events.starts.tolist() == [5, NO_START, -7]
    for record in encode(replace(plain, starts=np.array([5, NO_START, NO_START])), 64):
        events = decode(record.value)
        assert isinstance(events, DecodedEvents)
        assert (events.starts is None) == (events.times[0] != 0)


def test_series_keys_are_stable() -> None:
    assert ORDERS.key == 3693856700437615949
    assert Series("visitors", Kind.UNIQUE).key == 11670039038757433443
    assert Series("orders.revenue", Kind.DISTRIBUTION, ORDERS.dimensions, "USD").key == ORDERS.key
    assert partition_of(ORDERS.key, 4) == 1


def test_a_batch_is_split_by_partition_and_size() -> None:
    table = SeriesTable()
    numbers = [table.intern(Series("m", Kind.COUNTER, (("n", str(i)),))) for i in range(100)]
    count = 3 * MAX_RECORD_EVENTS
    columns = EventColumns(
        table, np.resize(np.array(numbers, np.int32), count), np.arange(count, dtype=np.int64), np.ones(count)
    )
    records = encode(columns, 2)
    assert sum(record.events for record in records) == count
    assert all(record.events <= MAX_RECORD_EVENTS for record in records)
    for record in records:
        events = decode(record.value)
        assert isinstance(events, DecodedEvents)
        assert {partition_of(int(key), 2) for key in events.keys} == {record.partition}
        assert (np.diff(events.times) > 0).all()  # in the given order


def test_large_events_make_several_records() -> None:
    table = SeriesTable()
    number = table.intern(VISITORS)
    columns = EventColumns(
        table, np.full(10, number, np.int32), np.zeros(10, np.int64), np.full(10, np.nan), ["x" * 1_000_000] * 10
    )
    records = encode(columns, 1)
    assert [record.events for record in records] == [2, 3, 2, 3]


def stream_of(schema: pa.Schema, batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def broken_records() -> dict[str, bytes | None]:
    golden = GOLDEN.read_bytes()
    with pa.ipc.open_stream(golden) as reader:
        batch = reader.read_next_batch()
    schema = batch.schema
    renamed = schema.with_metadata({**(schema.metadata or {}), b"tallyboard.version": b"2"})
    without_time = batch.drop_columns(["time"])
    text_time = batch.set_column(1, "time", pa.array(["a", "b", "c"]))
    indices = pa.array([0, 1, 99], pa.int32())
    wild = pa.DictionaryArray.from_arrays(indices, batch.column("series").dictionary, safe=False)
    pointing_out = batch.set_column(0, schema.field("series"), wild)
    return {
        "nothing": None,
        "empty": b"",
        "text": b'{"metric":"orders"}',
        "cut short": golden[: len(golden) // 2],
        "another version": stream_of(renamed, batch.replace_schema_metadata(renamed.metadata)),
        "no metadata": stream_of(schema.remove_metadata(), batch.replace_schema_metadata(None)),
        "no time": stream_of(without_time.schema, without_time),
        "time is text": stream_of(text_time.schema, text_time),
        "index outside": stream_of(pointing_out.schema, pointing_out),
    }


@pytest.mark.parametrize("what", sorted(broken_records()))
def test_a_record_that_is_no_batch_is_said_to_be_none(what: str) -> None:
    found = decode(broken_records()[what])
    assert isinstance(found, Undecodable)
    assert found.reason


def test_an_empty_batch_makes_no_record() -> None:
    columns = EventColumns(SeriesTable(), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))
    assert encode(columns, 4) == []


def test_series_interned_at_different_times_are_all_found() -> None:
    table = SeriesTable()
    for size in (1, 10, 200, 3, 1000):
        numbers = [table.intern(Series("m", Kind.GAUGE, (("n", f"{size}-{i}"),))) for i in range(size)]
        columns = EventColumns(table, np.array(numbers, np.int32), np.zeros(size, np.int64), np.ones(size))
        (record,) = encode(columns, 1)
        assert isinstance(record, Record)
        events = decode(record.value)
        assert isinstance(events, DecodedEvents)
        names = [events.series[int(i)].as_py()["dimensions"] for i in events.index]
        assert names == [f'{{"n":"{size}-{i}"}}' for i in range(size)]
    assert len(table) == 1214
