"""The system under test as real processes, and one run of load, kills and a reader on it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tallyboard.kafka import BrokerPlan, EmbeddedKafka, free_port
from tests.chaos import oracle
from tests.chaos.late_writes import LateWrites
from tests.chaos.nemesis import BrokerVictim, Nemesis, RoleVictim, Victim, schedule
from tests.chaos.senders import METRICS, Load, Senders
from tests.chaos.watcher import Watcher


@dataclass(frozen=True, slots=True)
class System:
    """Everything under test, each part with a port and a folder of its own."""

    folder: Path
    kafka: EmbeddedKafka
    roles: dict[str, RoleVictim]
    client: httpx.AsyncClient
    environment: Mapping[str, str]

    @property
    def database(self) -> Path:
        return self.folder / "data" / "dashboard.duckdb"


@asynccontextmanager
async def system(folder: Path, jars: Path) -> AsyncIterator[System]:
    kafka = EmbeddedKafka(BrokerPlan(folder / "kafka", free_port(), jars))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYBOARD_")} | {
        "TALLYBOARD_KAFKA": kafka.bootstrap,
        "TALLYBOARD_DATA": str(folder / "data"),
        "TALLYBOARD_WORKSPACE": str(folder),
        "TALLYBOARD_GRACE_S": "2",  # minutes are sealed while events still come
    }
    async with httpx.AsyncClient(timeout=15.0, trust_env=False) as client:
        names = ("ingest", "rollup", "dashboard")
        roles = {name: RoleVictim(name, folder, environment, client) for name in names}
        try:
            await asyncio.to_thread(kafka.start)
            yield System(folder, kafka, roles, client, environment)
        finally:
            for role in roles.values():
                role.bury()
            kafka.kill()


class Run:
    """Load, kills and a reader, on one system."""

    def __init__(self, running: System, seed: int, load: Load, kills: Mapping[str, int]) -> None:
        roles = running.roles
        self.late_writes = LateWrites(running.kafka.bootstrap, "tallyboard.rollups", seed)
        victims: list[Victim] = [BrokerVictim(running.kafka), *roles.values()]
        self.nemesis = Nemesis(victims, schedule(seed, kills), {"rollup": self.late_writes.after_kill})
        self.senders = Senders(roles["ingest"].url, load, seed, lambda: not self.nemesis.done, self._pause_s)
        self.watcher = Watcher(running.client, roles["dashboard"].url, METRICS)
        self._load = load
        self._history = running.folder / "history.json"
        self._seed = seed

    async def load_and_kill(self, seconds: float) -> None:
        """Send and kill until both are done; writes the history, however it ends."""
        watching = asyncio.create_task(self.watcher.run())
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(self.nemesis.run(), self.senders.run())
        except TimeoutError:
            raise AssertionError(
                f"seed {self._seed}: after {seconds:g} s {len(self.nemesis.kills)} of {self.nemesis.planned} kills "
                f"were done and {self.senders.acknowledged} of {self._load.events} events acknowledged"
            ) from None
        finally:
            watching.cancel()
            self._history.write_text(json.dumps(self.history()))

    def _pause_s(self, missing: int) -> float:
        """Spreads what is missing over the kills to come, so that every kill finds work in progress."""
        left_s = self.nemesis.left_s()
        if missing <= 0 or left_s <= 0:
            return 0.1 if left_s > 0 else 0.0
        return min(0.5, left_s * self._load.connections * self._load.batch / missing)

    def history(self) -> dict[str, Any]:
        kills, exits = self.nemesis.kills, self.nemesis.exits
        return {"seed": self._seed, "kills": kills, "exits": exits, "batches": self.senders.documents()}

    def summary(self, log: oracle.RawLog) -> str:
        senders, counted = self.senders, len(oracle.counted_once(log.events))
        return (
            f"{len(self.nemesis.kills)} kills, the last after {self.nemesis.kills[-1][0]} s; "
            f"{self.late_writes.written} late writes; ended by themselves: {self.nemesis.exits or 'none'}\n"
            f"{senders.acknowledged} events acknowledged, {len(senders.ids('unknown'))} unknown; "
            f"{len(log.events)} in the log, {len(log.events) - counted} of them duplicates; "
            f"answers {dict(senders.answers())}; {self.watcher.looks} looks at the totals"
        )
