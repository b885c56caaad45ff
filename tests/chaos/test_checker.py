"""The checker catches what it is there for: each case breaks one clean run in one way and names what has to be said."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import msgspec
import pytest

from tests.chaos.checker import SIGKILL, SIGTERM, Found, Letter, Place, violations
from tests.chaos.history import (
    CUT,
    REFUSED_CONNECTION,
    TIMEOUT,
    Attempt,
    History,
    Kind,
    Outcome,
    Request,
    Strike,
    value_of,
)
from tests.chaos.write_side import Evidence

TOPIC = "0123456789abcdef0123456789abcdef"


def ok(request_id: str, position: str, accepted: int, rejected: dict[int, str] | None = None) -> Attempt:
    attempt = Attempt(1.0, 1.1, 1.2, 202, request_id=request_id, position=position, accepted=accepted)
    attempt.rejected = rejected or {}
    return attempt


def unavailable() -> Attempt:
    return Attempt(0.5, 0.6, 0.7, 503, "unavailable", retry_after="2")


def unknown() -> Attempt:
    return Attempt(0.2, 0.3, 0.4, 503, "outcome_unknown", retry_after="2")


def place(id_: str, partition: int, offset: int) -> list[Place]:
    return [Place(partition, offset, value_of(id_))]


def clean() -> tuple[History, Found]:
    """Five requests: acknowledged; refused, then acknowledged with a wrong event; unknown; cut; lost with a kill."""
    lost = Attempt(1.9, 1.95, 2.0, error="ConnectionResetError")
    requests = [
        Request(0, "a", Kind.GOOD, ("g0", "g1"), attempts=[ok("r0", "01234567;0:5,1:1", 2)]),
        Request(1, "a", Kind.MIXED, ("m0", "m1"), (1,), [unavailable(), ok("r1", "01234567;0:6", 1, {1: "ts_future"})]),
        Request(2, "a", Kind.GOOD, ("u0",), attempts=[unknown()]),
        Request(3, "a", Kind.CUT, ("c0",), attempts=[Attempt(1.0, None, 1.1, error=CUT)]),
        Request(4, "a", Kind.WRONG, ("k0",), (0,), [lost]),
    ]
    strikes = [Strike(SIGKILL, "a", 2.0, 4.0), Strike(SIGTERM, "b", 5.0, 6.0, exit_code=0)]
    found = Found(TOPIC, {0: 6, 1: 1})
    found.events = {"g0": place("g0", 0, 4), "g1": place("g1", 1, 0), "m0": place("m0", 0, 5)}
    found.letters = [Letter("r1/1", "m1", "ts_future")]
    return History(7, requests, strikes), found


def test_a_clean_run_has_no_violation() -> None:
    assert violations(*clean()) == []


def test_an_unknown_send_may_have_taken_effect_once() -> None:
    history, found = clean()
    found.events["u0"] = place("u0", 0, 3)
    found.letters.append(Letter("r9/0", "k0", "wrong_type"))
    assert violations(history, found) == []
    history.requests[2].attempts.append(ok("r2", "01234567;0:4", 1))  # sent again with the same ids
    found.events["u0"] += place("u0", 0, 2)
    assert violations(history, found) == []


def lose_event(_history: History, found: Found) -> None:
    del found.events["g0"]


def lose_one_of_two_acknowledged_sends(history: History, _found: Found) -> None:
    history.requests[0].attempts.append(ok("r5", "01234567;0:5,1:1", 2))


def double(_history: History, found: Found) -> None:
    found.events["g1"] += place("g1", 0, 3)


def unknown_twice(_history: History, found: Found) -> None:
    found.events["u0"] = place("u0", 0, 2) + place("u0", 0, 3)


def keep_refused(history: History, found: Found) -> None:
    history.requests[2].attempts = [unavailable()]
    found.events["u0"] = place("u0", 0, 3)


def keep_half_sent(_history: History, found: Found) -> None:
    found.events["c0"] = place("c0", 0, 3)


def accept_wrong(_history: History, found: Found) -> None:
    found.events["m1"] = place("m1", 0, 3)


def invent(_history: History, found: Found) -> None:
    found.events["x"] = place("x", 0, 3)


def mix_up(_history: History, found: Found) -> None:
    found.events["g0"][0].value += 1


def position_too_small(history: History, _found: Found) -> None:
    history.requests[0].attempts[0].position = "01234567;0:4,1:1"


def position_without_partition(history: History, _found: Found) -> None:
    history.requests[0].attempts[0].position = "01234567;0:5"


def position_too_large(history: History, _found: Found) -> None:
    history.requests[0].attempts[0].position = "01234567;0:7,1:1"


def position_elsewhere(history: History, _found: Found) -> None:
    history.requests[0].attempts[0].position = "76543210;0:5,1:1"


def lose_letter(_history: History, found: Found) -> None:
    found.letters.clear()


def double_letter(_history: History, found: Found) -> None:
    found.letters *= 2


def letter_of_good_event(_history: History, found: Found) -> None:
    found.letters.append(Letter("r0/0", "g0", "ts_future"))


def invent_letter(_history: History, found: Found) -> None:
    found.letters.append(Letter("r0/9", "x", "ts_future"))


def other_reason(_history: History, found: Found) -> None:
    found.letters = [Letter("r1/1", "m1", "ts_too_old")]


def wrong_verdict(history: History, _found: Found) -> None:
    history.requests[0].attempts[0].accepted = 1


def take_what_is_to_be_refused(history: History, _found: Found) -> None:
    history.requests[0].kind = Kind.REFUSED


def fault_of_the_server(history: History, _found: Found) -> None:
    history.requests[2].attempts[0].status = 500


def no_retry_after(history: History, _found: Found) -> None:
    history.requests[2].attempts[0].retry_after = "0"


def hang(history: History, _found: Found) -> None:
    history.requests[2].attempts = [Attempt(0.2, 0.3, 25.2, error=TIMEOUT)]


def reset_by_sigterm(history: History, _found: Found) -> None:
    history.requests[2] = Request(2, "b", Kind.GOOD, ("u0",), attempts=[Attempt(4.8, 4.9, 5.1, error="reset")])


def reset_by_nothing(history: History, _found: Found) -> None:
    history.strikes.clear()


def end_by_force(history: History, _found: Found) -> None:
    history.strikes[1].exit_code = None


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lose_event, "acknowledged events that are missing in the log: 1, such as g0"),
        (lose_one_of_two_acknowledged_sends, "acknowledged events that are missing in the log: 2"),
        (double, "events that stand in the log more often than they were sent with effect: 1, such as g1"),
        (unknown_twice, "events that stand in the log more often than they were sent with effect: 1, such as u0"),
        (keep_refused, "refused events that stand in the log: 1, such as u0"),
        (keep_half_sent, "refused events that stand in the log: 1, such as c0"),
        (accept_wrong, "refused events that stand in the log: 1, such as m1"),
        (invent, "events in the log that nobody sent: 1, such as x"),
        (mix_up, "events in the log with another's value: 1, such as g0"),
        (position_too_small, "positions that do not cover their events: 1"),
        (position_without_partition, "positions that do not cover their events: 1"),
        (position_too_large, "positions behind the log's end: 1"),
        (position_elsewhere, "positions of another topic: 1"),
        (lose_letter, "acknowledged dead letters that are missing in `rejected`: 1, such as m1"),
        (double_letter, "dead letters that stand in `rejected` more often than they were sent with effect: 1"),
        (letter_of_good_event, "refused dead letters that stand in `rejected`: 1, such as g0"),
        (invent_letter, "dead letters of events that nobody sent: 1, such as x"),
        (other_reason, "dead letters that are not as answered: 1, such as r1/1"),
        (wrong_verdict, "verdicts that are wrong: 1"),
        (take_what_is_to_be_refused, "requests that had to be refused and were taken: 1"),
        (fault_of_the_server, "answers that no request may get: 1"),
        (no_retry_after, "503 without Retry-After: 1"),
        (hang, "requests without an answer in time: 1"),
        (reset_by_sigterm, "requests sent before SIGTERM that got no answer: 1"),
        (reset_by_nothing, "connections lost without any signal to ingest: 1"),
        (end_by_force, "ingest did not end in good order: 1"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_kind_of_violation_is_named(break_it: Callable[[History, Found], None], said: str) -> None:
    history, found = clean()
    break_it(history, found)
    sentences = violations(history, found)
    assert any(sentence.startswith(said) for sentence in sentences), sentences


@pytest.mark.parametrize(
    ("attempt", "outcome"),
    [
        (ok("r", "", 0), Outcome.OK),
        (Attempt(0, status=422), Outcome.OK),
        (Attempt(0, status=422, code="x"), Outcome.FAIL),
        (Attempt(0, status=415, code="content_type"), Outcome.FAIL),
        (unavailable(), Outcome.FAIL),
        (Attempt(0, status=503, code="draining"), Outcome.FAIL),
        (unknown(), Outcome.UNKNOWN),
        (Attempt(0, status=503), Outcome.UNKNOWN),
        (Attempt(0, status=500, code="internal"), Outcome.UNKNOWN),
        (Attempt(0, error=REFUSED_CONNECTION), Outcome.FAIL),
        (Attempt(0, error=CUT), Outcome.FAIL),
        (Attempt(0, error=TIMEOUT), Outcome.UNKNOWN),
        (Attempt(0, error="IncompleteReadError"), Outcome.UNKNOWN),
    ],
)
def test_what_an_answer_says_about_its_send(attempt: Attempt, outcome: Outcome) -> None:
    assert attempt.outcome is outcome


def test_evidence_can_be_judged_again_from_its_file() -> None:
    history, found = clean()
    lose_event(history, found)
    told = violations(deepcopy(history), deepcopy(found))
    again = msgspec.json.decode(msgspec.json.encode(Evidence(history, found)), type=Evidence)
    assert violations(again.history, again.found) == told != []
