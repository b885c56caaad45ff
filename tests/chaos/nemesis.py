"""Four processes and what kills them: each role and the broker is ended with SIGKILL on a seeded schedule and started
again at once, as a supervisor would."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from tallyboard.failure import Failure
from tallyboard.kafka import EmbeddedKafka, free_port
from tallyboard.lifeline import Child

REPOSITORY = Path(__file__).parents[2]
_LOOK_S = 0.05
_READY_WITHIN_S = 10.0
_BLIND = 0.3
_FIRST_GUESS_S = 1.2
_DWELL_S = {"broker": (0.5, 9.0)}
_SHORT_DWELL_S = (0.1, 2.0)


class Victim(Protocol):
    """Something that is killed and started again."""

    name: str

    @property
    def alive(self) -> bool: ...
    async def start(self) -> None: ...
    async def ready(self) -> bool: ...
    def kill(self) -> None: ...


class BrokerVictim:
    """The broker; it takes seconds to start, in a thread."""

    name = "broker"

    def __init__(self, kafka: EmbeddedKafka) -> None:
        self._kafka = kafka
        self._ready = self.alive

    @property
    def alive(self) -> bool:
        return self._kafka.pid is not None

    async def start(self) -> None:
        try:
            await asyncio.to_thread(self._kafka.start)
            self._ready = True
        except Failure:
            pass  # killed while it was starting, or what is left of the last one still ends: its keeper tries again

    async def ready(self) -> bool:
        return self._ready

    def kill(self) -> None:
        self._ready = False
        pid = self._kafka.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)  # `EmbeddedKafka.kill` would wait for a start under way


class RoleVictim:
    """One role as its own process; what it prints goes to a file."""

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: Mapping[str, str],
        client: httpx.AsyncClient,
        role: str | None = None,
        port: int | None = None,
    ) -> None:
        """`name` is the role's, unless several processes of one `role` run; without a `port` it gets a free one."""
        self.port = port or free_port()
        self.name = name
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self._command = (sys.executable, "-P", "-m", "tallyboard", role or name, "--port", str(self.port))
        self._environment = {**environment, "PYTHONPATH": str(REPOSITORY)}
        self._client = client
        self._child: Child | None = None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._child.process.pid if self._child is not None and self.alive else None

    async def start(self) -> None:
        self.bury()
        with self.log.open("ab") as out:
            self._child = Child(self._command, stdout=out, env=self._environment)

    async def ready(self) -> bool:
        try:
            return (await self._client.get(f"{self.url}/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.process.wait()

    def terminate(self, seconds: float) -> int | None:
        """Ask it to end (SIGTERM) and wait; its exit code, or None when it had to be killed. Blocks."""
        assert self._child is not None
        self._child.terminate()
        try:
            return self._child.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def bury(self) -> None:
        """Kill it and whatever is left of it."""
        if self._child is not None:
            self.kill()
            self._child.release()


@dataclass(frozen=True, slots=True)
class Strike:
    """One kill: `aimed` waits until the victim is ready, else it may hit the start; then `dwell_s` pass."""

    aimed: bool
    dwell_s: float


def schedule(seed: int, kills: Mapping[str, int]) -> dict[str, list[Strike]]:
    """Strikes by victim. The first of each is aimed, so that there is something to lose; the broker, whose outage is
    everyone's, is left alone for longer."""
    strikes: dict[str, list[Strike]] = {}
    for name, count in kills.items():
        draw = random.Random(f"{seed}/{name}")
        aims = [number == 0 or draw.random() >= _BLIND for number in range(count)]
        strikes[name] = [Strike(aimed, draw.uniform(*_DWELL_S.get(name, _SHORT_DWELL_S))) for aimed in aims]
    return strikes


@dataclass(slots=True)
class Nemesis:
    """Kills by schedule; keeps everything running meanwhile and after."""

    victims: Sequence[Victim]
    strikes: Mapping[str, Sequence[Strike]]
    aftermath: Mapping[str, Callable[[], Coroutine[None, None, None]]]
    """What is to happen after a kill, by victim; it goes on beside the next kills."""
    kills: list[tuple[float, str]] = field(default_factory=list)
    """When (seconds since the start) and who."""
    exits: list[tuple[float, str]] = field(default_factory=list)
    """Processes that ended without being killed."""
    _begin: float = field(default_factory=time.monotonic)
    _killed: set[str] = field(default_factory=set)

    @property
    def planned(self) -> int:
        return sum(map(len, self.strikes.values()))

    @property
    def done(self) -> bool:
        return len(self.kills) == self.planned

    def left_s(self) -> float:
        """About how long the rest of the kills will take."""
        spent = time.monotonic() - self._begin
        each = (spent + 4 * _FIRST_GUESS_S) / (len(self.kills) + 4)
        return each * (self.planned - len(self.kills))

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Start again whatever has ended, until the block is left."""
        self._killed |= {victim.name for victim in self.victims if not victim.alive}
        keepers = [asyncio.create_task(self._keep(victim)) for victim in self.victims]
        try:
            yield
        finally:
            for keeper in keepers:
                keeper.cancel()
            ends = await asyncio.gather(*keepers, return_exceptions=True)
            for error in ends:
                if isinstance(error, Exception):
                    raise error

    async def _keep(self, victim: Victim) -> None:
        while True:
            if not victim.alive:
                if victim.name not in self._killed:
                    self.exits.append((self._now(), victim.name))
                self._killed.discard(victim.name)
            while not victim.alive:
                await victim.start()
                await asyncio.sleep(_LOOK_S)
            await asyncio.sleep(_LOOK_S)

    async def run(self) -> None:
        """Carry the schedule out; returns after the last kill and its aftermath."""
        async with asyncio.TaskGroup() as group:
            for victim in self.victims:
                group.create_task(self._torment(victim, group))

    async def _torment(self, victim: Victim, group: asyncio.TaskGroup) -> None:
        for strike in self.strikes.get(victim.name, ()):
            deadline = time.monotonic() + _READY_WITHIN_S
            while not victim.alive or (strike.aimed and not await victim.ready()):
                if victim.alive and time.monotonic() > deadline:
                    break
                await asyncio.sleep(_LOOK_S)
            await asyncio.sleep(strike.dwell_s)
            await self._until_it_lives(victim)
            self._killed.add(victim.name)
            victim.kill()
            self.kills.append((self._now(), victim.name))
            if victim.name in self.aftermath:
                group.create_task(self.aftermath[victim.name]())

    async def _until_it_lives(self, victim: Victim) -> None:
        """It may have ended by itself meanwhile."""
        while not victim.alive:
            await asyncio.sleep(_LOOK_S)

    def _now(self) -> float:
        return round(time.monotonic() - self._begin, 2)
