"""What each protocol takes, and what it says of the rest."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.accept import Rules
from ingest.batches import Acceptor
from ingest.problems import Problem
from ingest.protocols import cloudevents, native
from ingest.protocols.cloudevents import header_text, identity
from ingest.protocols.detect import CONTENT_TYPES, choose
from ingest.protocols.json_text import MAX_EVENT_BYTES, surely_short
from ingest.protocols.native import Form, NativeEvent
from ingest.protocols.reader import Batch, Reader
from ingest.sent import SentEvent
from ingest.verdicts import Reason, Rejected, RejectedEvent

NOW = 1_795_428_000_000
EVENT = b'{"metric":"orders","value":1}'


def reader(content_type: str, **headers: str) -> Reader:
    fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    found = choose(fields | ({b"content-type": content_type.encode()} if content_type else {}))
    assert not isinstance(found, Problem)
    return found


def read(found: Reader, body: bytes, max_events: int = 100, id_prefix: str | None = None) -> Batch[SentEvent]:
    batch = found.read(body, max_events, id_prefix)
    assert isinstance(batch, Batch), batch
    return batch


def refused(batch: Batch[SentEvent]) -> list[RejectedEvent]:
    accepted = Acceptor(Rules(), native.parse_dimensions).accept(batch.events, NOW)
    return batch.rejected(accepted.rejected)


# --- which protocol -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "headers", "expected"),
    [
        ("application/json", {}, native.NativeReader(Form.JSON)),
        ("application/json; charset=UTF-8", {}, native.NativeReader(Form.JSON)),
        ('application/json;charset="us-ascii"', {}, native.NativeReader(Form.JSON)),
        ("Application/X-NDJSON", {}, native.NativeReader(Form.LINES)),
        ("application/jsonl", {"ce_id": "1"}, None),
        ("application/cloudevents+json", {}, cloudevents.StructuredReader(False)),
        ("application/cloudevents+json; charset=utf-8", {"ce_id": "1"}, cloudevents.StructuredReader(False)),
        ("application/cloudevents-batch+json", {}, cloudevents.StructuredReader(True)),
        ("application/json", {"ce_id": "1"}, cloudevents.BinaryReader),
        ("application/vnd.shop.order+json", {"ce_specversion": "1.0"}, cloudevents.BinaryReader),
        ("text/json", {"ce_type": "a"}, cloudevents.BinaryReader),
        ("", {"ce_source": "/a"}, cloudevents.BinaryReader),
        ("application/json", {"ce_other": "1"}, native.NativeReader(Form.JSON)),
        ("application/json; charset=utf-16", {}, None),
        ("application/json; charset=utf-16", {"ce_id": "1"}, None),
        ("application/cloudevents+avro", {"ce_id": "1"}, None),
        ("application/vnd.shop.order+json", {}, None),
        ("application/xml", {"ce_id": "1"}, None),
        ("text/plain", {}, None),
        ("", {}, None),
    ],
)
def test_the_headers_choose_the_protocol(content_type: str, headers: dict[str, str], expected: Any) -> None:
    fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    found = choose(fields | ({b"content-type": content_type.encode()} if content_type else {}))
    if expected is None:
        assert isinstance(found, Problem)
        assert (found.status, found.code) == (415, "content_type")
        assert found.headers["Accept"] == ", ".join(CONTENT_TYPES)
    elif isinstance(expected, type):
        assert isinstance(found, expected)
    else:
        assert found == expected


# --- sizes and ids ------------------------------------------------------------------------------------------------


def large(size: int, value: str = "1") -> bytes:
    head = f'{{"metric":"orders","value":{value},"note":"'.encode()
    return head + b"x" * (size - len(head) - 2) + b'"}'


@pytest.mark.parametrize("good", [1, 3_000])
@pytest.mark.parametrize("note", [b"", b',"a":[{"metric":"a"},{"metric":"b"}]', b',"a":"},{\\"metric\\":["'])
@pytest.mark.parametrize("form", Form)
def test_an_event_above_the_limit_is_rejected_alone(form: Form, note: bytes, good: int) -> None:
    between, start, end = (b"\n", b"", b"") if form is Form.LINES else (b" , ", b"[", b"]")
    fits, exceeds = large(MAX_EVENT_BYTES), large(MAX_EVENT_BYTES + 1)
    plain = EVENT[:-1] + note + b"}"
    texts = [plain] * good + [fits, exceeds, plain, exceeds]
    batch = native.read(start + between.join(texts) + end, form, 10_000)
    assert isinstance(batch, Batch)
    assert (batch.size, len(batch.events)) == (good + 4, good + 2)
    rejected = batch.rejected({})
    assert [event.index for event in rejected] == [good + 1, good + 3]
    assert {event.verdict.reason for event in rejected} == {Reason.TOO_LARGE}
    assert all(event.original == exceeds for event in rejected)
    whole = native.read(start + between.join([plain] * good + [fits]) + end, form, 10_000)
    assert isinstance(whole, Batch)
    assert not whole.undecodable


def test_one_event_above_the_limit() -> None:
    exceeds = large(MAX_EVENT_BYTES + 1)
    batch = native.read(exceeds, Form.JSON, 1)
    assert isinstance(batch, Batch)
    (event,) = batch.rejected({})
    assert (event.verdict.reason, event.original) == (Reason.TOO_LARGE, exceeds)
    problem = native.read(exceeds + b"x", Form.JSON, 1)
    assert isinstance(problem, Problem)
    assert (problem.status, problem.code) == (400, "not_json")


def test_short_arrays_are_proved_short_without_taking_them_apart() -> None:
    event = json.dumps({"metric": "orders", "value": 1, "dimensions": {"country": "NL"}}).encode()
    for between in (b",", b", ", b"\n,\n"):
        assert surely_short(b"[" + between.join([event] * 5_000) + b"]")
    assert not surely_short(b"[" + b",".join([event] * 2_000) + b"," + large(MAX_EVENT_BYTES + 1) + b"]")
    # Looks like a separator, and stands in a text or in an inner array.
    tricky = b'{"metric":"a","value":1,"note":"' + b"},{ " * 30_000 + b'"}'
    assert not surely_short(b"[" + tricky + b"]")
    inner = b'{"metric":"a","value":1,"note":[' + b",".join([event] * 2_000) + b"]}"
    assert not surely_short(b"[" + inner + b"]")


@pytest.mark.parametrize("form", Form)
def test_events_without_an_id_get_one_from_the_prefix(form: Form) -> None:
    texts = [EVENT, b"5", EVENT[:-1] + b',"id":"own"}', EVENT]
    body = b"\n".join(texts) if form is Form.LINES else b"[" + b",".join(texts) + b"]"
    for chosen in (body, body.replace(b"5", EVENT, 1)):
        batch = read(native.NativeReader(form), chosen, id_prefix="k")
        assert [event.id for event in batch.events][-2:] == ["own", "k/3"]
        assert batch.events[0].id == "k/0"
    assert [event.id for event in read(native.NativeReader(form), body).events] == [None, "own", None]


def test_deep_nesting_at_every_depth() -> None:
    """Around the depth that the parser gives up at: whatever is taken can be shown again."""
    for depth in range(880, 1020, 1):
        event = b'{"metric":"orders","value":true,"a":' + b"[" * depth + b"]" * depth + b"}"
        batch = native.read(b"[" + EVENT + b"," + event + b"]", Form.JSON, 10)
        if isinstance(batch, Batch):
            assert len(batch.rejected({})) == 1
        fine = native.read(b"[" + event.replace(b"true", b"1") + b"]", Form.JSON, 10)
        if isinstance(fine, Batch) and fine.events:
            assert len(fine.rejected({0: Rejected(Reason.METRIC_NAME, "metric", "")})) == 1


def test_arrays_of_millions_are_counted_before_they_are_held() -> None:
    for element in (b"1", b"{}", b"[]", b"NaN"):
        problem = native.read(b"[" + b",".join([element] * 2_000_000) + b"]", Form.JSON, 1_000)
        assert isinstance(problem, Problem)
        assert (problem.status, problem.code) == (413, "too_many_events")


# --- CloudEvents --------------------------------------------------------------------------------------------------

ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/shop",
    "type": "orders.revenue",
    "time": "2026-11-23T10:00:00Z",
    "data": {"value": 12.5, "dimensions": {"country": "NL"}},
}
STRUCTURED = cloudevents.StructuredReader(False)
AT = datetime(2026, 11, 23, 10, tzinfo=UTC)


def structured(**changes: Any) -> bytes:
    document = {name: value for name, value in (ENVELOPE | changes).items() if value is not ...}
    return json.dumps(document).encode()


def parts(event: SentEvent) -> tuple[Any, ...]:
    return (event.metric, event.value, event.timestamp, bytes(event.dimensions), event.id)


def test_the_envelope_gives_what_the_data_leave_out() -> None:
    (event,) = read(STRUCTURED, structured()).events
    assert parts(event) == ("orders.revenue", 12.5, AT, b'{"country": "NL"}', "/shop/e-1")
    own = {"value": 1, "metric": "m", "timestamp": 5, "id": "mine"}
    (event,) = read(STRUCTURED, structured(data=own)).events
    assert parts(event) == ("m", 1, 5, b"{}", "mine")
    (event,) = read(STRUCTURED, structured(time=..., data={"value": 1, "timestamp": None, "id": None})).events
    assert parts(event) == ("orders.revenue", 1, None, b"{}", "/shop/e-1")


def test_json_in_base64_is_data_too() -> None:
    packed = base64.b64encode(b'{"value":3}').decode()
    (event,) = read(STRUCTURED, structured(data=..., data_base64=packed)).events
    assert (event.metric, event.value) == ("orders.revenue", 3)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"specversion": ...}, "missing_field", "specversion"),
    ({"specversion": "0.3"}, "wrong_type", "specversion"),
    ({"specversion": 1.0}, "wrong_type", "specversion"),
    ({"id": ...}, "missing_field", "id"),
    ({"id": ""}, "missing_field", "id"),
    ({"id": None}, "missing_field", "id"),
    ({"source": 5}, "wrong_type", "source"),
    ({"type": ...}, "missing_field", "type"),
    ({"time": "yesterday"}, "ts_invalid", "time"),
    ({"time": 1_795_428_000_000}, "ts_invalid", "time"),
    ({"data": ...}, "missing_field", "data"),
    ({"data": None}, "missing_field", "data"),
    ({"data": "text"}, "wrong_type", "data"),
    ({"data": [{"value": 1}]}, "wrong_type", "data"),
    ({"data": ..., "data_base64": "!"}, "wrong_type", "data_base64"),
    ({"data": ..., "data_base64": "aGVsbG8="}, "wrong_type", "data_base64"),
    ({"data": {}}, "missing_field", "data.value"),
    ({"data": {"value": True}}, "wrong_type", "data.value"),
    ({"data": {"value": 1, "metric": None}}, "wrong_type", "data.metric"),
    ({"data": {"value": 1, "timestamp": "x"}}, "ts_invalid", "data.timestamp"),
    # What only the rules find.
    ({"type": "a\n"}, "metric_name", "type"),
    ({"data": {"value": 1, "metric": ""}}, "metric_name", "data.metric"),
    ({"time": "1999-01-01T00:00:00Z"}, "ts_too_old", "time"),
    ({"time": "1999-01-01T00:00:00Z", "data": {"value": 1, "timestamp": 5}}, "ts_too_old", "data.timestamp"),
    ({"source": "\n"}, "id_invalid", "id"),
    ({"data": {"value": 1, "id": ""}}, "id_invalid", "data.id"),
    ({"data": {"value": 1, "dimensions": {"a": 5}}}, "wrong_type", "data.dimensions.a"),
    ({"data": {"value": "12"}}, "wrong_type", "data.value"),
]


@pytest.mark.parametrize(("changes", "reason", "field"), WRONG, ids=range(len(WRONG)))
def test_a_cloudevent_is_rejected_with_the_way_to_what_is_wrong(
    changes: dict[str, Any], reason: str, field: str
) -> None:
    body = structured(**changes)
    (event,) = refused(read(STRUCTURED, body))
    assert (event.verdict.reason.value, event.verdict.field) == (reason, field)
    assert event.original == body
    batched = read(cloudevents.StructuredReader(True), b"[" + structured() + b"," + body + b"]")
    (same,) = refused(batched)
    assert (same.index, same.verdict, same.original) == (1, event.verdict, body)


def test_bodies_of_cloudevents_that_are_refused_as_a_whole() -> None:
    for batched, body, code in [
        (False, b"", "empty_body"),
        (True, b"", "empty_body"),
        (False, b"{", "not_json"),
        (True, structured(), "not_json"),
        (True, b"[1,]", "not_json"),
    ]:
        problem = cloudevents.StructuredReader(batched).read(body, 10)
        assert isinstance(problem, Problem)
        assert (problem.status, problem.code) == (400, code)
    assert read(cloudevents.StructuredReader(True), b"[]").size == 0
    (event,) = refused(read(STRUCTURED, b"[" + structured() + b"]"))
    assert event.verdict.reason is Reason.NOT_AN_OBJECT
    (event,) = refused(read(STRUCTURED, structured(note="x" * MAX_EVENT_BYTES)))
    assert event.verdict.reason is Reason.TOO_LARGE


def test_identities_are_never_shared() -> None:
    assert identity("/shop", "1") == "/shop/1"
    pairs = [("a", "b/c"), ("a/b", "c"), ("a/b/c", ""), ("", "a/b/c"), ("a" * 300, "1"), ("a" * 300, "2")]
    texts = {identity(*pair) for pair in pairs}
    assert len(texts) == len(pairs)
    assert max(map(len, texts)) <= 256


BINARY = {"ce_specversion": "1.0", "ce_id": "e-1", "ce_source": "/shop", "ce_type": "orders.revenue"}


def test_binary_mode() -> None:
    found = reader("application/json", **BINARY, ce_time="2026-11-23T10:00:00Z", ce_traceparent="00-1")
    (event,) = read(found, b'{"value": 12.5}').events
    assert isinstance(event, NativeEvent)
    assert parts(event) == ("orders.revenue", 12.5, AT, b"{}", "/shop/e-1")


def test_what_is_rejected_in_binary_mode_is_kept_as_a_whole_cloudevent() -> None:
    found = reader("application/vnd.x+json", **BINARY | {"ce_type": "a%0Ab"}, ce_extra="%E2%82%AC", ce_data="x")
    (event,) = refused(read(found, b'{"value": 1e400, "x": 1}'))
    assert json.loads(event.original.replace(b"1e400", b"0")) == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/shop",
        "type": "a\nb",
        "extra": "€",
        "datacontenttype": "application/vnd.x+json",
        "data": {"value": 0, "x": 1},
    }
    (again,) = refused(read(STRUCTURED, event.original))
    assert again == event


def test_bodies_of_binary_mode() -> None:
    found = reader("", **BINARY)
    (event,) = refused(read(found, b""))
    assert (event.verdict.reason, event.verdict.field) == (Reason.MISSING_FIELD, "data")
    for body in (b'{"value":1}} ', b'1,"id":"x"', b"\xff", b'{"value":1,"a":"\xff"}', b"[" * 5_000):
        problem = found.read(body, 1)
        assert isinstance(problem, Problem)
        assert (problem.status, problem.code) == (400, "not_json")
    overlong = reader("application/json", **BINARY, ce_subject="%C0%A0").read(b"{}", 1)
    assert isinstance(overlong, Problem)
    assert (overlong.status, overlong.code) == (400, "invalid_header")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac%41", "€A"),
        ("100%", "100%"),
        ('"a \\"quoted\\" %41"', 'a "quoted" A'),
        ('"', '"'),
        ("%2541", "%41"),
        ("€", "€"),
    ],
)
def test_headers_are_unquoted_and_decoded_once(value: str, text: str) -> None:
    assert header_text(value.encode()) == text
