"""Faults of the write side: what there is, a seeded schedule of them, and doing them to real processes.

Each ingest process has a lane of its own: kills, orderly ends and a link to Kafka that misbehaves. The broker has one
too, and its faults hit every lane. The lanes go on beside each other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tallyboard.failure import Failure
from tallyboard.kafka import EmbeddedKafka
from tests.chaos.checker import SIGKILL, SIGTERM
from tests.chaos.history import History, Strike
from tests.chaos.nemesis import RoleVictim
from tests.chaos.proxy import Proxy

BROKER = "broker"
_LOOK_S = 0.05
_READY_WITHIN_S = 20.0
_HIT_WITHIN_S = 8.0
_END_WITHIN_S = 25.0
_RESTART_WITHIN_S = 60.0
_LONG_FROM = 0.85
_LONG_S = 6.5
"""Longer than ingest waits for Kafka: the sends fail, and the producer is replaced."""
_REST_S = (0.05, 0.5)
_RESET_BYTES = 20_000


class Fault(StrEnum):
    """Everything that is done to the write side."""

    INGEST_KILL = SIGKILL
    INGEST_TERM = SIGTERM
    ACK_LOST = "acknowledgement lost, connection reset"
    ACK_SILENT = "acknowledgement lost, connection silent"
    ACKS_LOST = "every acknowledgement lost for a while"
    RESET = "connection to Kafka reset after N bytes"
    SLOW = "slow link to Kafka"
    BLACKHOLE = "silent link to Kafka"
    BROKER_KILL = "broker SIGKILL"
    BROKER_FREEZE = "broker SIGSTOP, SIGCONT"


QUOTA: dict[Fault, int] = {
    Fault.INGEST_KILL: 6,
    Fault.INGEST_TERM: 6,
    Fault.ACK_LOST: 15,
    Fault.ACK_SILENT: 2,
    Fault.ACKS_LOST: 3,
    Fault.RESET: 12,
    Fault.SLOW: 4,
    Fault.BLACKHOLE: 4,
    Fault.BROKER_KILL: 2,
    Fault.BROKER_FREEZE: 4,
}
"""Faults of one round."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come: after `rest_s` of peace, `size` (0 to 1) small or large."""

    fault: Fault
    rest_s: float
    size: float

    @property
    def lasts_s(self) -> float:
        """Of the faults that last."""
        return _LONG_S if self.size > _LONG_FROM else 0.2 + 1.5 * self.size


def schedule(seed: int, lanes: Sequence[str], quota: Mapping[Fault, int]) -> dict[str, list[Planned]]:
    """Lane → its faults in order; every ingest lane gets some of each kind in turn. Sizes are spread evenly."""
    draw = random.Random(f"{seed}/faults")
    plan: dict[str, list[Planned]] = {name: [] for name in (*lanes, BROKER)}
    turn = draw.randrange(len(lanes))
    for fault, count in quota.items():
        sizes = [(number + draw.random()) / count for number in range(count)]
        draw.shuffle(sizes)
        for size in sizes:
            turn += 1
            broker = fault in (Fault.BROKER_KILL, Fault.BROKER_FREEZE)
            lane = BROKER if broker else lanes[turn % len(lanes)]
            plan[lane].append(Planned(fault, draw.uniform(*_REST_S) * (6 if broker else 1), size))
    for faults in plan.values():
        draw.shuffle(faults)
    return plan


@dataclass(slots=True)
class Lane:
    """One ingest process and its link to Kafka."""

    victim: RoleVictim
    proxy: Proxy
    history: History
    now_s: Callable[[], float]

    async def until_ready(self, seconds: float = _READY_WITHIN_S) -> bool:
        deadline = self.now_s() + seconds
        while self.now_s() < deadline:
            if self.victim.alive and await self.victim.ready():
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    async def torment(self, plan: Sequence[Planned]) -> None:
        """Do the faults one after the other, each on a process that is ready (or has had the time to be)."""
        for planned in plan:
            await self.until_ready()
            await asyncio.sleep(planned.rest_s)
            strike = Strike(str(planned.fault), self.victim.name, self.now_s())
            self.history.strikes.append(strike)
            await self._do(planned, strike)
            strike.until_s = self.now_s()

    async def _do(self, planned: Planned, strike: Strike) -> None:
        match planned.fault:
            case Fault.INGEST_KILL:
                strike.at_s = self.now_s()
                self.victim.kill()
                await self.restart()
            case Fault.INGEST_TERM:
                await self.end(strike)
                await self.restart()
            case Fault.ACK_LOST | Fault.ACK_SILENT:
                self.proxy.lose_ack(then_reset=planned.fault is Fault.ACK_LOST)
                strike.hit = await self._until_hit()
            case Fault.RESET:
                self.proxy.reset_after(1 + int(planned.size * _RESET_BYTES))
                strike.hit = await self._until_hit()
            case Fault.ACKS_LOST:
                self.proxy.lose_acks()
                await asyncio.sleep(_LONG_S)
            case Fault.SLOW:
                self.proxy.delay_s = 0.02 + 0.3 * planned.size
                await asyncio.sleep(planned.lasts_s)
            case _:
                self.proxy.blackhole()
                await asyncio.sleep(planned.lasts_s)
        self.proxy.heal()

    async def _until_hit(self) -> bool:
        """What waits for its moment mostly finds it soon: clients send all the time."""
        before, deadline = self.proxy.acks_lost + self.proxy.resets, self.now_s() + _HIT_WITHIN_S
        while self.proxy.acks_lost + self.proxy.resets == before:
            if self.now_s() > deadline:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    async def end(self, strike: Strike) -> None:
        """SIGTERM, and wait for the end."""
        strike.at_s = self.now_s()
        strike.exit_code = await asyncio.to_thread(self.victim.terminate, _END_WITHIN_S)

    async def restart(self) -> None:
        """Start it again, and once more if it does not stay."""
        deadline = self.now_s() + _READY_WITHIN_S
        while not self.victim.alive and self.now_s() < deadline:
            await self.victim.start()
            await self.until_ready(_READY_WITHIN_S / 2)


async def torment_broker(
    kafka: EmbeddedKafka, plan: Sequence[Planned], history: History, now_s: Callable[[], float]
) -> None:
    """Do the broker's faults one after the other."""
    for planned in plan:
        await asyncio.sleep(planned.rest_s)
        strike = Strike(str(planned.fault), BROKER, now_s())
        history.strikes.append(strike)
        if planned.fault is Fault.BROKER_KILL:
            await asyncio.to_thread(kafka.kill)
            await restart_broker(kafka, now_s)
        else:
            kafka.freeze()
            try:
                await asyncio.sleep(planned.lasts_s)
            finally:
                kafka.thaw()
        strike.until_s = now_s()


async def restart_broker(kafka: EmbeddedKafka, now_s: Callable[[], float]) -> None:
    """Start it on its old port, which a connection of somebody else may hold for a moment."""
    deadline = now_s() + _RESTART_WITHIN_S
    while True:
        try:
            await asyncio.to_thread(kafka.start)
        except Failure:
            if now_s() > deadline:
                raise
            await asyncio.sleep(_LOOK_S)
        else:
            return
