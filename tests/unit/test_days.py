"""Local days: where they begin, with daylight saving and the odd zones."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.days import day_ceil, day_start, day_starts, next_day

ZONES = [
    "UTC",
    "Europe/Amsterdam",
    "America/Santiago",  # puts the clock forward at midnight
    "Africa/Cairo",
    "America/Havana",  # back from 1:00 to 0:00
    "America/St_Johns",  # from 1987 to 2011 at one minute past midnight
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # left out 30 December 2011
]


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp())


@given(st.sampled_from(ZONES), st.integers(0, 2_200_000_000))
def test_days_follow_each_other_without_gaps(name: str, time: int) -> None:
    zone = ZoneInfo(name)
    start = day_start(time, zone)
    end = next_day(start, zone)
    assert start <= time < end
    assert start % 900 == 0
    assert end - start >= 22 * 3600
    assert end - start <= 26 * 3600
    assert day_start(start, zone) == start == day_start(end - 1, zone)
    assert day_start(end, zone) == end
    assert day_ceil(time, zone) == (start if time == start else end)


@given(st.sampled_from(ZONES), st.lists(st.integers(0, 2_200_000_000), max_size=20))
def test_columns_are_the_single_times(name: str, times: list[int]) -> None:
    zone = ZoneInfo(name)
    starts, ends = day_starts(np.array(times, np.int64), zone)
    assert starts.tolist() == [day_start(time, zone) for time in times]
    assert ends.tolist() == [next_day(day_start(time, zone), zone) for time in times]


@given(st.sampled_from(ZONES), st.integers(600_000_000, 2_200_000_000))
def test_a_day_is_the_date_on_the_wall(name: str, time: int) -> None:
    zone = ZoneInfo(name)
    start, end = day_start(time, zone), next_day(day_start(time, zone), zone)
    wall = {datetime.fromtimestamp(moment, zone).date() for moment in range(start, end, 900)}
    assert len(wall) == 1 or name == "America/St_Johns"


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Amsterdam", "2026-03-29T00:00:00+01:00", 23),
        ("Europe/Amsterdam", "2026-10-25T00:00:00+02:00", 25),
        ("Europe/Amsterdam", "2026-11-23T00:00:00+01:00", 24),
        ("America/Santiago", "2026-09-06T01:00:00-03:00", 23),
        ("America/Havana", "2026-11-01T00:00:00-04:00", 25),
        ("Pacific/Apia", "2011-12-29T00:00:00-10:00", 24),
    ],
)
def test_days_with_a_change_of_the_clock(zone: str, day: str, hours: int) -> None:
    start = at(day)
    assert day_start(start + 7200, ZoneInfo(zone)) == start
    assert next_day(start, ZoneInfo(zone)) == start + hours * 3600


def test_the_ends_of_the_calendar_are_days_too() -> None:
    for time in (-62_135_596_800, 253_402_300_799):
        for zone in (UTC, ZoneInfo("Asia/Tokyo")):
            assert day_start(time, zone) <= time < next_day(day_start(time, zone), zone)
