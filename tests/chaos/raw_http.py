"""A small HTTP/1.1 client over asyncio streams that knows to the byte what was sent: what a test of lost connections
needs and client libraries hide."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection to a server on loopback, kept open between requests and opened anew when it is gone."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, target: str, headers: dict[str, str], body: bytes, sent: Callable[[], None]) -> Answer:
        """Send, call `sent` when the last byte is with the kernel, return the answer.

        Raises `ConnectionRefusedError` when nothing listens, other `OSError`s and `EOFError` when the connection ends.
        """
        head = {"Host": f"{_HOST}:{self._port}", "Content-Length": str(len(body)), **headers}
        try:
            reader, writer = await self._open()
            writer.write(_request(target, head) + body)
            await writer.drain()
            sent()
            answer = await _read(reader)
        except BaseException:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    async def post_half(self, target: str, headers: dict[str, str], body: bytes) -> None:
        """Announce a body, send half of it and go away. Raises `OSError` when that does not work."""
        head = {"Host": f"{_HOST}:{self._port}", "Content-Length": str(len(body)), **headers}
        try:
            _, writer = await self._open()
            writer.write(_request(target, head) + body[: len(body) // 2])
            await writer.drain()
        finally:
            self.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = self._reader, self._writer
        if reader is None or writer is None or reader.at_eof() or reader.exception() or writer.is_closing():
            self.close()
            reader, writer = await asyncio.open_connection(_HOST, self._port)
            writer.transport.set_write_buffer_limits(high=0)  # `drain` returns when the kernel has everything
            self._reader, self._writer = reader, writer
        return reader, writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


def _request(target: str, headers: dict[str, str]) -> bytes:
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(head[0].split()[1]), headers, body)
