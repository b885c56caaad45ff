"""The push: one message per tick, each view computed once, the newest message wins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.queries import Filter, Query, Result
from aggregates.readmodel import ReadModel
from dashboard.explore import view
from dashboard.feed import Feed, Reader
from dashboard.leaders import Ranked, rank, steady_top
from dashboard.live import read_message
from dashboard.ranges import Times
from dashboard.reading import Reading
from dashboard.scenes import Held, steady_high
from dashboard.settings import DashboardSettings
from dashboard.state import Explore, parse
from dashboard.watched import Rendered, encoded
from tests.counted import REVENUE, Counted

NOON = 1_795_435_200_000
TIMES = Times(NOON, 10_000, 7_200_000)
COUNTRIES = ("NL", "DE", "FR", "BE", "US", "JP", "IT")


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    """An empty read model that knows everything up to 0.4 s before noon."""
    found = Counted(tmp_path, REVENUE)
    found.known_until(NOON - 400)
    yield found
    found.close()


@pytest.fixture
def shop(counted: Counted) -> ReadModel:
    """Twenty minutes of orders from seven countries: NL 10 euros each five seconds, DE 9, and so on."""
    fill(counted, COUNTRIES)
    return counted.model


def fill(counted: Counted, countries: tuple[str, ...]) -> None:
    counted.add(
        REVENUE,
        [
            (NOON - ago * 1000, 10.0 - n, {"country": name})
            for ago in range(5, 1200, 5)
            for n, name in enumerate(countries)
        ],
    )


@asynccontextmanager
async def running(model: Reading, **changes: Any) -> AsyncIterator[Feed]:
    settings = DashboardSettings(**{"tick_ms": 20, **changes})
    feed = Feed(model, settings, lambda: NOON)
    task = asyncio.create_task(feed.run())
    yield feed
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def message(reader: Reader, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
    """The next message that fits, within five seconds."""
    async with asyncio.timeout(5):
        while True:
            found: dict[str, Any] = json.loads(await reader.take())
            if wanted(found):
                return found


async def test_every_tick_brings_one_message_with_all_tiles(shop: ReadModel) -> None:
    async with running(shop) as feed:
        reader = feed.join()
        first = await message(reader)
        second = await message(reader)
        assert second["v"] == first["v"] + 1
        assert first["now"] == NOON
        assert first["freshness"]["lag_ms"] == 400
        assert first["order"] == ["orders.revenue"]
        assert first["tiles"][0]["1m"][0] == "€588"
        assert "chart" not in first


async def test_nothing_is_computed_while_nobody_reads(shop: ReadModel) -> None:
    async with running(shop) as feed:
        reader = feed.join()
        await message(reader)
        feed.leave(reader)
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while feed.readers:
                await asyncio.sleep(0.01)
        settled = None
        while settled != feed.counters.ticks:
            settled = feed.counters.ticks
            await asyncio.sleep(0.1)
        again = feed.join()
        assert (await message(again))["v"] == settled + 1


async def test_equal_views_are_computed_once_a_tick(shop: ReadModel) -> None:
    async with running(shop, tick_ms=50) as feed:
        readers = [feed.join() for _ in range(20)]
        for reader in readers:
            feed.watch(reader, "metric=orders.revenue")
        for reader in readers:
            chart = (await message(reader, lambda m: "chart" in m))["chart"]
            assert chart["number"]["text"] == "€8,820"
        ticks, views = feed.counters.ticks, feed.counters.views
        assert views <= ticks


async def test_a_chart_that_did_not_change_is_not_sent_again(shop: ReadModel) -> None:
    async with running(shop) as feed:
        reader = feed.join()
        feed.watch(reader, "metric=orders.revenue")
        await message(reader, lambda m: "chart" in m)
        for _ in range(3):
            assert "chart" not in await message(reader)


async def test_what_is_newly_watched_comes_before_the_next_tick(shop: ReadModel) -> None:
    async with running(shop, tick_ms=60_000) as feed:
        reader = feed.join()
        await message(reader)
        feed.watch(reader, "metric=orders.revenue&by=country")
        chart = (await message(reader, lambda m: "chart" in m))["chart"]
        assert [row["value"] for row in chart["boards"]["list"][0]["rows"]][:2] == ["NL", "DE"]
        assert feed.counters.ticks == 1


async def test_a_slow_reader_finds_the_newest_message_only(shop: ReadModel) -> None:
    async with running(shop) as feed:
        slow, quick = feed.join(), feed.join()
        last = 0
        while last < 5:
            last = (await message(quick))["v"]
        assert (await message(slow))["v"] >= last


async def test_too_many_different_views_are_refused_and_the_others_go_on(shop: ReadModel) -> None:
    async with running(shop, max_watches=2) as feed:
        readers = [feed.join() for _ in range(3)]
        for n, reader in enumerate(readers):
            feed.watch(reader, f"from=-{n + 10}m")
        charts = [(await message(reader, lambda m: "chart" in m))["chart"] for reader in readers]
        assert sum("figure" in chart for chart in charts) == 2
        assert sum("Too many" in (chart.get("empty") or "") for chart in charts) == 1


class Broken:
    """A read model whose queries fail."""

    def __init__(self, model: ReadModel) -> None:
        self.catalogue, self.freshness, self.tiles = model.catalogue, model.freshness, model.tiles
        self.ledger = model.ledger

    def query(self, query: Query) -> Result:
        raise RuntimeError("no disk")


async def test_a_view_that_fails_says_so_and_the_tiles_go_on(shop: ReadModel) -> None:
    async with running(Broken(shop)) as feed:
        reader = feed.join()
        feed.watch(reader, "")
        found = await message(reader, lambda m: "chart" in m)
        assert "could not be loaded. Reference" in found["chart"]["error"]
        assert "no disk" not in json.dumps(found)
        assert feed.counters.failures > 0


class Slow:
    """A read model that takes long over one country's numbers: until it is told to go on."""

    def __init__(self, model: ReadModel) -> None:
        self._model = model
        self.catalogue, self.freshness, self.tiles = model.catalogue, model.freshness, model.tiles
        self.ledger = model.ledger
        self.asked, self.go_on = 0, threading.Event()

    def query(self, query: Query) -> Result:
        if any("FR" in each.values for each in query.where):
            self.asked += 1
            assert self.go_on.wait(10)
        return self._model.query(query)


async def test_a_view_that_takes_long_delays_nobody_else(shop: ReadModel) -> None:
    slow = Slow(shop)
    async with running(slow) as feed:
        patient, quick, plain = feed.join(), feed.join(), feed.join()
        feed.watch(patient, "metric=orders.revenue&where=country:FR")
        feed.watch(quick, "metric=orders.revenue&where=country:NL")
        assert (await message(quick, lambda m: "chart" in m))["chart"]["number"]["text"]
        ticks = feed.counters.ticks
        while feed.counters.ticks < ticks + 3:
            await message(plain)
        assert "chart" not in await message(patient)
        assert slow.asked == 1  # not begun again while it runs
        slow.go_on.set()
        assert (await message(patient, lambda m: "chart" in m))["chart"]["number"]["text"]


async def test_a_view_that_somebody_watches_already_comes_at_once(shop: ReadModel) -> None:
    async with running(shop, tick_ms=60_000) as feed:
        first, second = feed.join(), feed.join()
        feed.watch(first, "metric=orders.revenue")
        await message(first, lambda m: "chart" in m)
        feed.watch(second, "metric=orders.revenue")
        assert "chart" in await message(second, lambda m: "chart" in m)
        assert (feed.counters.ticks, feed.counters.views) == (1, 1)


async def test_a_page_without_tiles_is_told_which_metrics_there_are(shop: ReadModel) -> None:
    async with running(shop) as feed:
        reader = feed.join()
        feed.watch(reader, "metric=orders.revenue")
        found = await message(reader, lambda m: "choices" in m)
        assert found["choices"] == [["orders.revenue", "orders.revenue", ["country"]]]
        for _ in range(3):
            assert not {"choices", "tiles"} & (await message(reader)).keys()
        feed.watch(reader, None)
        assert (await message(reader, lambda m: "tiles" in m))["order"] == ["orders.revenue"]


async def test_a_reader_takes_the_chart_once() -> None:
    reader = Reader()
    reader.offer('{"v":1}', Rendered(7, '{"a":1}'))
    assert json.loads(await reader.take()) == {"v": 1, "chart": {"a": 1}}
    reader.offer('{"v":2}', Rendered(7, '{"a":1}'))
    assert json.loads(await reader.take()) == {"v": 2}
    reader.offer('{"v":3}', Rendered(8, '{"a":2}'))
    assert json.loads(await reader.take()) == {"v": 3, "chart": {"a": 2}}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"watch": null}', (True, None)),
        ('{"watch": "metric=a"}', (True, "metric=a")),
        ('{"watch": 3}', (False, None)),
        ("{}", (False, None)),
        ("[]", (False, None)),
        ("nonsense", (False, None)),
        ("[" * 5000, (False, None)),
        ('{"watch": "' + "x" * 20_000 + '"}', (False, None)),
    ],
)
def test_messages_of_browsers(text: str, answer: tuple[bool, str | None]) -> None:
    assert read_message(text) == answer


def test_a_split_adds_up_to_the_whole(shop: ReadModel) -> None:
    whole, _ = view(shop, Explore("orders.revenue"), Held(), TIMES)
    split, _ = view(shop, Explore("orders.revenue", by="country"), Held(), TIMES)
    lines = [line for line in split["figure"]["data"] if line["mode"] == "lines" and "fill" not in line]
    assert [line["name"] for line in split["lines"]] == ["NL", "DE", "FR", "BE", "US", "other (2)"]
    final = [trace["y"] for trace in split["figure"]["data"][0:-1:3]]
    assert [sum(bucket) for bucket in zip(*final, strict=True)] == whole["figure"]["data"][0]["y"]
    assert lines


def test_a_missing_value_among_many_belongs_to_the_others(counted: Counted) -> None:
    fill(counted, COUNTRIES)
    counted.add(REVENUE, [(NOON - ago * 1000, 500.0, {}) for ago in range(5, 1200, 5)])
    payload, _ = view(counted.model, Explore("orders.revenue", by="country"), Held(), TIMES)
    assert payload["boards"]["list"][0]["rows"][0]["name"] == "(none)"
    assert [line["name"] for line in payload["lines"]][-1] == "other (3)"
    assert "(none)" not in [line["name"] for line in payload["lines"]]


def test_a_missing_value_among_few_has_its_line(counted: Counted) -> None:
    fill(counted, ("NL", "DE"))
    counted.add(REVENUE, [(NOON - 5000, 1.0, {})])
    payload, _ = view(counted.model, Explore("orders.revenue", by="country"), Held(), TIMES)
    assert [line["name"] for line in payload["lines"]] == ["NL", "DE", "(none)"]


def test_the_leaderboard_ignores_its_own_filter_and_the_chart_does_not(shop: ReadModel) -> None:
    state = parse("metric=orders.revenue&by=country&where=country:FR")[0]
    payload, _ = view(shop, state, Held(), TIMES)
    rows = payload["boards"]["list"][0]["rows"]
    assert len(rows) == 7
    assert rows[0]["state"] == "selected"
    assert [line["name"] for line in payload["lines"]] == ["FR"]


def test_what_a_metric_does_not_have_is_left_out_and_named(shop: ReadModel) -> None:
    state = Explore("orders.revenue", by="planet", where=(Filter("moon", ("io",)),))
    payload, _ = view(shop, state, Held(), TIMES)
    assert payload["notices"] == [
        "orders.revenue has no dimension planet: not split.",
        "orders.revenue has no dimension moon: filter left out.",
    ]


def test_an_unfinished_period_is_compared_with_the_same_elapsed_part(tmp_path: Path) -> None:
    counted = Counted(tmp_path, REVENUE)
    counted.add(REVENUE, [(NOON - ago * 1000, 1.0, {}) for ago in range(1, 7000)])
    counted.known_until(NOON - 60_000)
    payload, _ = view(counted.model, Explore("orders.revenue"), Held(), TIMES)
    assert payload["number"]["text"] == "€900"
    assert payload["number"]["was"] == "was €840"
    counted.close()


names: st.SearchStrategy[str | None] = st.sampled_from("abcdefghij")
groups = st.dictionaries(names, st.floats(0, 100), max_size=10)


@given(groups, st.lists(groups, max_size=4))
def test_groups_keep_their_place_while_they_stay(
    first: dict[str | None, float | None], later: list[dict[str | None, float | None]]
) -> None:
    held = steady_top((), rank(first), 5)
    for values in later:
        ranked: Ranked = rank(values)
        top = steady_top(held, ranked, 5)
        assert len(top) == min(5, len(ranked))
        assert len(set(top)) == len(top)
        assert set(top) <= set(values)
        out = [v for g, v in ranked if g not in top and v is not None]
        assert not out or max(out) <= min(values[g] or 0 for g in top) * 1.1 + 1e-9
        if set(held) <= set(values) and len(held) == 5:
            assert all(top.index(g) == held.index(g) for g in held if g in top)
        held = top


def test_the_axis_grows_at_once_and_shrinks_late() -> None:
    held = steady_high(Held(), 100.0, 0)
    assert held.high == 100
    assert steady_high(held, 150.0, 1000).high == 150
    assert steady_high(held, 50.0, 29_000).high == 100
    assert steady_high(held, 50.0, 31_000).high == 50
    held = steady_high(held, 90.0, 20_000)
    assert steady_high(held, 50.0, 31_000).high == 100
    assert replace(held, high=1.0).high == 1


def test_a_number_beyond_a_double_is_sent_as_none() -> None:
    assert encoded({"a": float("inf"), "b": [float("nan"), 1.5]}) == '{"a":null,"b":[null,1.5]}'
