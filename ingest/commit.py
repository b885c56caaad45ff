"""Group commit: requests in flight share records, and are answered when all their records are durable.

A flush takes everything that waits. It starts a moment after the first event came or the flush before was acknowledged
(the moment lets the clients just answered take part: one large flush is cheaper than two small ones taking turns), and
at once when enough is waiting. Bounded: what does not fit into the queue is refused.

Pure asyncio: the log is behind `Publisher`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ingest.deadletters import DeadLetters
from ingest.events import NO_START, EventColumns, encode
from ingest.log import Topics
from ingest.publish import Message, Outcome, Publisher, Undelivered
from ingest.series import Int64Array

MAX_IN_FLIGHT: Final = 2
"""Flushes under way: a second one is prepared while Kafka works on the first."""


@dataclass(frozen=True, slots=True)
class Committed:
    """Everything of the request is durable. `next_offsets`: partition of `events` → the offset after its events."""

    next_offsets: dict[int, int]


@dataclass(frozen=True, slots=True)
class NotCommitted:
    """`code` is `busy`, `draining`, `unavailable` (nothing was sent) or `outcome_unknown` (any part may be durable)."""

    code: str
    detail: str


@dataclass(slots=True)
class _Waiting:
    """One request's events and dead letters, until they are flushed and acknowledged."""

    columns: EventColumns | None
    letters: Sequence[DeadLetters]
    size: int
    answer: asyncio.Future[Committed | NotCommitted]
    partitions: list[int] = field(default_factory=list)
    """Partitions its events go to."""
    events: list[int] = field(default_factory=list)
    """The flush's messages that may hold its events: those of its partitions, among what it shares records with."""
    dead: list[int] = field(default_factory=list)
    """Its dead letters among the flush's messages."""


class GroupCommit:
    """Shares flushes among the requests of one event loop."""

    def __init__(
        self,
        publisher: Publisher,
        topics: Topics,
        flush_s: float,
        flush_events: int,
        queue_events: int,
        flushed: Callable[[float, int], None] = lambda seconds, events: None,
    ) -> None:
        self._publisher = publisher
        self._topics = topics
        self._flush_s = flush_s
        self._flush_events = flush_events
        self._queue_events = queue_events
        self._flushed = flushed
        self._waiting: list[_Waiting] = []
        self._waiting_events = 0
        self._queued = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flushes: set[asyncio.Task[None]] = set()
        self._draining = False
        self._letter_partition = 0

    @property
    def queued_events(self) -> int:
        """Events taken and not yet answered for."""
        return self._queued

    def refusal(self) -> NotCommitted | None:
        """Why nothing at all can be taken at present: to be asked before work is spent on a request."""
        if self._draining:
            return NotCommitted("draining", "the server is stopping")
        if obstacles := self._publisher.obstacles():
            return NotCommitted("unavailable", "; ".join(obstacles))
        return None

    async def commit(self, columns: EventColumns | None, letters: Sequence[DeadLetters]) -> Committed | NotCommitted:
        """Make one request's events and dead letters durable; answers when all of them are, or when it is clear that
        they are not known to be."""
        size = (len(columns) if columns else 0) + sum(letter.events for letter in letters)
        if (refusal := self.refusal()) is not None:
            return refusal
        if self._queued and self._queued + size > self._queue_events:
            return NotCommitted("busy", f"{self._queued} events are waiting for Kafka")
        waiting = _Waiting(columns, letters, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_events += size
        self._queued += size
        self._schedule()
        try:
            return await waiting.answer
        finally:
            self._queued -= size

    async def close(self) -> None:
        """Refuse new requests, flush what waits and answer it."""
        self._draining = True
        while self._flushes or self._waiting:
            if self._waiting and len(self._flushes) < MAX_IN_FLIGHT:
                self._flush()
            await asyncio.wait(self._flushes)

    def _schedule(self) -> None:
        under_way = len(self._flushes)
        if self._waiting_events >= self._flush_events and under_way < MAX_IN_FLIGHT:
            self._flush()
        elif not under_way and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._flush_s, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        batch, self._waiting, self._waiting_events = self._waiting, [], 0
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._flushes.add(task)
        task.add_done_callback(self._after)

    def _after(self, task: asyncio.Task[None]) -> None:
        self._flushes.discard(task)
        if self._waiting:
            self._schedule()

    async def _run(self, batch: list[_Waiting]) -> None:
        started = asyncio.get_running_loop().time()
        try:
            messages = self._messages(batch)
            outcomes = await self._publisher.publish(messages)
            self._answer(batch, messages, outcomes)
        except BaseException as error:
            # Nobody may wait for ever, whatever went wrong here.
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error if isinstance(error, Exception) else RuntimeError("cancelled"))
            raise
        finally:
            self._flushed(asyncio.get_running_loop().time() - started, sum(waiting.size for waiting in batch))

    def _messages(self, batch: list[_Waiting]) -> list[Message]:
        messages: list[Message] = []
        groups: dict[tuple[int, bool], list[_Waiting]] = defaultdict(list)
        for waiting in batch:
            if waiting.columns is not None and len(waiting.columns):
                groups[id(waiting.columns.table), waiting.columns.history].append(waiting)
        for group in groups.values():
            columns = _joined([waiting.columns for waiting in group if waiting.columns is not None])
            owner = (columns.table.keys[columns.series] % np.uint64(self._topics.partitions)).astype(np.int64)
            start = 0
            for waiting in group:
                end = start + len(waiting.columns or ())
                waiting.partitions = np.flatnonzero(np.bincount(owner[start:end])).tolist()
                start = end
            first = len(messages)
            records = encode(columns, self._topics.partitions)
            messages += [Message(self._topics.events, r.partition, r.value, r.headers) for r in records]
            for waiting in group:
                own = set(waiting.partitions)
                waiting.events = [n for n, record in enumerate(records, first) if record.partition in own]
        for waiting in batch:
            for letter in waiting.letters:
                waiting.dead.append(len(messages))
                self._letter_partition = (self._letter_partition + 1) % self._topics.partitions
                messages.append(Message(self._topics.rejected, self._letter_partition, letter.value, letter.headers))
        return messages

    def _answer(self, batch: list[_Waiting], messages: list[Message], outcomes: Sequence[Outcome]) -> None:
        for waiting in batch:
            if waiting.answer.done():
                continue  # the request was cancelled meanwhile
            mine = [outcomes[number] for number in (*waiting.events, *waiting.dead)]
            failed = [outcome for outcome in mine if isinstance(outcome, Undelivered)]
            if failed:
                # Another request's record of the partition counts as a part of this one: better unknown than wrong.
                sent_any = len(failed) < len(mine) or any(failure.unknown for failure in failed)
                code = "outcome_unknown" if sent_any else "unavailable"
                waiting.answer.set_result(NotCommitted(code, failed[0].detail))
                continue
            next_offsets: dict[int, int] = {}
            for number in waiting.events:
                offset, partition = outcomes[number], messages[number].partition
                assert isinstance(offset, int)
                next_offsets[partition] = max(next_offsets.get(partition, 0), offset + 1)
            waiting.answer.set_result(Committed(next_offsets))


def _joined(parts: list[EventColumns]) -> EventColumns:
    """Columns of one table, all of the present or all history, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return EventColumns(
        parts[0].table,
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
        _joined_texts([(part.texts, len(part)) for part in parts]),
        _joined_texts([(part.ids, len(part)) for part in parts]),
        parts[0].history,
        _joined_starts(parts),
    )


def _joined_starts(parts: list[EventColumns]) -> Int64Array | None:
    if all(part.starts is None for part in parts):
        return None
    return np.concatenate([np.full(len(part), NO_START) if part.starts is None else part.starts for part in parts])


def _joined_texts(parts: list[tuple[list[str | None] | None, int]]) -> list[str | None] | None:
    if all(texts is None for texts, _ in parts):
        return None
    joined: list[str | None] = []
    for texts, size in parts:
        joined += [None] * size if texts is None else texts
    return joined
