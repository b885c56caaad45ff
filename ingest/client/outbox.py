"""The events a client holds: a bounded queue, cut into batches, and what became of each event.

Not thread-safe, and without a clock: `Client` holds a lock around it, `AsyncClient` an event loop.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final
from weakref import WeakKeyDictionary

from ingest.client.answers import Refusal, Rejection, Verdicts, latest
from ingest.client.delivery import Settled
from ingest.client.settings import BatchResult, EventsLost, Settings, Stats
from ingest.client.wire import OutgoingEvent

OVERHEAD: Final = 200
"""Rough memory of a queued event besides its text, in bytes."""
FULL: Final = Refusal(0, "queue_full", "there was no room in the queue")
CLOSED: Final = Refusal(0, "closed", "the client was closed before they were answered for")


class Offer(Enum):
    """What became of events that were offered."""

    TAKEN = auto()
    DROPPED = auto()
    FULL = auto()
    """Nothing was done; for `when_full` "block" and "raise"."""


@dataclass(slots=True)
class Ticket:
    """The events of one `send_batch`; `resolve` is called once, when each of them is settled."""

    size: int
    resolve: Callable[[BatchResult | EventsLost], None]
    settled: int = 0
    accepted: int = 0
    lost: int = 0
    refusal: Refusal = FULL
    rejected: list[Rejection] = field(default_factory=list)
    positions: list[str] = field(default_factory=list)

    def outcome(self) -> BatchResult | EventsLost:
        result = BatchResult(self.accepted, tuple(self.rejected), latest(self.positions))
        return EventsLost(self.lost, self.refusal, result) if self.lost else result


@dataclass(frozen=True, slots=True)
class _Waiting:
    event: OutgoingEvent
    number: int
    since_s: float
    ticket: Ticket | None


class Outbox:
    """Takes events within bounds, gives them out in their order, one batch at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: deque[_Waiting] = deque()
        self._on_the_way: deque[_Waiting] = deque()
        self._queue_bytes = 0
        self._way_bytes = 0
        self._numbers = 0
        self._urgent = 0
        self._abandoned = False
        self._finished: list[Ticket] = []
        self._told: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self.counts = Stats()

    def __len__(self) -> int:
        """Events that wait or are on their way."""
        return len(self._queue) + len(self._on_the_way)

    def stats(self) -> Stats:
        return dataclasses.replace(self.counts, queued=len(self))

    def offer(self, events: Sequence[OutgoingEvent], ticket: Ticket | None, owner: object, now_s: float) -> Offer:
        """Take all of the events or none. Together they always fit into an empty queue."""
        self._told.setdefault(owner, self._lost)
        size = sum(len(event.text) + OVERHEAD for event in events)
        if self._is_full(len(events), size):
            match self._settings.when_full:
                case "block" | "raise":
                    return Offer.FULL
                case "drop_oldest":
                    self._make_room(len(events), size)
        if self._is_full(len(events), size):
            self._drop([_Waiting(event, 0, now_s, ticket) for event in events], FULL)
            return Offer.DROPPED
        for event in events:
            self._numbers += 1
            self._queue.append(_Waiting(event, self._numbers, now_s, ticket))
        self._queue_bytes += size
        if ticket is not None:
            self._urgent = self._numbers
        return Offer.TAKEN

    @property
    def presses(self) -> bool:
        """Whether a batch is due at once: it is full, or somebody waits for it."""
        queue, settings = self._queue, self._settings
        full = len(queue) >= settings.batch_events or self._queue_bytes >= settings.batch_bytes
        return full or (len(queue) > 0 and queue[0].number <= self._urgent)

    def due_s(self, now_s: float) -> float | None:
        """Seconds until a batch is due, 0.0 when it is; None while nothing waits."""
        if not self._queue:
            return None
        return 0.0 if self.presses else max(self._queue[0].since_s + self._settings.linger_s - now_s, 0.0)

    def take(self) -> list[OutgoingEvent]:
        """The next batch; it is on its way until `settle` or `abandon`."""
        size = 0
        while self._queue and len(self._on_the_way) < self._settings.batch_events:
            length = len(self._queue[0].event.text)
            if self._on_the_way and size + length > self._settings.batch_bytes:
                break
            size += length
            self._queue_bytes -= length + OVERHEAD
            self._way_bytes += length + OVERHEAD
            self._on_the_way.append(self._queue.popleft())
        self.counts.sent += len(self._on_the_way)
        return [waiting.event for waiting in self._on_the_way]

    def settle(self, settled: Settled) -> bool:
        """Note what became of the first events that are on their way; False when they were abandoned before."""
        if self._abandoned:
            return False
        rejections = {}
        if isinstance(settled.outcome, Verdicts):
            rejections = {rejection.index: rejection for rejection in settled.outcome.rejected}
            self.counts.accepted += settled.outcome.accepted
            self.counts.rejected += len(rejections)
        else:
            self.counts.refused += len(settled.events)
        for index, event in enumerate(settled.events):
            waiting = self._on_the_way.popleft()
            self._way_bytes -= len(event.text) + OVERHEAD
            if waiting.ticket is not None:
                self._note(waiting.ticket, settled.outcome, rejections.get(index))
        return True

    def fail(self, refusal: Refusal) -> Settled:
        """Settle everything that is on its way as given up."""
        settled = Settled([waiting.event for waiting in self._on_the_way], refusal)
        self.settle(settled)
        return settled

    def hurry(self) -> int:
        """Make everything queued due; the number of the newest event."""
        self._urgent = self._numbers
        return self._numbers

    def has_settled(self, number: int) -> bool:
        """Whether every event up to this number is settled or dropped."""
        first = self._on_the_way[0] if self._on_the_way else self._queue[0] if self._queue else None
        return first is None or first.number > number

    def told(self, owner: object) -> bool:
        """Whether nothing was lost since the owner was last told, or first offered an event; now it is told."""
        before, self._told[owner] = self._told.get(owner, 0), self._lost
        return before == self._lost

    def abandon(self) -> list[OutgoingEvent]:
        """Give up everything that is not settled, and return it."""
        left = [*self._on_the_way, *self._queue]
        self._on_the_way.clear()
        self._queue.clear()
        self._queue_bytes = self._way_bytes = 0
        self._abandoned = True
        self._drop(left, CLOSED)
        return [waiting.event for waiting in left]

    def finished(self) -> list[Ticket]:
        """Tickets whose events are all settled, each given out once: resolve them outside of any lock."""
        done, self._finished = self._finished, []
        return done

    @property
    def _lost(self) -> int:
        return self.counts.dropped + self.counts.refused

    def _is_full(self, events: int, size: int) -> bool:
        too_many = len(self) + events > self._settings.queue_events
        return len(self) > 0 and (too_many or self._queue_bytes + self._way_bytes + size > self._settings.queue_bytes)

    def _make_room(self, events: int, size: int) -> None:
        """Drop the oldest events that wait, unless even all of them were not enough: what is on its way stays."""
        way, settings = len(self._on_the_way), self._settings
        if way and (way + events > settings.queue_events or self._way_bytes + size > settings.queue_bytes):
            return
        oldest = []
        while self._queue and self._is_full(events, size):
            oldest.append(self._queue.popleft())
            self._queue_bytes -= len(oldest[-1].event.text) + OVERHEAD
        self._drop(oldest, FULL)

    def _drop(self, events: Sequence[_Waiting], why: Refusal) -> None:
        self.counts.dropped += len(events)
        for waiting in events:
            if waiting.ticket is not None:
                self._note(waiting.ticket, why, None)

    def _note(self, ticket: Ticket, outcome: Verdicts | Refusal, rejection: Rejection | None) -> None:
        if isinstance(outcome, Refusal):
            ticket.lost += 1
            ticket.refusal = outcome
        elif rejection is not None:
            ticket.rejected.append(dataclasses.replace(rejection, index=ticket.settled))
        else:
            ticket.accepted += 1
        if isinstance(outcome, Verdicts) and outcome.position not in ticket.positions[-1:]:
            ticket.positions.append(outcome.position)
        ticket.settled += 1
        if ticket.settled == ticket.size:
            self._finished.append(ticket)
