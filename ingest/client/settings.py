"""What a client can be told, and what it tells: settings, counts, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypedDict

from ingest.client.answers import Refusal, Rejection
from ingest.client.wire import OutgoingEvent

DEFAULT_URL: Final = "http://127.0.0.1:8080"

WhenFull = Literal["block", "drop_newest", "drop_oldest", "raise"]
OnRejected = Callable[[Rejection, OutgoingEvent], object]
OnError = Callable[[Refusal, Sequence[OutgoingEvent]], object]


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of `Client` and `AsyncClient`, with its default. Raises ValueError for one that cannot be."""

    key: str | None = field(default=None, repr=False)
    batch_events: int = 500
    """Most events in one request."""
    batch_bytes: int = 512 * 1024
    """Most bytes in one request, before compression; one event alone may have more."""
    linger_s: float = 0.1
    """How long the first event of a batch waits for company."""
    queue_events: int = 100_000
    """Most events that wait or are on their way."""
    queue_bytes: int = 64 * 1024 * 1024
    when_full: WhenFull = "drop_newest"
    """What becomes of an event for which there is no room."""
    gzip_bytes: int | None = 32 * 1024
    """Requests above this size are compressed; None: none is."""
    timeout_s: float = 15.0
    """Longest wait for a connection, and for an answer."""
    give_up_s: float | None = None
    """How long one batch is tried; None: for ever, while the queue holds."""
    exit_s: float = 5.0
    """How long the end of the program waits for what is queued."""
    on_rejected: OnRejected | None = None
    """Called for every event that ingest rejected."""
    on_error: OnError | None = None
    """Called for events that are given up without a verdict."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch_events <= min(10_000, self.queue_events):
            raise ValueError("batch_events is from 1 to 10,000, and not above queue_events")
        if not 1 <= self.batch_bytes <= self.queue_bytes:
            raise ValueError("batch_bytes is positive, and not above queue_bytes")
        if self.when_full not in ("block", "drop_newest", "drop_oldest", "raise"):
            raise ValueError(f"when_full is block, drop_newest, drop_oldest or raise, not {self.when_full!r}")
        if self.timeout_s <= 0 or self.linger_s < 0:
            raise ValueError("timeout_s is positive, linger_s is not negative")


class Options(TypedDict, total=False):
    """The fields of `Settings` as keyword arguments."""

    key: str | None
    batch_events: int
    batch_bytes: int
    linger_s: float
    queue_events: int
    queue_bytes: int
    when_full: WhenFull
    gzip_bytes: int | None
    timeout_s: float
    give_up_s: float | None
    exit_s: float
    on_rejected: OnRejected | None
    on_error: OnError | None


@dataclass(slots=True)
class Stats:
    """Counts of events since the client was made, `retries` of requests.

    Every event given to the client is in exactly one of `queued`, `accepted`, `rejected`, `refused` and `dropped`.
    """

    queued: int = 0
    """Waiting, or on their way."""
    sent: int = 0
    """Sent at least once."""
    accepted: int = 0
    rejected: int = 0
    """Refused one by one, with a verdict; ingest keeps them."""
    refused: int = 0
    """Given up with their whole request, see `on_error`."""
    dropped: int = 0
    """No room in the queue, or the client was closed before they could be sent."""
    retries: int = 0


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of the events of one `send_batch`. `position`, as `min_position` of a query, waits for them."""

    accepted: int
    rejected: tuple[Rejection, ...]
    position: str


class EventsLost(Exception):
    """Events of a `send_batch` were given up, with no verdict; they may be durable all the same, or not."""

    def __init__(self, lost: int, refusal: Refusal, result: BatchResult) -> None:
        super().__init__(f"{lost} events were given up: {refusal}")
        self.lost, self.refusal, self.result = lost, refusal, result


class QueueFull(Exception):
    """There is no room in the queue, and `when_full` is "raise"."""


class ClientClosed(RuntimeError):
    """The client takes no more events."""
