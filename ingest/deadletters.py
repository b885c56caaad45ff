"""Dead letters: what the topic `rejected` holds.

A record is one JSON object; a request's rejected events make one record, or more when they are large:

    {"version": 1, "request_id": "…", "time": 1795428000250, "protocol": "native", "key": "…",
     "events": [{"id": "<request_id>/<index>", "reason": "ts_future", "field": "timestamp", "message": "…",
                 "event_id": "…", "event": {…}}]}

`time` is the arrival in epoch milliseconds, `key` the id of the key the request came with, or null. `event_id` is the
id that the event was given by its own field or by an `Idempotency-Key`, or null. `event` is the event as sent; when
that is no JSON there is `text` in its place, or `base64` when it is not even UTF-8. An original above
`MAX_ORIGINAL_BYTES` is cut and marked `"cut": true`. The Kafka header `events` carries their number.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from ingest.events import EVENTS_HEADER
from ingest.verdicts import RejectedEvent

VERSION: Final = 1
MAX_ORIGINAL_BYTES: Final = 4 * 1024 * 1024
RECORD_BYTES: Final = 1024 * 1024
"""Originals collected in one record, before it is closed."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """One Kafka record of the topic `rejected`."""

    value: bytes
    events: int

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        return [(EVENTS_HEADER, str(self.events).encode())]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rejected events come from: what their records say besides the events."""

    request_id: str
    arrival_ms: int
    protocol: str
    key: str | None = None


def encode(origin: Origin, rejected: Sequence[RejectedEvent]) -> list[DeadLetters]:
    """The records of a request's rejected events, in their order; none for none."""
    records: list[DeadLetters] = []
    entries: list[dict[str, object]] = []
    size = 0
    for event in rejected:
        if entries and size + len(event.original) > RECORD_BYTES:
            records.append(_record(origin, entries))
            entries, size = [], 0
        entries.append(_entry(origin.request_id, event))
        size += len(event.original)
    if entries:
        records.append(_record(origin, entries))
    return records


def _record(origin: Origin, entries: list[dict[str, object]]) -> DeadLetters:
    document = {
        "version": VERSION,
        "request_id": origin.request_id,
        "time": origin.arrival_ms,
        "protocol": origin.protocol,
        "key": origin.key,
        "events": entries,
    }
    return DeadLetters(msgspec.json.encode(document), len(entries))


def _entry(request_id: str, event: RejectedEvent) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": f"{request_id}/{event.index}",
        "reason": event.verdict.reason.value,
        "field": event.verdict.field,
        "message": event.verdict.message,
        "event_id": event.id,
    }
    original = event.original
    if len(original) > MAX_ORIGINAL_BYTES:
        original = original[:MAX_ORIGINAL_BYTES]
        entry["cut"] = True
    elif _is_json(original):
        entry["event"] = Raw(original)
        return entry
    try:
        entry["text"] = original.decode("utf-8")
    except UnicodeDecodeError:
        entry["base64"] = base64.b64encode(original).decode("ascii")
    return entry


def _is_json(original: bytes) -> bool:
    """Whether it can stand inside a JSON document as it is: read as a whole, not skipped."""
    try:
        original.decode("utf-8")
        msgspec.json.decode(original, type=Raw)
        msgspec.json.decode(original)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True
