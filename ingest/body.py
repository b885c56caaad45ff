"""The body of a request: read within limits of size and time, and unpacked within the same limit."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Final

from starlette.types import Receive

from ingest.problems import Problem, unavailable

MAX_GZIP_MEMBERS: Final = 64
ENCODINGS: Final = "gzip, identity"
_CLOSE: Final = {"Connection": "close"}


class Disconnected(Exception):
    """The client went away before its request was complete: there is nobody to answer."""


class BodyReader:
    """Reads bodies of at most `max_bytes`, each within `timeout_s`; `drain` cuts the waiting short."""

    def __init__(self, max_bytes: int, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._open: set[asyncio.Timeout] = set()
        self._draining = False

    @property
    def open_bodies(self) -> int:
        """Requests whose body is on its way."""
        return len(self._open)

    def drain(self, wait_s: float) -> None:
        """From now on a body gets no more than this time."""
        self._draining = True
        until = asyncio.get_running_loop().time() + wait_s
        for timeout in self._open:
            before = timeout.when()
            timeout.reschedule(until if before is None else min(until, before))

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes | Problem:
        """The unpacked body, or why there is none (400, 408, 413, 415, 503). Raises `Disconnected`.

        `headers` are those of the ASGI scope, names in lower case.
        """
        encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower() or "identity"
        if encoding not in ("identity", "gzip", "x-gzip"):
            detail = f"the content encoding {encoding[:80]!r} is not supported"
            return Problem(415, "content_encoding", detail, {"Accept-Encoding": ENCODINGS})
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > self._max_bytes:
            return self._too_large()
        try:
            async with asyncio.timeout(self._timeout_s) as timeout:
                self._open.add(timeout)
                try:
                    body = await self._receive_all(receive)
                finally:
                    self._open.discard(timeout)
        except TimeoutError:
            if self._draining:
                return unavailable("draining", "the server is stopping", 5, Connection="close")
            return Problem(408, "body_timeout", f"the body did not arrive within {self._timeout_s:g} s", _CLOSE)
        if isinstance(body, Problem) or encoding == "identity":
            return body
        return gunzip(body, self._max_bytes)

    async def _receive_all(self, receive: Receive) -> bytes | Problem:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_bytes:
                return self._too_large()
            if not message.get("more_body", False):
                return b"".join([*parts, part]) if parts else part
            parts.append(part)

    def _too_large(self) -> Problem:
        return Problem(413, "body_too_large", f"a body has at most {self._max_bytes} bytes", _CLOSE)


def gunzip(packed: bytes, max_bytes: int) -> bytes | Problem:
    """Unpack gzip (several members too), never holding more than `max_bytes` of output."""
    parts: list[bytes] = []
    size = 0
    for _ in range(MAX_GZIP_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(packed, max_bytes - size + 1)
        except zlib.error as error:
            return Problem(400, "not_gzip", f"the body is not gzip: {error}")
        size += len(part)
        if size > max_bytes:
            return Problem(413, "body_too_large", f"an unpacked body has at most {max_bytes} bytes", _CLOSE)
        parts.append(part)
        if not member.eof:  # zlib says nothing when the end is missing
            return Problem(400, "not_gzip", "the gzip body is cut short")
        packed = member.unused_data
        if not packed:
            return b"".join(parts)
    return Problem(400, "not_gzip", f"the gzip body has more than {MAX_GZIP_MEMBERS} members")
