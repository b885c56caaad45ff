"""What the store does with deltas: once each, in order, with their positions. `test_levels_hold` is about the rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aggregates.queries import Query
from aggregates.readmodel import ReadModel
from aggregates.store import MissingDeltas, Store
from ingest.registry import Registry
from tests.builders import Event, inputs_of, log_records, rollup_of

HOUR = 1_795_428_000
"""A whole hour, epoch seconds."""


@contextmanager
def opened() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "dashboard.duckdb", {})
        yield store
        store.close()


def one_event(second: int, value: float = 1.0) -> Event:
    return ("orders", {"country": "NL"}, 1000 * second, value, None)


def total(store: Store, start: int, end: int) -> object:
    query = Query("orders", ("count",), 1000 * start, 1000 * end)
    return ReadModel(store, Registry()).query(query).rows[0][0]


def test_texts_are_counted_but_do_not_water_down_an_average() -> None:
    text: Event = ("orders", {"country": "NL"}, 1000 * HOUR, "no number", None)
    delta = rollup_of().add(log_records([[one_event(HOUR, 10.0), one_event(HOUR, 5.5), text]]))
    assert delta
    with opened() as store:
        store.apply(inputs_of([delta]))
        query = Query("orders", ("count", "sum", "avg"), 1000 * HOUR, 1000 * (HOUR + 60))
        assert ReadModel(store, Registry()).query(query).rows == [(3, 15.5, 7.75)]


def test_a_name_with_a_comma_is_one_dimension() -> None:
    events: list[Event] = [
        ("orders", {"a,b": "X", "a": "1", "b": "2"}, 1000 * HOUR, 1.0, None),
        ("orders", {"a,b": "X", "a": "3", "b": "4"}, 1000 * HOUR, 10.0, None),
    ]
    delta = rollup_of().add(log_records([events]))
    assert delta
    with opened() as store:
        store.apply(inputs_of([delta]))
        query = Query("orders", ("sum",), 1000 * HOUR, 1000 * (HOUR + 60), by=("a", "b"))
        assert ReadModel(store, Registry()).query(query).rows == [("1", "2", 1.0), ("3", "4", 10.0)]


def test_a_sum_beyond_a_double_is_no_number_and_nothing_breaks() -> None:
    delta = rollup_of().add(log_records([[one_event(HOUR, 1e308), one_event(HOUR, 1e308)], [one_event(HOUR, 1e308)]]))
    assert delta
    with opened() as store:
        store.apply(inputs_of([delta]))
        store.seal(HOUR + 60)
        model = ReadModel(store, Registry())
        query = Query("orders", ("count", "sum", "avg", "max"), 1000 * HOUR, 1000 * (HOUR + 60))
        assert model.query(query).rows == [(3, None, None, 1e308)]
        (tile,) = model.tiles(1000 * (HOUR + 30))
        assert tile.windows["1m"].value is None


def test_the_kind_of_a_metric_does_not_depend_on_the_order_of_its_events() -> None:
    text: Event = ("orders", {}, 1000 * HOUR, "t", None)
    for batch in ([text, one_event(HOUR)], [one_event(HOUR), text]):
        delta = rollup_of().add(log_records([[event] for event in batch]))
        assert delta
        with opened() as store:
            store.apply(inputs_of([delta]))
            assert ReadModel(store, Registry()).metric("orders").kind == "distribution"


def test_a_delta_sent_again_changes_nothing_and_a_missing_one_stops() -> None:
    rollup = rollup_of()
    records = log_records([[one_event(HOUR + i)] for i in range(4)])
    first, second, third, fourth = (rollup.add([record]) for record in records)
    assert first
    assert second
    assert third
    assert fourth
    with opened() as store:
        assert store.apply(inputs_of([first, second])) == 2
        assert store.apply(inputs_of([second, first, second], 2)) == 0
        with pytest.raises(MissingDeltas, match="offsets 2 to 2 are missing"):
            store.apply(inputs_of([fourth], 5))
        assert total(store, HOUR, HOUR + 60) == 2
        assert store.apply(inputs_of([third, fourth], 5)) == 2
        assert total(store, HOUR, HOUR + 60) == 4


def test_the_part_of_a_delta_below_the_position_is_dropped() -> None:
    records = log_records([[one_event(HOUR + i)] for i in range(4)])
    start, whole = rollup_of().add(records[:2]), rollup_of().add(records)
    assert start
    assert whole
    with opened() as store:
        assert store.apply(inputs_of([start])) == 2
        assert store.apply(inputs_of([whole], 1)) == 2
        assert total(store, HOUR, HOUR + 60) == 4


def test_a_file_opened_again_goes_on_where_it_was() -> None:
    rollup = rollup_of()
    records = log_records([[one_event(HOUR + i)] for i in range(3)])
    first, second = rollup.add(records[:2]), rollup.add(records[2:])
    assert first
    assert second
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dashboard.duckdb"
        store = Store(path, {})
        group = store.meta("consumer_group")
        store.apply(inputs_of([first]))
        store.seal(HOUR + 60)
        positions = store.sources, store.inputs, store.kept
        store.close()
        store = Store(path, {})
        assert (store.sources, store.inputs, store.kept) == positions
        assert store.meta("consumer_group") == group
        assert store.apply(inputs_of([first, second])) == 1
        assert total(store, HOUR, HOUR + 60) == 3
        store.close()


def test_sealing_leaves_one_row_a_bucket() -> None:
    rollup = rollup_of()
    deltas = [rollup.add([record]) for record in log_records([[one_event(HOUR + i % 2)] for i in range(10)])]
    with opened() as store:
        for number, item in enumerate(deltas):
            assert item
            store.apply(inputs_of([item], number))
        store.seal(HOUR + 60)
        with store.reader() as cursor:
            for table, rows in (("total_1s", 2), ("view_1s", 2), ("total_1m", 1), ("view_1m", 1), ("series_1m", 1)):
                found = cursor.execute(f"SELECT count(*), sum(count) FROM {table}").fetchone()  # noqa: S608
                assert found == (rows, 10), table


def test_undecodable_records_are_kept_with_their_reason() -> None:
    records = log_records([[one_event(HOUR)]])
    junk = records[0].__class__(1, 7, b"junk")
    delta = rollup_of().add([records[0], junk])
    assert delta
    with opened() as store:
        store.apply(inputs_of([delta]))
        with store.reader() as cursor:
            found = cursor.execute("SELECT partition, record, record_ms, reason FROM undecodable").fetchall()
    assert [row[:3] for row in found] == [(0, 1, 7)]
    assert "Arrow" in found[0][3]
