"""A client that sends any bytes and reads what comes back, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 15.0
"""Longer than any answer may take; what takes longer hangs."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Talk:
    """What a connection got to hear. `closed`: the server ended it after its last answer."""

    answers: list[Answer] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    closed: bool = False

    @property
    def answer(self) -> Answer:
        (only,) = self.answers
        return only

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


async def talk(port: int, raw: bytes | Sequence[bytes], *, finish: bool = False, answers: int = 1) -> Talk:
    """Send the parts one after the other, a moment apart; read `answers` final answers, or until the server closes.

    `finish` ends the client's side after sending. Raises TimeoutError when the server neither answers nor closes.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    parts = [raw] if isinstance(raw, bytes) else raw
    sending = asyncio.create_task(_send(writer, parts, finish))
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _read(reader, answers, raw_method(parts))
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def raw_method(parts: Sequence[bytes]) -> bytes:
    return parts[0].partition(b" ")[0] if parts else b""


async def _send(writer: asyncio.StreamWriter, parts: Sequence[bytes], finish: bool) -> None:
    with contextlib.suppress(OSError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            if len(parts) > 1:
                await asyncio.sleep(0.02)  # so that the parts arrive apart
        if finish:
            writer.write_eof()


async def _read(reader: asyncio.StreamReader, answers: int, method: bytes) -> Talk:
    heard = Talk()
    while len(heard.answers) < answers:
        try:
            answer = await read_answer(reader, method)
        except (asyncio.IncompleteReadError, ConnectionError):
            heard.closed = True
            return heard
        if answer.status < 200:
            heard.interim.append(answer.status)
        else:
            heard.answers.append(answer)
    if heard.answers and heard.answers[-1].headers.get("connection") == "close":
        try:
            heard.closed = await reader.read(1) == b""
        except ConnectionError:
            heard.closed = True
    return heard


async def read_answer(reader: asyncio.StreamReader, method: bytes = b"GET") -> Answer:
    """One answer to a request of this method."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip("\r\n").split("\r\n")
    version, status = status_line.split(" ")[:2]
    assert version == "HTTP/1.1", status_line
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    bodiless = method == b"HEAD" or int(status) < 200 or int(status) in (204, 304)
    body = b"" if bodiless else await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(status), headers, body)


def request(
    body: str | bytes = b"",
    content_type: str | None = "application/json",
    *,
    path: str = "/v1/events",
    method: str = "POST",
    host: str = "localhost",
    headers: Sequence[tuple[str, str]] = (),
    length: int | None = None,
) -> bytes:
    """A whole request as bytes; `length` is what it says of its body when that is not the truth."""
    payload = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    fields = [("Host", host)]
    if content_type is not None:
        fields.append(("Content-Type", content_type))
    fields.append(("Content-Length", str(len(payload) if length is None else length)))
    return head([*fields, *headers], path, method) + payload


def chunked(chunks: Sequence[bytes], *headers: tuple[str, str], content_type: str = "application/json") -> bytes:
    """A request whose body comes in chunks."""
    fields = [("Host", "localhost"), ("Content-Type", content_type), ("Transfer-Encoding", "chunked"), *headers]
    return head(fields) + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def head(fields: Sequence[tuple[str, str]], path: str = "/v1/events", method: str = "POST") -> bytes:
    """The head of a request, fields as given and nothing else."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")
