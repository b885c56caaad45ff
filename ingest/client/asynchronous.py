"""The client for asyncio: the same queue and the same delivery as `Client`, on the event loop that uses it.

An event loop ends before its program does: use `async with`, or `close`, so that what is queued is sent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from ingest.client.answers import Refusal
from ingest.client.courier import AsyncCourier
from ingest.client.delivery import Patience, Pause, Post, Settled, Target
from ingest.client.outbox import CLOSED, Offer, Outbox, Ticket
from ingest.client.reports import Reports
from ingest.client.settings import (
    DEFAULT_URL,
    BatchResult,
    ClientClosed,
    EventsLost,
    Options,
    QueueFull,
    Settings,
    Stats,
)
from ingest.client.wire import RANDOM_BYTES, OutgoingEvent, Timestamp, dimensions_of, outgoing


class AsyncClient:
    """Sends events to one ingest, from one event loop; `options` are the fields of `Settings`.

    An event is safe when `flush` returned True, or `send_batch` returned.
    """

    def __init__(self, url: str = DEFAULT_URL, **options: Unpack[Options]) -> None:
        self._settings = Settings(**options)
        self._target = Target(url, self._settings.key, gzip_bytes=self._settings.gzip_bytes)
        self._outbox = Outbox(self._settings)
        self._reports = Reports(self._settings)
        self._worker: asyncio.Task[None] | None = None
        self._turn = asyncio.Event()
        self._closing = False

    async def send(
        self,
        metric: str,
        value: float | str,
        /,
        *,
        timestamp: Timestamp = None,
        id: str | None = None,  # noqa: A002  the field's name
        start: Timestamp = None,
        dimensions: Mapping[str, str | int] | None = None,
        **labels: str | int,
    ) -> bool:
        """Queue one event, as `Client.send` does; waits only for room, if `when_full` is "block"."""
        event = {"metric": metric, "value": value, "timestamp": timestamp, "id": id}
        if start is not None:
            event["start"] = start
        return await self._offer([_outgoing({**event, "dimensions": dimensions_of(dimensions, labels)})], None)

    async def send_batch(self, events: Iterable[Mapping[str, Any]]) -> BatchResult:
        """Send events of the native form, and wait until each of them is durable: accepted, or rejected with a verdict.

        Raises `EventsLost` when some were given up, else as `send` does.
        """
        ready = [_outgoing(event) for event in events]
        if not ready:
            return BatchResult(0, (), "")
        future: asyncio.Future[BatchResult | EventsLost] = asyncio.get_running_loop().create_future()

        def resolve(outcome: BatchResult | EventsLost) -> None:
            if not future.done():
                future.set_result(outcome)

        await self._offer(ready, Ticket(len(ready), resolve))
        outcome = await future
        if isinstance(outcome, EventsLost):
            raise outcome
        return outcome

    async def flush(self, timeout: float | None = None) -> bool:
        """Send what is queued and wait for its verdicts.

        True: everything sent since this task's last `flush` (or its first event) is durable. False: the timeout (in
        seconds) was over, or events were lost; `stats` and `on_error` say which.
        """
        in_time = await self._settled(timeout)
        return self._outbox.told(asyncio.current_task()) and in_time

    async def close(self, timeout: float | None = None) -> bool:
        """Flush, at most `timeout` seconds (default: `exit_s`), and end. What is left then is lost.

        True when everything ever given to this client got its verdict.
        """
        self._closing = True
        await self._settled(self._settings.exit_s if timeout is None else timeout)
        if lost := self._outbox.abandon():
            self._reports.lost(CLOSED, lost)
        self._resolve()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
            self._worker = None
        stats = self.stats()
        return stats.dropped == stats.refused == 0

    def stats(self) -> Stats:
        """The counts at this moment."""
        return self._outbox.stats()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _offer(self, events: Sequence[OutgoingEvent], ticket: Ticket | None) -> bool:
        owner, dropped = asyncio.current_task(), self._outbox.counts.dropped
        while True:
            if self._closing:
                raise ClientClosed("the client is closed")
            offer = self._outbox.offer(events, ticket, owner, time.monotonic())
            if offer is not Offer.FULL:
                break
            if self._settings.when_full == "raise":
                raise QueueFull(f"{len(self._outbox)} events are waiting")
            await self._turn.wait()
        if self._outbox.counts.dropped != dropped:
            self._reports.dropped()
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())
        self._move()
        self._resolve()
        return offer is Offer.TAKEN

    async def _settled(self, timeout: float | None) -> bool:
        """Whether everything queued up to now was settled in time."""
        number = self._outbox.hurry()
        self._move()
        try:
            async with asyncio.timeout(timeout):
                while not self._outbox.has_settled(number):
                    await self._turn.wait()
        except TimeoutError:
            return False
        return True

    def _move(self) -> None:
        """Let everyone who waits look again."""
        self._turn.set()
        self._turn = asyncio.Event()

    def _resolve(self) -> None:
        for ticket in self._outbox.finished():
            ticket.resolve(ticket.outcome())

    async def _work(self) -> None:
        patience = Patience(give_up_s=self._settings.give_up_s)
        courier = AsyncCourier(self._target, patience, self._settings.timeout_s)
        try:
            while True:
                batch = await self._next()
                try:
                    await courier.carry(batch, self._tell)
                except Exception as error:
                    # Nobody may wait for ever, whatever went wrong here.
                    settled = self._outbox.fail(Refusal(0, "client_fault", repr(error)))
                    self._told(settled)
        finally:
            await courier.close()

    async def _next(self) -> list[OutgoingEvent]:
        """The next batch, once it is due."""
        while (due := self._outbox.due_s(time.monotonic())) != 0.0:
            if due is None:
                self._reports.emptied()
            try:
                async with asyncio.timeout(due):
                    await self._turn.wait()
            except TimeoutError:
                pass
        return self._outbox.take()

    def _tell(self, step: Post | Pause | Settled) -> None:
        if isinstance(step, Post) and step.attempt:
            self._outbox.counts.retries += 1
        elif isinstance(step, Settled):
            self._outbox.settle(step)
        self._told(step)

    def _told(self, step: Post | Pause | Settled) -> None:
        if isinstance(step, Settled):
            self._resolve()
            self._move()
        self._reports.step(step)


def _outgoing(event: Mapping[str, Any]) -> OutgoingEvent:
    return outgoing(event, time.time_ns() // 1_000_000, os.urandom(RANDOM_BYTES))
