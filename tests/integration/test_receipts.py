"""`/api/v1/receipts`: what is said of one record is true, whatever became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from dashboard.receipts import receipts_router
from ingest.log import LogError
from tests.asked import NOON, NOON_MS, Board
from tests.builders import TOPIC_ID, Event, give_up


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path)
    yield made
    made.store.close()


def get(board: Board, position: str, status: int = 200, app: FastAPI | None = None) -> Any:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app or board.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
            return await client.get("/receipts", params={"position": position})

    answer = asyncio.run(ask())
    assert answer.status_code == status, answer.text
    return answer.json()


def order(ago_s: int, value: float, id_: str | None = None, country: str = "NL") -> Event:
    return ("orders.revenue", {"country": country}, NOON_MS - 1000 * ago_s, value, id_)


def test_a_receipt_names_metrics_windows_and_duplicates(found: Board) -> None:
    found.add(order(5, 1.0, "a"), order(3700, 2.0, "b", "DE"))
    visit: Event = ("orders.visitors", {"country": "NL"}, NOON_MS - 5000, "v1", None)
    offset = found.add(order(5, 1.0, "a"), order(6, 3.0, "c"), visit)
    receipt = get(found, f"0:{offset}")
    assert receipt["position"] == {"topic": TOPIC_ID, "partition": 0, "offset": 1}
    assert (receipt["applied"], receipt["lost"], receipt["counted"], receipt["duplicates"]) == (True, False, 2, 1)
    assert receipt["applied_at"]
    record = receipt["record"]
    assert (record["events"], record["history"], record["undecodable"]) == (3, False, None)
    assert record["metrics"] == [
        {
            "metric": "orders.revenue",
            "events": 2,
            "series": 1,
            "from": "2026-11-23T11:59:54Z",
            "to": "2026-11-23T11:59:55Z",
        },
        {
            "metric": "orders.visitors",
            "events": 1,
            "series": 1,
            "from": "2026-11-23T11:59:55Z",
            "to": "2026-11-23T11:59:55Z",
        },
    ]
    assert [(one["level"], one["count"]) for one in record["windows"]] == [("1s", 2), ("1m", 1), ("15m", 1), ("1d", 1)]
    assert record["windows"][1]["buckets"] == [{"time": "2026-11-23T11:59:00Z", "complete": False}]
    assert receipt["freshness"]["lag_ms"] == 400
    found.store.seal(NOON)
    windows = get(found, f"{TOPIC_ID[:8]};0:{offset}")["record"]["windows"]
    assert [one["buckets"][0]["complete"] for one in windows] == [True, True, True, False]


def test_a_record_that_is_not_counted_in_yet(found: Board) -> None:
    found.add(order(5, 1.0))
    offset = found.add(order(5, 1.0), apply=False)
    receipt = get(found, f"0:{offset}")
    assert (receipt["applied"], receipt["applied_at"], receipt["counted"]) == (False, None, None)
    assert receipt["record"]["events"] == 1


def test_a_record_nobody_can_read(found: Board) -> None:
    offset = found.add_record(b"nonsense")
    receipt = get(found, f"0:{offset}")
    assert (receipt["applied"], receipt["counted"], receipt["duplicates"]) == (True, 0, 0)
    assert "not a readable Arrow stream" in receipt["record"]["undecodable"]


def test_a_record_the_log_has_forgotten(found: Board) -> None:
    for _ in range(3):
        found.add(order(5, 1.0))
    found.source.log.trim(found.source.topics.events, 0, 2)
    receipt = get(found, "0:1")
    assert (receipt["applied"], receipt["counted"], receipt["record"]) == (True, 1, None)


def test_a_record_that_was_given_up(found: Board) -> None:
    found.add(order(5, 1.0))
    found.add(order(5, 1.0), apply=False)
    give_up(found.store, 2, NOON_MS)
    receipt = get(found, "0:1")
    assert (receipt["applied"], receipt["lost"]) == (False, True)


@pytest.mark.parametrize("position", ["0:1", "1:0", "7:0", "0:9999999999999999999", "00000000;0:0"])
def test_a_record_that_is_not_there(found: Board, position: str) -> None:
    found.add(order(5, 1.0))
    assert get(found, position, 404)["code"] == "unknown_position"


@pytest.mark.parametrize(
    "position", ["", "0", "0:", ":0", "a:0", "0:-1", "0:1.5", "0:1,1:2", ";0:1", "٠:٠", "0:" + "9" * 40]
)
def test_what_is_no_position_is_refused(found: Board, position: str) -> None:
    refused = get(found, position, 400)
    assert (refused["code"], refused["field"]) == ("invalid_query", "position")


class Away:
    """A receipt desk whose log is away, or silent."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent

    async def receipt(self, *_: object) -> Any:
        if self.silent:
            await asyncio.Event().wait()
        raise LogError("Kafka does not answer")


@pytest.mark.parametrize("silent", [False, True])
def test_without_the_log_there_is_no_receipt(found: Board, silent: bool) -> None:
    app = FastAPI()
    desk: Any = Away(silent)
    app.include_router(receipts_router(desk, found.model, lambda: NOON_MS, 0.05))
    assert get(found, "0:0", 504, app)["code"] == "log_timeout"
