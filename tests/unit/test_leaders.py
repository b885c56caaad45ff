"""Leaderboards as values: order, selection, rows, what the rest is; and what is asked of the read model for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.queries import Filter, Freshness, Metric, Query, Result, Tile, Unanswerable
from dashboard.boards import BUDGET_MS, CALM_MS, MOST, REFRESH_MS, Kept, Wanted, boards, dimensions, shown
from dashboard.filters import chips, filter_words
from dashboard.leaders import OPEN_ROWS, ROWS, Board, Leader, leaderboard, listed, ordered
from dashboard.state import Explore, parse
from tests.counted import REVENUE, Counted

NOON = 1_795_435_200_000
METRIC = Metric("orders.revenue", "gauge", "EUR", ("country", "product"), "", "up", "sum")
BASE = Query("orders.revenue", ("sum",), NOON - 600_000, NOON)
WANTED = Wanted(BASE, 600, 1000)
STATE = Explore("orders.revenue", "sum")

names = st.one_of(st.none(), st.sampled_from("abcdefghijklmnopqrst"))
numbers = st.one_of(st.none(), st.floats(-1e9, 1e9))
leaders_ = st.lists(st.builds(Leader, names, numbers, numbers), max_size=20, unique_by=lambda one: one.group)


def board(*rows: tuple[str | None, float | None, float | None], **more: Any) -> Board:
    return Board("country", tuple(Leader(*row) for row in rows), compared=True, **more)


def rows_of(found: Board, state: Explore = STATE, shown_: tuple[str | None, ...] | None = None) -> dict[str, Any]:
    return leaderboard(found, shown_ or tuple(one.group for one in found.leaders), state, METRIC)


def test_a_row_has_bar_value_share_and_change() -> None:
    found = rows_of(board(("NL", 300.0, 200.0), ("DE", 150.0, 300.0), rest=Leader("other", 50.0, 50.0), others=4))
    nl, de = found["rows"]
    assert (nl["name"], nl["text"], nl["share"], nl["delta"], nl["tone"], nl["was"], nl["width"]) == (
        "NL", "€300", "60.0%", "▲ 50.0%", "good", "was €200", 1.0,
    )  # fmt: skip
    assert (de["text"], de["share"], de["delta"], de["tone"], de["width"]) == ("€150", "30.0%", "▼ 50.0%", "bad", 0.5)
    assert found["other"] == {
        "count": 4, "text": "€50.00", "share": "10.0%", "delta": "no change", "tone": "plain", "was": "was €50.00",
    }  # fmt: skip
    assert found["groups"] == 6


def test_what_does_not_add_up_has_no_share_and_no_value_of_the_rest() -> None:
    state = replace(STATE, measure="p95")
    found = rows_of(board(("NL", 3.0, 2.0), rest=Leader("other", 9.0, 9.0), others=2), state)
    assert not found["shares"]
    assert found["rows"][0]["share"] == found["other"]["share"] == found["other"]["text"] == ""
    assert found["other"]["count"] == 2


def test_a_negative_value_and_a_missing_one_have_their_bars() -> None:
    low, none = rows_of(board(("refunds", -40.0, None), (None, None, None)))["rows"]
    assert (low["negative"], low["width"], low["text"]) == (True, 1.0, "\N{MINUS SIGN}€40.00")
    assert (none["name"], none["value"], none["width"], none["text"]) == ("(none)", None, 0.0, "")


def test_values_filtered_for_and_excluded_are_marked() -> None:
    state = replace(STATE, where=(Filter("country", ("NL",)), Filter("country", ("DE",), negate=True)))
    found = rows_of(board(("NL", 3.0, None), ("DE", 2.0, None), ("FR", 1.0, None)), state)
    assert [row["state"] for row in found["rows"]] == ["selected", "excluded", ""]
    assert found["filtered"]


def test_orders_by_value_by_growth_and_by_name() -> None:
    found = board(("NL", 300.0, 290.0), ("de", 150.0, 50.0), ("BE", 100.0, 200.0), ("XX", 50.0, 0.0), ("YY", 9.0, None))
    assert ordered(found, "value", None) == ["NL", "de", "BE", "XX", "YY"]
    assert ordered(found, "change", None) == ["XX", "de", "NL", "BE", "YY"]
    assert ordered(found, "name", None) == ["BE", "de", "NL", "XX", "YY"]


def test_ratios_grow_by_points() -> None:
    found = board(("small", 0.02, 0.01), ("large", 0.6, 0.5))
    assert ordered(found, "change", "ratio") == ["large", "small"]
    assert ordered(found, "change", "EUR") == ["small", "large"]


@given(st.lists(names, unique=True), st.lists(names, unique=True, max_size=4), st.integers(1, 10))
def test_what_is_selected_is_listed_first_whatever_its_size(
    order: list[str | None], selected: list[str | None], most: int
) -> None:
    found = listed(order, selected, most)
    assert set(found[: len(selected)]) == set(selected)
    assert len(found) == len(set(found)) <= max(most, len(selected))
    assert [g for g in found if g not in selected] == [g for g in order if g not in selected][
        : len(found) - len(selected)
    ]


@given(leaders_, st.integers(1, 8))
def test_rows_and_the_rest_are_the_whole(leaders: list[Leader], most: int) -> None:
    found = leaderboard(Board("country", tuple(leaders)), tuple(one.group for one in leaders[:most]), STATE, METRIC)
    assert len(found["rows"]) + (found["other"] or {"count": 0})["count"] == len(leaders)
    assert all(0 <= row["width"] <= 1 for row in found["rows"])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Counted]:
    """Twenty minutes of orders: 30 products in 3 countries, product 0 the largest; twice as much in the second half."""
    counted = Counted(tmp_path, REVENUE)
    counted.add(
        REVENUE,
        [
            (
                NOON - ago * 1000,
                (40.0 - n) * (2 if ago <= 600 else 1),
                {"country": ["NL", "DE", "FR"][n % 3], "product": f"p{n}"},
            )
            for ago in range(10, 1200, 60)
            for n in range(30)
        ],
    )
    counted.known_until(NOON)
    yield counted
    counted.close()


def asked(shop: Counted, address: str, held: dict[str, Kept] | None = None, now: int = NOON) -> dict[str, Any]:
    state = replace(parse(address)[0], metric="orders.revenue", measure="sum")
    wanted = replace(WANTED, base=replace(BASE, where=state.where))
    metric = shop.model.metric("orders.revenue")
    kept = held or {}
    for _ in metric.dimensions:  # one a tick, should this machine be that slow
        kept = boards(shop.model, state, metric, wanted, kept, now)
    return {one["key"]: one for one in shown(state, metric, kept)["list"]}


def test_every_dimension_has_its_board_with_what_was_before(shop: Counted) -> None:
    found = asked(shop, "")
    assert list(found) == ["country", "product"]
    assert [row["name"] for row in found["product"]["rows"]] == [f"p{n}" for n in range(ROWS)]
    assert {row["delta"] for row in found["product"]["rows"]} == {"▲ 100%"}
    assert found["product"]["groups"] == 30
    assert found["product"]["other"]["count"] == 22
    assert [row["text"] for row in found["country"]["rows"]] == ["€5,300", "€5,100", "€4,900"]


def test_a_board_ignores_its_own_filter_and_no_other(shop: Counted) -> None:
    found = asked(shop, "where=country:NL")
    assert [row["state"] for row in found["country"]["rows"]] == ["selected", "", ""]
    assert found["product"]["groups"] == 10
    assert found["product"]["rows"][1]["name"] == "p3"


def test_a_selected_value_is_listed_however_small_it_is(shop: Counted) -> None:
    rows = asked(shop, "where=product:p29&where=product:gone")["product"]["rows"]
    assert [(row["name"], row["text"], row["state"]) for row in rows[:3]] == [
        ("p29", "€220", "selected"), ("gone", "", "selected"), ("p0", "€800", ""),
    ]  # fmt: skip


def test_an_open_board_lists_more_and_finds_by_text(shop: Counted) -> None:
    assert len(asked(shop, "open=product")["product"]["rows"]) == 30
    found = asked(shop, "open=product&find=P2")["product"]
    assert [row["name"] for row in found["rows"]] == ["p2", *(f"p{n}" for n in range(20, 30))]
    assert asked(shop, "open=product&find=nothing")["product"]["rows"] == []


def test_without_a_comparison_nothing_changes(shop: Counted) -> None:
    metric = shop.model.metric("orders.revenue")
    kept = boards(shop.model, STATE, metric, replace(WANTED, shift_s=None), {}, NOON)
    found = shown(STATE, metric, kept)["list"][0]
    assert not found["compared"]
    assert {row["was"] for row in found["rows"]} == {"no data before"}


class Slow:
    """A read model that says how long it took and counts what it was asked."""

    def __init__(self, took_ms: float, rows: list[tuple[object, ...]]) -> None:
        self.took_ms, self.rows, self.asked = took_ms, rows, list[Query]()

    def query(self, query: Query) -> Result:
        self.asked.append(query)
        if query.by == ("broken",):
            raise Unanswerable("by", "it is broken")
        fresh = Freshness("", None, None, None)
        return Result((), self.rows, fresh, 0, 0, None, "", "", self.took_ms)

    def catalogue(self) -> tuple[Metric, ...]:
        return (METRIC,)

    def freshness(self, now_ms: int) -> Freshness:
        return Freshness("", None, None, None)

    def tiles(self, now_ms: int) -> tuple[Tile, ...]:
        return ()


def many(count: int) -> Metric:
    return replace(METRIC, dimensions=tuple(f"d{n:02}" for n in range(count)))


def test_one_bounded_query_a_dimension() -> None:
    model = Slow(1.0, [("a", 2.0, 1.0)])
    boards(model, STATE, METRIC, WANTED, {}, NOON)
    assert [(query.by, query.top, query.compare) for query in model.asked] == [
        (("country",), OPEN_ROWS, 600), (("product",), OPEN_ROWS, 600),
    ]  # fmt: skip


def test_what_does_not_fit_into_a_tick_comes_with_the_next() -> None:
    model, metric = Slow(BUDGET_MS * 0.6, []), many(5)
    state = replace(STATE, open="d04")
    held = boards(model, state, metric, WANTED, {}, NOON)
    assert list(held) == ["d04", "d00"]
    pending = [one["key"] for one in shown(state, metric, held)["list"] if one.get("pending")]
    assert pending == ["d01", "d02", "d03"]
    held = boards(model, state, metric, WANTED, held, NOON + 1000)
    assert set(held) == {"d00", "d01", "d02", "d04"}


def test_boards_are_asked_again_no_more_often_than_it_is_worth() -> None:
    model = Slow(1.0, [])
    held = boards(model, STATE, METRIC, WANTED, {}, NOON)
    held = boards(model, STATE, METRIC, WANTED, held, NOON + REFRESH_MS - 1)
    assert len(model.asked) == 2
    boards(model, STATE, METRIC, WANTED, held, NOON + REFRESH_MS)
    assert len(model.asked) == 4
    slow = Slow(1000.0, [])
    held = boards(slow, STATE, replace(METRIC, dimensions=("country",)), WANTED, {}, NOON)
    boards(slow, STATE, replace(METRIC, dimensions=("country",)), WANTED, held, NOON + REFRESH_MS)
    assert len(slow.asked) == 1


def test_the_order_stays_for_ten_seconds_while_the_values_move() -> None:
    metric, model = replace(METRIC, dimensions=("country",)), Slow(1.0, [("a", 2.0, 1.0), ("b", 1.0, 1.0)])
    held = boards(model, STATE, metric, WANTED, {}, NOON)
    model.rows = [("b", 5.0, 1.0), ("a", 2.0, 1.0)]
    held = boards(model, STATE, metric, WANTED, held, NOON + REFRESH_MS)
    assert held["country"].order == ("a", "b")
    assert shown(STATE, metric, held)["list"][0]["rows"][1]["text"] == "€5.00"
    held = boards(model, STATE, metric, WANTED, held, NOON + CALM_MS)
    assert held["country"].order == ("b", "a")


def test_a_board_that_cannot_be_listed_says_so_and_leaves_the_others() -> None:
    metric = replace(METRIC, dimensions=("broken", "country"))
    found = shown(STATE, metric, boards(Slow(1.0, [("a", 1.0, 1.0)]), STATE, metric, WANTED, {}, NOON))["list"]
    assert found[0]["refused"] == "This cannot be listed: it is broken."
    assert found[1]["rows"][0]["name"] == "a"


def test_the_dimensions_the_page_speaks_of_are_never_left_out() -> None:
    state = replace(STATE, by="d19", where=(Filter("d18", ("x",)),))
    found = dimensions(state, many(20))
    assert len(found) == MOST
    assert {"d18", "d19"} <= set(found)
    assert found == sorted(found)
    assert len(shown(state, many(20), {})["more"]) == 8


def test_chips_name_a_filter_and_lead_to_the_page_without_it() -> None:
    state = parse(
        "metric=m&where=country:NL&where=country:DE&where=!country:FR&where=city:a&where=city:b&where=city:c&where=city:d"
    )[0]
    found = chips(state)
    assert [chip["text"] for chip in found] == ["city: a, b, c and 1 more", "country: DE, NL", "country: not FR"]
    assert (
        found[1]["without"] == "/explore?metric=m&where=city:a&where=city:b&where=city:c&where=city:d&where=!country:FR"
    )
    assert filter_words(state.where[1:]) == "country: DE, NL; country: not FR"
