"""Editing a dead letter before it is sent again. Pure.

A path is a field of the event (`metric`, `value`, …) or `dimensions.<name>`; whatever stands behind that first dot is
the dimension's name. For a CloudEvent the event is its `data`, and `cloudevent.<name>` an attribute around it. What no
edit touches is sent as it was spelled.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Raw

from aggregates.letters import REPLAY_OF

CLOUDEVENTS: Final = "cloudevents"
_ENVELOPE: Final = "cloudevent"
_NESTED: Final = ("dimensions",)
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
Fields = dict[str, Raw]


@dataclass(frozen=True, slots=True)
class Edits:
    """What is done to every letter of a replay: first `rename` (old path → new path), then `drop`, then `set`.
    `history`: sent as `?import=true`, so that old event times are taken."""

    set: Mapping[str, object] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    history: bool = False

    def document(self) -> dict[str, object]:
        """As a JSON object: what a claim in the journal holds."""
        return {"set": dict(self.set), "drop": list(self.drop), "rename": dict(self.rename), "import": self.history}


@dataclass(frozen=True, slots=True)
class Original:
    """What was sent: `form` is event (JSON), text or base64."""

    protocol: str
    form: str
    cut: bool
    text: str
    event_id: str | None = None
    """The id it had for ingest, whether it spelled one or not."""


@dataclass(frozen=True, slots=True)
class NotWhole:
    """Why a letter makes no event, even with the edits."""

    message: str


@dataclass(frozen=True, slots=True)
class Sendable:
    """An event ready to be sent, as JSON. `event_id` is None where it comes from the attributes of a CloudEvent (which
    `cloudevent` says it is, in its structured form)."""

    body: bytes
    event_id: str | None
    cloudevent: bool


def edited(original: Original, edits: Edits, root: str) -> Sendable | NotWhole:
    """The event to send in place of a letter. An event that was sent without an id has the one its `Idempotency-Key`
    gave it, else it gets `root`, the letter it goes back to.

    Where the original is no JSON object (cut, text, another type) only edits that set what every event has make one.
    """
    envelope, event, whole = _taken_apart(original)
    nameless = _is_null(event.get("id", Raw(b"null")))
    fallback = original.event_id if nameless and original.event_id is not None else root
    try:
        _apply(envelope, event, edits)
        needed = ("value",) if envelope is not None else ("metric", "value")
        if not whole and not all(name in edits.set for name in needed):
            return NotWhole(f"{_why(original)}; set {' and '.join(needed)} to make it one")
        event_id = _identify(envelope, event, fallback)
        event[REPLAY_OF] = Raw(msgspec.json.encode(root))
        document = event if envelope is None else {**envelope, "data": Raw(msgspec.json.encode(event))}
        body = msgspec.json.encode(document)
        msgspec.json.decode(body)  # nothing is sent that is no JSON
    except _Impossible as error:
        return NotWhole(str(error))
    except _FAULTS as error:
        return NotWhole(f"it is no JSON after the edits: {error}"[:300])
    return Sendable(body, event_id, envelope is not None)


class _Impossible(Exception):
    """An edit that cannot be made."""


def _taken_apart(original: Original) -> tuple[Fields | None, Fields, bool]:
    """The attributes of a CloudEvent (None: it is none), the event's fields, and whether these are the original's."""
    fields = None if original.cut else _fields(original)
    if original.protocol != CLOUDEVENTS or fields is None:
        return None, fields or {}, fields is not None
    data = fields.pop("data", Raw(b"null"))
    packed = fields.pop("data_base64", Raw(b"null"))
    try:
        if _is_null(data) and not _is_null(packed):
            data = Raw(base64.b64decode(_text(packed), validate=True))
        return fields, _FIELDS.decode(data), True
    except (*_FAULTS, binascii.Error):
        return fields, {}, False


def _fields(original: Original) -> Fields | None:
    """The fields of a JSON object as they were spelled. NaN and the like are read too, for an edit to replace them."""
    try:
        text = base64.b64decode(original.text).decode() if original.form == "base64" else original.text
    except (binascii.Error, UnicodeDecodeError):
        return None
    try:
        return _FIELDS.decode(text)
    except _FAULTS:
        pass
    try:
        loose = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {str(name): _spelled(value) for name, value in loose.items()} if isinstance(loose, dict) else None


def _spelled(value: object) -> Raw:
    return Raw(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _apply(envelope: Fields | None, event: Fields, edits: Edits) -> None:
    for old, new in edits.rename.items():
        value = _take(envelope, event, old)
        if value is not None:
            _put(envelope, event, new, value)
    for path in edits.drop:
        _take(envelope, event, path)
    for path, given in edits.set.items():
        _put(envelope, event, path, Raw(msgspec.json.encode(given)))


def _take(envelope: Fields | None, event: Fields, path: str) -> Raw | None:
    """Remove a field; its value, None when there is none."""
    holder, name = _split(envelope, path)
    if holder is not None:
        return holder.pop(name, None)
    nest = _nest(path)
    if nest is None:
        return event.pop(path, None)
    inner = _inner(event, nest)
    value = inner.pop(path[len(nest) + 1 :], None)
    if value is not None:
        event[nest] = Raw(msgspec.json.encode(inner))
    return value


def _put(envelope: Fields | None, event: Fields, path: str, value: Raw) -> None:
    holder, name = _split(envelope, path)
    if holder is not None:
        holder[name] = value
    elif (nest := _nest(path)) is not None:
        event[nest] = Raw(msgspec.json.encode({**_inner(event, nest), path[len(nest) + 1 :]: value}))
    else:
        event[path] = value


def _split(envelope: Fields | None, path: str) -> tuple[Fields | None, str]:
    """The attributes and a name in them, when the path means one."""
    front, dot, name = path.partition(".")
    return (envelope, name) if dot and front == _ENVELOPE and envelope is not None else (None, path)


def _nest(path: str) -> str | None:
    front, dot, _ = path.partition(".")
    return front if dot and front in _NESTED else None


def _inner(event: Fields, nest: str) -> Fields:
    spelled = event.get(nest, Raw(b"{}"))
    if _is_null(spelled):
        return {}
    try:
        return _FIELDS.decode(spelled)
    except _FAULTS:
        raise _Impossible(f"{nest} is no JSON object: an edit of one name in it cannot be made") from None


def _identify(envelope: Fields | None, event: Fields, fallback: str) -> str | None:
    """Give an event without an id `fallback`; returns the id it is sent under, as far as it is a text."""
    spelled = event.get("id", Raw(b"null"))
    if _is_null(spelled) and envelope is not None and {"id", "source"} <= set(envelope):
        return None
    if _is_null(spelled):
        event["id"] = Raw(msgspec.json.encode(fallback))
        return fallback
    return _text(spelled)


def _is_null(spelled: Raw) -> bool:
    return bytes(spelled) == b"null"


def _text(spelled: Raw) -> str:
    try:
        return msgspec.json.decode(spelled, type=str)
    except _FAULTS:
        return bytes(spelled).decode("utf-8", "replace")


def _why(original: Original) -> str:
    if original.cut:
        return "only its beginning was kept"
    return "it is no JSON object"
