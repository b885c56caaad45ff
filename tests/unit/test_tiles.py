"""Tiles as the push carries them."""

from __future__ import annotations

import pytest

from aggregates.queries import Metric, Tile, Window
from dashboard.state import SHOWN
from dashboard.tiles import MEASURE_WORDS, tile

NOON = 1_795_435_200_000


def one(spark: tuple[float | None, ...] = (1.0,) * 60, events: int = 5, last_event_ms: int | None = None) -> Tile:
    metric = Metric("m<b>", "counter", "EUR", ("country",), "", "up", "sum", last_event_ms)
    windows = {"1m": Window(12.5, 10.0), "5m": Window(100.0, None), "1h": Window(None, None)}
    return Tile(metric, windows, spark, events)


def test_a_tile_is_written_in_its_unit_with_its_change() -> None:
    found = tile(NOON, one())
    assert found["windows"]["1m"] == {
        "text": "€12.50",
        "exact": "12.5\u202fEUR",
        "delta": "▲ 25.0%",
        "tone": "good",
        "was": "was €10.00",
    }
    assert (found["windows"]["5m"]["delta"], found["windows"]["5m"]["was"]) == ("–", "no data before")
    assert (found["windows"]["1h"]["text"], found["windows"]["1h"]["was"]) == ("–", "no events")
    assert found["href"] == "/explore?metric=m%3Cb%3E"
    assert found["silent_ms"] is None


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
    assert tile(NOON, one(spark, 0, last_event_ms))["silent_ms"] == silent


def test_every_measure_has_a_word() -> None:
    assert tuple(MEASURE_WORDS) == SHOWN
