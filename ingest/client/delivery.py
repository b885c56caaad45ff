"""How a batch is delivered: what to send, how long to wait, when to give up. No network and no clock of its own.

`deliver` is a generator of steps. Whoever drives it performs each `Post` and hands the answer back, sleeps for each
`Pause`, and notes each `Settled`; a thread and an event loop do so with a few lines each.
"""

from __future__ import annotations

import gzip
import itertools
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from ingest.client.answers import Again, Answer, Denied, NoAnswer, Refusal, TooLarge, Verdicts, meaning
from ingest.client.wire import CONTENT_TYPE, OutgoingEvent

EVENTS_PATH: Final = "/v1/events"


@dataclass(frozen=True, slots=True)
class Target:
    """Where events go, and with what. Raises ValueError for an address that is none."""

    url: str
    key: str | None = field(default=None, repr=False)
    parameters: str = ""
    """Query of the address, such as `import=true`."""
    gzip_bytes: int | None = 32 * 1024
    """Bodies above this size are compressed; None: none is."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{self.url!r} is no address: http://HOST:PORT is expected")
        _ = parts.port  # raises ValueError beyond 65535
        if parts.path.rstrip("/").endswith(EVENTS_PATH):
            raise ValueError(f"{self.url!r}: the address of the server is expected, without {EVENTS_PATH}")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and self.key):
            raise ValueError("a key is printable ASCII")

    @property
    def address(self) -> str:
        query = f"?{self.parameters}" if self.parameters else ""
        return f"{self.url.rstrip('/')}{EVENTS_PATH}{query}"

    @property
    def authorization(self) -> dict[str, str]:
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try. Waits double from `first_s` to `longest_s`, each shortened at random by up to a half; a
    `Retry-After` is kept to the second, and then a little more."""

    first_s: float = 0.2
    longest_s: float = 10.0
    denied_s: float = 10.0
    """How long 401 and 403 are tried again: a new key is known everywhere within 5 s."""
    give_up_s: float | None = None
    """How long one batch is tried; None: for ever."""


@dataclass(frozen=True, slots=True)
class Senses:
    """What a delivery may know of the world: seconds that only grow, the time of day, and chance from 0 to 1."""

    monotonic_s: Callable[[], float]
    wall_s: Callable[[], float]
    random: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Post:
    """Send this body; `attempt` counts from 0 for each body."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    events: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the same body is sent again."""

    seconds: float
    reason: str
    status: int = 0
    """0: there was no answer."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the next events of the batch, in their order: these need nothing more."""

    events: Sequence[OutgoingEvent]
    outcome: Verdicts | Refusal


Step = Post | Pause | Settled
Delivery = Generator[Step, Answer | NoAnswer | None, None]


def deliver(events: Sequence[OutgoingEvent], target: Target, patience: Patience, senses: Senses) -> Delivery:
    """Steps until every event is settled. What is too large is sent in halves, down to single events."""
    parts = deque([events] if events else [])
    while parts:
        part = parts.popleft()
        outcome = yield from _try(part, target, patience, senses)
        if isinstance(outcome, Verdicts):
            yield Settled(part, _with_ids(outcome, part))
        elif isinstance(outcome, Refusal):
            yield Settled(part, outcome)
        elif len(part) == 1:
            yield Settled(part, outcome.refusal)
        else:
            half = len(part) // 2
            parts.extendleft((part[half:], part[:half]))


def _try(
    events: Sequence[OutgoingEvent], target: Target, patience: Patience, senses: Senses
) -> Generator[Step, Answer | NoAnswer | None, Verdicts | Refusal | TooLarge]:
    """One body, sent until there is an answer to keep."""
    body, headers = _request(events, target)
    began = senses.monotonic_s()
    denied_since: float | None = None
    for attempt in itertools.count():
        answer = yield Post(body, headers, len(events), attempt)
        meant = meaning(answer or NoAnswer("no answer"), len(events), senses.wall_s())
        now = senses.monotonic_s()
        if isinstance(meant, Denied):
            denied_since = now if denied_since is None else denied_since
            if now - denied_since >= patience.denied_s:
                return meant.refusal
            meant = Again(None, str(meant.refusal), meant.refusal.status)
        elif not isinstance(meant, Again):
            return meant
        wait = wait_s(meant.after_s, attempt, patience, senses.random())
        if patience.give_up_s is not None and now + wait - began > patience.give_up_s:
            return Refusal(0, "gave_up", f"not taken in {patience.give_up_s:g} s; the last answer: {meant.reason}")
        yield Pause(wait, meant.reason, meant.status)
    raise AssertionError("unreachable")


def wait_s(asked_s: float | None, attempt: int, patience: Patience, chance: float) -> float:
    """Seconds before the next attempt; `chance` (0 to 1) keeps clients from coming back all at once."""
    if asked_s is not None:
        return asked_s + max(patience.first_s, asked_s / 10) * (0.5 + chance / 2)
    return min(patience.first_s * 2.0 ** min(attempt, 30), patience.longest_s) * (0.5 + chance / 2)


def _with_ids(verdicts: Verdicts, events: Sequence[OutgoingEvent]) -> Verdicts:
    """An event that is no JSON has an id all the same, although ingest could not read it."""
    named = tuple(replace(rejection, id=events[rejection.index].id) for rejection in verdicts.rejected)
    return replace(verdicts, rejected=named)


def _request(events: Sequence[OutgoingEvent], target: Target) -> tuple[bytes, dict[str, str]]:
    body = b"\n".join(event.text for event in events)
    headers = {"Content-Type": CONTENT_TYPE, **target.authorization}
    if target.gzip_bytes is not None and len(body) > target.gzip_bytes:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, compresslevel=1, mtime=0)
    return body, headers
