"""A load generator that costs little: prepared requests over keep-alive connections, bounded in count."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Sent:
    """What came back: requests by status, and the last answer of each connection."""

    statuses: dict[int, int] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)


def requests(host: str, port: int, bodies: Iterable[bytes]) -> list[bytes]:
    """Whole HTTP/1.1 requests, ready to be written."""
    head = f"POST /v1/events HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: "
    return [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]


async def send_all(host: str, port: int, prepared: list[bytes], connections: int) -> Sent:
    """Send every request once, each connection the next one as soon as it got its answer. A 503 or 429 is sent
    again after a moment, at most 100 times in all."""
    waiting, sent = deque(prepared), Sent()
    retries = 100

    async def one() -> None:
        nonlocal retries
        reader, writer = await asyncio.open_connection(host, port)
        body = b""
        while waiting:
            request = waiting.popleft()
            writer.write(request)
            status, body = await _answer(reader)
            sent.statuses[status] = sent.statuses.get(status, 0) + 1
            if status in (429, 503) and retries:
                retries -= 1
                waiting.appendleft(request)
                await asyncio.sleep(0.1)
        sent.answers.append(body)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return sent


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(length)
