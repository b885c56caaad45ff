"""Records of `rejected` as rows, edits of the command line, and what ingest's answers say."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.letters import UNREADABLE, letters_of
from aggregates.replays import Outcome
from dashboard.resend import read_answer
from ingest.deadletters import MAX_ORIGINAL_BYTES, Origin, encode
from ingest.log import LogRecord
from ingest.verdicts import Reason, Rejected, RejectedEvent
from tallyboard.failure import Failure
from tallyboard.rejected_edits import edits_of

TOPIC = "0123456789abcdef"


def rejected(index: int, original: bytes) -> RejectedEvent:
    return RejectedEvent(index, None, Rejected(Reason.WRONG_TYPE, "value", "a number is expected"), original)


@given(
    st.lists(
        st.binary(max_size=30)
        | st.text(max_size=20).map(lambda text: json.dumps({"metric": text, "id": text}).encode())
        | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(
            lambda found: json.dumps(found).encode()
        ),
        min_size=1,
        max_size=5,
    ),
    st.none() | st.text(max_size=10),
    st.sampled_from(["native", "cloudevents"]),
)
def test_what_ingest_writes_is_read_back(originals: list[bytes], key: str | None, protocol: str) -> None:
    events = [rejected(2 * number, original) for number, original in enumerate(originals)]
    (record,) = encode(Origin("r1", 1_795_428_000_250, protocol, key), events)
    letters = letters_of(LogRecord(7, 5, record.value), TOPIC, 3)
    assert [letter.id for letter in letters] == [f"r1/{2 * number}" for number in range(len(originals))]
    for letter, original in zip(letters, originals, strict=True):
        assert (letter.reason, letter.field, letter.key, letter.time_ms) == ("wrong_type", "value", key, 1795428000250)
        assert (letter.partition, letter.record, letter.record_ms, letter.cut) == (3, 7, 5, False)
        assert letter.root == letter.id
        kept = letter.original.encode()
        assert (base64.b64decode(kept) if letter.form == "base64" else kept) == original


@given(st.binary(max_size=200) | st.none())
def test_any_record_is_letters(value: bytes | None) -> None:
    letters = letters_of(LogRecord(7, 5, value), TOPIC, 3)
    assert all(letter.reason and letter.message for letter in letters)
    assert letters[0].reason == UNREADABLE


def test_columns_come_from_the_event() -> None:
    def columns(protocol: str, event: object) -> tuple[str | None, str | None, str]:
        (record,) = encode(Origin("r1", 5, protocol), [rejected(0, msgspec.json.encode(event))])
        (letter,) = letters_of(LogRecord(0, 5, record.value), TOPIC, 0)
        return letter.metric, letter.event_id, letter.root

    assert columns("native", {"metric": "a", "id": "i", "replay_of": "r0/7"}) == ("a", "i", "r0/7")
    assert columns("native", {"metric": 5, "id": None, "replay_of": ""}) == (None, None, "r1/0")
    assert columns("native", ["metric"]) == (None, None, "r1/0")
    envelope = {"type": "a", "id": "7", "source": "/s"}
    assert columns("cloudevents", {**envelope, "data": {"value": 1, "replay_of": "r0/7"}}) == ("a", "7", "r0/7")
    assert columns("cloudevents", {**envelope, "data": {"metric": "b", "id": "i"}}) == ("b", "i", "r1/0")
    assert columns("cloudevents", {**envelope, "data": "text"}) == ("a", "7", "r1/0")
    metric, _, _ = columns("native", {"metric": "x" * 10_000})
    assert metric == "x" * 300


def test_a_cut_original_says_so() -> None:
    (record,) = encode(Origin("r1", 5, "native"), [rejected(0, b'"' + b"x" * (MAX_ORIGINAL_BYTES + 1))])
    (letter,) = letters_of(LogRecord(0, 5, record.value), TOPIC, 0)
    assert (letter.cut, letter.form, letter.size) == (True, "text", MAX_ORIGINAL_BYTES)


# --- answers of ingest --------------------------------------------------------------------------------------------


def receipt(accepted: int, *errors: int) -> bytes:
    found = [{"index": index, "code": "ts_future", "message": "m", "id": None, "field": None} for index in errors]
    body = {"request_id": "r9", "accepted": accepted, "rejected": len(errors), "errors": found, "position": "t;0:1"}
    return msgspec.json.encode(body)


def test_a_receipt_tells_each_event() -> None:
    answer = read_answer(202, receipt(2, 1), 3)
    assert [sent.outcome for sent in answer.events] == [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.ACCEPTED]
    assert (answer.events[1].became, answer.events[1].code, answer.position) == ("r9/1", "ts_future", "t;0:1")
    assert [sent.outcome for sent in read_answer(422, receipt(0, 0), 1).events] == [Outcome.REJECTED]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, b"junk"),
        (202, b"\xff"),
        (202, b"[]"),
        (202, receipt(1)),
        (202, receipt(3)),
        (202, receipt(1, 2)),
        (202, receipt(0, 0, 0)),
        (200, receipt(2)),
        (500, b'{"code":"internal"}'),
        (502, b""),
        (503, b'{"code":"outcome_unknown"}'),
        (503, b"<html>"),
        (504, b""),
    ],
)
def test_what_is_not_certain_is_unknown(status: int, body: bytes) -> None:
    answer = read_answer(status, body, 2)
    assert [sent.outcome for sent in answer.events] == [Outcome.UNKNOWN] * 2
    assert answer.refused is None


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "unauthorized"), (403, "forbidden"), (404, None), (415, "content_type"), (429, "rate_limited"),
     (503, "busy"), (503, "unavailable"), (503, "draining"), (307, None)],
)  # fmt: skip
def test_a_request_refused_as_a_whole_left_nothing_behind(status: int, code: str | None) -> None:
    answer = read_answer(status, msgspec.json.encode({"code": code, "detail": "d"}), 2)
    assert [(sent.outcome, sent.code) for sent in answer.events] == [(Outcome.NOT_SENT, code or str(status))] * 2
    assert answer.refused == answer.events[0]


# --- the command line ---------------------------------------------------------------------------------------------


def test_edits_of_the_command_line() -> None:
    changes = ["value=1.5", "timestamp=5", "dimensions.n=1.5", 'value2={"a":1}', "dimensions.x=a=b", "dimensions.y="]
    assert edits_of(changes, ["a"], ["b=c"]) == {
        "set": {
            "value": 1.5,
            "timestamp": 5,
            "dimensions.n": "1.5",
            "value2": {"a": 1},
            "dimensions.x": "a=b",
            "dimensions.y": "",
        },
        "drop": ["a"],
        "rename": {"b": "c"},
    }
    for text, value in (("true", "true"), ('"5"', "5"), ("x", "x")):
        assert edits_of([f"value={text}"], [], [])["set"] == {"value": value}
    for wrong in ("value=NaN", "value=1e999", "value=-Infinity", "value={", 'dimensions.x="'):
        with pytest.raises(Failure):
            edits_of([wrong], [], [])
