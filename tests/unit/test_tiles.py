"""Tiles as the push carries them: their texts, what changed since a tick, what they say when they are pointed at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.accounts import Account, Ledger
from aggregates.queries import Freshness, Metric, Tile, Window
from dashboard import details
from dashboard.pages.overview import window_of
from dashboard.state import SHOWN
from dashboard.tile_changes import Tiled, advance
from dashboard.tiles import MEASURE_WORDS, tile

NOON = 1_795_435_200_000  # 23 Nov 2026, 12:00:00 UTC, a Monday
METRIC = Metric("m<b>", "counter", "EUR", ("country",), "", "up", "sum", group="Sales")
UNKNOWN = Freshness("", None, None, None)


def one(spark: tuple[float | None, ...] = (1.0,) * 60, events: int = 5, last_event_ms: int | None = None) -> Tile:
    windows = {"1m": Window(12.5, 10.0), "5m": Window(100.0, None), "1h": Window(None, None)}
    return Tile(replace(METRIC, last_event_ms=last_event_ms), windows, spark, events, {"1m": 25.0, "5m": None}, {57: 3})


def test_a_tile_is_written_in_its_unit_with_its_changes() -> None:
    found = tile(NOON, one())
    assert found["1m"] == ["€12.50", "▲ 25.0%", "good", "was €10.00", "▼ 50.0%", "bad"]
    assert found["5m"] == ["€100", "–", "none", "no data before", "–", "none"]
    assert found["1h"] == ["–", "", "none", "no events", "", "none"]
    assert found["is"]["href"] == "/explore?metric=m%3Cb%3E"
    assert found["is"]["group"] == "Sales"
    assert (len(found["spark"]), found["open"], found["late"], found["silent"]) == (59, 1, [57], None)


@pytest.mark.parametrize(
    ("spark", "last_event_ms", "silent"),
    [
        ((1.0,) * 55 + (0.0,) * 5, None, 4 * 60_000),
        ((1.0,) * 55 + (None,) * 5, NOON - 250_000, 250_000),
        ((0.0,) * 60, None, 59 * 60_000),
        ((0.0,) * 58 + (3.0, 0.0), None, None),
    ],
)
def test_silence(spark: tuple[float | None, ...], last_event_ms: int | None, silent: int | None) -> None:
    found = tile(NOON, one(spark, 0, last_event_ms))["silent"]
    assert found == (None if silent is None else NOON - silent)


def test_every_measure_has_a_word() -> None:
    assert tuple(MEASURE_WORDS) == SHOWN


def test_many_distinct_texts_are_an_estimate() -> None:
    visitors = replace(METRIC, measure="uniques", unit=None)
    texts = [
        tile(NOON, Tile(visitors, {"1m": Window(n, None)}, (1.0,) * 60, 1))["1m"][0] for n in (4096.0, 4097.0, None)
    ]
    assert texts == ["4,096", "≈4,097", "–"]


# --- changes ----------------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d")
Worlds = st.lists(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), max_size=4), min_size=1, max_size=8)


def tiles_of(world: dict[str, int]) -> list[Tile]:
    return [
        Tile(replace(METRIC, name=name), {"1m": Window(value, None)}, (1.0,) * 59 + (value,), 1)
        for name, value in world.items()
    ]


class Browser:
    """Keeps tiles as assets/tiles.js does."""

    def __init__(self) -> None:
        self.serial = 0
        self.order: list[str] = []
        self.tiles: dict[str, dict[str, Any]] = {}

    def take(self, tiled: Tiled) -> int:
        """Takes a message; how many parts it held."""
        message = json.loads("{" + tiled.since(self.serial) + "}")
        self.serial = tiled.serial
        if "order" in message:
            self.order = message["order"]
            self.tiles = {name: parts for name, parts in self.tiles.items() if name in self.order}
        for changed in message["tiles"]:
            name = self.order[changed.pop("n")]
            self.tiles[name] = {**self.tiles.get(name, {}), **changed}
        return sum(map(len, message["tiles"]))


def shown(tiles: Sequence[Tile]) -> list[tuple[str, object]]:
    return [(each.metric.name, tile(NOON, each)) for each in tiles]


@given(Worlds, st.sets(st.integers(0, 7)))
def test_a_browser_that_misses_messages_has_all_tiles_after_any_one(
    worlds: list[dict[str, int]], missed: set[int]
) -> None:
    browser, tiled = Browser(), Tiled()
    for tick, world in enumerate(worlds):
        tiled = advance(tiled, NOON, tiles_of(world))
        if tick not in missed:
            browser.take(tiled)
            assert [(name, browser.tiles[name]) for name in browser.order] == shown(tiled.tiles)


def test_only_what_changed_is_sent() -> None:
    browser = Browser()
    first = advance(Tiled(), NOON, tiles_of(dict.fromkeys(NAMES, 1)))
    browser.take(first)
    same = advance(first, NOON, tiles_of(dict.fromkeys(NAMES, 1)))
    assert same.since(browser.serial) == '"tiles":[]'
    other = advance(same, NOON, tiles_of({**dict.fromkeys(NAMES, 1), "c": 2}))
    (changed,) = json.loads("{" + other.since(browser.serial) + "}")["tiles"]
    assert changed == {"n": 2, "1m": ["€2.00", "–", "none", "no data before", "–", "none"], "open": 2}
    assert other.find("c") is not None
    assert other.find("e") is None


# --- when it is pointed at --------------------------------------------------------------------------------------------


def ledger(account: Account, pending: dict[int, int] | None = None) -> Ledger:
    return Ledger([], account, 0, 0, [], [], pending or {}, NOON - 3_600_000, NOON, UNKNOWN)


def test_a_tile_says_what_it_is_compared_with_and_how_exact_it_is() -> None:
    assert details.values(one(), "1m", UTC, NOON, None) == [
        ("Total, 1 min", "12.5\u202fEUR"),
        ("Before that", "10\u202fEUR"),
        ("Last Mon, same time", "25\u202fEUR"),
        ("Error bound", "none, this is exact"),
    ]
    assert details.values(one(), "5m", UTC, NOON, 0.01)[0] == ("Total, 5 min", "100\u202fEUR ±\u202f1%")


def test_a_tile_says_what_became_of_what_was_accepted() -> None:
    assert details.completeness(ledger(Account(1204, 1200, 4))) == [
        ("Last hour", "1,204 accepted = 1,200 applied + 4 duplicates"),
        ("Rejected", "none"),
        ("Pending", "none"),
    ]
    found = details.completeness(ledger(Account(1204, 1200, 0, {"kind_mismatch": 2, "ts_future": 1}), {0: 10, 1: 2}))
    assert found == [
        ("Last hour", "1,204 accepted, 1,200 applied: 4 not accounted for"),
        ("Rejected", "3"),
        ("Pending", "12 records, of all metrics"),
    ]


def test_a_tile_says_how_fresh_it_is_and_what_late_events_changed() -> None:
    known = Freshness("", NOON - 400, 400, None)
    assert details.freshness(one(last_event_ms=NOON - 250_000), NOON, known, UTC) == [
        ("Newest event", "11:55:50 UTC, 4\u202fmin ago"),
        ("Complete up to", "11:59:59 UTC, 0.4\u202fs ago"),
    ]
    assert details.restated(one(), UTC, NOON) == [("Restated", "3 late events changed 1 minute: 11:58")]
    assert details.restated(replace(one(), late={}), UTC, NOON) == []
    assert details.weekday(NOON, "Pacific/Kiritimati") == "Tue"


@pytest.mark.parametrize(("search", "window"), [("?window=1h&find=a", "1h"), ("", "1m"), ("?window=<b>", "1m")])
def test_the_window_stands_in_the_address(search: str, window: str) -> None:
    assert window_of(search) == window
