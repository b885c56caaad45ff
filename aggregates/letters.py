"""Dead letters as rows: one record of the topic `rejected` becomes its letters. Pure.

The format is described in `ingest.deadletters`. A record that cannot be read becomes one letter with the reason
`unreadable`; nothing is skipped in silence.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Raw

from ingest.log import LogRecord

VERSION: Final = 1
UNREADABLE: Final = "unreadable"
"""Reason of a letter that stands for a record of `rejected` that cannot be read."""
REPLAY_OF: Final = "replay_of"
"""Field of an event that was sent by a replay: the letter it goes back to. Ingest ignores it; when the event is
rejected again it stands in the new letter, so that both are known to be one event, whoever crashed in between."""
MAX_MESSAGE: Final = 1000
MAX_NAME: Final = 300
_KEPT_OF_UNREADABLE: Final = 64 * 1024
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, as it is stored. Times in epoch milliseconds; `original` in the form `form` says."""

    request_id: str
    place: int
    time_ms: int
    record_ms: int
    reason: str
    field: str | None
    message: str
    metric: str | None
    event_id: str | None
    key: str | None
    protocol: str
    form: str
    cut: bool
    size: int
    root: str
    topic_id: str
    partition: int
    record: int
    original: str

    @property
    def id(self) -> str:
        return f"{self.request_id}/{self.place}"


class _Entry(msgspec.Struct):
    id: str
    reason: str
    field: str | None = None
    message: str | None = None
    event_id: str | None = None
    event: Raw = Raw(b"")
    text: str | None = None
    base64: str | None = None
    cut: bool = False


class _Record(msgspec.Struct):
    version: int
    request_id: str
    time: Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]
    protocol: str
    events: list[_Entry]
    key: str | None = None


class _Fields(msgspec.Struct):
    """The fields of an event that make columns, as spelled; `data` holds the event of a CloudEvent."""

    metric: Raw = Raw(b"null")
    id: Raw = Raw(b"null")
    replay_of: Raw = Raw(b"null")
    data: Raw = Raw(b"null")
    type: Raw = Raw(b"null")


_RECORD: Final = msgspec.json.Decoder(_Record)
_FIELDS: Final = msgspec.json.Decoder(_Fields)
_NO_NUMBER: Final = re.compile(rb":\s*(?:-?Infinity|NaN)(?=\s*[,}])")
"""What other writers put for a number that is none; inside a text it does no harm to the fields read here."""
_TEXT: Final = msgspec.json.Decoder(str)


def letters_of(record: LogRecord, topic_id: str, partition: int) -> list[Letter]:
    """The letters of one record, in their order."""
    value = record.value or b""
    try:
        value.decode("utf-8")  # msgspec does not look into fields it skips
        found = _RECORD.decode(value)
        if found.version != VERSION:
            raise msgspec.DecodeError(f"version {found.version} is not known")
    except _FAULTS as error:
        return [_unreadable(record, topic_id, partition, str(error))]
    return [_letter(found, number, entry, record, topic_id, partition) for number, entry in enumerate(found.events)]


def _letter(found: _Record, number: int, entry: _Entry, record: LogRecord, topic_id: str, partition: int) -> Letter:
    form, original = _original(entry)
    metric, event_id, replay_of = _columns(found.protocol, original.encode()) if form != "base64" else (None,) * 3
    place = _place(entry.id, number)
    request_id = found.request_id[:MAX_NAME]
    return Letter(
        request_id=request_id,
        place=place,
        time_ms=found.time,
        record_ms=record.timestamp_ms,
        reason=entry.reason[:MAX_NAME],
        field=entry.field[:MAX_NAME] if entry.field is not None else None,
        message=(entry.message or "")[:MAX_MESSAGE],
        metric=metric,
        event_id=event_id if entry.event_id is None else entry.event_id[:MAX_NAME],
        key=found.key[:MAX_NAME] if found.key is not None else None,
        protocol=found.protocol[:MAX_NAME],
        form=form,
        cut=entry.cut,
        size=len(original.encode()),
        root=replay_of or f"{request_id}/{place}",
        topic_id=topic_id,
        partition=partition,
        record=record.offset,
        original=original,
    )


def _original(entry: _Entry) -> tuple[str, str]:
    if entry.text is not None:
        return "text", entry.text
    if entry.base64 is not None:
        return "base64", entry.base64
    return "event", bytes(entry.event).decode() or "null"


def _place(letter_id: str, number: int) -> int:
    """The event's place in its request: the end of the letter's id."""
    tail = letter_id.rpartition("/")[2]
    return int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 10 else number


def _columns(protocol: str, original: bytes) -> tuple[str | None, str | None, str | None]:
    """Metric, id and `replay_of` of an event that is a JSON object, or one but for a NaN, where they are texts."""
    try:
        fields = _FIELDS.decode(_NO_NUMBER.sub(b": null", original))
        inner = _FIELDS.decode(fields.data) if protocol == "cloudevents" and bytes(fields.data)[:1] == b"{" else fields
    except _FAULTS:
        return None, None, None
    metric = _text(inner.metric)
    if metric is None and protocol == "cloudevents":
        metric = _text(fields.type)
    event_id = _text(inner.id)
    return metric, _text(fields.id) if event_id is None else event_id, _text(inner.replay_of) or None


def _text(spelled: Raw) -> str | None:
    try:
        return _TEXT.decode(spelled)[:MAX_NAME]
    except _FAULTS:
        return None


def _unreadable(record: LogRecord, topic_id: str, partition: int, why: str) -> Letter:
    value = record.value or b""
    kept = value[:_KEPT_OF_UNREADABLE]
    try:
        form, original = "text", kept.decode("utf-8")
    except UnicodeDecodeError:
        form, original = "base64", base64.b64encode(kept).decode("ascii")
    fields: dict[str, Any] = {"field": None, "metric": None, "event_id": None, "key": None}
    request_id = f"{topic_id[:8]}-{partition}-{record.offset}"
    return Letter(
        request_id=request_id,
        place=0,
        time_ms=record.timestamp_ms,
        record_ms=record.timestamp_ms,
        reason=UNREADABLE,
        message=f"the record of the topic cannot be read: {why}"[:MAX_MESSAGE],
        protocol=UNREADABLE,
        form=form,
        cut=len(kept) < len(value),
        size=len(original.encode()),
        root=f"{request_id}/0",
        topic_id=topic_id,
        partition=partition,
        record=record.offset,
        original=original,
        **fields,
    )
