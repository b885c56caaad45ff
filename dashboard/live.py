"""The `/live` websocket: `{"watch": <explore query string> | null}` in, one message per tick out."""

from __future__ import annotations

import asyncio
import contextlib
import json

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from dashboard.feed import Feed, Reader

LONGEST_MESSAGE = 16_384
BAD_MESSAGE, FULL = 4400, 1013


def live_router(feed: Feed, send_timeout_s: float) -> APIRouter:
    """The route; a reader that takes nothing for `send_timeout_s` is dropped."""
    router = APIRouter()

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        if feed.is_full:
            await socket.close(FULL)
            return
        await socket.accept()
        reader = feed.join()
        listener = asyncio.create_task(_listen(socket, feed, reader))
        try:
            await _speak(socket, reader, listener, feed, send_timeout_s)
        finally:
            feed.leave(reader)
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await listener

    return router


async def _listen(socket: WebSocket, feed: Feed, reader: Reader) -> None:
    """Takes what the browser says until it leaves; also the only way to notice that it did."""
    while True:
        try:
            text = await socket.receive_text()
        except (KeyError, UnicodeDecodeError):  # a binary frame
            await socket.close(BAD_MESSAGE)
            return
        asked, watch = read_message(text)
        if not asked:
            await socket.close(BAD_MESSAGE)
            return
        feed.watch(reader, watch)


def read_message(text: str) -> tuple[bool, str | None]:
    """(understood, what to watch)."""
    if len(text) > LONGEST_MESSAGE:
        return False, None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return False, None
    watch = message.get("watch", False) if isinstance(message, dict) else False
    return (True, watch) if watch is None or isinstance(watch, str) else (False, None)


async def _speak(
    socket: WebSocket, reader: Reader, listener: asyncio.Task[None], feed: Feed, send_timeout_s: float
) -> None:
    while not listener.done():
        taking = asyncio.create_task(reader.take())
        try:
            await asyncio.wait({taking, listener}, return_when=asyncio.FIRST_COMPLETED)
        finally:  # also when the key of this browser is over, and with it this task
            if not taking.done():
                taking.cancel()
        if listener.done():
            return
        try:
            await asyncio.wait_for(socket.send_text(taking.result()), send_timeout_s)
        except TimeoutError:
            feed.counters.dropped += 1
            return
        except (WebSocketDisconnect, RuntimeError):
            return
