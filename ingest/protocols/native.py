"""Tallyboard's own format: JSON objects, alone, in an array, or one a line (NDJSON).

JSON is read strictly (msgspec): no NaN, no numbers in quotes, no lone surrogates; of two equal keys the last one
counts; fields not known are ignored. A body is decoded at once when all of it is right, else element by element.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from ingest.problems import Problem
from ingest.protocols.json_text import UNREADABLE, elements_of, is_array, is_text, lines_of
from ingest.verdicts import Reason, Rejected, RejectedEvent

_TOO_DEEP: Final = "nested too deep"
_NO_JSON: Final = frozenset({Reason.MALFORMED, Reason.ENCODING})
_Time = int | Annotated[datetime, msgspec.Meta(tz=True)] | None


class Form(Enum):
    """How the events of a body stand beside each other."""

    JSON = "json"
    LINES = "lines"


CONTENT_TYPES: Final[Mapping[str, Form]] = {
    "application/json": Form.JSON,
    "application/x-ndjson": Form.LINES,
    "application/ndjson": Form.LINES,
    "application/jsonl": Form.LINES,
    "application/x-jsonlines": Form.LINES,
}


def form_of(content_type: str) -> Form | None:
    """How a body of this content type is read; None when it is not for us. UTF-8 is the only charset."""
    media_type, _, parameters = content_type.partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        return None
    return CONTENT_TYPES.get(media_type.strip().lower())


class NativeEvent(msgspec.Struct, gc=False):
    """An event with the right types; `dimensions` stay as spelled until their series is met for the first time."""

    metric: str
    value: float | str
    timestamp: _Time = None
    dimensions: Raw = Raw(b"{}")
    id: str | None = None


_EVENT: Final = Decoder(NativeEvent)
_EVENTS: Final = Decoder(list[NativeEvent])
_FIELDS: Final = Decoder(dict[str, Raw])
_DIMENSIONS: Final = Decoder(dict[str, str] | None)
_FIELD_TYPES: Final[tuple[tuple[str, Decoder[Any], str], ...]] = (
    ("metric", Decoder(str), "a text"),
    ("value", Decoder(float | str), "a number, or a text for kind unique"),
    ("timestamp", Decoder(_Time), "RFC 3339 with a zone, or whole milliseconds since 1970"),
    ("id", Decoder(str | None), "a text"),
)


@dataclass(slots=True)
class Batch:
    """The events of a body. `events` are the decodable ones; `rows[i]` is the place of `events[i]` in the request."""

    size: int
    events: list[NativeEvent]
    form: Form
    body: bytes
    rows: list[int] | None = None
    undecodable: dict[int, Rejected] = field(default_factory=dict)

    def rejected(self, verdicts: Mapping[int, Rejected]) -> list[RejectedEvent]:
        """Every rejected event in order, given the verdicts on `events` by position."""
        if not verdicts and not self.undecodable:
            return []
        by_row = dict(self.undecodable)
        ids: dict[int, str | None] = {}
        for position, verdict in verdicts.items():
            row = position if self.rows is None else self.rows[position]
            by_row[row] = verdict
            ids[row] = self.events[position].id
        originals = _originals(self.body, self.form)
        return [
            RejectedEvent(row, ids[row] if row in ids else _id_of(originals[row]), by_row[row], originals[row])
            for row in sorted(by_row)
        ]


def read(body: bytes, form: Form, max_events: int) -> Batch | Problem:
    """The events of a body, or why the body as a whole is refused (400, 413)."""
    if not body:
        return Problem(400, "empty_body", "the body is empty; an event, an array of events or NDJSON is expected")
    if form is Form.LINES:
        return _read_lines(body, max_events)
    if not is_array(body):
        event = decode_one(body)
        if isinstance(event, Rejected) and event.reason in _NO_JSON:
            return Problem(400, "not_json", f"the body is not JSON: {event.message}")
        return _one_by_one([event], form, body)
    if is_text(body):
        try:
            events = _EVENTS.decode(body)
        except UNREADABLE:
            pass
        else:
            if len(events) > max_events:
                return too_many(max_events)
            return Batch(len(events), events, form, body)
    elements = elements_of(body)
    if elements is None:
        return Problem(400, "not_json", "the body is not a JSON array")
    if len(elements) > max_events:
        return too_many(max_events)
    batch = _one_by_one([decode_one(element) for element in elements], form, body)
    if elements and all(verdict.reason in _NO_JSON for verdict in batch.undecodable.values()) and not batch.events:
        return Problem(400, "not_json", f"nothing in the array is JSON: {batch.undecodable[0].message}")
    return batch


def too_many(max_events: int) -> Problem:
    return Problem(413, "too_many_events", f"at most {max_events} events are taken in one request")


def _read_lines(body: bytes, max_events: int) -> Batch | Problem:
    if body.count(b"\n") > 10 * max_events:  # before a list of empty lines is made
        return too_many(max_events)
    lines = lines_of(body)
    if len(lines) > max_events:
        return too_many(max_events)
    if is_text(body):
        decode = _EVENT.decode
        try:
            return Batch(len(lines), [decode(line) for line in lines], Form.LINES, body)
        except UNREADABLE:
            pass
    return _one_by_one([decode_one(line) for line in lines], Form.LINES, body)


def _one_by_one(outcomes: list[NativeEvent | Rejected], form: Form, body: bytes) -> Batch:
    batch = Batch(len(outcomes), [], form, body, [])
    assert batch.rows is not None
    for row, outcome in enumerate(outcomes):
        if isinstance(outcome, Rejected):
            batch.undecodable[row] = outcome
        else:
            batch.events.append(outcome)
            batch.rows.append(row)
    return batch


def decode_one(raw: bytes) -> NativeEvent | Rejected:
    """One event from its JSON text."""
    if not is_text(raw):
        return Rejected(Reason.ENCODING, None, "not UTF-8")
    try:
        return _EVENT.decode(raw)
    except UNREADABLE:
        pass
    try:
        fields = _FIELDS.decode(raw)
    except RecursionError:
        return Rejected(Reason.MALFORMED, None, _TOO_DEEP)
    except msgspec.ValidationError:
        return Rejected(Reason.NOT_AN_OBJECT, None, "an event is a JSON object")
    except UNREADABLE as error:
        return Rejected(Reason.MALFORMED, None, str(error))
    return _from_fields(fields)


def _from_fields(fields: dict[str, Raw]) -> NativeEvent | Rejected:
    """Field by field: names what is wrong, and takes the last of equal keys where an earlier one had a wrong type."""
    found: dict[str, Any] = {"dimensions": fields.get("dimensions", Raw(b"{}"))}
    for name, decoder, expected in _FIELD_TYPES:
        if name not in fields:
            if name in ("metric", "value"):
                return Rejected(Reason.MISSING_FIELD, name, f"{name} is missing: {expected} is expected")
            continue
        try:
            found[name] = decoder.decode(fields[name])
        except UNREADABLE as error:
            return Rejected(_reason(name, error), name, f"{expected} is expected: {error}")
    return NativeEvent(**found)


def _reason(name: str, error: Exception) -> Reason:
    if "out of range" in str(error):
        return Reason.OUT_OF_RANGE
    if not isinstance(error, msgspec.ValidationError):
        return Reason.MALFORMED
    return Reason.TS_INVALID if name == "timestamp" else Reason.WRONG_TYPE


def parse_dimensions(spelled: bytes) -> Mapping[str, str] | Rejected:
    """The dimensions of an event from their JSON text; null counts as none."""
    try:
        return _DIMENSIONS.decode(spelled) or {}
    except RecursionError:
        return Rejected(Reason.WRONG_TYPE, "dimensions", _TOO_DEEP)
    except UNREADABLE:
        pass
    try:
        values = _FIELDS.decode(spelled)
    except msgspec.ValidationError:
        return Rejected(Reason.WRONG_TYPE, "dimensions", "an object of names and texts is expected")
    except UNREADABLE as error:
        return Rejected(Reason.MALFORMED, "dimensions", str(error))
    for name, value in values.items():
        if bytes(value)[:1] != b'"':
            return Rejected(Reason.WRONG_TYPE, f"dimensions.{name[:128]}", "a dimension's value is a text")
    # Only an earlier one of two equal names was wrong: the last one counts.
    return {name: msgspec.json.decode(value, type=str) for name, value in values.items()}


def _id_of(original: bytes) -> str | None:
    try:
        return msgspec.json.decode(_FIELDS.decode(original)["id"], type=str)
    except (*UNREADABLE, KeyError):
        return None


def _originals(body: bytes, form: Form) -> list[bytes]:
    """The JSON text of every event of a body that was taken apart before."""
    if form is Form.LINES:
        return lines_of(body)
    return (elements_of(body) or []) if is_array(body) else [body]
