"""Which protocol a request to `/v1/events` speaks: its content type says so, or the headers of a CloudEvent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ingest.problems import Problem
from ingest.protocols import cloudevents, native
from ingest.protocols.reader import Reader

CONTENT_TYPES: Final = (*native.CONTENT_TYPES, cloudevents.STRUCTURED, cloudevents.BATCHED)
_READERS: Final[Mapping[str, Reader]] = {
    **{media_type: native.NativeReader(form) for media_type, form in native.CONTENT_TYPES.items()},
    cloudevents.STRUCTURED: cloudevents.StructuredReader(batched=False),
    cloudevents.BATCHED: cloudevents.StructuredReader(batched=True),
}
_PLAIN: Final[Mapping[bytes, Reader]] = {media_type.encode(): reader for media_type, reader in _READERS.items()}
_BINARY_MODE: Final = tuple(cloudevents.PREFIX + name.encode() for name in cloudevents.ATTRIBUTES)
_CHARSET: Final = re.compile(r"charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
_JSON: Final = re.compile(r"(?:application|text)/json|[\w.!#$&^-]+/[\w.!#$&^-]+\+json", re.ASCII)


def choose(headers: Mapping[bytes, bytes]) -> Reader | Problem:
    """The reader of a request's body, or 415. `headers` are those of the ASGI scope, names in lower case."""
    given = headers.get(b"content-type", b"")
    binary = any(name in headers for name in _BINARY_MODE)
    if not binary and (reader := _PLAIN.get(given)) is not None:
        return reader
    content_type = given.decode("latin-1")
    media_type = media_type_of(content_type)
    if binary and not media_type.startswith("application/cloudevents"):
        # Without a type the data of a CloudEvent are JSON.
        if not content_type or _JSON.fullmatch(media_type):
            return cloudevents.BinaryReader(headers)
    elif (reader := _READERS.get(media_type)) is not None:
        return reader
    detail = f"the content type {content_type[:80]!r} is not supported"
    return Problem(415, "content_type", detail, {"Accept": ", ".join(CONTENT_TYPES)})


def media_type_of(content_type: str) -> str:
    """The type without parameters, in lower case; empty when it is in another charset than UTF-8."""
    media_type, _, parameters = content_type.partition(";")
    charset = _CHARSET.search(parameters)
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        return ""
    return media_type.strip().lower()
