"""Nothing lost, nothing twice, whatever is killed: real processes, a real broker, an oracle that reads the raw log."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from tallyboard.kafka import BrokerPlan, EmbeddedKafka, free_port
from tests.chaos import oracle
from tests.chaos.late_writes import LateWrites
from tests.chaos.nemesis import BrokerVictim, Nemesis, RoleVictim, schedule
from tests.chaos.oracle import Figures, Group, RawLog
from tests.chaos.senders import CORRECTION, METRICS, Load, Senders, SentEvent

EVENTS = 200_000
KILLS = {"broker": 4, "ingest": 6, "rollup": 7, "dashboard": 7}
SEED = 1
LOAD_S = 150.0
"""Longest time for load and kills together; on an idle machine it is about 25 s."""
HEAL_S = 60.0
"""Longest time from the last kill to everything counted."""
TOPIC = "tallyboard.events"
ASKED: tuple[tuple[tuple[str, ...], str | None, int | None], ...] = (
    ((), None, None),
    ((), "1s", 1),
    ((), "1m", 60),
    (("country",), "1m", 60),
    (("product",), "1m", 60),
    (("country", "product"), "1m", 60),
)
"""What is asked of each metric: dimensions and step; together they read every table of the read model."""
MEASURES = ("count", "sum", "min", "max")


@dataclass(frozen=True, slots=True)
class System:
    """Everything under test, each part with a port and a folder of its own."""

    folder: Path
    kafka: EmbeddedKafka
    roles: dict[str, RoleVictim]
    client: httpx.AsyncClient

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
            yield System(folder, kafka, roles, client)
        finally:
            for role in roles.values():
                role.bury()
            kafka.kill()


@dataclass(slots=True)
class Findings:
    """What is wrong, in sentences; of each kind the first few."""

    sentences: list[str] = field(default_factory=list)

    def add(self, kind: str, found: list[str]) -> None:
        if found:
            self.sentences.append(f"{kind}: {len(found)}, such as {'; '.join(sorted(found)[:3])}")


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_every_acknowledged_event_is_counted_exactly_once(
    tmp_path: Path, kafka_jars: Path, request: pytest.FixtureRequest
) -> None:
    seed = int(request.config.getoption("--chaos-seed", SEED))
    scale = float(request.config.getoption("--chaos-scale", 1.0))
    kills = {name: round(count * scale) for name, count in KILLS.items()}
    load = Load(events=round(EVENTS * scale))
    print(f"\nseed {seed}: {load.events} events, kills {kills}, files in {tmp_path}")
    async with system(tmp_path, kafka_jars) as running:
        late = LateWrites(running.kafka.bootstrap, "tallyboard.rollups", seed)
        victims = [BrokerVictim(running.kafka), *running.roles.values()]
        nemesis = Nemesis(victims, schedule(seed, kills), {"rollup": late.after_kill})
        senders = Senders(
            running.roles["ingest"].url,
            load,
            seed,
            goes_on=lambda: not nemesis.done,
            pause_s=lambda missing: pause_s(nemesis.left_s(), missing, load),
        )
        async with nemesis.keeping():
            begin = time.monotonic()
            try:
                async with asyncio.timeout(LOAD_S * scale):
                    await asyncio.gather(nemesis.run(), senders.run())
            finally:
                keep_history(tmp_path, seed, nemesis, senders)
            loaded = time.monotonic()
            log = await asyncio.to_thread(oracle.read_log, running.kafka.bootstrap, TOPIC)
            answers = await ask_everything(running, min_position(senders, log), senders.sent())
            healed = time.monotonic()
        running.roles["dashboard"].bury()
        findings = held_against_the_log(senders, log, answers)
        findings.add("positions that are not the log's end", positions_off(running.database, log))
    print(
        f"load {loaded - begin:.1f} s, healed {healed - loaded:.1f} s later; {senders.acknowledged} events acknowledged, "
        f"{len(senders.ids('unknown'))} unknown, {len(log.events)} in the log; answers {dict(senders.answers())}; "
        f"{len(nemesis.kills)} kills, {late.written} late writes, ended by themselves {nemesis.exits}"
    )
    assert len(nemesis.kills) == sum(kills.values())
    assert late.written
    assert senders.acknowledged >= load.events
    assert not findings.sentences, f"seed {seed}:\n" + "\n".join(findings.sentences)


def pause_s(left_s: float, missing: int, load: Load) -> float:
    """Spreads what is missing over the kills to come, so that every kill finds work in progress."""
    if missing <= 0 or left_s <= 0:
        return 0.1 if left_s > 0 else 0.0
    return min(0.5, left_s * load.connections * load.batch / missing)


def keep_history(folder: Path, seed: int, nemesis: Nemesis, senders: Senders) -> None:
    document = {"seed": seed, "kills": nemesis.kills, "exits": nemesis.exits, "batches": senders.documents()}
    (folder / "history.json").write_text(json.dumps(document))


def min_position(senders: Senders, log: RawLog) -> str:
    """The end of the log as a position, under the topic id that ingest gave with its answers."""
    topic = next(batch.position for batch in senders.history if batch.outcome == "ok").split(";")[0]
    return f"{topic};{','.join(f'{p}:{end}' for p, end in sorted(log.ends.items()))}"


# --- asking the read model ------------------------------------------------------------------------------------------


async def ask_everything(
    running: System, position: str, sent: Mapping[str, SentEvent]
) -> dict[tuple[tuple[str, ...], int | None], dict[Group, Figures]]:
    """Answers of the query API to `ASKED`, once everything up to `position` is counted in."""
    times = [event.time_ms for event in sent.values()]
    fields: dict[str, Any] = {"from": min(times) // 60_000 * 60_000, "to": -(-max(times) // 60_000) * 60_000}
    fields |= {"measures": MEASURES, "min_position": position, "timeout": 5}
    url = running.roles["dashboard"].url + "/api/v1/query"
    deadline = time.monotonic() + HEAL_S
    answers: dict[tuple[tuple[str, ...], int | None], dict[Group, Figures]] = {}
    for by, step, step_s in ASKED:
        found: dict[Group, Figures] = {}
        for metric in METRICS:
            asked = {**fields, "metric": metric, "by": by, **({"step": step} if step else {})}
            found |= figures(metric, len(by), bool(step), await ask(running.client, url, asked, deadline))
        answers[by, step_s] = found
    return answers


async def ask(client: httpx.AsyncClient, url: str, asked: Mapping[str, Any], deadline: float) -> list[list[Any]]:
    """Rows of the answer; asks again while the read model is not there yet."""
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            answer = await client.post(url, json=asked)
        except httpx.TransportError as error:
            last = repr(error)
        else:
            if answer.status_code == 200:
                return list(answer.json()["rows"])
            last = answer.text
        await asyncio.sleep(0.1)
    health = await client.get(url.replace("/api/v1/query", "/health/ready"))
    pytest.fail(f"not everything was counted within {HEAL_S:g} s: {last}; dashboard: {health.text}")


def figures(metric: str, width: int, timed: bool, rows: list[list[Any]]) -> dict[Group, Figures]:
    """The rows of an answer that count anything, by group."""
    found: dict[Group, Figures] = {}
    for row in rows:
        bucket = round(datetime.fromisoformat(row[0]).timestamp()) if timed else None
        labels = tuple(row[timed : timed + width])
        count, total, smallest, largest = row[timed + width :]
        if count:
            found[metric, labels, bucket] = Figures(count, total, smallest, largest)
    return found


# --- the judgement --------------------------------------------------------------------------------------------------


def held_against_the_log(
    senders: Senders, log: RawLog, answers: Mapping[tuple[tuple[str, ...], int | None], Mapping[Group, Figures]]
) -> Findings:
    findings = Findings()
    findings.add("answers no request may get", senders.surprises)
    findings.add("series that are not one to one", oracle.inconsistent_series(log.events, len(log.ends)))
    logged = {str(event.id) for event in log.events}
    acknowledged, unknown = senders.ids("ok"), senders.ids("unknown")
    findings.add("acknowledged events that are not in the log", sorted(acknowledged - logged))
    findings.add("events in the log that nobody sent", sorted(logged - acknowledged - unknown))
    findings.add("events in the log that are not as sent", not_as_sent(log, senders.sent()))
    counted = oracle.counted_once(log.events)
    for (by, step_s), found in answers.items():
        kind = f"figures by {', '.join(by) or 'metric'}{f' and {step_s} s' if step_s else ''} that are wrong"
        findings.add(kind, differences(found, oracle.tally(counted, by, step_s)))
    return findings


def not_as_sent(log: RawLog, sent: Mapping[str, SentEvent]) -> list[str]:
    wrong = []
    for event in log.events:
        was = sent.get(str(event.id))
        if was is None:
            continue
        dimensions = (("country", was.country), ("product", was.product))
        same = (event.metric, event.dimensions, event.time_ms) == (was.metric, dimensions, was.time_ms)
        if not same or event.value not in (was.value, was.value + CORRECTION):
            wrong.append(f"{event} was {was}")
    return wrong


def differences(found: Mapping[Group, Figures], wanted: Mapping[Group, Figures]) -> list[str]:
    nothing = Figures(0, 0.0, 0.0, 0.0)
    pairs = {group: (found.get(group, nothing), wanted.get(group, nothing)) for group in {*found, *wanted}}
    return [f"{group}: answered {a}, the log holds {b}" for group, (a, b) in pairs.items() if not a.near(b)]


def positions_off(database: Path, log: RawLog) -> list[str]:
    """Opens the file that SIGKILL left: its newest positions have to be the log's end."""
    with duckdb.connect(str(database)) as connection:
        rows = connection.execute("SELECT partition, max(next_offset) FROM sources GROUP BY partition").fetchall()
    reached = dict(rows)
    return [
        f"partition {partition}: {reached.get(partition)} instead of {end}"
        for partition, end in log.ends.items()
        if reached.get(partition, 0) != end
    ]


def test_the_oracle_shares_nothing_with_the_product() -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(Path(oracle.__file__).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    assert not imported & {"ingest", "aggregates", "dashboard", "tallyboard", "tests"}
