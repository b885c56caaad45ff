"""The load: several connections that send batches of events with ids and do what a careful client does.

A batch is sent until it is acknowledged, always with the same ids; a few have the patience for one try only. What
became of each batch is the history the log and the answers are held against.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

import httpx

METRICS = ("orders", "payments", "visits")
COUNTRIES = ("NL", "DE", "FR", "BE", "ES", "IT")
PRODUCTS = 40
HISTORY_MS = 10 * 60_000
"""How far back event times go."""
CORRECTION = 1_000_000.0
"""A repeated event carries its value plus this: counting the repetition instead of the first changes every sum."""
_RETRY_S = 0.2
_PATIENCE = 500
_ANSWER_S = 12.0
_IMPATIENT = 0.05
_REPEATED = 0.06
_REPEATS_HELD = 4


@dataclass(frozen=True, slots=True)
class Load:
    """How much is sent: at least `events` acknowledged, over `connections`, in batches of `batch`."""

    events: int
    connections: int = 6
    batch: int = 250


class SentEvent(NamedTuple):
    """One event as the client made it."""

    id: str
    metric: str
    country: str
    product: str
    time_ms: int
    value: float

    def document(self) -> dict[str, object]:
        return {
            "metric": self.metric,
            "value": self.value,
            "timestamp": self.time_ms,
            "dimensions": {"country": self.country, "product": self.product},
            "id": self.id,
        }


@dataclass(slots=True)
class Batch:
    """One batch and what became of it."""

    number: int
    events: list[SentEvent]
    tries_left: int
    repeats: int | None = None
    """Number of the acknowledged batch whose ids it carries again."""
    outcome: Literal["open", "ok", "unknown"] = "open"
    answers: list[str] = field(default_factory=list)
    """What came back, try by try: a status, or the name of the error."""
    position: str = ""


class Senders:
    """Sends until enough is acknowledged and `goes_on` says no; at most about twice what the load asks for.

    Args:
        pause_s: seconds each connection rests between two batches, given the events still missing.
    """

    def __init__(
        self, url: str, load: Load, seed: int, goes_on: Callable[[], bool], pause_s: Callable[[int], float]
    ) -> None:
        self.history: list[Batch] = []
        self.surprises: list[str] = []
        """Answers no request may get."""
        self._url = f"{url}/v1/events"
        self._load = load
        self._seed = seed
        self._goes_on = goes_on
        self._pause_s = pause_s
        self._repeats: deque[Batch] = deque()
        self._numbers = itertools.count()
        self.acknowledged = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._connection() for _ in range(self._load.connections)))

    async def _connection(self) -> None:
        async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as client:
            while (batch := self._next()) is not None:
                self.history.append(batch)
                await self._deliver(client, batch)
                await asyncio.sleep(self._pause_s(self._load.events - self.acknowledged))

    def _next(self) -> Batch | None:
        over = self.acknowledged >= self._load.events and not self._goes_on()
        if len(self._repeats) > (0 if over else _REPEATS_HELD):
            return self._repeats.popleft()
        return None if over else self._new()

    def _new(self) -> Batch:
        number = next(self._numbers)
        draw = random.Random(f"{self._seed}/{number}")
        now_ms = time.time_ns() // 1_000_000
        events = [_event(f"{self._seed}-{number}-{i}", draw, now_ms) for i in range(self._load.batch)]
        return Batch(number, events, 1 if draw.random() < _IMPATIENT else _PATIENCE)

    def _repeat(self, batch: Batch) -> Batch:
        """The ids of an acknowledged batch again, in another order, some of them twice, with other values."""
        number = next(self._numbers)
        draw = random.Random(f"{self._seed}/{number}")
        events = [event._replace(value=event.value + CORRECTION) for event in batch.events]
        events += draw.sample(events, len(events) // 10)
        draw.shuffle(events)
        return Batch(number, events, _PATIENCE, repeats=batch.number)

    async def _deliver(self, client: httpx.AsyncClient, batch: Batch) -> None:
        body = json.dumps([event.document() for event in batch.events]).encode()
        while batch.tries_left:
            batch.tries_left -= 1
            if await self._try(client, batch, body):
                batch.outcome = "ok"
                if batch.repeats is None:
                    self.acknowledged += len(batch.events)
                    if random.Random(f"{self._seed}/{batch.number}/repeat").random() < _REPEATED:
                        self._repeats.append(self._repeat(batch))
                return
            await asyncio.sleep(_RETRY_S)
        batch.outcome = "unknown"

    async def _try(self, client: httpx.AsyncClient, batch: Batch, body: bytes) -> bool:
        """Whether the whole batch was acknowledged."""
        try:
            answer = await client.post(self._url, content=body, headers={"Content-Type": "application/json"})
        except httpx.TransportError as error:
            batch.answers.append(type(error).__name__)
            return False
        batch.answers.append(str(answer.status_code))
        if answer.status_code in (429, 503):
            return False
        told = answer.json()
        batch.position = str(told.get("position", ""))
        if answer.status_code != 202 or (told["accepted"], told["rejected"]) != (len(batch.events), 0):
            self.surprises.append(f"batch {batch.number}: {answer.status_code} {answer.text[:300]}")
        return True

    # --- the history ----------------------------------------------------------------------------------------------

    def ids(self, outcome: Literal["ok", "unknown"]) -> set[str]:
        """Ids of the batches (repeats left out) with this outcome."""
        return {event.id for b in self.history if b.outcome == outcome and b.repeats is None for event in b.events}

    def sent(self) -> dict[str, SentEvent]:
        """Id → the event as it was sent first."""
        return {event.id: event for batch in self.history if batch.repeats is None for event in batch.events}

    def answers(self) -> Counter[str]:
        return Counter(answer for batch in self.history for answer in batch.answers)

    def documents(self) -> list[dict[str, object]]:
        """The history without the events, for a file."""
        return [{**asdict(batch), "events": len(batch.events)} for batch in self.history]


def _event(id_: str, draw: random.Random, now_ms: int) -> SentEvent:
    """Most events are seconds old, some come minutes late."""
    age_ms = draw.uniform(0, HISTORY_MS) if draw.random() < 0.2 else min(draw.expovariate(1 / 2000), HISTORY_MS)
    return SentEvent(
        id_,
        draw.choice(METRICS),
        draw.choice(COUNTRIES),
        f"p{draw.randrange(PRODUCTS)}",
        now_ms - int(age_ms),
        draw.randrange(1, 100_000) / 100,
    )
