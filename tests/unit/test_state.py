"""The explore page's state and its address."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.queries import Filter, Query
from aggregates.query_fields import parse_query
from dashboard.links import api_query
from dashboard.moments import NOW, TODAY, YESTERDAY, Moment, date_moment, parse_moment, write_moment
from dashboard.moves import range_words
from dashboard.ranges import AUTO_BUCKETS, MOST_BUCKETS, Times, resolve
from dashboard.state import (
    CHOICES,
    DEFAULT_FROM,
    SHOWN,
    STEPS,
    Explore,
    normal,
    parse,
    toggled,
    write,
)

NOON = 1_795_435_200_000
TWO_HOURS = 7_200_000
TIMES = Times(NOON, 10_000, TWO_HOURS)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
names = texts.filter(lambda t: ":" not in t and not t.startswith("!"))
kinds: st.SearchStrategy[Literal["ago", "at"]] = st.sampled_from(["ago", "at"])
moments = st.one_of(
    st.builds(Moment, kinds, st.integers(0, 4_102_444_800).map(lambda s: s * 1000)),
    st.sampled_from([TODAY, YESTERDAY]),
    st.dates(date(1970, 1, 1), date(2099, 12, 31)).map(date_moment),
)
filters = st.builds(Filter, names, st.lists(texts, min_size=1, max_size=3, unique=True).map(tuple), st.booleans())


def ordered(pair: tuple[Moment, Moment]) -> bool:
    start, end = pair
    return start.kind != end.kind or start.resolve(0) < end.resolve(0)


@given(
    st.one_of(st.none(), texts),
    st.one_of(st.none(), st.sampled_from(SHOWN)),
    st.one_of(st.just((DEFAULT_FROM, NOW)), st.tuples(moments, moments).filter(ordered)),
    st.one_of(st.none(), st.sampled_from(STEPS)),
    st.lists(filters, max_size=3).map(lambda f: normal(tuple(f))),
    st.one_of(st.none(), texts),
    st.fixed_dictionaries(
        {name: st.sampled_from(values) for name, values in CHOICES.items()}
        | {
            "open": st.one_of(st.none(), texts),
            "find": st.one_of(st.none(), texts),
            "timezone": st.sampled_from([None, "UTC", "Europe/Amsterdam"]),
        }
    ),
)
def test_what_is_written_is_read_again(
    metric: str | None,
    measure: str | None,
    span: tuple[Moment, Moment],
    step: int | None,
    where: tuple[Filter, ...],
    by: str | None,
    page: dict[str, Any],
) -> None:
    state = Explore(metric, measure, span[0], span[1], step, where=where, by=by, **page)
    assert parse(write(state)) == (state, ())
    assert parse("?" + write(state)) == (state, ())


@given(st.text(max_size=300))
def test_no_address_breaks_the_page(search: str) -> None:
    state, notices = parse(search)
    assert parse(write(state)) == (state, ())
    span = resolve(state, TIMES)
    assert span.start_ms < span.end_ms
    assert all(len(notice) < 200 for notice in notices)


@given(moments)
def test_moments_are_read_as_written(moment: Moment) -> None:
    assert parse_moment(write_moment(moment)) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("-90m", Moment("ago", 5_400_000)),
        ("-7d", Moment("ago", 604_800_000)),
        ("-1w", Moment("ago", 604_800_000)),
        ("2026-11-23T12:00:00Z", Moment("at", NOON)),
        ("2026-11-23T13:00:00+01:00", Moment("at", NOON)),
        (str(NOON), Moment("at", NOON)),
        ("today", TODAY),
        ("yesterday", YESTERDAY),
        ("2026-11-23", Moment("date", NOON - 43_200_000)),
        ("2026-11-31", None),
        ("1900-01-01", None),
        ("90m", None),
        ("-m", None),
        ("tomorrow", None),
        ("9" * 40, None),
        ("", None),
    ],
)
def test_times(text: str, moment: Moment | None) -> None:
    assert parse_moment(text) == moment


def test_defaults_are_left_out_and_the_order_is_fixed() -> None:
    assert write(Explore()) == ""
    assert write(parse("by=country&where=!b:2&where=a:1&step=1m&to=now&from=-1h&measures=sum&metric=m")[0]) == (
        "metric=m&measures=sum&from=-1h&step=1m&where=a:1&where=!b:2&by=country"
    )


def test_what_is_wrong_is_named_and_the_rest_applies() -> None:
    state, notices = parse("metric=m&step=7s&colour=red&from=-1h")
    assert state == Explore("m", start=Moment("ago", 3_600_000))
    assert notices == ("step=7s was not understood and left out.", "colour=red was not understood and left out.")


def test_nothing_in_an_address_can_leave_a_shell_s_quotes() -> None:
    assert "'" not in write(Explore(metric='it\'s $(x) `y` "z"'))


@given(st.integers(0, 400 * 86_400), st.integers(0, 3_600_000))
def test_automatic_steps_stay_few_and_cover_the_range(seconds: int, offset: int) -> None:
    now = NOON + offset
    state = Explore(start=Moment("ago", seconds * 1000 + 1000))
    span = resolve(state, Times(now, 10_000, TWO_HOURS))
    assert span.buckets <= AUTO_BUCKETS + 2
    assert span.start_ms <= span.first_ms < span.last_ms <= span.end_ms
    assert span.start_ms % (span.step_s * 1000) == span.end_ms % (span.step_s * 1000) == 0


@pytest.mark.parametrize(
    ("text", "step"),
    [("-5m", 1), ("-15m", 10), ("-1h", 10), ("-6h", 60), ("-24h", 300), ("-7d", 3600), ("-90d", 86400)],
)
def test_steps_of_the_usual_ranges(text: str, step: int) -> None:
    start = parse_moment(text)
    assert start is not None
    assert resolve(Explore(start=start), TIMES).step_s == step


def test_seconds_that_are_gone_are_not_asked_for() -> None:
    state = Explore(start=Moment("at", NOON - 86_400_000), end=Moment("at", NOON - 86_400_000 + 300_000))
    assert resolve(state, TIMES).step_s == 60


def test_a_step_far_too_fine_is_widened_and_said() -> None:
    span = resolve(Explore(start=Moment("ago", 86_400_000), step_s=1), Times(NOON, 10_000, 10 * 86_400_000))
    assert span.buckets <= MOST_BUCKETS
    assert span.notices


def test_filters_toggle() -> None:
    where = toggled((), "country", "NL")
    assert where == (Filter("country", ("NL",)),)
    assert toggled(where, "country", "DE") == (Filter("country", ("DE", "NL")),)
    assert toggled(where, "country", "NL") == ()


def test_a_value_is_taken_in_or_excluded_but_never_both() -> None:
    excluded = toggled((), "country", "NL", exclude=True)
    assert excluded == (Filter("country", ("NL",), negate=True),)
    assert toggled(excluded, "country", "NL") == (Filter("country", ("NL",)),)
    assert toggled(excluded, "country", "NL", exclude=True) == ()


def test_ranges_in_words() -> None:
    assert range_words(Explore()) == "last 15 min"
    fixed = Explore(start=Moment("at", NOON - 60_000), end=Moment("at", NOON))
    assert range_words(fixed) == "23 Nov 2026, 11:59–12:00"


@given(st.lists(filters, max_size=3).map(lambda f: normal(tuple(f))), st.sampled_from([None, "country"]))
def test_the_api_understands_the_query_the_page_links_to(where: tuple[Filter, ...], by: str | None) -> None:
    from urllib.parse import parse_qsl

    state = Explore("m", "sum", where=where, by=by)
    fields: dict[str, object] = {}
    for name, value in parse_qsl(api_query(state, resolve(state, TIMES)), keep_blank_values=True):
        if name == "where":
            wanted = fields.setdefault("where", [])
            assert isinstance(wanted, list)
            wanted.append(value)
        else:
            fields[name] = value
    query = parse_query(fields, NOON)
    assert isinstance(query, Query)
    assert (query.metric, query.measures, query.by) == ("m", ("sum",), (by,) if by else ())
    assert normal(query.where) == where
