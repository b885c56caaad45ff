"""The fields of the query API, and how a query becomes SQL."""

from __future__ import annotations

import re
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates import planner
from aggregates.catalogue import MetricEntry
from aggregates.frames import Asked, Keeping, frame
from aggregates.levels import LEVELS, Kept
from aggregates.planner import choose_view
from aggregates.queries import STEPS, Filter, Query, QueryError
from aggregates.query_fields import FIELDS, parse_query

NOW = 1_795_428_000_000


def parsed(**fields: object) -> Query:
    query = parse_query({"metric": "orders", **fields}, NOW)
    assert isinstance(query, Query), query
    return query


def test_the_default_is_the_last_hour() -> None:
    assert parsed() == Query("orders", (), NOW - 3_600_000, NOW)


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("now", NOW),
        ("-90m", NOW - 5_400_000),
        ("-7d", NOW - 604_800_000),
        (1_700_000_000_000, 1_700_000_000_000),
        ("1700000000000", 1_700_000_000_000),
        ("2026-11-23T10:00:00Z", 1_795_428_000_000),
        ("2026-11-23T11:00:00.250+01:00", 1_795_428_000_250),
    ],
)
def test_times_come_in_four_forms(text: object, epoch_ms: int) -> None:
    assert parsed(**{"from": 0, "to": text}).end_ms == epoch_ms


def test_get_and_post_say_the_same() -> None:
    posted = parsed(
        measures=["count", "avg"], by=["country"], where={"country": ["NL", "DE"], "product": {"not": "p1"}}, step="1m"
    )
    got = parsed(measures="count,avg", by="country", where=["country:NL", "country:DE", "!product:p1"], step="1m")
    assert posted == got
    assert got.where == (Filter("country", ("NL", "DE")), Filter("product", ("p1",), negate=True))


def test_a_value_may_hold_colons() -> None:
    assert parsed(where="url:http://a:80/").where == (Filter("url", ("http://a:80/",)),)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("metric", {"metric": ""}),
        ("metric", {"metric": 5}),
        ("measures", {"measures": "median"}),
        ("measures", {"measures": []}),
        ("measures", {"measures": "count,count"}),
        ("from", {"from": "yesterday"}),
        ("from", {"from": "2026-11-23T10:00:00"}),
        ("from", {"from": True}),
        ("from", {"from": "now", "to": "-1h"}),
        ("to", {"to": 10**17}),
        ("to", {"to": "-999999999w"}),
        ("step", {"step": "7s"}),
        ("step", {"step": 60}),
        ("by", {"by": {"country": 1}}),
        ("by", {"by": [1]}),
        ("where", {"where": "country"}),
        ("where", {"where": {"country": 5}}),
        ("where", {"where": {"country": []}}),
        ("where", {"where": {f"d{n}": "x" for n in range(33)}}),
        ("where", {"where": [f"d{n}:x" for n in range(33)]}),
        ("from", {"from": "0001-01-01T00:00:00+14:00"}),
        ("to", {"to": "9999-12-31T23:59:59-14:00"}),
        ("compare", {"from": "0100-01-01T00:00:00Z", "compare": "previous"}),
        ("compare", {"from": "0050-01-01T00:00:00Z", "to": "0051-01-01T00:00:00Z", "compare": "-36000d"}),
        ("where", {"where": {"country": {"is": "NL"}}}),
        ("colour", {"colour": "red"}),
        ("measures", {"measures": "p0"}),
        ("measures", {"measures": "p100"}),
        ("measures", {"measures": "p99.99"}),
        ("measures", {"measures": "p050"}),
        ("top", {"top": 0, "by": "country"}),
        ("top", {"top": "1001", "by": "country"}),
        ("top", {"top": True, "by": "country"}),
        ("top", {"top": 3}),
        ("order", {"order": "histogram", "by": "country"}),
        ("order", {"order": "size", "by": "country"}),
        ("compare", {"compare": "next"}),
        ("compare", {"compare": "-0d"}),
        ("compare", {"compare": 7}),
        ("as_of", {"as_of": "yesterday"}),
        ("as_of", {"as_of": NOW + 1}),
        ("timezone", {"timezone": "Mars/Olympus"}),
        ("timezone", {"timezone": "../../etc/passwd"}),
        ("timezone", {"timezone": "Europe"}),
        ("timezone", {"timezone": 1}),
        ("timezone", {"timezone": "x" * 5000}),
        ("timezone", {"timezone": "Europe/\0"}),
    ],
)
def test_a_bad_field_is_named(field: str, fields: dict[str, object]) -> None:
    error = parse_query({"metric": "orders", **fields}, NOW)
    assert isinstance(error, QueryError)
    assert error.field == field
    assert error.message


def test_null_is_the_same_as_not_there() -> None:
    assert parsed(**dict.fromkeys(FIELDS - {"metric"})) == parsed()


def test_an_unknown_field_is_named_with_the_nearest() -> None:
    for field, meant in (
        ("mesures", "is it measures?"),
        ("tmezone", "is it timezone?"),
        ("§", "there are as_of, by, "),
    ):
        error = parse_query({"metric": "orders", field: 1}, NOW)
        assert isinstance(error, QueryError)
        assert (error.field, meant in error.message) == (field, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(sorted(FIELDS))


@given(st.dictionaries(NAMES, JSON, max_size=6))
def test_nothing_a_client_sends_raises(fields: dict[str, object]) -> None:
    assert isinstance(parse_query(fields, NOW), Query | QueryError)


@pytest.mark.parametrize(
    ("hours", "step"), [(0.1, "1s"), (1, "10s"), (6, "1m"), (24, "5m"), (24 * 7, "1h"), (24 * 365, "1d")]
)
def test_an_automatic_step_gives_at_most_400_buckets(hours: float, step: str) -> None:
    query = parsed(**{"from": NOW - int(hours * 3_600_000), "to": NOW, "step": "auto"})
    assert query.step_s == STEPS[step]


def entry(**covered: int) -> MetricEntry:
    views = {"": 10, **{name.replace("_", ","): count for name, count in covered.items()}}
    return MetricEntry("counter", None, 10, {"country", "product", "shop"}, views)


@pytest.mark.parametrize(
    ("dimensions", "view"),
    [
        (set(), ""),
        ({"country"}, "country"),
        ({"country", "product"}, "country,product"),
        ({"product"}, "country,product"),  # no smaller view covers every series
        ({"shop"}, "*"),
    ],
)
def test_the_smallest_view_that_covers_every_series_answers(dimensions: set[str], view: str) -> None:
    known = entry(country=10, product=7, country_product=10)
    assert choose_view(known, frozenset(dimensions)) == view


KEPT = Kept(dict.fromkeys(LEVELS, 3600), dict.fromkeys(LEVELS, 0))


@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_no_text_of_a_client_reaches_the_sql(dimension: str, value: str) -> None:
    for view in ("*", dimension.replace(",", "")):
        by, where = (dimension.replace(",", "") or "x",), (Filter(dimension.replace(",", "") or "x", (value,)),)
        found = planner.groups(value, view or "x", by, where)
        plain = planner.groups("orders", "*" if view == "*" else "x", ("x",), (Filter("x", ("y",)),))
        assert found.sql == plain.sql
        assert found.parameters.count(value) >= 2


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.sampled_from([None, 60, 900, 3600, 86_400]))
def test_everything_else_is_a_number_or_a_name_of_ours(start: int, length: int, step: int | None) -> None:
    found = frame(Asked(start, start + length, step), Keeping(KEPT, UTC, 10))
    words = re.compile(r"[a-zA-Z_0-9 (),*/+<>=?.:-]*")
    for statement in (
        planner.rows(found, "series", None, planner.MERGES, 5),
        planner.bins(found, "view", [1, 2], 5),
        planner.codes(found, "total", [1], 5),
        planner.restated(found, "view", None),
    ):
        assert words.fullmatch(statement.sql)
        assert all(isinstance(value, int) for value in statement.parameters)
