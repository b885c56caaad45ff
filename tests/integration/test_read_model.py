"""The read model over a real file: what is gone, what came late, the largest of many, the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI

from aggregates.accounts import LedgerQuery
from aggregates.levels import LEVELS
from aggregates.queries import Query, TooManyRows, Unanswerable
from dashboard.api import router
from ingest.registry import DerivedMetric, MetricDefinition, Registry
from ingest.series import Kind
from tests.builders import TOPIC_ID, give_up
from tests.raw_events import Raw, Sent, expected

NOON = 1_795_435_200
"""23 Nov 2026, 12:00 UTC."""
DAY = 86_400
REGISTRY = Registry(
    {"paid": MetricDefinition("paid", unit="EUR"), "visitors": MetricDefinition("visitors")},
    derived={"per_visitor": DerivedMetric("per_visitor", ("paid", "sum"), ("visitors", "uniques"), "EUR")},
)


def paid(second: int, value: float, country: str = "NL", product: str | None = None) -> Sent:
    dimensions = [("country", country), *([("product", product)] if product else [])]
    return Sent("paid", Kind.DISTRIBUTION, tuple(dimensions), 1000 * second, value)


def visitor(second: int, name: str, country: str = "NL") -> Sent:
    return Sent("visitors", Kind.UNIQUE, (("country", country),), 1000 * second, name)


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[Raw]:
    found = Raw(tmp_path, REGISTRY)
    found.model.observe(TOPIC_ID, 1000 * NOON, {0: 3, 1: 0})
    yield found
    found.store.close()


def asked(start: int, end: int, *measures: str, **others: Any) -> Query:
    return replace(Query("paid", measures or ("count", "sum"), 1000 * start, 1000 * end), **others)


# --- what is gone -----------------------------------------------------------------------------------------------------


def test_what_is_gone_is_answered_by_what_is_kept(raw: Raw) -> None:
    for hour in range(72):
        second = NOON - 3 * DAY + 3600 * hour
        raw.append([paid(second, hour), paid(second + 1800, 2.5, "DE")], 1000 * (second + 1800))
    raw.seal(1000 * NOON)
    raw.store.retain(NOON, {"1s": 3600, "1m": 6 * 3600, "15m": 30 * 3600, "1d": None})
    for back, step, answered in ((1, 1, 1), (4, 1, 60), (4, 60, 60), (20, 60, 900), (20, 3600, 3600), (60, 60, DAY)):
        query = asked(NOON - 3600 * back, NOON - 60, "count", "sum", "p50", by=("country",), step_s=step)
        result = raw.model.query(query)
        assert result.step_s == answered
        wanted = expected(raw, replace(query, step_s=answered), result.start_ms, result.end_ms, ["count", "sum"])
        assert {row[:2]: row[2:4] for row in result.rows if row[2]} == wanted
    with pytest.raises(Unanswerable, match="quarters of an hour, which are kept from"):
        raw.model.query(asked(NOON - 2 * DAY, NOON, step_s=DAY, timezone="Asia/Kathmandu"))
    assert raw.model.query(asked(NOON - 2 * DAY, NOON, step_s=DAY, timezone="UTC")).level == "1d"
    ledger = raw.model.ledger(LedgerQuery(None, 0, 1000 * NOON))
    assert {row.seconds for row in ledger.rows} == {60, 900}
    assert all(row.account.exact for row in ledger.rows)


def test_single_series_answer_percentiles_by_the_minute(raw: Raw) -> None:
    events = [paid(NOON + second, second, "NL", f"p{second % 3}") for second in range(150)]
    raw.append(events, 1000 * (NOON + 150))
    query = asked(NOON + 30, NOON + 130, "count", "p90", by=("country", "product"), step_s=1)
    result = raw.model.query(query)
    assert (result.view, result.step_s, result.start_ms, result.end_ms) == (
        "*", 60, 1000 * NOON, 1000 * (NOON + 180)
    )  # fmt: skip
    wanted = expected(raw, replace(query, step_s=60), result.start_ms, result.end_ms, ["count", "p90"])
    assert {row[:3]: row[3] for row in result.rows if row[3]} == {key: values[0] for key, values in wanted.items()}
    for row in result.rows:
        assert row[4] == pytest.approx(wanted[row[:3]][1], rel=0.01)


def test_local_days_around_a_change_of_the_clock(tmp_path: Path) -> None:
    for number, (year, month, day) in enumerate(((2026, 10, 25), (2026, 3, 29))):
        raw = Raw(tmp_path / str(number), zone="Europe/Amsterdam")
        own = ZoneInfo("Europe/Amsterdam")
        first = datetime(year, month, day, tzinfo=own) - timedelta(2)
        midnights = [int((first + timedelta(days)).timestamp()) for days in range(6)]
        for midnight in midnights:
            raw.append([paid(midnight - 600, 1.0), paid(midnight, 10.0)], 1000 * midnight)
        for until in (midnights[0] + 60, midnights[-1] + 90_000):
            raw.seal(1000 * until)
            for zone in (None, "Europe/Amsterdam", "Europe/Berlin"):
                result = raw.model.query(asked(midnights[0], midnights[-1], "sum", step_s=DAY, timezone=zone))
                assert result.rows == [(1000 * midnight, 11.0) for midnight in midnights[:-1]]
        raw.store.close()


def test_a_group_of_nothing_but_duplicates_is_no_group(raw: Raw) -> None:
    for second in (NOON, NOON + 100):
        raw.append([replace(paid(second, 1.0), id="once"), paid(second, 2.0, "DE")], 1000 * second)
    result = raw.model.query(asked(NOON + 100, NOON + 101, "count", by=("country",)))
    assert result.rows == [("DE", 1)]


# --- late -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [NOON + 30, NOON + 1000, NOON + 2 * DAY])
def test_an_answer_says_that_it_was_restated(raw: Raw, sealed: int) -> None:
    raw.append([paid(NOON + 5, 1.0)], 1000 * (NOON + 6))
    raw.append([paid(NOON + 7, 10.0)], 1000 * (NOON + 200), history=True)
    raw.seal(1000 * sealed)

    def restated(step: int | None, as_of: int | None = None) -> bool:
        as_of_ms = None if as_of is None else 1000 * as_of
        return raw.model.query(asked(NOON - 900, NOON + 900, step_s=step, as_of_ms=as_of_ms)).restated

    assert not restated(None)
    assert not restated(60)
    raw.append(
        [paid(NOON + 8, 100.0)], 1000 * (NOON + 71)
    )  # a second past the grace of its minute, in time for its hour
    assert restated(None)
    assert restated(60)
    assert not restated(3600)
    assert not restated(DAY)
    assert not restated(None, NOON + 129)
    assert restated(None, NOON + 130)  # known a minute later at the most
    raw.seal(1000 * (NOON + 3 * DAY))
    assert restated(None)
    assert restated(60)
    assert not restated(DAY)


def test_as_of_gives_what_was_known_then(raw: Raw) -> None:
    raw.append([paid(NOON + 5, 1.0)], 1000 * (NOON + 6))
    raw.append([paid(NOON + 6, 100.0)], 1000 * (NOON + 600))
    raw.seal(1000 * (NOON + 700))
    values = [
        raw.model.query(asked(NOON, NOON + 60, "sum", as_of_ms=1000 * (NOON + at))).rows[0][0]
        for at in (15, 16, 100, 609, 610, 660, 661, 700)
    ]
    assert values == [0.0, 1.0, 1.0, 1.0, 101.0, 101.0, 101.0, 101.0]
    raw.store.retain(NOON + 40 * DAY, dict.fromkeys(LEVELS))
    with pytest.raises(Unanswerable, match="what was known when is kept from"):
        raw.model.query(asked(NOON, NOON + 60, "sum", as_of_ms=1000 * (NOON + 100)))


# --- many groups ------------------------------------------------------------------------------------------------------


def test_the_top_ten_of_ten_thousand(raw: Raw) -> None:
    events = [paid(NOON + i % 50, float(i // 2 % 4000), "NL", f"p{i:05}") for i in range(10_000)]
    raw.append(events, 1000 * (NOON + 50))
    query = asked(NOON, NOON + 60, "sum", "count", "p50", by=("product",), top=10)
    result = raw.model.query(query)
    largest = sorted(events, key=lambda event: (-float(event.value), event.dimensions))[:10]
    assert [row[0] for row in result.rows] == [*(event.dimensions[1][1] for event in largest), "other"]
    assert (result.view, result.others) == ("product", 9990)
    assert counts(result.rows, 2) == 10_000
    assert sum(float(str(row[1])) for row in result.rows) == sum(float(event.value) for event in events)
    stepped = raw.model.query(replace(query, step_s=10))
    assert len(stepped.rows) == 6 * 11
    assert [row[1] for row in stepped.rows[:11]] == [row[0] for row in result.rows]
    with pytest.raises(TooManyRows):
        raw.model.query(replace(query, top=None, step_s=10))
    newest = raw.model.query(replace(query, measures=("sum", "last"), top=3))
    top = {row[0] for row in newest.rows}
    latest = max(event.ms for event in events if event.dimensions[1][1] not in top)
    assert newest.rows[-1][2] in {float(event.value) for event in events if event.ms == latest}


def counts(rows: list[tuple[object, ...]], place: int) -> int:
    return sum(cell for cell in (row[place] for row in rows) if isinstance(cell, int))


def test_distinct_counts_say_when_they_are_estimates(raw: Raw) -> None:
    for record in range(4):
        names = [f"visitor-{record}-{i}" for i in range(2000)]
        raw.append([visitor(NOON + 60 * record + i % 60, name) for i, name in enumerate(names)], 1000 * (NOON + 300))
    raw.seal(1000 * (NOON + 400))
    query = replace(asked(NOON, NOON + 60, "uniques"), metric="visitors")
    few = raw.model.query(query)
    assert (few.rows, few.error_bound) == ([(2000,)], None)
    many = raw.model.query(replace(query, end_ms=1000 * (NOON + 240)))
    assert many.rows[0][0] == pytest.approx(8000, rel=0.02)
    assert many.error_bound == {"uniques": 0.02}


# --- tiles ------------------------------------------------------------------------------------------------------------


def test_a_tile_falls_to_zero_when_events_stop(raw: Raw) -> None:
    raw.append([paid(NOON - 30, 6.0), visitor(NOON - 30, "ada")], 1000 * (NOON - 29))
    seen = {}
    for after in (0, 40, 400, 4000, 2 * DAY):
        tiles = {tile.metric.name: tile for tile in raw.model.tiles(1000 * (NOON + after))}
        seen[after] = [tiles["visitors"].windows[name].value for name in ("1m", "5m", "1h", "24h")]
        ratios = tiles["per_visitor"].windows
        assert [ratios[name].value for name in ("1m", "5m", "1h", "24h")] == [6.0 if v else None for v in seen[after]]
        assert tiles["visitors"].events_1m == (1 if after == 0 else 0)
    assert seen == {0: [1, 1, 1, 1], 40: [0, 1, 1, 1], 400: [0, 0, 1, 1], 4000: [0, 0, 0, 1], 2 * DAY: [0, 0, 0, 0]}


def test_windows_are_read_from_what_is_kept(raw: Raw) -> None:
    for hour in range(60):
        second = NOON - 60 * 3600 + 3600 * hour + 37
        order = Sent("orders", Kind.COUNTER, (("country", "NL"),), 1000 * second, 1.0)
        raw.append([order], 1000 * second)
    raw.seal(1000 * NOON)
    raw.store.retain(NOON, {"1s": 3600, "1m": 20 * DAY, "15m": None, "1d": None})
    windows = {now: raw.model.tiles(1000 * (NOON + now))[0].windows["24h"] for now in (17, 59, 61)}
    # Seconds of yesterday are gone: both windows begin with whole minutes, and no event is in both.
    assert {now: (one.value, one.previous) for now, one in windows.items()} == {
        17: (24, 24),
        59: (24, 24),
        61: (23, 24),
    }


def test_what_is_dear_of_a_day_is_made_anew_every_half_minute(raw: Raw) -> None:
    def windows(now: int) -> list[float | None]:
        tile = next(tile for tile in raw.model.tiles(1000 * now) if tile.metric.name == "visitors")
        return [tile.windows[name].value for name in ("1m", "1h", "24h")]

    raw.append([visitor(NOON, "ada")], 1000 * NOON)
    assert windows(NOON + 1) == [1, 1, 1]
    raw.append([visitor(NOON + 1, "grace")], 1000 * (NOON + 1))
    assert windows(NOON + 2) == [2, 2, 1]
    assert windows(NOON + 31) == [2, 2, 2]


# --- the ledger -------------------------------------------------------------------------------------------------------

_LETTER = (
    "INSERT INTO letters VALUES "
    "(?, 'r', ?, 0, ?, ?, NULL, '', ?, NULL, NULL, 'native', 'event', false, 1, 'r', '', 0, 0)"
)


def reject(raw: Raw, *letters: tuple[int, str, str | None]) -> None:
    """Letters of (record time in s, reason, metric)."""
    with raw.store.writing() as connection:
        for number, (second, reason, metric) in enumerate(letters):
            connection.execute(_LETTER, [number, number, 1000 * second, reason, metric])


def test_the_ledger_accounts_for_every_event(raw: Raw) -> None:
    twice = Sent("paid", Kind.DISTRIBUTION, (("country", "NL"),), 1000 * NOON, 1.0, "once")
    raw.append([twice, paid(NOON - DAY, 2.0), visitor(NOON, "ada")], 1000 * NOON)
    raw.append([twice], 1000 * (NOON + 65))
    reject(raw, (NOON + 2, "ts_future", "paid"), (NOON + 3, "ts_future", "paid"), (NOON + 70, "malformed", None))
    found = raw.model.ledger(LedgerQuery(None, 1000 * NOON, 1000 * (NOON + 120)))
    seen = [
        (row.metric, row.start_ms // 1000 - NOON, row.account.accepted, row.account.applied, row.account.duplicates,
         dict(row.account.rejected), row.account.exact)
        for row in found.rows
    ]  # fmt: skip
    assert seen == [
        ("paid", 0, 2, 2, 0, {"ts_future": 2}, True),
        ("visitors", 0, 1, 1, 0, {}, True),
        ("paid", 60, 1, 0, 1, {}, True),
        (None, 60, 0, 0, 0, {"malformed": 1}, True),
    ]
    assert (found.total.accepted, found.total.applied, found.total.duplicates) == (4, 3, 1)
    assert found.total.rejected == {"ts_future": 2, "malformed": 1}
    assert found.pending == {0: 3, 1: 0}
    only = raw.model.ledger(LedgerQuery("paid", 1000 * NOON, 1000 * (NOON + 60)))
    assert [row.metric for row in only.rows] == ["paid"]
    raw.seal(1000 * (NOON + 300))
    again = raw.model.ledger(LedgerQuery(None, 1000 * NOON, 1000 * (NOON + 120)))
    assert replace(again, freshness=found.freshness) == found


def test_the_ledger_shows_what_does_not_add_up(raw: Raw) -> None:
    raw.append([paid(NOON, 1.0)], 1000 * NOON)
    with raw.store.writing() as connection:
        connection.execute("INSERT INTO ledger VALUES ('paid', ?, 1, 0, 0)", [NOON])
        connection.execute("INSERT INTO undecodable VALUES ('t', 0, 7, ?, 'torn')", [1000 * NOON])
    give_up(raw.store, 90, 1000 * NOON)
    found = raw.model.ledger(LedgerQuery("paid", 1000 * NOON, 1000 * (NOON + 60)))
    assert not found.total.exact
    assert [(one.offset, one.reason) for one in found.undecodable] == [(7, "torn")]
    assert found.undecodable_records == 1
    assert [(one.partition, one.next_offset) for one in found.lost] == [(0, 90)]


# --- the API ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(raw: Raw) -> httpx.AsyncClient:
    raw.append([paid(NOON - 60, 10.0), paid(NOON - 55, 20.0, "DE"), visitor(NOON - 52, "ada")], 1000 * (NOON - 50))
    app = FastAPI()
    app.include_router(router(raw.model, lambda: 1000 * NOON))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test/api/v1")


async def test_every_field_comes_through(client: httpx.AsyncClient) -> None:
    query: dict[str, Any] = {
        "metric": "paid", "measures": ["sum", "p99.9"], "from": "-1h", "by": ["country"], "top": 1, "order": "count",
        "compare": "previous", "as_of": "now", "timezone": "Europe/Amsterdam",
    }  # fmt: skip
    found = (await client.post("/query", json=query)).json()
    assert [column["name"] for column in found["columns"]] == [
        "country", "sum", "sum_previous", "sum_change", "p99.9", "p99.9_previous", "p99.9_change",
    ]  # fmt: skip
    assert [(c["type"], c["unit"]) for c in found["columns"][1:4]] == [
        ("number", "EUR"), ("number", "EUR"), ("number", "ratio")
    ]  # fmt: skip
    assert found["rows"] == [["DE", 20.0, 0.0, None, 20.0, None, None], ["other", 10.0, 0.0, None, 10.0, None, None]]
    assert (found["others"], found["error_bound"], found["restated"], found["step"]) == (
        1,
        {"p99.9": 0.01},
        False,
        None,
    )
    got = (await client.get("/query", params={**query, "measures": "sum,p99.9", "by": "country"})).json()
    assert got["rows"] == found["rows"]


async def test_a_histogram_is_a_list_of_triples(client: httpx.AsyncClient) -> None:
    query = {"metric": "paid", "measures": "histogram", "from": "-1h"}
    found = (await client.get("/query", params=query)).json()
    assert found["columns"] == [{"name": "histogram", "type": "histogram", "unit": "EUR"}]
    ((first, second),) = found["rows"][0]
    for value, (lower, upper, n) in ((10.0, first), (20.0, second)):
        assert lower < value <= upper
        assert upper / lower == pytest.approx(1.01 / 0.99)
        assert n == 1
    text = (await client.get("/query", params={**query, "format": "csv"})).text
    assert text.startswith('histogram\r\n"[[')


@pytest.mark.parametrize(
    ("field", "message", "query"),
    [
        ("measures", "it has count, uniques", {"metric": "visitors", "measures": "sum"}),
        ("measures", "it has no increase", {"metric": "paid", "measures": "increase"}),
        ("measures", "it has ratio", {"metric": "per_visitor", "measures": "count"}),
        ("order", "it has no uniques", {"metric": "paid", "by": "country", "top": "3", "order": "uniques"}),
        ("order", "a histogram has no order", {"metric": "paid", "by": "country", "top": "3", "measures": "histogram"}),
        ("compare", "multiple of the step", {"metric": "paid", "step": "1h", "compare": "-90m"}),
    ],
)
async def test_what_cannot_be_answered_is_said(
    client: httpx.AsyncClient, field: str, message: str, query: dict[str, str]
) -> None:
    answer = await client.get("/query", params=query)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "invalid_query", field)
    assert message in answer.json()["message"]


async def test_derived_metrics_stand_in_the_catalogue(client: httpx.AsyncClient) -> None:
    metrics = (await client.get("/catalogue")).json()["metrics"]
    assert [metric["name"] for metric in metrics] == ["paid", "visitors", "per_visitor"]
    assert metrics[0]["measures"][-2:] == ["p99.9", "histogram"]
    assert (metrics[2]["kind"], metrics[2]["measures"], metrics[2]["unit"]) == ("derived", ["ratio"], "EUR")
    assert (await client.get("/query", params={"metric": "per_visitor"})).json()["rows"] == [[30.0]]


async def test_the_ledger_over_http(client: httpx.AsyncClient) -> None:
    found = (await client.get("/ledger", params={"metric": "paid"})).json()
    (row,) = found["rows"]
    assert row == {
        "metric": "paid", "time": "2026-11-23T11:59:00Z", "seconds": 60,
        "accepted": 2, "applied": 2, "duplicates": 0, "rejected": {}, "exact": True,
    }  # fmt: skip
    assert found["exact"] is True
    assert found["pending"] == {"records": 3, "partitions": {"0": 3, "1": 0}}
    for parameters in ({"since": "1"}, {"from": "yesterday"}, {"from": "now", "to": "-1h"}):
        answer = await client.get("/ledger", params=parameters)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_query")


def test_each_bin_of_a_histogram_counts_as_a_row(raw: Raw) -> None:
    seconds = range(NOON, NOON + 1000)
    raw.append([paid(second, value) for second in seconds for value in (1.0, 2.0, 3.0)], 1000 * (NOON + 1000))
    query = asked(NOON, NOON + 1000, "histogram", by=("country",), step_s=1)
    assert len(raw.model.query(query).rows) == 1000
    for country in range(17):
        events = [paid(second, value, f"c{country}") for second in seconds for value in (1.0, 2.0, 3.0)]
        raw.append(events, 1000 * (NOON + 1000))
    assert len(raw.model.query(replace(query, measures=("count",))).rows) == 18_000
    with pytest.raises(TooManyRows):
        raw.model.query(query)
