"""The token bucket for all rates, amounts and clocks."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from ingest.limits import TokenBucket

RATES = st.floats(1e-3, 1e6)
BURSTS = st.floats(1, 1e6)
STARTS = st.floats(0, 1e9)
PAUSES = st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 1e4))
STEPS = st.lists(st.tuples(PAUSES, st.integers(0, 2_000_000)), min_size=1, max_size=40)
SLACK = 1e-6
"""Relative; beside it what a clock of 1e9 s cannot tell apart."""


def slack(rate: float, burst: float, seconds: float) -> float:
    return SLACK * (burst + rate * seconds) + rate * 1e-5 + SLACK


@given(RATES, BURSTS, STARTS, STEPS)
def test_no_window_gets_more_than_burst_and_rate(
    rate: float, burst: float, start: float, steps: list[tuple[float, int]]
) -> None:
    """An amount above the burst may end a window, not stand inside it: the debt is paid before the next is granted."""
    bucket = TokenBucket(rate, burst)
    times = [start + passed for passed in accumulate(pause for pause, _ in steps)]
    granted = [(now, n) for now, (_, n) in zip(times, steps, strict=True) if n and bucket.take(n, now) == 0]
    for first in range(len(granted)):
        total = 0.0
        for now, amount in granted[first:]:
            seconds = now - granted[first][0]
            # What was granted before the last one, and as much of the last one as it had to wait for.
            assert total + min(amount, burst) <= burst + rate * seconds + slack(rate, burst, seconds)
            total += amount


@given(RATES, BURSTS, STARTS, STEPS)
def test_the_wait_is_honest_and_there_is_always_progress(
    rate: float, burst: float, start: float, steps: list[tuple[float, int]]
) -> None:
    bucket, now = TokenBucket(rate, burst), start
    debt = 0.0
    for pause, amount in steps:
        now += pause
        wait = bucket.take(amount, now)
        longest = (burst + debt) / rate  # from the deepest debt to a full bucket
        assert 0 <= wait <= longest * (1 + SLACK) + 1e-5
        if wait:
            assert bucket.take(amount, now) == wait, "asking changes nothing"
            now += wait
            assert bucket.take(amount, now) == 0
        debt = max(debt, amount)


@given(RATES, BURSTS, st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 100_000)), min_size=1, max_size=40))
def test_a_clock_that_jumps_does_no_harm(rate: float, burst: float, steps: list[tuple[float, int]]) -> None:
    """Times come in any order. What is granted is bounded by the time that went forward, and waiting always helps."""
    bucket, last, forward, granted, largest = TokenBucket(rate, burst), steps[0][0], 0.0, 0.0, 0.0
    for now, amount in steps:
        forward, last = forward + max(0.0, now - last), now
        wait = bucket.take(amount, now)
        if wait:
            assert wait <= (burst + largest) / rate * (1 + SLACK) + 1e-5
            forward, last = forward + wait, now + wait
            assert bucket.take(amount, last) == 0
        assert granted + min(amount, burst) <= burst + rate * forward + slack(rate, burst, forward)
        granted, largest = granted + amount, max(largest, amount)


@given(RATES, BURSTS, STARTS, STEPS, RATES, BURSTS)
def test_other_limits_are_no_gift(
    rate: float, burst: float, start: float, steps: list[tuple[float, int]], new_rate: float, new_burst: float
) -> None:
    bucket, now = TokenBucket(rate, burst), start
    for pause, amount in steps:
        now += pause
        bucket.take(amount, now)
    before = bucket.tokens(now)
    bucket.retune(new_rate, new_burst, now)
    assert bucket.tokens(now) <= min(before, new_burst) + slack(max(rate, new_rate), burst + new_burst, abs(before))
