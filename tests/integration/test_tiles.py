"""Tiles of a real read model: the same weekday last week, minutes that late events changed, groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from aggregates.last_week import a_week_before
from aggregates.queries import Query, Tile
from ingest.registry import DerivedMetric, MetricDefinition, Registry
from ingest.series import Kind
from tests.builders import TOPIC_ID
from tests.raw_events import Raw, Sent

NOON = 1_795_435_200
"""23 Nov 2026, 12:00 UTC, a Monday."""
DAY = 86_400
WEEK = 7 * DAY
REGISTRY = Registry(
    {
        "shop.paid": MetricDefinition("shop.paid", unit="EUR", measure="sum", group="Sales"),
        "shop.delay": MetricDefinition("shop.delay", measure="p95"),
        "visitors": MetricDefinition("visitors"),
    },
    derived={
        "shop.basket": DerivedMetric("shop.basket", ("shop.paid", "sum"), ("visitors", "uniques")),
        "shop.typical": DerivedMetric("shop.typical", ("shop.paid", "sum"), ("shop.paid", "count"), group="Sales"),
    },
)


def paid(second: int, value: float) -> Sent:
    return Sent("shop.paid", Kind.DISTRIBUTION, (("country", "NL"),), 1000 * second, value)


def delayed(second: int, value: float) -> Sent:
    return Sent("shop.delay", Kind.DISTRIBUTION, (), 1000 * second, value)


def visitor(second: int, name: str) -> Sent:
    return Sent("visitors", Kind.UNIQUE, (), 1000 * second, name)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], Raw]]:
    found: list[Raw] = []

    def open_(zone: str = "UTC") -> Raw:
        found.append(Raw(tmp_path, REGISTRY, zone))
        found[-1].model.observe(TOPIC_ID, 1000 * NOON, {0: 3})
        return found[-1]

    yield open_
    for raw in found:
        raw.store.close()


def tiles(raw: Raw, now: int = NOON) -> dict[str, Tile]:
    return {tile.metric.name: tile for tile in raw.model.tiles(1000 * now)}


# --- the same weekday last week ---------------------------------------------------------------------------------------


def test_a_week_before_is_the_answer_about_that_time(opened: Callable[..., Raw]) -> None:
    raw = opened()
    for back in range(0, 2 * WEEK, 1800):
        at = NOON - back
        raw.append([paid(at - 30, back % 97), delayed(at - 40, back % 89), visitor(at - 50, f"v{back % 5}")], 1000 * at)
    raw.seal(1000 * NOON)
    raw.store.retain(NOON, {"1s": 7200, "1m": 15 * DAY, "15m": None, "1d": None})
    for name, tile in tiles(raw).items():
        for window, width in (("1m", 60), ("5m", 300), ("1h", 3600)):
            end = NOON - WEEK
            query = Query(name, (tile.metric.measure,), 1000 * (end - width), 1000 * end)
            assert tile.last_week[window] == pytest.approx(raw.model.query(query).rows[0][0]), (name, window)


def test_a_metric_without_history_has_no_last_week(opened: Callable[..., Raw]) -> None:
    raw = opened()
    raw.append([paid(NOON - WEEK - 200, 5.0), paid(NOON, 1.0)], 1000 * NOON, history=True)
    raw.append([delayed(NOON, 1.0)], 1000 * NOON)
    found = tiles(raw)
    assert found["shop.paid"].last_week == {"1m": 0.0, "5m": None, "1h": None}
    assert found["shop.typical"].last_week == {"1m": None, "5m": None, "1h": None}
    assert set(found["shop.delay"].last_week.values()) == {None}


def test_last_week_is_read_once_a_minute_and_moves_on_with_it(opened: Callable[..., Raw]) -> None:
    raw = opened()
    week = [paid(NOON - WEEK - DAY, 1.0), paid(NOON - WEEK - 30, 5.0), paid(NOON - WEEK + 20, 7.0), paid(NOON, 1.0)]
    raw.append(week, 1000 * NOON, history=True)
    assert tiles(raw, NOON)["shop.paid"].last_week["1m"] == 5.0
    raw.append([paid(NOON - WEEK - 31, 100.0)], 1000 * NOON, history=True)
    assert tiles(raw, NOON + 59)["shop.paid"].last_week["1m"] == 5.0
    assert tiles(raw, NOON + 60)["shop.paid"].last_week["1m"] == 7.0
    assert tiles(raw, NOON + 61)["shop.paid"].last_week["5m"] == 112.0


@pytest.mark.parametrize("day", [(2026, 10, 28), (2026, 11, 4), (2027, 3, 31)])
def test_a_week_before_has_the_same_local_time(day: tuple[int, int, int]) -> None:
    zone = ZoneInfo("Europe/Amsterdam")
    now = datetime(*day, 14, 5, tzinfo=zone)
    there = datetime.fromtimestamp(a_week_before(int(now.timestamp()), zone), zone)
    assert (there.hour, there.minute, there.weekday()) == (14, 5, now.weekday())
    assert (now.date() - there.date()).days == 7


# --- late events ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [False, True])
def test_minutes_that_late_events_changed_are_marked(opened: Callable[..., Raw], sealed: bool) -> None:
    raw = opened()
    on_time = [(NOON - 600, NOON - 598), (NOON - 60, NOON - 15)]  # the second comes within the grace of its minute
    late = [(NOON - 1200, NOON - 900), (NOON - 1201, NOON - 5), (NOON - 1230, NOON - 5), (NOON - 7200, NOON - 3)]
    for event, record in on_time + late:
        raw.append([paid(event, 1.0)], 1000 * record)
    raw.append([paid(NOON - 1800, 1.0)], 1000 * NOON, history=True)
    if sealed:
        raw.seal(1000 * NOON)
    found = tiles(raw)
    minute = 59 - 20  # of the sparkline, whose last one begins at noon
    assert found["shop.paid"].late == {minute: 1, minute - 1: 2}
    assert found["shop.typical"].late == {minute: 1, minute - 1: 2}


def test_what_is_in_time_marks_nothing(opened: Callable[..., Raw]) -> None:
    raw = opened()
    raw.append([paid(NOON - 5, 1.0), visitor(NOON - 5, "ada")], 1000 * NOON)
    assert [tile.late for tile in tiles(raw).values()] == [{}, {}, {}, {}]


# --- groups -----------------------------------------------------------------------------------------------------------


def test_a_group_is_what_the_registry_says_or_the_first_word_of_the_name(opened: Callable[..., Raw]) -> None:
    raw = opened()
    raw.append([paid(NOON, 1.0), delayed(NOON, 1.0), visitor(NOON, "ada")], 1000 * NOON)
    assert {metric.name: metric.group for metric in raw.model.catalogue()} == {
        "shop.paid": "Sales",
        "shop.delay": "shop",
        "visitors": "Other",
        "shop.basket": "shop",
        "shop.typical": "Sales",
    }
