"""One write request, from its body to its answer: decode, judge, commit, report."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ingest import deadletters
from ingest.accept import Rules
from ingest.batches import Acceptor
from ingest.commit import Committed, GroupCommit
from ingest.problems import Problem, unavailable
from ingest.protocols import native
from ingest.publish import Publisher
from ingest.registry import Registry
from ingest.settings import IngestSettings
from ingest.telemetry import Telemetry
from ingest.verdicts import RejectedEvent

RETRY_AFTER_S: Final = {"busy": 1, "unavailable": 2, "outcome_unknown": 2, "draining": 5}
POSITION_PREFIX: Final = 8
"""Hex digits of the topic id that a position carries."""

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
        self, settings: IngestSettings, registry: Registry, publisher: Publisher, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        self._telemetry = telemetry
        rules = Rules(registry, int(settings.past_days * 86_400_000), int(settings.future_minutes * 60_000))
        self._acceptor = Acceptor(rules, native.parse_dimensions, settings.max_series)
        self.commit = GroupCommit(
            publisher,
            settings.topics,
            settings.flush_ms / 1000,
            settings.flush_events,
            settings.queue_events,
            telemetry.flushed,
        )

    async def submit(self, request_id: str, body: bytes, form: native.Form) -> Receipt | Problem:
        """Judge the events of a native body and make them durable, the rejected ones as dead letters."""
        batch = native.read(body, form, self._settings.max_events)
        if isinstance(batch, Problem):
            return batch
        arrival_ms = self._clock()
        verdict = self._acceptor.accept(batch.events, arrival_ms)
        rejected = batch.rejected(verdict.rejected)
        accepted = len(verdict.columns)
        size = batch.size
        del batch  # the decoded events are not needed while Kafka works
        if not size:
            return self._receipt(request_id, 0, [], {})
        letters = deadletters.encode(request_id, arrival_ms, "native", rejected) if rejected else ()
        outcome = await self.commit.commit(verdict.columns if accepted else None, letters)
        if not isinstance(outcome, Committed):
            return unavailable(outcome.code, outcome.detail, RETRY_AFTER_S[outcome.code])
        self._telemetry.accepted(accepted)
        for event in rejected:
            self._telemetry.rejected(event.verdict.reason)
        return self._receipt(request_id, accepted, rejected, outcome.next_offsets)

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


def _error(event: RejectedEvent) -> dict[str, object]:
    return {
        "index": event.index,
        "id": event.id,
        "field": event.verdict.field,
        "code": event.verdict.reason.value,
        "message": event.verdict.message,
    }


def new_request_id() -> str:
    return uuid.uuid4().hex
