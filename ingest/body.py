"""The body of a request: read within limits of size and time, and unpacked within the same limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.types import Receive

from ingest.problems import Problem, unavailable
from ingest.unpack import ENCODINGS, Unpacking

ACCEPTED: Final = "gzip, zstd, identity"
STEPS_IN_THE_LOOP: Final = 2
"""Steps of unpacking (256 KiB, about 0.5 ms) that delay other requests no more than a thread would."""
THREADS: Final = 2
"""Large bodies unpacked at the same time; others wait packed."""
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
        self._threads = asyncio.Semaphore(THREADS)

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
        if encoding not in ENCODINGS:
            detail = f"the content encoding {encoding[:80]!r} is not supported"
            return Problem(415, "content_encoding", detail, {"Accept-Encoding": ACCEPTED})
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
        return await self._unpacked(body, encoding)

    async def _unpacked(self, packed: bytes, encoding: str) -> bytes | Problem:
        unpacking = Unpacking(packed, encoding, self._max_bytes)
        body = unpacking.run(STEPS_IN_THE_LOOP)
        if body is None:
            async with self._threads:
                body = await asyncio.to_thread(unpacking.run)
        assert body is not None
        return body

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
