"""Remembered answers: while they hold, within bounds, once for everybody who asks at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from aggregates.patience import Caller
from aggregates.queries import Abandoned, TooSlow
from aggregates.remembered import Made, Remembered
from aggregates.versions import Versions

DEADLINE_S = 20.0


def answers(most: int = 10, most_bytes: int = 1000) -> Remembered[str]:
    return Remembered[str](most, most_bytes)


def said(text: str, size: int = 1, is_exact: bool = True) -> Callable[[Callable[[], bool]], Made[str]]:
    return lambda _: Made(text, size, is_exact)


def test_an_answer_is_given_again_until_the_version_changes() -> None:
    found = answers()
    assert found.get("q", (1,), said("first"), Caller()) == "first"
    assert found.get("q", (1,), said("second"), Caller()) == "first"
    assert found.get("q", (2,), said("third"), Caller()) == "third"
    assert found.get("q", (1,), said("fourth"), Caller()) == "fourth"
    assert (found.tally.made, found.tally.remembered, len(found)) == (3, 1, 1)


def test_an_answer_that_may_be_of_a_later_version_is_not_kept() -> None:
    found = answers()
    assert found.get("q", (1,), said("first", is_exact=False), Caller()) == "first"
    assert found.get("q", (1,), said("second"), Caller()) == "second"


def test_number_and_bytes_are_bounded() -> None:
    found = answers(most=3, most_bytes=100)
    for number in range(10):
        found.get(number, (1,), said(str(number)), Caller())
    assert (len(found), found.bytes) == (3, 3)
    for number in range(10):
        found.get(("large", number), (1,), said("x", 24), Caller())
    assert found.bytes <= 100
    found.get("huge", (1,), said("x", 26), Caller())
    assert found.get("huge", (1,), said("again", 26), Caller()) == "again"
    assert found.bytes <= 100


class Slow:
    """An answer in the making, which ends when it is told to."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.times = 0

    def __call__(self, wanted: Callable[[], bool]) -> Made[str]:
        self.times += 1
        self.begun.set()
        deadline = time.monotonic() + DEADLINE_S
        while not self.may_end.wait(0.002):
            if not wanted():
                raise Abandoned
            assert time.monotonic() < deadline
        return Made("slow", 1, True)


def asked(
    pool: ThreadPoolExecutor, found: Remembered[str], make: Callable[[Callable[[], bool]], Made[str]], callers: int
) -> tuple[list[Caller], list[Future[str]]]:
    """Several callers with one question; the first of them has begun, the others wait for it."""
    each = [Caller() for _ in range(callers)]
    futures = [pool.submit(found.get, "q", (1,), make, caller) for caller in each]
    until(lambda: found.tally.made + found.tally.shared == callers)
    return each, futures


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_equal_questions_of_one_moment_are_answered_once() -> None:
    found, slow = answers(), Slow()
    with ThreadPoolExecutor(8) as pool:
        _, futures = asked(pool, found, slow, 8)
        slow.may_end.set()
        assert [future.result(DEADLINE_S) for future in futures] == ["slow"] * 8
    assert slow.times == 1
    assert (found.tally.made, found.tally.shared) == (1, 7)


def test_who_leaves_takes_nobody_along() -> None:
    found, slow = answers(), Slow()
    with ThreadPoolExecutor(4) as pool:
        callers, futures = asked(pool, found, slow, 4)
        for caller in callers[:3]:
            caller.leave()
        until(lambda: sum(future.done() for future in futures) >= 2)
        slow.may_end.set()
        assert futures[3].result(DEADLINE_S) == "slow"
    assert slow.times == 1


def test_when_all_have_left_it_is_given_up() -> None:
    found, slow = answers(), Slow()
    with ThreadPoolExecutor(4) as pool:
        callers, futures = asked(pool, found, slow, 3)
        for caller in callers:
            caller.leave()
        for future in futures:
            with pytest.raises(Abandoned):
                future.result(DEADLINE_S)
        assert len(found) == 0
        assert found.get("q", (1,), said("anew"), Caller()) == "anew"


def test_a_failure_is_everybodys() -> None:
    found = answers()
    begun = threading.Event()

    def fails(_: Callable[[], bool]) -> Made[str]:
        begun.wait(DEADLINE_S)
        raise TooSlow(5)

    with ThreadPoolExecutor(2) as pool:
        _, futures = asked(pool, found, fails, 2)
        begun.set()
        for future in futures:
            with pytest.raises(TooSlow):
                future.result(DEADLINE_S)
    assert found.get("q", (1,), said("later"), Caller()) == "later"


def test_a_version_counts_the_commits_of_its_metrics() -> None:
    versions = Versions()

    def version(*metrics: str) -> tuple[int, ...]:
        return versions.look(metrics, lambda: None)[0].version

    before = version("a"), version("b"), version("a", "b")
    versions.committing()
    with versions.committed(["a"]):
        pass
    assert (version("a") == before[0], version("b") == before[1], version("a", "b") == before[2]) == (
        False,
        True,
        False,
    )
    versions.committing()
    with versions.committed(None):
        pass
    assert version("b") != before[1]


def test_a_moment_ends_with_the_next_commit() -> None:
    versions = Versions()
    moment, _ = versions.look(["a"], lambda: None)
    assert versions.is_still(moment)
    versions.committing()
    during, _ = versions.look(["a"], lambda: None)
    assert not versions.is_still(moment)
    assert not versions.is_still(during)
    with versions.committed(["b"]):
        pass
    assert not versions.is_still(moment)
    assert not versions.is_still(during)
    assert versions.is_still(versions.look(["a"], lambda: None)[0])
