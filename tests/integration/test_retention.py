"""Metrics kept for times of their own: what is deleted, what is answered, and what a changed registry does."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from aggregates.families import table_of
from aggregates.levels import DAY, LEVELS, MINUTE, QUARTER, SECOND, WIDTH
from aggregates.projector import open_projection
from aggregates.queries import Query, Unanswerable
from aggregates.readmodel import ReadModel
from aggregates.retention import KeepS, Retention
from aggregates.rolling import WINDOWS
from aggregates.sealing import tables
from aggregates.settings import ReadModelSettings
from aggregates.store import Store
from ingest.log import KafkaConnection, Topics
from ingest.registry import DerivedMetric, MetricDefinition, Registry
from ingest.series import Kind
from tests.raw_events import Raw, Sent, expected

NOON = 1_795_435_200
"""23 Nov 2026, 12:00 UTC."""
HOUR_S, DAY_S = 3600, 86_400
KEEP: KeepS = {SECOND: 2 * HOUR_S, MINUTE: 6 * HOUR_S, QUARTER: 30 * HOUR_S, DAY: None}
MS = 1000
FILE = "dashboard.duckdb"
REGISTRY = Registry(
    {
        "usual": MetricDefinition("usual"),
        "short": MetricDefinition("short", retention_ms={SECOND: 1800 * MS, MINUTE: 2 * HOUR_S * MS}),
        "long": MetricDefinition("long", retention_ms={SECOND: 40 * HOUR_S * MS, MINUTE: None}),
        "brief": MetricDefinition("brief", retention_ms={DAY: 2 * DAY_S * MS}),
    },
    derived={"share": DerivedMetric("share", ("short", "sum"), ("long", "sum"))},
)
NAMES = tuple(REGISTRY.metrics)
OWN = Retention.of(KEEP, REGISTRY).own


def opened(folder: Path, own: Mapping[str, KeepS] = OWN) -> Raw:
    raw = Raw(folder, REGISTRY)
    raw.store.set_apart(own)
    return raw


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[Raw]:
    found = opened(tmp_path)
    yield found
    found.store.close()


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Raw, Path]:
    folder = tmp_path_factory.mktemp("filled")
    raw = opened(folder)
    fill(raw)
    raw.store.close()
    return raw, folder


@pytest.fixture
def filled(once: tuple[Raw, Path], tmp_path: Path) -> Iterator[Raw]:
    """Three days of events, sealed and retained until noon; a copy."""
    raw = once[0]
    found = copy.deepcopy(raw, {id(raw.store): None, id(raw.model): None, id(raw.registry): raw.registry})
    shutil.copy(once[1] / FILE, tmp_path)
    found.store = Store(tmp_path / FILE, {})
    found.model = ReadModel(found.store, REGISTRY)
    yield found
    found.store.close()


def event(metric: str, second: int, value: float = 1.0, country: str = "NL") -> Sent:
    return Sent(metric, Kind.DISTRIBUTION, (("country", country),), MS * second, value)


def fill(raw: Raw, own: Mapping[str, KeepS] = OWN) -> None:
    """An event of every metric each half an hour, until noon, with sealing and deleting in between."""
    for begin in range(NOON - 3 * DAY_S, NOON, 12 * HOUR_S):
        halves = range(begin, begin + 12 * HOUR_S, 1800)
        raw.append([event(name, half + 7, half % 89) for half in halves for name in NAMES], MS * begin, history=True)
        raw.seal(MS * (halves[-1] + 1800))
        raw.store.retain(halves[-1] + 1800, KEEP, own)


def oldest(store: Store, metric: str, level: str) -> int | None:
    """Start of the oldest bucket of a metric in any table of a level."""
    found: list[int] = []
    with store.reader() as cursor:
        for family, what in tables(level):
            ids = "SELECT series_id FROM series" if family == "series" else "SELECT group_id FROM groups"
            sql = f"SELECT min(time) FROM {table_of(family, what, level)} WHERE id IN ({ids} WHERE metric = ?)"  # noqa: S608
            found += [time for (time,) in cursor.execute(sql, [metric]).fetchall() if time is not None]
    return min(found, default=None)


def test_every_metric_is_kept_for_its_own_time(filled: Raw) -> None:
    kept = {(name, level): oldest(filled.store, name, level) for name in NAMES for level in LEVELS}
    for name in NAMES:
        keep = OWN.get(name, KEEP)
        for level, coarser in zip(LEVELS, (*LEVELS[1:], DAY), strict=True):
            age, found = keep[level], kept[name, level]
            assert found is not None
            if age is None:
                assert found <= NOON - 72 * HOUR_S, (name, level)
            else:  # to the bucket of the next level, and to the half hour between two events
                assert NOON - age - WIDTH[coarser] <= found <= NOON - age + 1800, (name, level)


@pytest.mark.parametrize("metric", [*NAMES, "share"])
def test_no_answer_is_half(filled: Raw, metric: str) -> None:
    """Whatever is kept of it, an answer is that of the raw events in its range."""
    for back in (1, 7, 50):
        for step in (None, 1 if back == 1 else 3600, 60, DAY_S):
            query = Query(metric, () if metric == "share" else ("count", "sum", "p50"), MS * (NOON - HOUR_S * back),
                          MS * (NOON - 60), step)  # fmt: skip
            result = filled.model.query(query)
            asked = replace(query, step_s=result.step_s)
            if metric == "share":
                parts = [
                    parts_of(filled, replace(asked, metric=part), result.start_ms, result.end_ms)
                    for part in ("short", "long")
                ]
                place = 1 if result.step_s else 0
                for row in result.rows:
                    above, below = (part.get(row[0] if place else result.start_ms) for part in parts)
                    assert row[place] == (None if above is None or not below else pytest.approx(above / below))
                continue
            wanted = expected(filled, asked, result.start_ms, result.end_ms, ["count", "sum"])
            place = 1 if result.step_s else 0
            found = {(row[0] if place else result.start_ms,): row[place : place + 2] for row in result.rows}
            assert {key: value for key, value in found.items() if value[0]} == wanted, (back, step)
            assert result.end_ms >= query.end_ms
            assert result.start_ms <= query.start_ms or metric == "brief"


def parts_of(filled: Raw, query: Query, start_ms: int, end_ms: int) -> dict[object, float]:
    found = expected(filled, query, start_ms, end_ms, ["sum"])
    return {key[0]: float(str(values[0])) for key, values in found.items()}


def test_the_answer_comes_from_the_level_that_is_kept(filled: Raw) -> None:

    def steps(back_s: int) -> list[int | None]:
        query = Query("", ("count",), MS * (NOON - back_s), MS * NOON, 1)
        return [filled.model.query(replace(query, metric=name)).step_s for name in ("usual", "short", "long")]

    assert steps(1200) == [1, 1, 1]
    assert steps(HOUR_S) == [1, 60, 1]
    assert steps(4 * HOUR_S) == [60, 900, 1]
    assert steps(10 * HOUR_S) == [900, 900, 1]
    kept = {metric.name: dict(metric.kept_ms) for metric in filled.model.catalogue()}
    short, days = {1: 1800 * MS, 60: 2 * HOUR_S * MS}, 2 * DAY_S * MS
    assert kept == {
        "usual": {}, "short": short, "long": {1: 40 * HOUR_S * MS}, "share": short,
        "brief": {1: days, 60: days, 900: days, DAY_S: days},
    }  # fmt: skip


def test_tiles_are_the_answers_about_their_windows(filled: Raw) -> None:
    now = NOON + 17
    for tile in filled.model.tiles(MS * now):
        for name, width in WINDOWS.items():
            for value, end in ((tile.windows[name].value, now), (tile.windows[name].previous, now - width)):
                query = Query(tile.metric.name, (tile.metric.measure,), MS * (end - width), MS * end)
                result = filled.model.query(query)
                if result.end_ms == query.end_ms:  # else the edge in between was widened one way or the other
                    assert value == pytest.approx(result.rows[0][0]), (tile.metric.name, name)
    assert [tile.metric.name for tile in filled.model.tiles(MS * now)] == [*NAMES, "share"]


def test_a_window_of_which_a_part_is_gone_has_no_value(filled: Raw) -> None:
    """A quarter of an hour is the coarsest that windows are made of."""
    own = {**OWN, "short": {**KEEP, SECOND: 60.0, MINUTE: 900.0, QUARTER: float(DAY_S)}}
    filled.store.retain(NOON, KEEP, own)
    tiles = {tile.metric.name: tile for tile in filled.model.tiles(MS * NOON)}
    assert tiles["short"].windows["24h"].value is not None
    assert tiles["short"].windows["24h"].previous is None
    assert tiles["long"].windows["24h"].previous is not None


def test_nothing_is_deleted_before_its_coarser_bucket_is_sealed(raw: Raw) -> None:
    nothing = {"short": {**dict.fromkeys(LEVELS, 0.0), DAY: None}}
    raw.append([event("short", NOON)], MS * (NOON + 1))
    for until, left in ((0, {SECOND}), (60, {MINUTE}), (900, {QUARTER}), (DAY_S, {DAY})):
        raw.store.seal(NOON + until)
        raw.store.retain(NOON + 10**6, dict.fromkeys(LEVELS, None), nothing)
        with raw.store.reader() as cursor:
            found = {level for level in LEVELS if cursor.execute(f"SELECT 1 FROM total_{level}").fetchall()}  # noqa: S608
        assert found == left


def test_late_events_go_where_their_bucket_is_still_kept(filled: Raw) -> None:
    counts = {name: levels_of(filled.store, name, NOON - 4 * HOUR_S) for name in NAMES}
    filled.append([event(name, NOON - 4 * HOUR_S + 1000) for name in NAMES], MS * NOON)
    grown = {name: levels_of(filled.store, name, NOON - 4 * HOUR_S) - counts[name] for name in NAMES}
    assert grown == {
        "usual": {MINUTE, QUARTER}, "short": {QUARTER}, "long": {SECOND, MINUTE, QUARTER}, "brief": {MINUTE, QUARTER},
    }  # fmt: skip


def levels_of(store: Store, metric: str, hour: int) -> set[str]:
    """Levels with a row of the metric's total 1,000 s behind an hour."""
    found = set()
    with store.reader() as cursor:
        for level in LEVELS[:3]:
            time = (hour + 1000) // WIDTH[level] * WIDTH[level]
            sql = f"SELECT 1 FROM total_{level} JOIN groups ON id = group_id WHERE metric = ? AND time = ?"  # noqa: S608
            if cursor.execute(sql, [metric, time]).fetchone():
                found.add(level)
    return found


def test_a_metric_of_which_nothing_was_ever_counted_begins_with_all_of_it(filled: Raw) -> None:
    """Imported history of a new metric is not cut to what is kept of others."""
    filled.store.set_apart(["new"])
    ago = NOON - 20 * HOUR_S
    filled.append([event("new", ago), event("later", ago)], MS * NOON, history=True)
    filled.store.retain(NOON, KEEP, {**OWN, "new": {**KEEP, SECOND: 25.0 * HOUR_S, MINUTE: 25.0 * HOUR_S}})
    assert oldest(filled.store, "new", SECOND) == oldest(filled.store, "new", MINUTE) == ago
    assert oldest(filled.store, "later", SECOND) is oldest(filled.store, "later", MINUTE) is None
    query = Query("new", ("count",), MS * ago, MS * (ago + 60), 1)
    assert filled.model.query(query).rows[0] == (MS * ago, 1)


# --- a changed registry -----------------------------------------------------------------------------------------------


def test_a_metric_that_loses_its_retention_is_kept_as_all_others(filled: Raw) -> None:
    filled.store.retain(NOON, KEEP, {})
    assert "long" not in filled.store.own_kept  # what was too much is gone
    assert oldest(filled.store, "long", SECOND) == oldest(filled.store, "usual", SECOND)
    assert "short" in filled.store.own_kept  # what is missing is missing
    check = Query("short", ("count",), MS * (NOON - HOUR_S), MS * NOON, 1)
    assert filled.model.query(check).step_s == 60
    for hour in range(0, 40, 8):
        second = NOON + HOUR_S * hour
        filled.append([event("short", second)], MS * second)
        filled.seal(MS * (second + 60))
        filled.store.retain(second + 60, KEEP, {})
    assert filled.store.own_kept.keys() <= {"brief"}
    assert filled.model.query(replace(check, start_ms=MS * (second - 3000), end_ms=MS * second)).step_s == 1


def test_a_longer_retention_brings_nothing_back(raw: Raw) -> None:
    fill(raw, own={})
    before = {level: oldest(raw.store, "usual", level) for level in LEVELS}
    raw.store.retain(NOON, KEEP, {"usual": dict.fromkeys(LEVELS, None)})
    for back in (5, 20, 50):
        query = Query("usual", ("count",), MS * (NOON - HOUR_S * back), MS * NOON, 60)
        result = raw.model.query(query)
        wanted = expected(raw, replace(query, step_s=result.step_s), result.start_ms, result.end_ms, ["count"])
        assert {row[:1]: row[1:] for row in result.rows if row[1]} == wanted
    raw.seal(MS * (NOON + 3 * DAY_S))
    raw.store.retain(NOON + 3 * DAY_S, KEEP, {"usual": dict.fromkeys(LEVELS, None)})
    assert {level: oldest(raw.store, "usual", level) for level in LEVELS} == before


def test_what_is_kept_apart_outlives_the_process(filled: Raw, tmp_path: Path) -> None:
    own = filled.store.own_kept
    filled.store.close()
    filled.store = Store(tmp_path / FILE, {})
    assert filled.store.own_kept == own
    assert set(own) == set(OWN)


def test_a_new_view_is_filled_as_far_as_its_metric_is_kept(filled: Raw, tmp_path: Path) -> None:
    filled.store.close()
    filled.store = Store(tmp_path / FILE, {name: [()] for name in NAMES})
    filled.store.close()
    filled.store = Store(tmp_path / FILE, {})
    for name in NAMES:
        with filled.store.reader() as cursor:
            rows = [
                cursor.execute(
                    f"SELECT sum(n), min(time // 60) FROM {family}_bins_1s "  # noqa: S608
                    "JOIN groups ON id = group_id WHERE metric = ?",
                    [name],
                ).fetchone()
                for family in ("view", "total")
            ]
        assert rows[0] == rows[1], name


async def test_a_running_replica_takes_over_a_changed_registry(
    kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ReadModelSettings(kafka=kafka_connection, topics=topics, data=tmp_path)
    started = Registry({"long": replace(REGISTRY.metrics["long"], views=(("country",),))})
    async with open_projection(settings, started, CollectorRegistry()) as projection:
        await projection.use(REGISTRY)
        assert projection.read_model.registry is REGISTRY
        assert "the views of the registry changed" in caplog.text
    store = Store(settings.file, {})
    assert store.own_kept.keys() == OWN.keys()
    store.close()


# --- what is gone altogether ------------------------------------------------------------------------------------------


def test_days_that_are_gone_are_left_out_of_the_range(filled: Raw) -> None:
    midnight = NOON - 12 * HOUR_S - 2 * DAY_S
    for step in (None, DAY_S):
        query = Query("brief", ("count",), MS * (NOON - 3 * DAY_S), MS * NOON, step)
        result = filled.model.query(query)
        assert result.start_ms == MS * midnight
        assert sum(int(str(row[-1])) for row in result.rows) == 2 * 24 * 2 + 24  # two events an hour
    with pytest.raises(Unanswerable, match="nothing from before 2026-11-21"):
        filled.model.query(replace(query, end_ms=MS * midnight))
    with pytest.raises(Unanswerable, match="nothing from before 2026-11-21"):
        filled.model.query(replace(query, start_ms=MS * (NOON - 2 * DAY_S), compare="previous"))
    compared = filled.model.query(replace(query, start_ms=MS * (NOON - HOUR_S), step_s=None, compare=DAY_S))
    assert compared.rows[0][:2] == (2, 2)


def test_times_of_the_settings_are_those_of_the_others() -> None:
    keep = ReadModelSettings().keep_s
    assert Retention.of(keep, Registry()).own == {}
    own = Retention.of(keep, REGISTRY).own
    assert own["short"] == {**keep, SECOND: 1800, MINUTE: 2 * HOUR_S}
    assert own["long"] == {SECOND: 40 * HOUR_S, MINUTE: None, QUARTER: None, DAY: None}
    assert own["brief"] == {**keep, MINUTE: 2 * DAY_S, QUARTER: 2 * DAY_S, DAY: 2 * DAY_S}
