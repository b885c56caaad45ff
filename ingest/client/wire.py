"""Events as a client puts them on the wire: one JSON text each, with an id and a time of their own.

What an event may be is judged by ingest alone. Only what cannot be written as JSON is refused here, with `TypeError`
or `ValueError`.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

CONTENT_TYPE: Final = "application/x-ndjson"
"""One event a line: a line that is no JSON never spoils the others."""
RANDOM_BYTES: Final = 10
"""How much randomness `new_id` takes."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

Timestamp = int | datetime | str | None
"""Epoch milliseconds, a time with zone, RFC 3339, or None for now."""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """One event ready to be sent; `text` is its JSON in UTF-8, without line breaks."""

    id: str
    text: bytes

    def document(self) -> Any:
        """The event as it was given, with its id and timestamp. Raises ValueError for a text that is no JSON."""
        return json.loads(self.text)


def new_id(now_ms: int, random: bytes) -> str:
    """A UUID of version 7 from the time and `RANDOM_BYTES` random bytes."""
    bits = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random, "big")
    bits = bits & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def outgoing(event: Mapping[str, Any], now_ms: int, random: bytes) -> OutgoingEvent:
    """An event of the native form, completed: without an id it gets a new one, without a timestamp it happened now."""
    given = event.get("id")
    if given is not None and not isinstance(given, str):
        raise TypeError(f"an id is a text, not {type(given).__name__}")
    id_ = new_id(now_ms, random) if given is None else given
    completed = {**event, "id": id_, "timestamp": _moment(event.get("timestamp"), now_ms)}
    if "start" in event:
        completed["start"] = None if event["start"] is None else _moment(event["start"], now_ms)
    return OutgoingEvent(id_, _ENCODER.encode(completed).encode("ascii"))


def dimensions_of(given: Mapping[str, object] | None, labels: Mapping[str, object]) -> dict[str, object]:
    """Both in one; whole numbers become texts."""
    merged = {**(given or {}), **labels}
    return {name: str(value) if type(value) is int else value for name, value in merged.items()}


def _moment(timestamp: Timestamp, now_ms: int) -> int | str:
    if timestamp is None:
        return now_ms
    if not isinstance(timestamp, datetime):
        return timestamp
    if timestamp.tzinfo is None:
        raise ValueError("a timestamp without a zone is no moment: give it one")
    return (timestamp - _EPOCH) // _MILLISECOND


def _plain(value: object) -> int | float:
    """Numbers of other libraries (Decimal, numpy) as Python's own."""
    if hasattr(value, "__index__"):
        return operator.index(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


# ASCII: a lone surrogate becomes an escape that ingest refuses by name, instead of an error in the middle of a service.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=_plain)
