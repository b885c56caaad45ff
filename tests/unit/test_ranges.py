"""Ranges: their buckets over daylight saving, the ranges beside them, what they are compared with, typed ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.clocks import offsets, time_marks
from dashboard.comparisons import days_before, earlier_range, words
from dashboard.comparisons import earlier as moment_before
from dashboard.moments import DAY_MS, NOW, TODAY, YESTERDAY, Moment, date_moment, local_date
from dashboard.moves import around, earlier, later, range_words, scaled
from dashboard.ranges import AUTO_BUCKETS, Times, resolve
from dashboard.state import STEPS, Explore, parse
from dashboard.typed import typed_range

NOON = 1_795_435_200_000  # Mon 23 Nov 2026, 12:00 UTC
TIMES = Times(NOON, 10_000, 7_200_000)
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
HOUR = 3_600_000
ZONES = st.sampled_from([
    "UTC", "Europe/Amsterdam", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo",
    "Pacific/Apia", "Asia/Kathmandu",
])  # fmt: skip
NOWS = st.integers(1_300_000_000, 1_900_000_000).map(lambda s: s * 1000)


def at(text: str, zone: ZoneInfo = AMSTERDAM) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def explored(search: str) -> Explore:
    state, notices = parse(search)
    assert notices == ()
    return state


@given(NOWS, ZONES, st.integers(1, 100))
def test_buckets_of_days_are_the_local_days(now: int, name: str, days: int) -> None:
    zone = ZoneInfo(name)
    state = Explore(start=Moment("ago", days * DAY_MS), step_s=86_400, timezone=name)
    span = resolve(state, Times(now, 10_000, 7_200_000))
    starts = [*span.starts, span.end_ms]
    assert all(22 * HOUR <= b - a <= 26 * HOUR for a, b in pairwise(starts))
    dates = [local_date(start, zone) for start in starts]
    assert len(set(dates)) == len(dates)
    assert span.start_ms <= span.first_ms < span.last_ms <= span.end_ms
    for place, start in enumerate(span.starts):
        assert span.place(start) == place
        assert span.place(start - 1) == place - 1


def test_the_day_on_which_clocks_go_back_has_25_hours() -> None:
    state = explored("from=2026-10-24&to=2026-10-27&step=1d&timezone=Europe/Amsterdam")
    span = resolve(state, TIMES)
    assert [round((b - a) / HOUR) for a, b in pairwise([*span.starts, span.end_ms])] == [24, 25, 24]
    assert span.first_ms == at("2026-10-24")
    assert resolve(replace(state, timezone=None), TIMES).first_ms == at("2026-10-24", ZoneInfo("UTC"))


def test_today_and_yesterday_are_days_of_the_page() -> None:
    today = resolve(explored("from=today&timezone=Europe/Amsterdam"), TIMES)
    assert (today.first_ms, today.last_ms) == (at("2026-11-23"), NOON)
    yesterday = resolve(explored("from=yesterday&to=today&timezone=Europe/Amsterdam"), TIMES)
    assert (yesterday.first_ms, yesterday.last_ms) == (at("2026-11-22"), at("2026-11-23"))
    of_workspace = resolve(explored("from=today"), replace(TIMES, zone="Asia/Tokyo"))
    assert of_workspace.first_ms == at("2026-11-23", ZoneInfo("Asia/Tokyo"))


@pytest.mark.parametrize(
    ("search", "step"),
    [
        ("from=-1h", 10),
        ("from=-1h&compare=-7d", 60),  # so far back seconds are not kept
        ("from=-1h&compare=-28d", 900),
        ("from=-1h&compare=off", 10),
        ("from=-1h&compare=-28d&by=country", 60),
        ("from=-1h&chart=bars", 60),
        ("from=-1h&chart=heatmap", 60),
        ("from=-1h&step=10s&compare=-28d", 10),
        ("from=-30d&compare=off", 3600 * 24),
        ("from=-365d", 86_400),
    ],
)
def test_steps_are_kept_for_the_range_and_what_is_behind_it(search: str, step: int) -> None:
    assert resolve(explored(search), TIMES).step_s == step


def test_a_step_that_is_no_longer_kept_is_widened_and_said() -> None:
    span = resolve(explored("from=2026-10-01T00:00:00Z&to=2026-10-01T06:00:00Z&step=1m"), TIMES)
    assert span.step_s == 900
    assert span.notices == ("A step of 1m is too fine for this range: 15m.",)


def moved(search: str, name: str, times: Times = TIMES) -> str | None:
    state = explored(search)
    found: str | None = around(state, resolve(state, times), times)[name]
    return None if found is None else found.removeprefix("/explore?").replace("%3A", ":")


@pytest.mark.parametrize(
    ("search", "before", "after"),
    [
        ("from=-1h", "from=2026-11-23T10:00:00Z&to=2026-11-23T11:00:00Z", None),
        ("from=today", "from=yesterday&to=today", None),
        ("from=yesterday&to=today", "from=2026-11-21&to=2026-11-22", "from=today"),
        ("from=2026-11-16&to=2026-11-18", "from=2026-11-14&to=2026-11-16", "from=2026-11-18&to=2026-11-20"),
        (
            "from=2026-11-23T10:00:00Z&to=2026-11-23T10:30:00Z",
            "from=2026-11-23T09:30:00Z&to=2026-11-23T10:00:00Z",
            "from=2026-11-23T10:30:00Z&to=2026-11-23T11:00:00Z",
        ),
        ("from=2026-11-23T10:00:00Z&to=2026-11-23T11:00:00Z&step=1m", None, "from=-1h&step=1m"),
    ],
)
def test_the_ranges_before_and_behind(search: str, before: str | None, after: str | None) -> None:
    if before is not None:
        assert moved(search, "earlier") == before
    assert moved(search, "later") == after


@pytest.mark.parametrize(
    ("search", "wider", "narrower"),
    [
        ("", "from=-30m", "from=-7m"),
        ("from=-24h", "from=-2d", "from=-12h"),
        (
            "from=2026-11-23T09:00:00Z&to=2026-11-23T10:00:00Z",
            "from=2026-11-23T08:30:00Z&to=2026-11-23T10:30:00Z",
            "from=2026-11-23T09:15:00Z&to=2026-11-23T09:45:00Z",
        ),
        ("from=2026-11-23T09:00:00Z&to=2026-11-23T11:30:00Z", "from=-5h", None),
    ],
)
def test_zooming_out_and_in(search: str, wider: str, narrower: str | None) -> None:
    assert moved(search, "wider") == wider
    if narrower is not None:
        assert moved(search, "narrower") == narrower


@given(st.integers(10, 10_000_000), NOWS, ZONES)
def test_one_range_back_and_on_again_is_the_same_range(seconds: int, now: int, name: str) -> None:
    times = Times(now, 10_000, 7_200_000, zone=name)
    zone = ZoneInfo(name)
    last = now - seconds * 3000
    state = Explore(start=Moment("at", last - seconds * 1000), end=Moment("at", last))
    before = earlier(state, resolve(state, times), zone)
    assert before is not None
    assert later(before, resolve(before, times), now, zone) == state
    assert resolve(scaled(state, resolve(state, times), now, 0.5), times).first_ms >= state.start.ms


def test_days_move_by_local_days() -> None:
    assert moved("from=2026-10-24&to=2026-10-27&timezone=Europe/Amsterdam", "later") == (
        "from=2026-10-27&to=2026-10-30&timezone=Europe%2FAmsterdam"
    )


def test_the_dates_a_range_covers_are_those_of_the_calendar() -> None:
    state = explored("from=2026-11-20&to=2026-11-22&timezone=Europe/Amsterdam")
    assert around(state, resolve(state, TIMES), TIMES)["dates"] == ["2026-11-20", "2026-11-21"]


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("", "last 15 min"),
        ("from=-24h", "last 24 h"),
        ("from=-7d", "last 7 days"),
        ("from=today", "today"),
        ("from=yesterday&to=today", "yesterday"),
        ("from=2026-11-20&to=2026-11-21", "20 Nov 2026"),
        ("from=2026-11-20&to=2026-11-23", "20–22 Nov 2026"),
        ("from=2025-12-30&to=2026-01-03", "30 Dec 2025 – 2 Jan 2026"),
        ("from=2026-11-20T22:00:00Z&to=2026-11-20T23:30:00Z", "20 Nov 2026, 23:00 – 21 Nov 2026, 00:30"),
        ("from=2026-11-20T09:00:00Z&to=2026-11-20T10:00:30Z", "20 Nov 2026, 10:00:00–11:00:30"),
    ],
)
def test_ranges_in_words(search: str, said: str) -> None:
    assert range_words(explored(search), AMSTERDAM, NOON) == said


@pytest.mark.parametrize(
    ("search", "said", "before"),
    [
        ("from=-1h", "the 1 h before", "2026-11-23T11:00"),
        ("from=-1h&compare=-7d", "last week", "2026-11-16T12:00"),
        ("from=today", "yesterday", "2026-11-22T00:00"),
        ("from=yesterday&to=today", "the day before", "2026-11-21T00:00"),
        ("from=2026-10-24&to=2026-10-27", "the days before", "2026-10-21T00:00"),
        ("from=2026-10-26T09:00:00Z&to=2026-10-26T10:00:00Z&compare=-1d", "a day earlier", "2026-10-25T10:00"),
    ],
)
def test_like_is_compared_with_like(search: str, said: str, before: str) -> None:
    state = explored(search)
    span = resolve(replace(state, timezone="Europe/Amsterdam"), TIMES)
    assert words(state) == said
    assert moment_before(state, span, span.first_ms, AMSTERDAM) == at(before)


@given(NOWS, ZONES, st.sampled_from(["previous", "-1d", "-7d", "-28d"]), st.sampled_from(STEPS), st.integers(1, 60))
def test_the_range_behind_has_the_same_buckets(now: int, name: str, compare: str, step: int, many: int) -> None:
    zone = ZoneInfo(name)
    state = Explore(start=Moment("ago", many * step * 1000), step_s=step, compare=compare, timezone=name)
    span = resolve(state, Times(now, 10_000, 10**12, 10**12, 10**12))
    behind = earlier_range(state, span, zone, zone)
    assert (behind.buckets, behind.step_s) == (span.buckets, span.step_s)
    assert behind.end_ms <= span.end_ms


def test_the_same_local_time_over_daylight_saving() -> None:
    assert days_before(at("2026-10-26T09:00"), 1, AMSTERDAM) == at("2026-10-25T09:00")
    assert at("2026-10-26T09:00") - at("2026-10-25T09:00") == DAY_MS
    assert days_before(at("2026-10-25T09:00"), 1, AMSTERDAM) == at("2026-10-25T09:00") - 25 * HOUR


@given(NOWS, st.integers(1, 400 * 86_400), ZONES)
def test_marks_are_round_local_times(start: int, seconds: int, name: str) -> None:
    marks = time_marks(start, start + seconds * 1000, zone=ZoneInfo(name))
    assert len(marks) <= 10
    assert [m.at_ms for m in marks] == sorted({m.at_ms for m in marks})
    for mark in marks:
        clock = datetime.fromtimestamp(mark.at_ms / 1000, ZoneInfo(name))
        assert mark.text in (f"{clock:%H:%M:%S}", f"{clock:%H:%M}", f"{clock.day} {clock:%b}", f"{clock:%b}")


def test_marks_of_the_usual_ranges() -> None:
    def texts(search: str) -> list[str]:
        span = resolve(explored(search), TIMES)
        return [m.text for m in time_marks(span.start_ms, span.end_ms, zone=AMSTERDAM)]

    assert texts("from=-24h")[:3] == ["15:00", "18:00", "21:00"]
    assert texts("from=-7d&timezone=Europe/Amsterdam")[:2] == ["17 Nov", "18 Nov"]
    assert texts("from=-365d&timezone=Europe/Amsterdam")[:3] == ["Jan", "Mar", "May"]


def test_an_hour_that_comes_twice_is_not_left_out() -> None:
    marks = time_marks(at("2026-10-25T00:00"), at("2026-10-25T06:00"), zone=AMSTERDAM)
    assert [m.text for m in marks] == ["00:00", "01:00", "02:00", "02:00", "03:00", "04:00", "05:00"]
    pairs = offsets(at("2026-10-25T00:00"), at("2026-10-26T00:00"), AMSTERDAM)
    assert pairs == [[at("2026-10-25T00:00"), 2 * HOUR], [at("2026-10-25T02:00") + HOUR, HOUR]]


@given(NOWS, st.integers(1, 800 * 86_400), ZONES, st.floats(0, 1))
def test_offsets_are_those_of_the_zone(start: int, seconds: int, name: str, part: float) -> None:
    pairs = offsets(start, start + seconds * 1000, ZoneInfo(name))
    moment = start + round(seconds * part) * 1000
    ahead = next(offset for since, offset in reversed(pairs) if moment >= since)
    found = datetime.fromtimestamp(moment / 1000, ZoneInfo(name)).utcoffset()
    assert found is not None
    assert ahead == found / timedelta(milliseconds=1)


def day(*of: int) -> Moment:
    return date_moment(date(*of))


TYPED = [
    ("last 90 min", (Moment("ago", 5_400_000), NOW)),
    ("-90m", (Moment("ago", 5_400_000), NOW)),
    ("90m", (Moment("ago", 5_400_000), NOW)),
    ("  Last   2 Hours ", (Moment("ago", 7_200_000), NOW)),
    ("last hour", (Moment("ago", 3_600_000), NOW)),
    ("past 7 days", (Moment("ago", 7 * DAY_MS), NOW)),
    ("today", (TODAY, NOW)),
    ("Yesterday", (YESTERDAY, TODAY)),
    ("20 Nov", (day(2026, 11, 20), day(2026, 11, 21))),
    ("20 December", (day(2025, 12, 20), day(2025, 12, 21))),
    ("2026-11-20", (day(2026, 11, 20), day(2026, 11, 21))),
    ("20 Nov to 22 Nov", (day(2026, 11, 20), day(2026, 11, 23))),
    ("2026-11-20 .. yesterday", (day(2026, 11, 20), TODAY)),
    ("9:00 to 10:30", (Moment("at", at("2026-11-23T09:00")), Moment("at", at("2026-11-23T10:30")))),
    ("20 Nov 9:00 – 10:30", (Moment("at", at("2026-11-20T09:00")), Moment("at", at("2026-11-20T10:30")))),
    ("yesterday 22:00 to now", (Moment("at", at("2026-11-22T22:00")), NOW)),
    (
        "2026-11-20T09:00:00Z to 2026-11-20T10:00:00Z",
        (Moment("at", at("2026-11-20T10:00")), Moment("at", at("2026-11-20T11:00"))),
    ),
    ("9:00", (Moment("at", at("2026-11-23T09:00")), NOW)),
    ("-2h to -1h", (Moment("ago", 7_200_000), Moment("ago", 3_600_000))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), TYPED)
def test_what_people_type(text: str, found: tuple[Moment, Moment]) -> None:
    assert typed_range(text, NOON, AMSTERDAM) == found


NO_RANGES = (
    "", "now", "soon", "yesterdayish", "25:00 to 26:00", "10:00 to 9:00", "31 Feb", "20 Nov to", "a to b to c", "0m",
    "15:00",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_RANGES)
def test_what_is_no_range(text: str) -> None:
    assert typed_range(text, NOON, AMSTERDAM) is None


@given(st.text(max_size=200), ZONES)
def test_nothing_typed_breaks_the_page(text: str, name: str) -> None:
    found = typed_range(text, NOON, ZoneInfo(name))
    assert found is None or found[0].resolve(NOON, UTC) <= AUTO_BUCKETS * 10**15
