"""Kafka away under load: what the clients are told, how much ingest holds meanwhile, and whether it comes back."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tallyboard.kafka import BrokerPlan, EmbeddedKafka
from tests.chaos.clients import PATH, record
from tests.chaos.faults import restart_broker
from tests.chaos.history import Attempt
from tests.chaos.nemesis import RoleVictim
from tests.chaos.proxied_kafka import quiet_port
from tests.chaos.raw_http import Connection
from tests.chaos.write_side import environment

EVENTS = 500
"""Events of a request."""
_LOOK_S = 0.1
_ANSWER_S = 25.0
_WITHIN_S = 60.0
_QUEUED = re.compile(r"^tallyboard_ingest_queue_events (\S+)$", re.MULTILINE)


@dataclass(slots=True)
class Phase:
    """What was seen while Kafka was in one state."""

    name: str
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    """Status and code → requests; without an answer the error's name."""
    without_retry_after: int = 0
    queued: int = 0
    """Most events waiting at any look."""
    memory_mb: float = 0.0
    """Most memory (resident) of the ingest process at any look."""


@dataclass(slots=True)
class Outage:
    """A run; `phases` are `before`, `frozen`, `gone`, `after`."""

    phases: list[Phase]
    recovered_s: float
    """From the broker answering again to the first acknowledged request."""
    same_process: bool

    def phase(self, name: str) -> Phase:
        return next(phase for phase in self.phases if phase.name == name)

    @property
    def growth_mb(self) -> float:
        """How much more memory was held while Kafka was away than before."""
        return max(self.phase("frozen").memory_mb, self.phase("gone").memory_mb) - self.phase("before").memory_mb


@dataclass(slots=True)
class _Watch:
    """Load on one ingest process, and a look at it every `_LOOK_S`."""

    victim: RoleVictim
    http: httpx.AsyncClient
    pause_s: float
    phase: Phase
    _stopping: bool = False

    async def client(self, number: int) -> None:
        connection = Connection(self.victim.port)
        events = [
            {
                "metric": "chaos.load",
                "value": index,
                "id": f"{number}/{index}",
                "dimensions": {"shop": f"s{index % 50}"},
            }
            for index in range(EVENTS)
        ]
        body = json.dumps(events).encode()
        try:
            while not self._stopping:
                await self._request(connection, body)
                await asyncio.sleep(self.pause_s)
        finally:
            connection.close()

    async def _request(self, connection: Connection, body: bytes) -> None:
        attempt = Attempt(0.0)
        try:
            async with asyncio.timeout(_ANSWER_S):
                record(attempt, await connection.post(PATH, {"Content-Type": "application/json"}, body, lambda: None))
        except (OSError, EOFError) as error:
            self.phase.answers[type(error).__name__] += 1
            return
        self.phase.answers[f"{attempt.status} {attempt.code}".strip()] += 1
        refused = attempt.status == 503
        self.phase.without_retry_after += refused and not (attempt.retry_after.isdigit() and int(attempt.retry_after))

    async def look(self) -> None:
        while not self._stopping:
            try:
                text = (await self.http.get(f"{self.victim.url}/metrics")).text
            except httpx.TransportError:
                self.phase.answers["no metrics"] += 1
            else:
                found = _QUEUED.search(text)
                assert found is not None
                self.phase.queued = max(self.phase.queued, round(float(found[1])))
            if (pid := self.victim.pid) is not None:
                memory = psutil.Process(pid).memory_info().rss / 1e6
                self.phase.memory_mb = max(self.phase.memory_mb, round(memory, 1))
            await asyncio.sleep(_LOOK_S)

    async def spend(self, name: str, seconds: float) -> Phase:
        """Begin a phase and let it last."""
        self.phase = Phase(name, seconds)
        await asyncio.sleep(seconds)
        return self.phase

    async def until_acknowledged(self) -> float:
        """Seconds until a request of the phase is acknowledged."""
        begin = time.monotonic()
        while not self.phase.answers["202"]:
            assert time.monotonic() - begin < _WITHIN_S, f"nothing is taken again: {self.phase}"
            await asyncio.sleep(0.02)
        return round(time.monotonic() - begin, 2)

    def stop(self) -> None:
        self._stopping = True


async def outage(
    folder: Path, jars: Path, away_s: float, around_s: float, queue_events: int, connections: int = 32
) -> Outage:
    """Load for `around_s`; then Kafka hangs for half of `away_s`, is gone for the other half, and comes back.

    The load goes on all the time, without heed to Retry-After.
    """
    kafka = EmbeddedKafka(BrokerPlan(folder / "kafka", quiet_port(), jars))
    settings = environment(folder, kafka.bootstrap, TALLYBOARD_QUEUE_EVENTS=str(queue_events))
    async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as http:
        victim = RoleVictim("ingest", folder, settings, http, port=quiet_port())
        watch = _Watch(victim, http, 0.02, Phase("start"))
        tasks: list[asyncio.Task[None]] = []
        try:
            await asyncio.to_thread(kafka.start)
            await victim.start()
            deadline = time.monotonic() + _WITHIN_S
            while not await victim.ready():
                assert time.monotonic() < deadline, victim.log.read_text()
                await asyncio.sleep(_LOOK_S)
            pid = victim.pid
            tasks += [asyncio.create_task(watch.client(number)) for number in range(connections)]
            tasks.append(asyncio.create_task(watch.look()))
            phases = [await watch.spend("before", around_s)]
            kafka.freeze()
            phases.append(await watch.spend("frozen", away_s / 2))
            await asyncio.to_thread(kafka.kill)
            phases.append(await watch.spend("gone", away_s / 2))
            begin = time.monotonic()
            await restart_broker(kafka, lambda: time.monotonic() - begin)
            watch.phase = Phase("after")
            recovered_s = await watch.until_acknowledged()
            phases.append(await watch.spend("after", around_s))
            return Outage(phases, recovered_s, pid is not None and victim.pid == pid)
        finally:
            watch.stop()
            await asyncio.gather(*tasks)
            victim.bury()
            kafka.kill()
