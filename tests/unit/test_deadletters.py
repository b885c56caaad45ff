"""Dead letters keep what was sent, in records of bounded size."""

from __future__ import annotations

import base64
import json
from typing import Any

from ingest.deadletters import MAX_ORIGINAL_BYTES, RECORD_BYTES, Origin, encode
from ingest.verdicts import Reason, Rejected, RejectedEvent

VERDICT = Rejected(Reason.WRONG_TYPE, "value", "a number is expected")


def entries(*originals: bytes) -> list[dict[str, Any]]:
    events = [RejectedEvent(index, None, VERDICT, original) for index, original in enumerate(originals)]
    records = encode(Origin("r1", 5, "native"), events)
    assert sum(record.events for record in records) == len(originals)
    return [entry for record in records for entry in json.loads(record.value)["events"]]


def test_each_original_in_the_form_it_has() -> None:
    json_, text, bytes_ = entries(b'{"value": "\xc3\xa9", "n": 1.50}', b'{"value":NaN}', b"\xff{")
    assert json_ == {
        "id": "r1/0",
        "reason": "wrong_type",
        "field": "value",
        "message": "a number is expected",
        "event_id": None,
        "event": {"value": "é", "n": 1.5},
    }
    assert text["text"] == '{"value":NaN}'
    assert base64.b64decode(bytes_["base64"]) == b"\xff{"


def test_json_is_kept_byte_by_byte() -> None:
    (record,) = encode(Origin("r1", 5, "native"), [RejectedEvent(0, None, VERDICT, b'{"a":1.50,  "a":2}')])
    assert b'"event":{"a":1.50,  "a":2}' in record.value
    assert record.headers == [("events", b"1")]


def test_large_requests_become_several_records() -> None:
    original = b'"' + b"x" * 1000 + b'"'
    events = [RejectedEvent(index, None, VERDICT, original) for index in range(5000)]
    records = encode(Origin("r1", 5, "native"), events)
    assert len(records) > 3
    assert sum(record.events for record in records) == 5000
    assert max(len(record.value) for record in records) < 2 * RECORD_BYTES


def test_a_huge_original_is_cut_and_says_so() -> None:
    small, huge = entries(b"1", b'"' + b"x" * (MAX_ORIGINAL_BYTES + 5) + b'"')
    assert "cut" not in small
    assert huge["cut"] is True
    assert len(huge["text"]) == MAX_ORIGINAL_BYTES


def test_nothing_rejected_is_no_record() -> None:
    assert encode(Origin("r1", 5, "native"), []) == []
