"""Which level answers which part of a range, and how far everything has been seen."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.days import DAY_S, day_start, next_day
from aggregates.levels import (
    DAY,
    FOREVER,
    LEVELS,
    MINUTE,
    QUARTER,
    SECOND,
    Kept,
    Piece,
    end_of,
    floor,
    plan,
    plan_as_of,
    sealable,
    start_of,
    watermark,
    widen,
)

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
ZONES = [UTC, AMSTERDAM, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/Santiago")]
NOON = 1_792_929_600
"""2026-10-25T12:00:00Z: the day on which Amsterdam puts its clocks back."""
STEPS = [None, 1, 10, 60, 300, 900, 3600, DAY_S]


def kept_at(now: int, zone: tzinfo, ages: tuple[int, int, int, int] = (7200, 86_400, 5 * 86_400, FOREVER)) -> Kept:
    """Everything sealed up to `now`, and deleted beyond the ages (s)."""
    sealed = {level: start_of(level, now, zone) for level in (MINUTE, QUARTER, DAY)}
    kept = {DAY: 0, **dict.fromkeys(LEVELS, 0)}
    coarser = dict(zip(LEVELS, [*LEVELS[1:], DAY], strict=True))
    for level, age in zip(LEVELS[:3], ages[:3], strict=True):
        kept[level] = min(start_of(coarser[level], now - age, zone), sealed[coarser[level]])
    return Kept({SECOND: FOREVER, **sealed}, kept)


KEPT = kept_at(NOON, AMSTERDAM)
WHEN = st.integers(NOON - 8 * DAY_S, NOON + 1000)


@given(WHEN, st.integers(1, 9 * DAY_S), st.sampled_from(STEPS), st.sampled_from(ZONES), st.integers(-5000, 5000))
def test_pieces_cover_the_range_once_from_levels_that_hold_it(
    start: int, length: int, step: int | None, zone: tzinfo, past: int
) -> None:
    kept = kept_at(NOON + past, zone)
    start, end = widen(start, start + length, step, kept, zone)
    at = start
    for piece in plan(start, end, step, kept, zone):
        assert piece.start == at < piece.end
        at = piece.end
        assert piece.start >= kept.kept_from[piece.level]
        assert piece.end <= kept.sealed_until[piece.level]
        assert start_of(piece.level, piece.start, zone) == piece.start
        assert end_of(piece.level, piece.end, zone) == piece.end
    assert at == end


@given(WHEN, st.integers(1, 9 * DAY_S), st.sampled_from([60, 300, 900, 3600, DAY_S]), st.sampled_from(ZONES))
def test_a_bucket_of_the_level_never_holds_an_edge_of_a_step(start: int, length: int, step: int, zone: tzinfo) -> None:
    kept = kept_at(NOON, zone)
    start, end = widen(start, start + length, step, kept, zone)
    for piece in plan(start, end, step, kept, zone):
        finest = next(level for level in LEVELS if kept.kept_from[level] <= piece.start)
        if piece.level != finest:
            edges = [day_start(piece.start, zone)] if step == DAY_S else [floor(piece.end, step)]
            assert all(start_of(piece.level, edge, zone) == edge for edge in edges)


def test_the_coarsest_level_that_fits_and_finer_ones_at_the_edges() -> None:
    start, end = NOON - 4 * DAY_S + 1, NOON + 65
    day = day_start(NOON, AMSTERDAM)
    days = start_of(DAY, start, AMSTERDAM)
    assert widen(start, end, None, KEPT, AMSTERDAM) == (floor(start, 900), end)
    assert plan(floor(start, 900), end, None, KEPT, AMSTERDAM) == [
        Piece(QUARTER, floor(start, 900), next_day(days, AMSTERDAM)),
        Piece(DAY, next_day(days, AMSTERDAM), day),
        Piece(QUARTER, day, NOON),
        Piece(SECOND, NOON, end),
    ]


def test_minutes_where_quarters_are_not_sealed_and_seconds_at_both_edges() -> None:
    kept = kept_at(NOON - 1, UTC)
    assert plan(NOON - 899, NOON + 10, 60, kept, UTC) == [
        Piece(SECOND, NOON - 899, NOON - 840),
        Piece(MINUTE, NOON - 840, NOON - 60),
        Piece(SECOND, NOON - 60, NOON + 10),
    ]


def test_sketches_of_single_series_begin_with_minutes() -> None:
    start, end = widen(NOON - 1001, NOON + 61, 10, KEPT, UTC, finest=MINUTE)
    assert (start, end) == (NOON - 1020, NOON + 120)
    assert plan(start, end, 10, KEPT, UTC, finest=MINUTE) == [Piece(MINUTE, start, end)]


def test_days_of_another_zone_are_read_from_quarters() -> None:
    start = NOON - 4 * DAY_S
    levels = {piece.level for piece in plan(start, NOON, DAY_S, KEPT, AMSTERDAM, coarsest=QUARTER)}
    assert levels == {QUARTER}


@pytest.mark.parametrize(
    ("asked", "step", "given"),
    [
        ((-3601, -3599), 1, (-3601, -3599)),
        ((-3 * 3600 - 1, -3 * 3600 + 1), 1, (-3 * 3600 - 60, -3 * 3600 + 60)),
        ((-2 * DAY_S - 1, -3601), 10, (-2 * DAY_S - 900, -3600)),
        ((-7 * DAY_S, -3600), 60, (-7 * DAY_S - 13 * 3600, -3600)),
        ((-100, 0), DAY_S, (-14 * 3600 + 3600, 12 * 3600 - 3600)),
    ],
)
def test_what_is_finer_than_kept_is_widened(asked: tuple[int, int], step: int, given: tuple[int, int]) -> None:
    start, end = widen(NOON + asked[0], NOON + asked[1], step, KEPT, AMSTERDAM)
    if step == DAY_S:
        assert (start, end) == (day_start(NOON, AMSTERDAM), next_day(day_start(NOON, AMSTERDAM), AMSTERDAM))
    elif asked[0] == -7 * DAY_S:
        assert (start, end) == (day_start(NOON - 7 * DAY_S, AMSTERDAM), NOON - 3600)
    else:
        assert (start - NOON, end - NOON) == given


@given(WHEN, st.integers(1, 9 * DAY_S), st.sampled_from(STEPS), st.integers(-9 * DAY_S, 2000))
def test_as_of_reads_only_what_was_complete_and_whole_times_of_knowing(
    start: int, length: int, step: int | None, limit: int
) -> None:
    limit += NOON
    start, end = widen(start, start + length, step, KEPT, AMSTERDAM)
    pieces = plan_as_of(start, end, step, KEPT, AMSTERDAM, limit)
    for piece in pieces:
        assert piece.end <= limit
        assert piece.known == floor(limit, 60)
        if piece.level in (QUARTER, DAY):
            assert piece.known % 900 == 0 or piece.start < KEPT.kept_from[MINUTE]


def test_as_of_does_not_depend_on_what_is_sealed() -> None:
    """While minutes are kept, a limit inside a quarter is answered from them, sealed quarters or not."""
    for now in (NOON, NOON + 3600):
        kept = kept_at(now, UTC, (7200, 2 * DAY_S, 5 * DAY_S, FOREVER))
        pieces = plan_as_of(NOON - DAY_S, NOON, None, kept, UTC, NOON - 60)
        assert pieces == [Piece(MINUTE, NOON - DAY_S, NOON - 60, NOON - 60)]
    assert plan_as_of(NOON - 3600, NOON, None, KEPT, UTC, NOON)[0].level == QUARTER


@pytest.mark.parametrize(("mark", "until"), [(70_000, 60), (69_999, 0), (130_500, 120)])
def test_a_minute_is_sealed_a_grace_behind_its_end(mark: int, until: int) -> None:
    assert sealable(mark, 10) == until


ENDS = {0: 5, 1: 7}


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ({0: (5, 100), 1: (7, 200)}, 1000),  # all applied: the clock before the question
        ({0: (5, 100), 1: (6, 200)}, 200),  # partition 1 lags
        ({0: (4, 100), 1: (6, 200)}, 100),  # both lag: the one further behind
        ({0: (5, 100)}, None),  # nothing is known of partition 1
    ],
)
def test_the_watermark_is_that_of_the_partition_furthest_behind(
    positions: dict[int, tuple[int, int]], expected: int | None
) -> None:
    assert watermark([0, 1], positions, ENDS, 1000) == expected


def test_an_empty_partition_holds_nothing_back() -> None:
    assert watermark([0, 1], {0: (5, 100)}, {0: 5, 1: 0}, 1000) == 1000
