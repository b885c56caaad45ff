"""A client that writes to Kafka itself: the records are those that ingest would have written.

Same rules, same kinds, same bytes, without a hop over HTTP. What ingest gives besides is missing: rejected events are
returned and kept nowhere, there are no keys and no limits of keys, and a changed registry needs a new client.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from ingest.accept import Rules
from ingest.batches import Acceptor
from ingest.client.answers import Refusal, Rejection, latest
from ingest.client.delivery import Patience, wait_s
from ingest.client.settings import BatchResult, EventsLost
from ingest.client.wire import RANDOM_BYTES, OutgoingEvent, outgoing
from ingest.commit import Committed, GroupCommit
from ingest.events import EventColumns
from ingest.fuses import ANYONE
from ingest.intake import POSITION_PREFIX
from ingest.kafka_publisher import KafkaPublisher
from ingest.problems import Problem
from ingest.protocols import native
from ingest.publish import Publisher
from ingest.registry import Registry
from ingest.settings import IngestSettings
from ingest.verdicts import RejectedEvent

_READER: Final = native.NativeReader(native.Form.LINES)


class KafkaClient:
    """Sends events from one event loop; calls at the same time share records. Use it with `async with`.

    `settings` say where Kafka is, how its topics are called and what times are taken; they must be those of the other
    roles. `patience_s` is how long one batch is tried.
    """

    def __init__(
        self,
        settings: IngestSettings,
        registry: Registry,
        publisher: Publisher | None = None,
        patience_s: float = 60.0,
    ) -> None:
        self._settings = settings
        self._publisher = publisher or KafkaPublisher(settings.kafka, settings.topics, settings.kafka_timeout_ms)
        self._patience = Patience(give_up_s=patience_s)
        past_ms, future_ms = int(settings.past_days * 86_400_000), int(settings.future_minutes * 60_000)
        rules = Rules(registry, past_ms, future_ms)
        self._acceptor = Acceptor(rules, _READER.parse_dimensions, settings.max_series)
        self._commit = GroupCommit(
            self._publisher, settings.topics, settings.flush_ms / 1000, settings.flush_events, settings.queue_events
        )

    async def send_batch(self, events: Iterable[Mapping[str, Any]], history: bool = False) -> BatchResult:
        """Write events of the native form; returns when each accepted one is durable.

        Rejected ones are in the result and nowhere else. `history` takes times as old as you like. An event without an
        id gets one, and keeps it while it is tried. Raises `EventsLost` when Kafka does not take them in time (any of
        them may be durable all the same), TypeError or ValueError for what cannot be written as JSON.
        """
        now_ms = time.time_ns() // 1_000_000
        ready = [outgoing(event, now_ms, os.urandom(RANDOM_BYTES)) for event in events]
        size = self._settings.max_events
        starts = range(0, len(ready), size)
        results = [await self._send(ready[start : start + size], start, history) for start in starts]
        return BatchResult(
            sum(result.accepted for result in results),
            tuple(rejection for result in results for rejection in result.rejected),
            latest(result.position for result in results),
        )

    async def _send(self, events: Sequence[OutgoingEvent], start: int, history: bool) -> BatchResult:
        batch = _READER.read(b"\n".join(event.text for event in events), len(events))
        if isinstance(batch, Problem):  # cannot be: there are as many lines as events
            raise ValueError(batch.detail)
        verdict = self._acceptor.accept(batch.events, time.time_ns() // 1_000_000, ANYONE, history)
        rejected = [_rejection(event, start, events) for event in batch.rejected(verdict.rejected)]
        accepted = len(verdict.columns)
        position = await self._write(verdict.columns, len(events)) if accepted else ""
        return BatchResult(accepted, tuple(rejected), position)

    async def _write(self, columns: EventColumns, events: int) -> str:
        """Commit until Kafka has acknowledged all of it; the position behind it."""
        began = time.monotonic()
        attempt = 0
        while not isinstance(outcome := await self._commit.commit(columns, ()), Committed):
            wait = wait_s(None, attempt, self._patience, random.random())
            if time.monotonic() + wait - began > (self._patience.give_up_s or 0.0):
                raise EventsLost(events, Refusal(0, outcome.code, outcome.detail), BatchResult(0, (), ""))
            await asyncio.sleep(wait)
            attempt += 1
        offsets = ",".join(f"{partition}:{offset}" for partition, offset in sorted(outcome.next_offsets.items()))
        return f"{self._publisher.topic_id[:POSITION_PREFIX]};{offsets}"

    async def __aenter__(self) -> Self:
        await self._publisher.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._commit.close()
        await self._publisher.close()


def _rejection(event: RejectedEvent, start: int, events: Sequence[OutgoingEvent]) -> Rejection:
    verdict = event.verdict
    return Rejection(start + event.index, events[event.index].id, verdict.reason.value, verdict.field, verdict.message)
