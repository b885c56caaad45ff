"""Viewers of the push: websocket clients in a process of their own, compression on as browsers ask for it."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from websockets.asyncio.client import ClientConnection, connect


@dataclass(slots=True)
class Seen:
    """What one viewer got after the first message: `late_ms` runs from the server's clock in a message to its arrival
    here, `wire` counts bytes as sent, `text` those of the JSON, `missed` ticks
    that were left out, `changes` messages with news of what is watched."""

    late_ms: list[float] = field(default_factory=list)
    wire: int = 0
    text: int = 0
    missed: int = 0
    changes: int = 0
    first: dict[str, Any] = field(default_factory=dict)


class _Counted(ClientConnection):
    received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)


def watch(url: str, ahead_ms: int, watches: Sequence[str | None], seconds: float) -> list[Seen]:
    """One viewer for each of these, for so long. Raises `AssertionError` when one got nothing right."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_in_process, args=(there, url, ahead_ms, list(watches), seconds))
    process.start()
    assert here.poll(seconds + 120), "the viewers did not come to an end"
    found: list[Seen] = here.recv()
    process.join()
    for wanted, seen in zip(watches, found, strict=True):
        assert seen.late_ms, "a viewer got no tick"
        assert seen.first["metrics"] > 0
        assert seen.changes > (len(seen.late_ms) / 2 if wanted is None else 0), f"{seen.changes} changes of {wanted}"
    return found


def _in_process(out: Connection, url: str, ahead_ms: int, watches: list[str | None], seconds: float) -> None:
    out.send(uvloop.run(_all(url, ahead_ms, watches, seconds)))


async def _all(url: str, ahead_ms: int, watches: list[str | None], seconds: float) -> list[Seen]:
    until = time.monotonic() + seconds
    return await asyncio.gather(*(_one(url, ahead_ms, wanted, until) for wanted in watches))


async def _one(url: str, ahead_ms: int, wanted: str | None, until: float) -> Seen:
    seen, address = Seen(), url.replace("http", "ws", 1) + "/live"
    async with connect(address, create_connection=_Counted, max_size=None, close_timeout=1) as socket:
        await socket.send(json.dumps({"watch": wanted}))
        tick, counted_from = 0, 0
        while (left := until - time.monotonic()) > 0:
            try:
                text = await asyncio.wait_for(socket.recv(), left)
            except TimeoutError:
                break
            arrived_ms = time.time() * 1000 + ahead_ms
            message = json.loads(text)
            seen.changes += "chart" in message or bool(message.get("tiles"))
            if not seen.first:
                seen.first, counted_from = message, _received(socket)
            elif message["v"] > tick:
                seen.late_ms.append(arrived_ms - message["now"])
                seen.missed += message["v"] - tick - 1
                seen.text += len(text)
            tick = message["v"]
        seen.wire = _received(socket) - counted_from
    return seen


def _received(socket: ClientConnection) -> int:
    assert isinstance(socket, _Counted)
    return socket.received
