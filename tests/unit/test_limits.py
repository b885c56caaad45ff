"""The token bucket at its corners; what holds for all input stands in tests/property/test_limits.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ingest.keys import Key, Scope
from ingest.limits import RateLimiter, TokenBucket

KEY = Key("abcdefgh", "shop", frozenset({Scope.WRITE}), rate=10.0, burst=20)


def test_burst_then_rate() -> None:
    bucket = TokenBucket(10, 20)
    assert [bucket.take(5, 100.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert bucket.take(5, 100.4) == pytest.approx(0.1)
    assert bucket.take(5, 100.5) == 0
    assert bucket.take(20, 102.5) == 0, "an idle bucket is full again, and no fuller"
    assert bucket.take(1, 102.5) == pytest.approx(0.1)


def test_a_refused_amount_costs_nothing() -> None:
    bucket = TokenBucket(1, 10)
    assert bucket.take(8, 0.0) == 0
    assert [bucket.take(5, 0.0) for _ in range(50)] == [3.0] * 50
    assert bucket.take(2, 0.0) == 0


def test_more_than_the_burst_is_granted_by_a_full_bucket_and_paid_for() -> None:
    bucket = TokenBucket(10, 20)
    assert bucket.take(1, 0.0) == 0
    assert bucket.take(50, 0.0) == pytest.approx(0.1), "not full"
    assert bucket.take(50, 0.1) == 0
    assert bucket.tokens(0.1) == pytest.approx(-30)
    assert bucket.take(1, 0.1) == pytest.approx(3.1), "the debt first"
    assert bucket.take(50, 0.1) == pytest.approx(5.0)
    assert bucket.take(0, 0.1) == 0, "nothing is always granted"


def test_a_clock_that_steps_back_costs_no_more_than_it_should() -> None:
    bucket = TokenBucket(10, 20)
    assert bucket.take(20, 1_000_000.0) == 0
    assert bucket.take(10, 5.0) == pytest.approx(1.0)
    assert bucket.take(10, 6.001) == 0


def test_a_key_without_a_rate_is_not_counted() -> None:
    limiter = RateLimiter()
    assert limiter.take(replace(KEY, rate=None, burst=None), 10**12, 0.0) == 0
    assert len(limiter) == 0


def test_without_a_burst_it_is_one_second() -> None:
    limiter = RateLimiter()
    slow, fast = replace(KEY, id="s", rate=0.5, burst=None), replace(KEY, id="f", rate=30.0, burst=None)
    assert (limiter.take(slow, 1, 0.0), limiter.take(slow, 1, 0.0)) == (0, 2.0)
    assert limiter.take(fast, 30, 0.0) == 0
    assert limiter.take(fast, 3, 0.0) == pytest.approx(0.1)


def test_changed_limits_hold_at_once_and_give_nothing_away() -> None:
    limiter = RateLimiter()
    assert limiter.take(KEY, 20, 0.0) == 0
    faster = replace(KEY, rate=100.0, burst=1000)
    assert limiter.take(faster, 50, 0.0) == pytest.approx(0.5), "the empty bucket stays empty"
    assert limiter.take(faster, 50, 0.5) == 0
    tighter = replace(KEY, rate=1.0, burst=2)
    assert limiter.take(tighter, 2, 100.0) == 0
    assert limiter.take(tighter, 1, 100.0) == pytest.approx(1.0), "the full one is no fuller than its new burst"


def test_memory_is_bounded_and_the_busy_keys_stay() -> None:
    limiter = RateLimiter(max_buckets=3)
    assert limiter.take(KEY, 20, 0.0) == 0
    for number in range(100):
        limiter.take(replace(KEY, id=f"key{number}"), 1, 0.0)
        assert limiter.take(KEY, 20, 0.0) == pytest.approx(2.0)
    assert len(limiter) == 3
