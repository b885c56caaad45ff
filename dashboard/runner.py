"""Questions of HTTP clients to the read model: so many at once, so many waiting, none for a client that has gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request

from aggregates.patience import Caller
from aggregates.queries import Abandoned

T = TypeVar("T")
RETRY_AFTER_S = 1
_LOOK_EVERY_S = 0.05


class Busy(Exception):
    """Too many questions are being answered already."""


@dataclass(slots=True)
class Counts:
    """What /metrics tells about questions over HTTP."""

    answered: int = 0
    refused: int = 0
    too_slow: int = 0
    abandoned: int = 0
    busy: int = 0
    seconds: float = 0.0


class Runner:
    """Runs questions in threads of its own, so that slow ones hold up nobody else.

    Args:
        at_once: how many run at the same time.
        queue: how many more may wait for a place.
        patience_s: how long one waits for it.
    """

    def __init__(self, at_once: int = 4, queue: int = 60, patience_s: float = 5.0) -> None:
        self.counts = Counts()
        self._threads = ThreadPoolExecutor(at_once, "query")
        self._most = at_once + queue
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._open = 0

    @property
    def open(self) -> int:
        """Questions that run or wait."""
        return self._open

    async def run(self, request: Request, work: Callable[[Caller], T]) -> T:
        """The result of `work`, which is told who waits for it. Raises `Busy`, `Abandoned`, and what `work` raises."""
        caller = Caller()
        future = self._submitted(work, caller)
        waiting = asyncio.wrap_future(future)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            while True:
                await asyncio.wait({waiting}, timeout=_LOOK_EVERY_S)
                if waiting.done():
                    return waiting.result()
                if await request.is_disconnected():
                    raise Abandoned
                if loop.time() - began > self._patience_s and not future.running() and future.cancel():
                    raise self._refused()
        finally:
            # Whoever goes early takes the work along: what has not begun never will, what runs is interrupted.
            caller.leave()
            future.cancel()
            self.counts.seconds += loop.time() - began

    def _submitted(self, work: Callable[[Caller], T], caller: Caller) -> Future[T]:
        with self._lock:
            if self._open >= self._most:
                raise self._refused()
            self._open += 1
        future = self._threads.submit(work, caller)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: object) -> None:
        with self._lock:
            self._open -= 1

    def _refused(self) -> Busy:
        return Busy("too many queries are being answered; ask again")
