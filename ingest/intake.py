"""One write request, from its body to its answer: decode, charge, judge, commit, report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ingest import deadletters
from ingest.accept import Rules
from ingest.access import Access
from ingest.batches import Accepted, Acceptor
from ingest.commit import Committed, GroupCommit, NotCommitted
from ingest.events import EventColumns
from ingest.fuses import ANYONE, Fuses, Sender
from ingest.keys import Key
from ingest.problems import Problem, unavailable
from ingest.protocols.reader import Batch, Reader
from ingest.publish import Publisher
from ingest.registry import Registry
from ingest.sent import ParseDimensions, SentEvent
from ingest.settings import IngestSettings
from ingest.tallies import Tallies
from ingest.telemetry import Telemetry
from ingest.verdicts import Reason, Rejected, RejectedEvent
from ingest.wishes import Wishes

RETRY_AFTER_S: Final = {"busy": 1, "unavailable": 2, "outcome_unknown": 2, "draining": 5}
POSITION_PREFIX: Final = 8
"""Hex digits of the topic id that a position carries."""
_ANOTHER: Final = Rejected(Reason.ATOMIC, None, "another event of this atomic request was rejected")

Clock = Callable[[], int]
"""Epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a request whose events were all judged and are durable."""

    status: int
    body: bytes


class Intake:
    """Takes the requests of one event loop."""

    def __init__(
        self,
        settings: IngestSettings,
        registry: Registry,
        publisher: Publisher,
        access: Access,
        clock: Clock,
        telemetry: Telemetry,
        tallies: Tallies,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._access = access
        self._clock = clock
        self._telemetry = telemetry
        self._tallies = tallies
        self._fuses = Fuses()
        self._acceptors: dict[ParseDimensions, Acceptor] = {}
        self._rules = self._rules_of(registry)
        self.commit = GroupCommit(
            publisher,
            settings.topics,
            settings.flush_ms / 1000,
            settings.flush_events,
            settings.queue_events,
            telemetry.flushed,
        )

    @property
    def series(self) -> int:
        """Series known to this process."""
        return sum(acceptor.series for acceptor in self._acceptors.values())

    def use(self, registry: Registry) -> None:
        """Judge by another registry from the next request on."""
        self._rules = self._rules_of(registry)
        for acceptor in self._acceptors.values():
            acceptor.use(self._rules)

    def _acceptor(self, reader: Reader) -> Acceptor:
        """The acceptor of all readers that spell dimensions this way."""
        acceptor = self._acceptors.get(reader.parse_dimensions)
        if acceptor is None:
            acceptor = Acceptor(self._rules, reader.parse_dimensions, self._settings.max_series, fuses=self._fuses)
            self._acceptors[reader.parse_dimensions] = acceptor
        return acceptor

    def _rules_of(self, registry: Registry) -> Rules:
        settings = self._settings
        return Rules(registry, int(settings.past_days * 86_400_000), int(settings.future_minutes * 60_000))

    async def submit(
        self, request_id: str, reader: Reader, body: bytes, wishes: Wishes, key: Key | None
    ) -> Receipt | Problem:
        """Judge the events of a body and make them durable, the rejected ones as dead letters."""
        if (refusal := self.commit.refusal()) is not None:
            return _unavailable(refusal)
        started = time.perf_counter()
        batch = reader.read(body, self._settings.max_events, wishes.id_prefix)
        if isinstance(batch, Problem):
            return batch
        if not batch.size:
            return self._receipt(request_id, 0, [], {})
        if key is not None and (overdrawn := self._access.charge(key, batch.size)):
            return overdrawn
        arrival_ms = self._clock()
        sender = ANYONE if key is None else Sender(key.id, key.series_limit)
        verdict = self._acceptor(reader).accept(batch.events, arrival_ms, sender, wishes.history)
        accepted, rejected = _settled(batch, verdict, wishes.atomic)
        del batch, verdict  # the decoded events are not needed while Kafka works
        self._telemetry.judged(time.perf_counter() - started)
        origin = deadletters.Origin(request_id, arrival_ms, reader.name, key.id if key else None)
        letters = deadletters.encode(origin, rejected) if rejected else ()
        outcome = await self.commit.commit(accepted, letters)
        if not isinstance(outcome, Committed):
            return _unavailable(outcome)
        events = len(accepted) if accepted else 0
        self._telemetry.committed(events, rejected)
        if rejected:
            self._tallies.rejected(request_id, origin.key, rejected)
        return self._receipt(request_id, events, rejected, outcome.next_offsets)

    def _receipt(
        self, request_id: str, accepted: int, rejected: list[RejectedEvent], next_offsets: dict[int, int]
    ) -> Receipt:
        offsets = ",".join(f"{partition}:{offset}" for partition, offset in sorted(next_offsets.items()))
        body = msgspec.json.encode(
            {
                "request_id": request_id,
                "accepted": accepted,
                "rejected": len(rejected),
                "errors": [_error(event) for event in rejected],
                "position": f"{self._publisher.topic_id[:POSITION_PREFIX]};{offsets}",
            }
        )
        return Receipt(422 if rejected and not accepted else 202, body)


def _unavailable(refusal: NotCommitted) -> Problem:
    return unavailable(refusal.code, refusal.detail, RETRY_AFTER_S[refusal.code])


def _settled(
    batch: Batch[SentEvent], verdict: Accepted, atomic: bool
) -> tuple[EventColumns | None, list[RejectedEvent]]:
    """What is sent on, and what is rejected: of an atomic request with one bad event, everything."""
    if atomic and (verdict.rejected or batch.undecodable):
        verdicts = {position: verdict.rejected.get(position, _ANOTHER) for position in range(len(batch.events))}
        return None, batch.rejected(verdicts)
    return (verdict.columns if len(verdict.columns) else None), batch.rejected(verdict.rejected)


def _error(event: RejectedEvent) -> dict[str, object]:
    return {
        "index": event.index,
        "id": event.id,
        "field": event.verdict.field,
        "code": event.verdict.reason.value,
        "message": event.verdict.message,
    }


def new_request_id() -> str:
    return os.urandom(16).hex()
