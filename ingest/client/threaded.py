"""The client for programs with threads: `send` queues an event, a thread of its own delivers.

The thread starts with the first event. At the end of the program, and of a `with` block, what is queued is sent. A
forked child begins with an empty queue: what the parent had queued is the parent's to send.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, Unpack

from ingest.client.answers import Refusal
from ingest.client.courier import Courier
from ingest.client.delivery import Patience, Pause, Post, Settled, Target
from ingest.client.lifetimes import remember
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


class Client:
    """Sends events to one ingest. Thread-safe; `options` are the fields of `Settings`.

    An event is safe when `flush` returned True, or the future of its `send_batch` resolved.
    """

    def __init__(self, url: str = DEFAULT_URL, **options: Unpack[Options]) -> None:
        self._settings = Settings(**options)
        self._target = Target(url, self._settings.key, gzip_bytes=self._settings.gzip_bytes)
        self._inherited: list[object] = []
        self._start_afresh()
        self._courier: Courier | None = self._new_courier()
        remember(self)

    def begin_afresh(self) -> None:
        """In a forked child: an empty queue. The parent's connection is kept but not used, since to close it here would
        end it for the parent."""
        self._inherited.append(self._courier)
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._lock = threading.Condition()
        self._outbox = Outbox(self._settings)
        self._reports = Reports(self._settings)
        self._thread: threading.Thread | None = None
        self._courier = None
        self._closing = False
        self._stopped = threading.Event()

    def _new_courier(self) -> Courier:
        """Made by whoever calls, not by the thread: a fork in the middle of its imports would leave them half done."""
        stopped, patience = self._stopped, Patience(give_up_s=self._settings.give_up_s)
        return Courier(self._target, patience, self._settings.timeout_s, lambda seconds: not stopped.wait(seconds))

    def send(
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
        """Queue one event: True unless it was dropped because the queue is full.

        `labels` are dimensions too. Without a timestamp it happened now; without an id it gets one, so that sending it
        again never counts it twice. `start` says since when a running total (kind cumulative) counts. Raises
        `QueueFull` if `when_full` is "raise", `ClientClosed`, and TypeError or ValueError for what cannot be written as
        JSON.
        """
        event = {"metric": metric, "value": value, "timestamp": timestamp, "id": id}
        if start is not None:
            event["start"] = start
        return self._offer([_outgoing({**event, "dimensions": dimensions_of(dimensions, labels)})], None)

    def send_batch(self, events: Iterable[Mapping[str, Any]]) -> Future[BatchResult]:
        """Queue events of the native form together, to be sent at once.

        The future resolves when each of them is durable: accepted, or rejected with a verdict. It fails with
        `EventsLost` when some were given up. Raises as `send` does.
        """
        ready = [_outgoing(event) for event in events]
        future: Future[BatchResult] = Future()
        future.set_running_or_notify_cancel()  # it cannot be cancelled any more

        def resolve(outcome: BatchResult | EventsLost) -> None:
            if isinstance(outcome, EventsLost):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        if ready:
            self._offer(ready, Ticket(len(ready), resolve))
        else:
            future.set_result(BatchResult(0, (), ""))
        return future

    def flush(self, timeout: float | None = None) -> bool:
        """Send what is queued and wait for its verdicts.

        True: everything sent since this thread's last `flush` (or its first event) is durable. False: the timeout (in
        seconds) was over, or events were lost; `stats` and `on_error` say which.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a callback cannot wait for the thread it runs in")
        with self._lock:
            number = self._outbox.hurry()
            self._lock.notify_all()
            in_time = self._lock.wait_for(lambda: self._outbox.has_settled(number), timeout)
            nothing_lost = self._outbox.told(threading.current_thread())
        return in_time and nothing_lost

    def close(self, timeout: float | None = None) -> bool:
        """Flush, at most `timeout` seconds (default: `exit_s`), and end the thread. What is left then is lost.

        True when everything ever given to this client got its verdict.
        """
        with self._lock:
            self._closing = True
            number = self._outbox.hurry()
            self._lock.notify_all()
            limit = self._settings.exit_s if timeout is None else timeout
            self._lock.wait_for(lambda: self._outbox.has_settled(number), limit)
            lost = self._outbox.abandon()
            tickets = self._outbox.finished()
            self._stopped.set()
            self._lock.notify_all()
        _resolve(tickets)
        if lost:
            self._reports.lost(CLOSED, lost)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(0 if lost else limit)
        elif self._courier is not None:
            self._courier.close()
        stats = self.stats()
        return stats.dropped == stats.refused == 0

    def stats(self) -> Stats:
        """The counts at this moment."""
        with self._lock:
            return self._outbox.stats()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _offer(self, events: Sequence[OutgoingEvent], ticket: Ticket | None) -> bool:
        owner = threading.current_thread()
        with self._lock:
            dropped = self._outbox.counts.dropped
            while True:
                if self._closing:
                    raise ClientClosed("the client is closed")
                pressed = self._outbox.presses
                offer = self._outbox.offer(events, ticket, owner, time.monotonic())
                if offer is not Offer.FULL:
                    break
                if self._settings.when_full == "raise" or owner is self._thread:
                    raise QueueFull(f"{len(self._outbox)} events are waiting")
                self._lock.wait()
            self._wake(pressed)
            if self._outbox.counts.dropped != dropped:
                self._reports.dropped()
            tickets = self._outbox.finished()
        _resolve(tickets)
        return offer is Offer.TAKEN

    def _wake(self, pressed: bool) -> None:
        """Start the thread, or wake it when the queue has become something to look at."""
        if self._thread is None:
            courier = self._courier = self._courier or self._new_courier()
            thread = threading.Thread(target=self._work, args=(courier,), name="tallyboard-client", daemon=True)
            thread.start()
            self._thread = thread
        elif len(self._outbox) == 1 or (self._outbox.presses and not pressed):
            self._lock.notify_all()

    # What follows runs in the client's thread.

    def _work(self, courier: Courier) -> None:
        while batch := self._next():
            try:
                courier.carry(batch, self._tell)
            except Exception as error:
                # Nobody may wait for ever, whatever went wrong here.
                self._fail(Refusal(0, "client_fault", repr(error)))
        courier.close()

    def _fail(self, refusal: Refusal) -> None:
        with self._lock:
            settled = self._outbox.fail(refusal)
            tickets = self._outbox.finished()
            self._lock.notify_all()
        _resolve(tickets)
        self._reports.step(settled)

    def _next(self) -> list[OutgoingEvent]:
        """The next batch once it is due; empty when there will be none."""
        with self._lock:
            while True:
                due = self._outbox.due_s(time.monotonic())
                if due == 0.0:
                    return self._outbox.take()
                if due is None:
                    self._reports.emptied()
                    if self._closing:
                        return []
                self._lock.wait(due)

    def _tell(self, step: Post | Pause | Settled) -> None:
        if isinstance(step, Post) and step.attempt:
            with self._lock:
                self._outbox.counts.retries += 1
        elif isinstance(step, Settled):
            with self._lock:
                in_time = self._outbox.settle(step)
                tickets = self._outbox.finished()
                self._lock.notify_all()
            _resolve(tickets)
            if not in_time:
                return
        self._reports.step(step)


def _resolve(tickets: Iterable[Ticket]) -> None:
    """Tell whoever waits for a batch; without the lock, because futures call back."""
    for ticket in tickets:
        ticket.resolve(ticket.outcome())


def _outgoing(event: Mapping[str, Any]) -> OutgoingEvent:
    return outgoing(event, time.time_ns() // 1_000_000, os.urandom(RANDOM_BYTES))
