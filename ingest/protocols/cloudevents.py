"""CloudEvents 1.0 over HTTP: structured, batched and binary, each with a native event object as its data.

What the data leave out comes from the envelope: the metric is its `type`, the time its `time`, the id
`<source>/<id>`. In binary mode the envelope is put together from the headers and then read like a structured one, so
that a rejected event is kept in the one form that can be sent again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType
from msgspec.json import Decoder

from ingest.accept import MAX_ID
from ingest.problems import Problem
from ingest.protocols import native
from ingest.protocols.json_bodies import Spelling, read_array, read_one
from ingest.protocols.json_text import UNREADABLE, is_json
from ingest.protocols.native import NativeEvent, Time
from ingest.protocols.reader import Batch
from ingest.sent import ParseDimensions
from ingest.verdicts import Reason, Rejected

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
ATTRIBUTES: Final = ("specversion", "id", "source", "type")
"""What every CloudEvent has."""
PREFIX: Final = b"ce-"
_FROM_ENVELOPE: Final = {"metric": "type", "timestamp": "time", "id": "id"}
_NULL: Final = Raw(b"null")
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)

_Text = Annotated[str, Meta(min_length=1)]
_Sent = Annotated[datetime, Meta(tz=True)] | None


class _Data(msgspec.Struct, gc=False):
    value: float | str
    metric: str | UnsetType = UNSET
    timestamp: Time = None
    dimensions: Raw = Raw(b"{}")
    id: str | None = None
    start: Time = None


class _Envelope(msgspec.Struct, gc=False):
    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: _Text
    data: _Data
    time: _Sent = None


_ENVELOPE: Final = Decoder(_Envelope)
_ENVELOPES: Final = Decoder(list[_Envelope])
_ATTRIBUTE: Final = Decoder(_Text)
_TIME: Final = Decoder(_Sent)
_BASE64: Final = Decoder(str)


def identity(source: str, id_: str) -> str:
    """One text for what makes a CloudEvent unique; hashed where it would be too long, or could be read in two ways."""
    plain = f"{source}/{id_}"
    if "/" not in id_ and len(plain) <= MAX_ID:
        return plain
    return "sha256:" + hashlib.sha256(f"{len(source)}:{plain}".encode("utf-8", "surrogatepass")).hexdigest()


def _event(envelope: _Envelope) -> NativeEvent:
    data = envelope.data
    return NativeEvent(
        envelope.type if data.metric is UNSET else data.metric,
        data.value,
        envelope.time if data.timestamp is None else data.timestamp,
        data.dimensions,
        identity(envelope.source, envelope.id) if data.id is None else data.id,
        data.start,
    )


def _decode(raw: bytes) -> NativeEvent:
    return _event(_ENVELOPE.decode(raw))


def _decode_array(array: bytes) -> list[NativeEvent]:
    return [_event(envelope) for envelope in _ENVELOPES.decode(array)]


def _judge(raw: bytes) -> NativeEvent | Rejected:
    """Attribute by attribute, then the data field by field."""
    envelope = native.fields_of(raw)
    if isinstance(envelope, Rejected):
        return envelope
    texts: dict[str, str] = {}
    for name in ATTRIBUTES:
        if bytes(envelope.get(name, _NULL)) in (b"null", b'""'):
            return Rejected(Reason.MISSING_FIELD, name, f"{name} is missing: every CloudEvent has one")
        value = native.value_of(name, envelope[name], _ATTRIBUTE, "a text")
        if isinstance(value, Rejected):
            return value
        texts[name] = value
    if texts["specversion"] != "1.0":
        return Rejected(Reason.WRONG_TYPE, "specversion", "CloudEvents 1.0 are expected")
    time = native.value_of("time", envelope.get("time", _NULL), _TIME, "RFC 3339 with a zone")
    if isinstance(time, Rejected):
        return time
    data = _data_of(envelope)
    if isinstance(data, Rejected):
        return data
    event = native.from_fields({"metric": Raw(msgspec.json.encode(texts["type"])), **data})
    if isinstance(event, Rejected):
        return _placed_in(event, data)
    event.timestamp = time if event.timestamp is None else event.timestamp
    event.id = identity(texts["source"], texts["id"]) if event.id is None else event.id
    return event


def _data_of(envelope: Mapping[str, Raw]) -> dict[str, Raw] | Rejected:
    """The fields of the data, from `data` or from JSON in `data_base64`."""
    raw = bytes(envelope.get("data", _NULL))
    if raw == b"null":
        name, packed = "data_base64", envelope.get("data_base64", _NULL)
        if bytes(packed) == b"null":
            return Rejected(Reason.MISSING_FIELD, "data", "data is missing: an event object is expected")
        try:
            raw = base64.b64decode(_BASE64.decode(packed), validate=True)
        except (*UNREADABLE, binascii.Error):
            return Rejected(Reason.WRONG_TYPE, name, "base64 is expected")
        if not is_json(raw):
            return Rejected(Reason.WRONG_TYPE, name, "JSON in base64 is expected")
    fields = native.fields_of(raw)
    if isinstance(fields, Rejected):
        return Rejected(Reason.WRONG_TYPE, "data", "an event object is expected")
    return fields


def _placed(verdict: Rejected, original: bytes) -> Rejected:
    """The verdict with its field as a path into the envelope."""
    envelope = native.fields_of(original)
    data = envelope if isinstance(envelope, Rejected) else _data_of(envelope)
    return verdict if isinstance(data, Rejected) else _placed_in(verdict, data)


def _placed_in(verdict: Rejected, data: Mapping[str, Raw]) -> Rejected:
    if verdict.field is None:
        return verdict
    name = verdict.field.partition(".")[0]
    taken = name in _FROM_ENVELOPE and (name not in data or (name != "metric" and bytes(data[name]) == b"null"))
    return replace(verdict, field=_FROM_ENVELOPE[name] if taken else f"data.{verdict.field}")


def _id_of(original: bytes) -> str | None:
    envelope = native.fields_of(original)
    if isinstance(envelope, Rejected):
        return None
    try:
        return identity(_ATTRIBUTE.decode(envelope["source"]), _ATTRIBUTE.decode(envelope["id"]))
    except (*UNREADABLE, KeyError):
        return None


SPELLING: Final = Spelling(_decode, _decode_array, _judge, _id_of, _placed)


@dataclass(frozen=True, slots=True)
class StructuredReader:
    """A body that is one CloudEvent, or an array of them."""

    batched: bool
    name: str = "cloudevents"
    parse_dimensions: ParseDimensions = native.parse_dimensions

    def read(
        self,
        body: bytes,
        max_events: int,
        id_prefix: str | None = None,  # noqa: ARG002 - every CloudEvent has an id
    ) -> Batch[NativeEvent] | Problem:
        if not body:
            return Problem(400, "empty_body", "the body is empty; CloudEvents in JSON are expected")
        return read_array(SPELLING, body, max_events) if self.batched else read_one(SPELLING, body)


@dataclass(frozen=True, slots=True)
class BinaryReader:
    """A body that is the data of the CloudEvent in the `headers` (of the ASGI scope, names in lower case)."""

    headers: Mapping[bytes, bytes]
    name: str = "cloudevents"
    parse_dimensions: ParseDimensions = native.parse_dimensions

    def read(
        self,
        body: bytes,
        max_events: int,  # noqa: ARG002 - there is one
        id_prefix: str | None = None,  # noqa: ARG002 - every CloudEvent has an id
    ) -> Batch[NativeEvent] | Problem:
        if body and not is_json(body):
            return Problem(400, "not_json", "the body is not JSON")
        envelope: dict[str, Any] = {}
        for name, value in self.headers.items():
            if name.startswith(PREFIX) and name not in (b"ce-data", b"ce-data_base64", b"ce-datacontenttype"):
                try:
                    envelope[name[len(PREFIX) :].decode("latin-1")] = header_text(value)
                except UnicodeDecodeError:
                    detail = f"the header {name.decode('latin-1')[:80]} is not UTF-8 in percent-encoding"
                    return Problem(400, "invalid_header", detail)
        if b"content-type" in self.headers:
            envelope["datacontenttype"] = self.headers[b"content-type"].decode("latin-1")
        if body:
            envelope["data"] = Raw(body)
        return read_one(SPELLING, msgspec.json.encode(envelope))


def header_text(value: bytes) -> str:
    """The text in a header of binary mode: quotes taken off, then percent-decoded. Raises UnicodeDecodeError."""
    if len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"'):
        value = _ESCAPED.sub(rb"\1", value[1:-1])
    return unquote_to_bytes(value).decode("utf-8")
