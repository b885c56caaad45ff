"""Tallyboard's own format: JSON objects, alone, in an array, or one a line (NDJSON).

JSON is read strictly (msgspec): no NaN, no numbers in quotes, no lone surrogates; of two equal keys the last one
counts; fields not known are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from ingest.problems import Problem
from ingest.protocols.json_bodies import TOO_DEEP, Spelling, read_array, read_lines, read_one
from ingest.protocols.json_text import UNREADABLE, is_array
from ingest.protocols.reader import Batch
from ingest.sent import ParseDimensions
from ingest.verdicts import Reason, Rejected

Time = int | Annotated[datetime, msgspec.Meta(tz=True)] | None


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


class NativeEvent(msgspec.Struct, gc=False):
    """An event with the right types; `dimensions` stay as spelled until their series is met for the first time."""

    metric: str
    value: float | str
    timestamp: Time = None
    dimensions: Raw = Raw(b"{}")
    id: str | None = None
    start: Time = None


_EVENT: Final = Decoder(NativeEvent)
_EVENTS: Final = Decoder(list[NativeEvent])
_FIELDS: Final = Decoder(dict[str, Raw])
_TEXT: Final = Decoder(str)
_DIMENSIONS: Final = Decoder(dict[str, str] | None)
_TIME_FORM: Final = "RFC 3339 with a zone, or whole milliseconds since 1970"
_FIELD_TYPES: Final[tuple[tuple[str, Decoder[Any], str], ...]] = (
    ("metric", _TEXT, "a text"),
    ("value", Decoder(float | str), "a number, or a text for kind unique"),
    ("timestamp", Decoder(Time), _TIME_FORM),
    ("id", Decoder(str | None), "a text"),
    ("start", Decoder(Time), _TIME_FORM),
)


def read(body: bytes, form: Form, max_events: int, id_prefix: str | None = None) -> Batch[NativeEvent] | Problem:
    """The events of a body, or why the body as a whole is refused (400, 413); see `Reader.read`."""
    if not body:
        return Problem(400, "empty_body", "the body is empty; an event, an array of events or NDJSON is expected")
    if form is Form.LINES:
        batch = read_lines(SPELLING, body, max_events)
    elif is_array(body):
        batch = read_array(SPELLING, body, max_events)
    else:
        batch = read_one(SPELLING, body)
    if id_prefix is not None and isinstance(batch, Batch):
        for position, event in enumerate(batch.events):
            if event.id is None:
                event.id = f"{id_prefix}/{position if batch.rows is None else batch.rows[position]}"
        return replace(batch, id_prefix=id_prefix)
    return batch


def decode_one(raw: bytes) -> NativeEvent | Rejected:
    """One event from its JSON text."""
    return SPELLING.one(raw)


def fields_of(raw: bytes) -> dict[str, Raw] | Rejected:
    """The fields of a JSON object, unread."""
    try:
        return _FIELDS.decode(raw)
    except RecursionError:
        return Rejected(Reason.MALFORMED, None, TOO_DEEP)
    except msgspec.ValidationError:
        return Rejected(Reason.NOT_AN_OBJECT, None, "an event is a JSON object")
    except UNREADABLE as error:
        return Rejected(Reason.MALFORMED, None, str(error))


def from_fields(fields: Mapping[str, Raw]) -> NativeEvent | Rejected:
    """Field by field: names what is wrong, and takes the last of equal keys where an earlier one had a wrong type."""
    found: dict[str, Any] = {"dimensions": fields.get("dimensions", Raw(b"{}"))}
    for name, decoder, expected in _FIELD_TYPES:
        if name not in fields:
            if name in ("metric", "value"):
                return Rejected(Reason.MISSING_FIELD, name, f"{name} is missing: {expected} is expected")
            continue
        value = value_of(name, fields[name], decoder, expected)
        if isinstance(value, Rejected):
            return value
        found[name] = value
    return NativeEvent(**found)


def value_of(name: str, raw: Raw, decoder: Decoder[Any], expected: str) -> Any:
    """The value of a field, or a `Rejected` that says what is expected."""
    try:
        return decoder.decode(raw)
    except UNREADABLE as error:
        reason = Reason.WRONG_TYPE
        if "out of range" in str(error):
            reason = Reason.OUT_OF_RANGE
        elif not isinstance(error, msgspec.ValidationError):
            reason = Reason.MALFORMED
        elif name in ("timestamp", "time", "start"):
            reason = Reason.TS_INVALID
        return Rejected(reason, name, f"{expected} is expected: {error}")


def _judge(raw: bytes) -> NativeEvent | Rejected:
    fields = fields_of(raw)
    return fields if isinstance(fields, Rejected) else from_fields(fields)


def parse_dimensions(spelled: bytes) -> Mapping[str, str] | Rejected:
    """The dimensions of an event from their JSON text; null counts as none."""
    try:
        return _DIMENSIONS.decode(spelled) or {}
    except RecursionError:
        return Rejected(Reason.WRONG_TYPE, "dimensions", TOO_DEEP)
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
    return {name: _TEXT.decode(value) for name, value in values.items()}


def _id_of(original: bytes) -> str | None:
    try:
        return _TEXT.decode(_FIELDS.decode(original)["id"])
    except (*UNREADABLE, KeyError):
        return None


SPELLING: Final = Spelling(_EVENT.decode, _EVENTS.decode, _judge, _id_of)


@dataclass(frozen=True, slots=True)
class NativeReader:
    """A body of one form."""

    form: Form
    name: str = "native"
    parse_dimensions: ParseDimensions = parse_dimensions

    def read(self, body: bytes, max_events: int, id_prefix: str | None = None) -> Batch[NativeEvent] | Problem:
        return read(body, self.form, max_events, id_prefix)
