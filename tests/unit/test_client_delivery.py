"""How the client delivers a batch: answers read, waits chosen, halves made. Pure: a clock and chance are given."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.client.answers import Answer, NoAnswer, Refusal, Verdicts, latest, retry_after_s
from ingest.client.delivery import Patience, Pause, Post, Senses, Settled, Step, Target, deliver, wait_s
from ingest.client.wire import OutgoingEvent, dimensions_of, new_id, outgoing
from tests.write_site import accepted

TARGET = Target("http://127.0.0.1:1", gzip_bytes=None)
EVENTS = [OutgoingEvent(f"e{n}", json.dumps({"metric": "m", "value": n, "id": f"e{n}"}).encode()) for n in range(7)]
PATIENCE = Patience()
NOW_MS = 1_795_440_000_000
RANDOM = bytes(range(10))


class World:
    """A clock that only pauses move, and chance that is always the same."""

    def __init__(self, chance: float = 1.0) -> None:
        self.now = 0.0
        self.senses = Senses(lambda: self.now, lambda: 1_000_000.0 + self.now, lambda: chance)

    def run(self, answers: list[Answer | NoAnswer], patience: Patience = PATIENCE, target: Target = TARGET) -> Run:
        """Drive a delivery of `EVENTS`; when the answers are used up, everything is accepted."""
        left: Iterator[Answer | NoAnswer] = iter(answers)
        steps = deliver(EVENTS, target, patience, self.senses)
        done: list[Step] = []
        answer: Answer | NoAnswer | None = None
        for _ in range(1_000):
            try:
                step = steps.send(answer)
            except StopIteration:
                return Run(done)
            done.append(step)
            answer = None
            if isinstance(step, Pause):
                self.now += step.seconds
            elif isinstance(step, Post):
                answer = next(left, Answer(202, accepted(step.events)))
        raise AssertionError("it does not end")


class Run:
    def __init__(self, steps: list[Step]) -> None:
        self.posts = [step for step in steps if isinstance(step, Post)]
        self.pauses = [step.seconds for step in steps if isinstance(step, Pause)]
        self.settled = [step for step in steps if isinstance(step, Settled)]

    @property
    def outcomes(self) -> list[Verdicts | Refusal]:
        return [settled.outcome for settled in self.settled]


def refused(status: int, code: str = "code", **headers: str) -> Answer:
    names = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return Answer(status, json.dumps({"code": code, "detail": "why"}).encode(), names)


def test_a_batch_is_one_request_of_lines() -> None:
    run = World().run([])
    (post,) = run.posts
    assert post.body.splitlines() == [event.text for event in EVENTS]
    assert post.headers == {"Content-Type": "application/x-ndjson"}
    assert run.outcomes == [Verdicts(7, (), "", "r")]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_the_same_body_goes_again(status: int) -> None:
    run = World().run([refused(status), NoAnswer("reset"), refused(status)])
    assert len({post.body for post in run.posts}) == 1
    assert [post.attempt for post in run.posts] == [0, 1, 2, 3]
    assert run.outcomes[0] == Verdicts(7, (), "", "r")


def test_waits_double_up_to_a_longest_one() -> None:
    assert World(chance=1.0).run([NoAnswer("away")] * 8).pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert World(chance=0.0).run([NoAnswer("away")] * 3).pauses == [0.1, 0.2, 0.4]


@given(st.floats(0, 300), st.integers(0, 2_000), st.floats(0, 1))
def test_a_wait_is_never_shorter_than_what_the_server_asked(asked: float, attempt: int, chance: float) -> None:
    assert asked < wait_s(asked, attempt, Patience(), chance) <= asked * 1.1 + 0.2
    assert 0.1 <= wait_s(None, attempt, Patience(), chance) <= 10.0


def test_retry_after_is_kept() -> None:
    run = World().run([refused(503, Retry_After="7"), refused(429, Retry_After="0")])
    assert run.pauses == [pytest.approx(7.7), 0.2]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5.0),
        ("86400", 300.0),
        ("9" * 400, 300.0),
        ("Mon, 12 Jan 1970 13:47:10 GMT", 30.0),
        ("Mon, 12 Jan 1970 13:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("-3", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, 1_000_000.0) == seconds


@pytest.mark.parametrize("status", [400, 404, 405, 415, 421, 302, 599])
def test_what_will_not_change_is_not_tried_again(status: int) -> None:
    run = World().run([refused(status, "no")])
    assert run.outcomes == [Refusal(status, "no", "why")]
    assert len(run.posts) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_known_is_tried_for_ten_seconds(status: int) -> None:
    run = World().run([refused(status, "unauthorized")] * 20)
    assert run.outcomes == [Refusal(status, "unauthorized", "why")]
    assert 10.0 <= sum(run.pauses) <= 20.0
    assert World().run([refused(status)] * 3).outcomes == [Verdicts(7, (), "", "r")]


def test_too_large_is_sent_in_halves_and_in_order() -> None:
    def too_many(limit: int, run: list[int]) -> list[Answer | NoAnswer]:
        return [refused(413) if size > limit else Answer(202, accepted(size)) for size in run]

    run = World().run(too_many(2, [7, 3, 1, 2, 4, 2, 2]))
    assert [len(settled.events) for settled in run.settled] == [1, 2, 2, 2]
    assert [event.id for settled in run.settled for event in settled.events] == [event.id for event in EVENTS]


def test_one_event_that_is_too_large_is_given_up_alone() -> None:
    run = World().run([refused(413, "body_too_large"), refused(413), refused(413, "body_too_large")])
    assert run.outcomes[0] == Refusal(413, "body_too_large", "why")
    assert [len(settled.events) for settled in run.settled] == [1, 2, 4]
    assert all(isinstance(outcome, Verdicts) for outcome in run.outcomes[1:])


def test_giving_up_says_what_the_last_answer_was() -> None:
    (outcome,) = World().run([refused(503, "busy")] * 100, Patience(give_up_s=5.0)).outcomes
    assert outcome == Refusal(0, "gave_up", "not taken in 5 s; the last answer: 503 busy: why")


def test_verdicts_name_the_events_they_are_on() -> None:
    error = {"index": 2, "id": None, "field": "value", "code": "wrong_type", "message": "no"}
    body = {"request_id": "r", "accepted": 6, "rejected": 1, "errors": [error], "position": "abc;0:4"}
    (outcome,) = World().run([Answer(202, json.dumps(body).encode())]).outcomes
    assert isinstance(outcome, Verdicts)
    assert [(rejection.index, rejection.id, rejection.code) for rejection in outcome.rejected] == [
        (2, "e2", "wrong_type")
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>log in</html>",
        b"[]",
        b'{"accepted": 7}',
        accepted(6),
        b'{"accepted": 6, "rejected": 1, "errors": []}',
        b'{"accepted": 6, "rejected": 1, "errors": [{"index": 9, "code": "x"}]}',
        b'{"accepted": 6, "rejected": 1, "errors": ["x"]}',
        b"[" * 100_000,
    ],
)
def test_a_success_that_does_not_account_for_every_event_is_none(body: bytes) -> None:
    (outcome,) = World().run([Answer(200, body)]).outcomes
    assert isinstance(outcome, Refusal)
    assert outcome.code == "unreadable_answer"


def test_large_bodies_are_compressed_the_same_way_each_time() -> None:
    run = World().run([NoAnswer("")], target=Target("http://h:1", gzip_bytes=10))
    assert run.posts[0].headers["Content-Encoding"] == "gzip"
    assert run.posts[0].body == run.posts[1].body


def test_a_key_goes_along_and_is_not_shown() -> None:
    target = Target("http://h:1/", key="tb_secret")
    assert World().run([], target=target).posts[0].headers["Authorization"] == "Bearer tb_secret"
    assert "secret" not in repr(target)
    assert target.address == "http://h:1/v1/events"


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://h", "http://"])
def test_an_address_that_is_none_is_said_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        Target(url)


def test_an_address_that_cannot_work_says_why() -> None:
    with pytest.raises(ValueError, match="without /v1/events"):
        Target("http://127.0.0.1:8080/v1/events")
    with pytest.raises(ValueError, match="out of range"):
        Target("http://127.0.0.1:99999")


def test_positions_are_joined() -> None:
    assert latest(["t;0:4,1:7", "t;1:9,2:1", "", "t;"]) == "t;0:4,1:9,2:1"
    assert latest([]) == ""


# --- events -------------------------------------------------------------------------------------------------------


def test_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    ids = [uuid.UUID(new_id(NOW_MS + n, RANDOM)) for n in range(3)]
    assert [id_.version for id_ in ids] == [7, 7, 7]
    assert ids == sorted(ids)
    assert {id_.variant for id_ in ids} == {uuid.RFC_4122}
    assert ids[0].int >> 80 == NOW_MS


def document(**fields: Any) -> Any:
    return outgoing({"metric": "m", "value": 1, **fields}, NOW_MS, RANDOM).document()


def test_an_event_is_completed_when_it_is_queued() -> None:
    completed = document()
    assert completed["timestamp"] == NOW_MS
    assert completed["id"] == new_id(NOW_MS, RANDOM)
    own = {"id": "mine", "timestamp": "2026-01-01T00:00:00Z"}
    assert document(**own) == {"metric": "m", "value": 1, **own}


def test_times_have_a_zone() -> None:
    moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert document(timestamp=moment)["timestamp"] == int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    with pytest.raises(ValueError, match="zone"):
        document(timestamp=moment.replace(tzinfo=None))
    assert document(start=moment)["start"] == int(moment.timestamp() * 1000)
    assert document(start=None)["start"] is None
    assert "start" not in document()
    with pytest.raises(ValueError, match="zone"):
        document(start=moment.replace(tzinfo=None))


def test_numbers_of_other_libraries_are_numbers() -> None:
    values = [Decimal("1.5"), np.float32(0.5), np.int64(7)]
    assert [document(value=value)["value"] for value in values] == [1.5, 0.5, 7]


def test_what_ingest_judges_is_not_judged_here() -> None:
    text = outgoing({"metric": "a\nb\ud800", "value": float("nan")}, NOW_MS, RANDOM).text
    assert b"\n" not in text
    assert b"NaN" in text


def test_what_cannot_be_json_is_an_error_at_once() -> None:
    with pytest.raises(TypeError):
        document(value=object())
    with pytest.raises(TypeError, match="an id is a text"):
        document(id=5)


def test_labels_are_dimensions_and_whole_numbers_texts() -> None:
    assert dimensions_of({"a": "x", "b": 1}, {"b": 200, "c": True}) == {"a": "x", "b": "200", "c": True}
