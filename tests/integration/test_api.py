"""The query API over a real store: formats, errors, waiting for a position."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from aggregates.readmodel import ReadModel
from aggregates.store import Store
from dashboard.api import parse_position, router
from ingest.registry import MetricDefinition, Registry
from ingest.series import Kind
from tests.builders import TOPIC_ID, Event, inputs_of, log_records, rollup_of

HOUR = 1_795_428_000
NOW_MS = 1000 * (HOUR + 600)
REGISTRY = Registry({"orders": MetricDefinition("orders", Kind.DISTRIBUTION, "EUR", "Paid", "up", "sum")})


def order(second: int, value: float, country: str = "NL") -> Event:
    return ("orders", {"country": country}, 1000 * (HOUR + second), value, None)


class Model:
    """A read model of four events, and how to grow it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "dashboard.duckdb", {})
        self.model = ReadModel(self.store, REGISTRY, lambda: NOW_MS)
        self.model.observe(TOPIC_ID, NOW_MS - 400)
        self._rollup = rollup_of()
        self._offset = 0

    async def add(self, *events: Event) -> None:
        delta = self._rollup.add(log_records([list(events)], self._offset))
        assert delta
        self.store.apply(inputs_of([delta], self._offset))
        self._offset += 1
        await self.model.applied()


@pytest.fixture
async def model(tmp_path: Path) -> AsyncIterator[Model]:
    found = Model(tmp_path)
    await found.add(order(0, 10), order(1, 2.5, "DE"), order(61, 5), order(62, 1, "=1+1"))
    yield found
    found.store.close()


@pytest.fixture
async def client(model: Model) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router(model.model, lambda: NOW_MS))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test/api/v1") as found:
        yield found


async def test_an_answer_says_what_it_covers_and_how_fresh_it_is(client: httpx.AsyncClient) -> None:
    query = {"metric": "orders", "measures": ["count", "sum", "avg", "last", "rate"], "from": "-10m", "step": "1m"}
    answer = await client.post("/query", json=query)
    assert answer.status_code == 200
    found = answer.json()
    assert found["columns"] == [
        {"name": "time", "type": "time", "unit": None},
        {"name": "count", "type": "integer", "unit": "events"},
        {"name": "sum", "type": "number", "unit": "EUR"},
        {"name": "avg", "type": "number", "unit": "EUR"},
        {"name": "last", "type": "number", "unit": "EUR"},
        {"name": "rate", "type": "number", "unit": "EUR/s"},
    ]
    assert found["rows"][:3] == [
        ["2026-11-23T10:00:00Z", 2, 12.5, 6.25, 2.5, 12.5 / 60],
        ["2026-11-23T10:01:00Z", 2, 6.0, 3.0, 1.0, 0.1],
        ["2026-11-23T10:02:00Z", 0, 0.0, None, None, 0.0],
    ]
    assert len(found["rows"]) == 10
    assert found["range"] == {"from": "2026-11-23T10:00:00Z", "to": "2026-11-23T10:10:00Z"}
    assert found["freshness"]["position"] == f"{TOPIC_ID[:8]};0:1"
    assert found["freshness"]["watermark"] == "2026-11-23T10:09:59.600Z"
    assert found["freshness"]["lag_ms"] == 400
    assert found["freshness"]["applied_at"]
    assert (found["level"], found["view"], found["restated"]) == ("1s", "", False)


async def test_get_and_csv_give_the_same_numbers(client: httpx.AsyncClient) -> None:
    parameters = {"metric": "orders", "measures": "count,sum", "by": "country", "from": "-10m"}
    posted = await client.post("/query", json={**parameters, "measures": ["count", "sum"], "by": ["country"]})
    answer = await client.get("/query", params={**parameters, "format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text == "country,count,sum\r\n'=1+1,1,1.0\r\nDE,1,2.5\r\nNL,2,15.0\r\n"
    assert posted.json()["rows"] == [["=1+1", 1, 1.0], ["DE", 1, 2.5], ["NL", 2, 15.0]]
    accepted = await client.get("/query", params=parameters, headers={"Accept": "text/csv"})
    assert accepted.text == answer.text


async def test_filters_include_and_exclude(client: httpx.AsyncClient) -> None:
    async def count(*where: str) -> int:
        answer = await client.get("/query", params={"metric": "orders", "from": "-10m", "where": list(where)})
        return int(answer.json()["rows"][0][0])

    assert await count("country:NL") == 2
    assert await count("country:NL", "country:DE") == 3
    assert await count("!country:NL") == 2
    assert await count("country:nowhere") == 0


@pytest.mark.parametrize(
    ("status", "code", "parameters"),
    [
        (404, "unknown_metric", {"metric": "nothing"}),
        (400, "invalid_query", {}),
        (400, "invalid_query", {"metric": "orders", "format": "xml"}),
        (400, "too_many_rows", {"metric": "orders", "from": "-7d", "step": "1s"}),
        (400, "invalid_query", {"metric": "orders", "min_position": "x"}),
        (400, "invalid_query", {"metric": "orders", "min_position": "01234567;0:1", "timeout": "11"}),
        (400, "unknown_topic", {"metric": "orders", "min_position": "00000000;0:1"}),
        (504, "position_not_reached", {"metric": "orders", "min_position": "01234567;0:2", "timeout": "0.01"}),
    ],
)
async def test_an_error_names_its_code(
    client: httpx.AsyncClient, status: int, code: str, parameters: dict[str, str]
) -> None:
    answer = await client.get("/query", params=parameters)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'"x"'])
async def test_a_body_that_is_no_query_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/query", content=body)
    assert answer.status_code in (400, 413)
    assert answer.json()["message"]


async def test_a_query_waits_for_the_position_it_names(client: httpx.AsyncClient, model: Model) -> None:
    query = {"metric": "orders", "from": "-10m", "min_position": f"{TOPIC_ID[:8]};0:2", "timeout": 10}
    waiting = asyncio.create_task(client.post("/query", json=query))
    await asyncio.sleep(0)
    await model.add(order(63, 1))
    answer = await waiting
    assert answer.status_code == 200
    assert answer.json()["rows"] == [[5]]


async def test_hours_that_a_clock_skips_or_repeats_are_in_their_days(client: httpx.AsyncClient, model: Model) -> None:
    midnight = 1_792_879_200  # 25 Oct 2026 in Amsterdam, a day of 25 hours
    await model.add(*(order(midnight - HOUR + 3600 * hour, 1.0) for hour in range(26)))
    query = {"metric": "orders", "measures": "count,sum", "step": "1d", "timezone": "Europe/Amsterdam"}
    days = {"from": "2026-10-25T00:00:00+02:00", "to": "2026-10-27T00:00:00+01:00"}
    answer = await client.get("/query", params={**query, **days})
    assert answer.json()["rows"] == [["2026-10-24T22:00:00Z", 25, 25.0], ["2026-10-25T23:00:00Z", 1, 1.0]]


async def test_series_come_in_pages(client: httpx.AsyncClient) -> None:
    async def page(**more: Any) -> dict[str, Any]:
        answer = await client.get("/series", params={"metric": "orders", **more})
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found

    first = await page(limit=2)
    second = await page(limit=2, cursor=first["next"])
    assert (len(first["series"]), first["total"], second["total"], second["next"]) == (2, 3, 3, None)
    assert all((one["kind"], one["unit"]) == ("distribution", None) for one in first["series"])
    together = [one["dimensions"]["country"] for one in (*first["series"], *second["series"])]
    assert sorted(together) == ["=1+1", "DE", "NL"]
    chosen = await page(where=["!country:NL", "!country:DE"])
    assert (chosen["total"], chosen["series"][0]["dimensions"]) == (1, {"country": "=1+1"})


@pytest.mark.parametrize(
    ("status", "field", "parameters"),
    [
        (404, "metric", {"metric": "nothing"}),
        (400, "metric", {}),
        (400, "limit", {"metric": "orders", "limit": "1001"}),
        (400, "cursor", {"metric": "orders", "cursor": "x"}),
        (400, "where", {"metric": "orders", "where": "x"}),
        (400, "metrik", {"metrik": "orders"}),
    ],
)
async def test_a_wrong_question_about_series_is_refused(
    client: httpx.AsyncClient, status: int, field: str, parameters: dict[str, str]
) -> None:
    answer = await client.get("/series", params=parameters)
    assert (answer.status_code, answer.json()["field"]) == (status, field)


async def test_catalogue_and_freshness(client: httpx.AsyncClient) -> None:
    (metric,) = (await client.get("/catalogue")).json()["metrics"]
    assert (metric["name"], metric["unit"], metric["dimensions"], metric["measure"], metric["series"]) == (
        "orders",
        "EUR",
        ["country"],
        "sum",
        3,
    )
    freshness = (await client.get("/freshness")).json()
    assert freshness["lag_ms"] == 400


@given(st.text(max_size=40))
def test_any_text_is_a_position_or_none(text: str) -> None:
    found = parse_position(text)
    assert found is None or all(offset >= 0 for offset in found[1].values())
