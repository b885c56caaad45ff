"""The write side under test as real processes, and one round of load and faults on it."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec

from ingest.log import Topics
from tallyboard.kafka import BrokerPlan
from tests.chaos import write_log
from tests.chaos.checker import SIGTERM, Found, violations
from tests.chaos.clients import Clients
from tests.chaos.faults import BROKER, QUOTA, Fault, Lane, schedule, torment_broker
from tests.chaos.history import History, Strike
from tests.chaos.nemesis import RoleVictim
from tests.chaos.proxied_kafka import ProxiedKafka, quiet_port
from tests.chaos.proxy import Proxy

LANES = ("a", "b", "c")
CLIENTS = 6
"""Connections to each ingest process."""
HEAL_S = 60.0
"""Longest time from the last fault to every process taking events again."""
ROUND_S = 240.0
_TOPICS = Topics()


@dataclass(slots=True)
class WriteSide:
    """A broker, ingest processes each behind a proxy of its own, and the history of what happens to them."""

    folder: Path
    kafka: ProxiedKafka
    history: History
    lanes: dict[str, Lane] = field(default_factory=dict)
    begin: float = field(default_factory=time.monotonic)

    def now_s(self) -> float:
        return time.monotonic() - self.begin

    def clients(self, count: int = CLIENTS) -> list[Clients]:
        return [Clients(name, lane.victim.port, count, self.history, self.now_s) for name, lane in self.lanes.items()]


def environment(folder: Path, bootstrap: str, **more: str) -> dict[str, str]:
    """What an ingest process gets: nothing of this machine's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLYBOARD_")}
    return {**kept, "TALLYBOARD_KAFKA": bootstrap, "TALLYBOARD_WORKSPACE": str(folder), **more}


@asynccontextmanager
async def write_side(folder: Path, jars: Path, seed: int) -> AsyncIterator[WriteSide]:
    """Everything started and ready."""
    ports = {name: (quiet_port(), quiet_port()) for name in LANES}
    doors = dict(ports.values())
    kafka = ProxiedKafka(BrokerPlan(folder / "kafka", quiet_port(), jars), doors)
    running = WriteSide(folder, kafka, History(seed))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=5.0, trust_env=False))
        stack.callback(kafka.kill)
        starting = asyncio.create_task(asyncio.to_thread(kafka.start))
        for name, (door, port) in ports.items():
            proxy = Proxy(port, door)
            await proxy.start()
            stack.push_async_callback(proxy.close)
            settings = environment(folder, f"127.0.0.1:{port}")
            victim = RoleVictim(name, folder, settings, client, role="ingest", port=quiet_port())
            stack.callback(victim.bury)
            running.lanes[name] = Lane(victim, proxy, running.history, running.now_s)
        await starting
        for lane in running.lanes.values():
            await lane.victim.start()
        for lane in running.lanes.values():
            assert await lane.until_ready(HEAL_S), lane.victim.log.read_text()
        running.begin = time.monotonic()
        yield running


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run, complete enough to be judged again."""

    history: History
    found: Found

    def keep(self, path: Path) -> None:
        path.write_bytes(msgspec.json.encode(self))


@dataclass(slots=True)
class Round:
    """One broker, its ingest processes, a schedule of faults, and what was found afterwards."""

    seed: int
    evidence: Evidence
    seconds: float
    wrong: list[str]

    def faults(self) -> Counter[str]:
        """How many of each kind were done and found what they aim at."""
        return Counter(strike.fault for strike in self.evidence.history.strikes if strike.hit)

    def summary(self) -> str:
        found = self.evidence.found
        return (
            f"seed {self.seed}: {sum(self.faults().values())} faults in {self.seconds:.0f} s {dict(self.faults())}; "
            f"{len(self.evidence.history.requests)} requests, sends {self.evidence.history.counts()}; "
            f"{sum(map(len, found.events.values()))} events and {len(found.letters)} dead letters in the log"
        )


async def run_round(folder: Path, jars: Path, seed: int, quota: Mapping[Fault, int] = QUOTA) -> Round:
    """Start everything, do the faults under load, let it heal, end it in good order, read the log and judge.

    The evidence stands in `folder`/evidence.json, however it ends.
    """
    async with write_side(folder, jars, seed) as running:
        evidence = Evidence(running.history, Found("", {}))
        try:
            sick = await _load_and_faults(running, quota)
            seconds = running.now_s()
            found = await asyncio.to_thread(write_log.read, running.kafka.bootstrap, _TOPICS)
            evidence = Evidence(running.history, found)
        finally:
            evidence.keep(folder / "evidence.json")
    return Round(seed, evidence, seconds, [*sick, *violations(running.history, found)])


async def _load_and_faults(running: WriteSide, quota: Mapping[Fault, int]) -> list[str]:
    """Returns what does not heal, in sentences. Ends with SIGTERM for every ingest process, under load."""
    plan = schedule(running.history.seed, list(running.lanes), quota)
    clients = running.clients()
    sending = [asyncio.create_task(group.run()) for group in clients]
    try:
        async with asyncio.timeout(ROUND_S):
            async with asyncio.TaskGroup() as group:
                group.create_task(torment_broker(running.kafka, plan[BROKER], running.history, running.now_s))
                for name, lane in running.lanes.items():
                    group.create_task(lane.torment(plan[name]))
        sick = await _heal(running, clients)
        ends = [Strike(SIGTERM, name, running.now_s()) for name in running.lanes]
        running.history.strikes.extend(ends)
        await asyncio.gather(*(running.lanes[end.lane].end(end) for end in ends))
        for end in ends:
            end.until_s = running.now_s()
        return sick
    finally:
        for one in clients:
            one.stop()
        for task in sending:
            await task


async def _heal(running: WriteSide, clients: list[Clients]) -> list[str]:
    """Wait until each process is ready and has acknowledged something since the last fault."""
    healthy_s = running.now_s()
    deadline = healthy_s + HEAL_S
    sick = [one.lane for one in clients]
    while sick and running.now_s() < deadline:
        await asyncio.sleep(0.05)
        sick = [one.lane for one in clients if one.acknowledged_s < healthy_s]
    return [f"{name} takes no events {HEAL_S:g} s after the last fault" for name in sick]
