"""Views declared, given up and declared again; the time zone changed; losses accepted; large sets of uniques."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from aggregates import sketches
from aggregates.database import StoreError
from aggregates.days import day_start
from aggregates.levels import DAY, FOREVER, LEVELS, MINUTE, QUARTER, Piece
from aggregates.queries import Query
from aggregates.readmodel import ReadModel
from aggregates.store import MissingDeltas, Store
from ingest.registry import Registry
from tests.builders import TOPIC_ID, Event, give_up, inputs_of, log_records, rollup_of
from tests.level_reader import ids_of, read, repeated

HOUR = 1_795_428_000
SEALED = HOUR + 2 * 86_400
DECLARED = {"orders": [["country", "product"]], "visits": [["country", "product"]]}
COUNTRY = {"country": "NL"}
SOMETIME = [Piece("1m", HOUR - 86_400, SEALED)]


def events_of(number: int) -> list[Event]:
    dimensions = {"country": ("NL", "DE")[number % 2], "product": f"p{number % 3}"}
    at = 1000 * (HOUR + 7 * number)
    return [("orders", dimensions, at, float(number), None), ("visits", dimensions, at, f"u{number % 50}", None)]


def filled(path: Path, views: dict[str, list[list[str]]], sealed: int | None = SEALED) -> Store:
    """A store with 100 events of each of two metrics, the last ones of them late."""
    store, rollup = Store(path, views), rollup_of()
    early = rollup.add(log_records([events_of(n) for n in range(90)], 0, 1000 * HOUR))
    late = rollup.add(log_records([events_of(n) for n in range(90, 100)], 90, 1000 * (HOUR + 4000)))
    assert early
    assert late
    store.apply(inputs_of([early]))
    if sealed:
        store.seal(HOUR + 180)
    store.apply(inputs_of([late], 1))
    if sealed:
        store.seal(sealed)
    return store


@pytest.mark.parametrize("sealed", [SEALED, HOUR + 240, None])
def test_a_new_view_holds_what_it_had_held_from_the_start(tmp_path: Path, sealed: int | None) -> None:
    filled(tmp_path / "a.duckdb", DECLARED, sealed).close()
    filled_later = Store(tmp_path / "a.duckdb", {"orders": [["country"]], "visits": [["country"]]})
    ever = filled(tmp_path / "b.duckdb", {"orders": [["country"]], "visits": [["country"]]}, sealed)
    assert (
        filled_later.catalogue.metrics["orders"].covered["country"] == filled_later.catalogue.metrics["orders"].series
    )
    assert not filled_later.catalogue.metrics["orders"].covered.get("country,product")
    for metric in ("orders", "visits"):
        for level in LEVELS:
            pieces = [Piece(level, HOUR - 86_400, FOREVER)]
            for country in ("NL", "DE"):
                ids = ids_of(filled_later, "view", metric, {"country": country})
                answer = read(filled_later, "view", ids, pieces, pieces)
                wanted = read(ever, "view", ids_of(ever, "view", metric, {"country": country}), pieces, pieces)
                assert answer == wanted, (metric, level)
                assert answer.count or level != "1s"
    for store in (filled_later, ever):
        store.seal(SEALED + 86_400)
        assert repeated(store) == {}
        store.close()


@pytest.mark.parametrize(("metric", "measure"), [("orders", "p50"), ("visits", "uniques")])
@pytest.mark.parametrize(("step", "from_s", "to_s"), [(1, 0, 120), (10, 0, 120), (None, 20, 40), (60, 0, 600)])
def test_a_view_filled_later_answers_what_it_can_and_never_less(
    tmp_path: Path, metric: str, measure: str, step: int | None, from_s: int, to_s: int
) -> None:
    """Bins of single series begin with minutes. Until their seconds are gone, the single series answer."""
    filled(tmp_path / "a.duckdb", DECLARED).close()
    store = Store(tmp_path / "a.duckdb", {"orders": [["country"]], "visits": [["country"]]})
    model = ReadModel(store, Registry({}))
    span = (1000 * (HOUR + from_s), 1000 * (HOUR + to_s))
    found = model.query(Query(metric, ("count", measure), *span, step, ("country",)))
    assert all(row[-1] for row in found.rows if row[-2])
    assert found.view == "*"
    whole = model.query(Query(metric, (measure,), 1000 * HOUR, 1000 * (HOUR + 3600), None, ("country",)))
    store.retain(HOUR + 9 * 86_400, {"1s": 7200, "1m": None, "15m": None, "1d": None})
    later = model.query(Query(metric, (measure,), 1000 * HOUR, 1000 * (HOUR + 3600), None, ("country",)))
    assert (later.view, later.rows) == ("country", whole.rows)
    store.close()


def test_a_view_given_up_is_emptied_and_one_declared_again_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.duckdb"
    store = filled(path, {"orders": [["country"]]})
    before = read(store, "view", ids_of(store, "view", "orders", COUNTRY), SOMETIME, SOMETIME)
    store.close()
    store = Store(path, {"orders": []})
    assert read(store, "view", ids_of(store, "view", "orders", COUNTRY), SOMETIME, SOMETIME).count == 0
    store.close()
    store = Store(path, {"orders": [["country"]]})
    again = read(store, "view", ids_of(store, "view", "orders", COUNTRY), SOMETIME, SOMETIME)
    assert again == before
    assert again.count == 50
    store.close()


def test_days_are_made_again_in_another_time_zone_while_quarters_reach_back(tmp_path: Path) -> None:
    path, zone = tmp_path / "dashboard.duckdb", ZoneInfo("Asia/Kathmandu")
    store = filled(path, {})
    store.close()
    store = Store(path, {}, zone)
    store.seal(SEALED + 60)
    with store.reader() as cursor:
        assert cursor.execute("SELECT DISTINCT time FROM series_1d").fetchall() == [(day_start(HOUR, zone),)]
        assert cursor.execute("SELECT sum(count) FROM total_1d").fetchone() == (200,)
    store.retain(SEALED, {"1s": 1.0, MINUTE: 1.0, QUARTER: 1.0, DAY: None})
    store.close()
    with pytest.raises(StoreError, match="set the time zone back"):
        Store(path, {})


def test_a_loss_is_gone_past_on_a_persons_word_and_listed(tmp_path: Path) -> None:
    rollup = rollup_of()
    first, second, third = (rollup.add([record]) for record in log_records([events_of(n) for n in range(3)]))
    assert first
    assert second
    assert third
    store = Store(tmp_path / "dashboard.duckdb", {})
    store.apply(inputs_of([first]))
    with pytest.raises(MissingDeltas):
        store.apply(inputs_of([third], 2))
    give_up(store, 2, 7)
    assert store.apply(inputs_of([second, third], 1)) == 2
    with store.reader() as cursor:
        assert cursor.execute("FROM lost").fetchall() == [(TOPIC_ID, 0, 1, 2, 7)]
    store.close()


def test_large_sets_become_cells_when_they_are_sealed_and_small_ones_stay_exact(tmp_path: Path) -> None:
    rollup, store = rollup_of(), Store(tmp_path / "dashboard.duckdb", {})
    distinct = 9000
    batches: list[list[Event]] = [
        [("visits", {}, 1000 * (HOUR + n // 50), f"u{n}", None) for n in range(start, start + 1000)]
        for start in range(0, distinct, 1000)
    ]
    batches += [[("few", {}, 1000 * HOUR, f"u{n}", None) for n in range(100)]] * 2
    delta = rollup.add(log_records(batches, 0, 1000 * HOUR))
    assert delta
    store.apply(inputs_of([delta]))
    store.seal(HOUR + 120)  # 6,000 texts in two minutes of 3,000
    late = rollup.add(log_records([[("visits", {}, 1000 * HOUR, f"late{n}", None) for n in range(9000)]], 11, 0))
    assert late
    for until in (180, 300, 900, 90_000):
        store.seal(HOUR + until)
        if until == 180:
            store.apply(inputs_of([late], 1))
    for level in LEVELS[1:]:
        for family in ("total", "series"):
            with store.reader() as cursor:
                sql = f"SELECT code FROM {family}_cells_{level} WHERE id = ?"  # noqa: S608 - names of the test's own
                (group,) = ids_of(store, family, "visits", {})
                codes = np.array(cursor.execute(sql, [group]).fetchnumpy()["code"], np.uint64)
                (group,) = ids_of(store, family, "few", {})
                exact = cursor.execute(sql, [group]).fetchall()
            assert abs(sketches.estimate(codes) / (2 * distinct) - 1) < sketches.UNIQUES_ERROR
            assert len(exact) == 100
            if level != MINUTE:
                assert len(codes) <= 1 << 15
                assert (codes < sketches.HASHED).all()
    assert repeated(store) == {}
    store.close()
