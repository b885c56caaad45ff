"""Rollup workers that come, go and stand still under load: whoever owns a partition, every event is counted once."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.chaos import ledgers
from tests.chaos.late_writes import LateWrites
from tests.chaos.nemesis import Nemesis, RoleVictim
from tests.chaos.run import System, system
from tests.chaos.senders import METRICS, Load, Senders
from tests.chaos.test_exactly_once import ask_ledger, held_against_the_log, log_and_answers, positions_off
from tests.chaos.watcher import Watcher

SEED = 3
ADDITIONS = 1
"""Each takes about 11 s: Kafka waits that long for the one killed before. `--chaos-scale` makes them more."""
WITHIN_S = 60.0
"""Longest time for one change of owners: Kafka waits 10 s for a member that is silent."""
HEAL_S = 30.0
PARTITIONS = 4


@pytest.mark.chaos
async def test_every_event_is_counted_once_whoever_owns_its_partition(
    tmp_path: Path, kafka_jars: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """Workers are added and killed every few seconds. Then the one that was there all the time is stopped for longer
    than its session lasts, loses its partitions to another, and goes on as if nothing had been, in the midst of its
    batch: what it still writes is dropped."""
    for client in ("aiokafka", "kafka"):
        caplog.set_level(logging.CRITICAL, client)
    async with system(tmp_path, kafka_jars) as running:
        over = asyncio.Event()
        senders = Senders(running.roles["ingest"].url, Load(10_000, 4, 100), SEED, lambda: not over.is_set(), _rest)
        watcher = Watcher(running.client, running.roles["dashboard"].url, METRICS)
        keeper = Nemesis(list(running.roles.values()), {}, {})
        async with keeper.keeping():
            watching, sending = asyncio.create_task(watcher.run()), asyncio.create_task(senders.run())
            try:
                async with workers(running) as others:
                    additions = round(ADDITIONS * float(request.config.getoption("--chaos-scale", 1.0)))
                    await come_and_go(running, others, additions)
                    await stand_still(running, others)
            finally:
                over.set()
            await sending
            healing = time.monotonic()
            log, answers = await log_and_answers(running, senders)
            ledger = await ask_ledger(running)
            healed_s = time.monotonic() - healing
            watching.cancel()
        running.roles["dashboard"].bury()
        findings = held_against_the_log(senders, log, answers)
        findings.add("rows of the ledger that are wrong", ledgers.differences(ledger, log.events))
        findings.add("totals and watermarks that went back", watcher.went_back)
        findings.add("positions that are not the log's end", positions_off(running.database, log))
        # The one that stood still may find that Kafka's answer took too long, and start again: nobody else.
        findings.add("processes that ended by themselves", [str(one) for one in keeper.exits if one[1] != "rollup"])
        findings.add("workers whose position was not the log's", contradicted(tmp_path))
    assert not findings.sentences, findings.sentences
    assert healed_s < HEAL_S
    assert watcher.looks


def contradicted(folder: Path) -> list[str]:
    """Lines of the workers' logs about records that were not the expected ones."""
    lines = [line for path in folder.glob("rollup*.log") for line in path.read_text().splitlines()]
    return [line for line in lines if "expected offset" in line]


def _rest(missing: int) -> float:
    return 0.05


@asynccontextmanager
async def workers(running: System) -> AsyncIterator[Callable[[], RoleVictim]]:
    """Makes further rollup workers, each a new member of the group."""
    made: list[RoleVictim] = []

    def another() -> RoleVictim:
        name = f"rollup-{len(made) + 2}"
        made.append(RoleVictim(name, running.folder, running.environment, running.client, role="rollup"))
        return made[-1]

    try:
        yield another
    finally:
        for worker in made:
            worker.bury()


async def come_and_go(running: System, another: Callable[[], RoleVictim], additions: int) -> None:
    """Each new worker takes some partitions; two seconds later it is killed."""
    first = running.roles["rollup"]
    await owning(running.client, first, lambda owned: len(owned) == PARTITIONS)
    for _ in range(additions):
        worker = another()
        await worker.start()
        await owning(running.client, worker, lambda owned: len(owned) > 0)
        await asyncio.sleep(2.0)
        worker.kill()


async def stand_still(running: System, another: Callable[[], RoleVictim]) -> None:
    """The first worker is stopped until another owns everything, and then goes on."""
    first, heir = running.roles["rollup"], another()
    await heir.start()
    await owning(running.client, heir, lambda owned: len(owned) == PARTITIONS // 2)
    pid = first.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        await owning(running.client, heir, lambda owned: len(owned) == PARTITIONS)
    finally:
        os.kill(pid, signal.SIGCONT)
    late = LateWrites(running.kafka.bootstrap, "tallyboard.rollups", SEED)
    await late.after_kill()  # what the other one wrote, once more: surely behind, where a zombie's own may be too few
    assert late.written
    await owning(running.client, first, lambda owned: len(owned) == PARTITIONS // 2)
    heir.kill()  # its partitions come back while what is left is counted


async def owning(client: httpx.AsyncClient, worker: RoleVictim, wanted: Callable[[list[int]], bool]) -> None:
    """Wait until the worker's partitions are as wanted."""
    owned: list[int] = []
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        try:
            answer = await client.get(f"{worker.url}/health/ready")
        except httpx.TransportError:
            pass
        else:
            owned = list(answer.json()["partitions"])
            if wanted(owned):
                return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{worker.name} owns {owned} after {WITHIN_S:g} s; it said: {worker.log.read_text()[-1500:]}")
