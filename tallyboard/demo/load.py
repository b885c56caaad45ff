"""A load generator: seeded random events at a chosen rate over several connections, with a count of what was taken."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from ingest.client.answers import Again, Answer, NoAnswer, Refusal, Verdicts, meaning
from ingest.client.delivery import Patience, Target, wait_s
from tallyboard.demo.sender import said
from tallyboard.failure import Failure

COUNTRIES = ("NL", "DE", "FR", "ES", "IT", "PL")
_PATIENCE = Patience()
_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `count` events in all (None: until `seconds` are over), `rate` a second (0: as fast as taken)."""

    rate: float = 1000.0
    series: int = 600
    batch: int = 500
    connections: int = 4
    ids: bool = True
    seed: int = 1
    seconds: float | None = 60.0
    count: int | None = None


@dataclass(slots=True)
class Tally:
    """What happened. `took_s` is from the first request to the last answer."""

    accepted: int = 0
    rejected: int = 0
    retries: int = 0
    requests: int = 0
    took_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        ordered = sorted(self.latencies_ms) or [0.0]
        p50, p99 = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.99))
        speed = self.accepted / self.took_s if self.took_s else 0.0
        return (
            f"{self.accepted:,} events accepted, {self.rejected:,} rejected in {self.took_s:.1f} s ({speed:,.0f}/s); "
            f"{self.requests:,} requests, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {self.retries:,} retries"
        )


def series_fragments(count: int) -> list[str]:
    """The JSON of `count` different dimension sets: a product, sold in one of six countries."""
    return [f'"dimensions":{{"country":"{COUNTRIES[n % 6]}","product":"p{n // 6}"}}' for n in range(count)]


def body(load: Load, fragments: list[str], number: int, size: int, now_ms: int, run: str) -> bytes:
    """Batch `number` as a JSON array: its values and series depend on the seed and the number alone."""
    draw = random.Random(f"{load.seed}/{number}")
    events = []
    for index in range(size):
        event_id = f',"id":"{run}-{number}-{index}"' if load.ids else ""
        series = fragments[int(draw.random() * len(fragments))]
        value = draw.lognormvariate(3.0, 1.0)
        events.append(f'{{"metric":"load.value","value":{value:.3f},"timestamp":{now_ms},{series}{event_id}}}')
    return f"[{','.join(events)}]".encode()


def sizes(load: Load) -> Iterator[int]:
    """How many events each batch has."""
    if load.count is None:
        yield from itertools.repeat(load.batch)
    for start in range(0, load.count or 0, load.batch):
        yield min(load.batch, (load.count or 0) - start)


async def generate(target: Target, load: Load, run: str) -> Tally:
    """Send until the count or the time is reached. Raises `Failure` when ingest stays away or refuses the requests."""
    tally = Tally()
    fragments = series_fragments(load.series)
    numbered = enumerate(sizes(load))
    begin = time.monotonic()
    limits = httpx.Limits(max_connections=load.connections)
    async with httpx.AsyncClient(timeout=30.0, trust_env=False, limits=limits) as client:

        async def connection() -> None:
            for number, size in numbered:
                due = begin + number * load.batch / load.rate if load.rate else begin
                if load.seconds is not None and max(due, time.monotonic()) > begin + load.seconds:
                    return
                await asyncio.sleep(max(due - time.monotonic(), 0))
                content = body(load, fragments, number, size, time.time_ns() // 1_000_000, run)
                await _send(client, target, content, size, tally)

        async with asyncio.TaskGroup() as group:
            for _connection in range(load.connections):
                group.create_task(connection())
    tally.took_s = time.monotonic() - begin
    return tally


async def _send(client: httpx.AsyncClient, target: Target, content: bytes, size: int, tally: Tally) -> None:
    """Send one batch of `size` events, the same bytes again until it is taken."""
    for attempt in range(_ATTEMPTS):
        begin = time.monotonic()
        meant = meaning(await _post(client, target, content), size, time.time())
        if isinstance(meant, Verdicts):
            tally.accepted += meant.accepted
            tally.rejected += len(meant.rejected)
            tally.requests += 1
            tally.latencies_ms.append((time.monotonic() - begin) * 1000)
            return
        if not isinstance(meant, Again):
            refusal = meant if isinstance(meant, Refusal) else meant.refusal
            raise Failure(f"{target.address} refused the events: {said(refusal)}.")
        tally.retries += 1
        await asyncio.sleep(wait_s(meant.after_s, attempt, _PATIENCE, random.random()))
    raise Failure(f"{target.address} did not take a batch in {_ATTEMPTS} attempts.")


async def _post(client: httpx.AsyncClient, target: Target, content: bytes) -> Answer | NoAnswer:
    headers = {"Content-Type": "application/json", **target.authorization}
    try:
        heard = await client.post(target.address, content=content, headers=headers)
    except httpx.TransportError as error:
        return NoAnswer(str(error))
    return Answer(heard.status_code, heard.content, dict(heard.headers))
