"""Which level answers which part of a range, and how far everything has been seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.levels import MINUTE, SECOND, Kept, Piece, plan, sealable, watermark, widen

KEPT = Kept(sealed_until=7200, seconds_from=3600)


@given(
    st.integers(0, 20_000),
    st.integers(0, 5_000),
    st.sampled_from([1, 10, 60, 300]),
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_pieces_cover_the_range_once_from_levels_that_hold_it(
    start: int, length: int, step: int, sealed: int, kept: int
) -> None:
    held = Kept(60 * sealed, 60 * min(kept, sealed))
    start, end = widen(start, start + length, step, held)
    pieces = plan(start, end, step, held)
    at = start
    for piece in pieces:
        assert piece.start == at
        at = piece.end
        if piece.level == MINUTE:
            assert piece.start % 60 == piece.end % 60 == 0
            assert piece.end <= held.sealed_until
        else:
            assert piece.start >= held.seconds_from
    assert at == max(end, start)


def test_minutes_where_sealed_and_seconds_at_both_edges() -> None:
    assert plan(7001, 7300, 60, KEPT) == [
        Piece(SECOND, 7001, 7020),
        Piece(MINUTE, 7020, 7200),
        Piece(SECOND, 7200, 7300),
    ]


def test_what_is_finer_than_kept_is_widened() -> None:
    assert widen(3001, 3599, 1, KEPT) == (3000, 3600)
    assert widen(3601, 3699, 10, KEPT) == (3600, 3700)


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
