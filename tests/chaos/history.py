"""What clients of the write side saw: every send as ok, failed or unknown, and every fault with its time.

Times are seconds on one monotonic clock, from the start of the run. Everything here is data: it is written to a file
as JSON, read back and judged again (`tests.chaos.checker`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

REFUSED_CONNECTION = "refused"
CUT = "cut by the client"
TIMEOUT = "timeout"
NOTHING_SENT = frozenset({"unavailable", "busy", "draining"})
"""Codes of 503 that promise that nothing of the request was sent to Kafka."""


class Outcome(StrEnum):
    """What is known about one send. `unknown`: it took effect or it did not."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What a request is made of."""

    GOOD = "good"
    MIXED = "mixed"
    """Some events are wrong: they are to be dead letters."""
    WRONG = "wrong"
    """Every event is wrong: 422."""
    ATOMIC = "atomic"
    """`?atomic=true` with one wrong event: all are to be dead letters."""
    KEYED = "keyed"
    """No ids of its own: `Idempotency-Key` gives them."""
    REFUSED = "refused"
    """A body that is refused as a whole."""
    CUT = "cut"
    """The client sends half of the body and goes away."""


@dataclass(slots=True)
class Attempt:
    """One send of a request and what came back."""

    began_s: float
    sent_s: float | None = None
    """When the last byte was handed to the kernel."""
    ended_s: float = 0.0
    status: int | None = None
    code: str = ""
    """The code of a problem answer."""
    error: str = ""
    """Why no answer came."""
    request_id: str = ""
    position: str = ""
    retry_after: str = ""
    accepted: int = 0
    rejected: dict[int, str] = field(default_factory=dict)
    """Index in the request → code of the verdict."""

    @property
    def outcome(self) -> Outcome:
        if self.status in (202, 422) and not self.code:
            return Outcome.OK
        if self.status is None:
            return Outcome.FAIL if self.error in (REFUSED_CONNECTION, CUT) else Outcome.UNKNOWN
        if self.status < 500 or (self.status == 503 and self.code in NOTHING_SENT):
            return Outcome.FAIL
        return Outcome.UNKNOWN


@dataclass(slots=True)
class Request:
    """Events that are sent together, each time with the same ids."""

    number: int
    lane: str
    """Name of the ingest process it goes to."""
    kind: Kind
    ids: tuple[str, ...]
    wrong: tuple[int, ...] = ()
    """Indexes of the events that no registry would take."""
    attempts: list[Attempt] = field(default_factory=list)

    def is_rejected(self, index: int) -> bool:
        """Whether the event has to be a dead letter, whenever its request is taken."""
        return index in self.wrong or (self.kind is Kind.ATOMIC and bool(self.wrong))


@dataclass(slots=True)
class Strike:
    """One fault that was done. `lane` is the ingest process it hit, or `broker`."""

    fault: str
    lane: str
    at_s: float
    until_s: float = 0.0
    """When it was over: the process runs again, the link is whole."""
    hit: bool = True
    """Whether it found what it aims at (an acknowledgement to lose, a byte to cut at)."""
    exit_code: int | None = None
    """Of a process that was asked to end; None if it had to be killed."""


@dataclass(slots=True)
class History:
    """Everything that was sent and everything that was done to the system, in no order."""

    seed: int
    requests: list[Request] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Outcome → number of sends."""
        found = {outcome.value: 0 for outcome in Outcome}
        for request in self.requests:
            for attempt in request.attempts:
                found[attempt.outcome.value] += 1
        return found


def value_of(id_: str) -> float:
    """The value an event with this id carries, so that the log shows whether id and value were mixed up."""
    return float(sum(ord(letter) * place for place, letter in enumerate(id_, 1)) % 100_000)
