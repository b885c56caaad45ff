"""Nothing lost, nothing twice, whatever is killed: real processes, a real broker, an oracle that reads the raw log."""

from __future__ import annotations

import ast
import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from tests.chaos import ledgers, oracle
from tests.chaos.oracle import Figures, Group, RawLog
from tests.chaos.run import Run, System, system
from tests.chaos.senders import CORRECTION, METRICS, Load, Senders, SentEvent

EVENTS = 200_000
KILLS = {"broker": 3, "ingest": 6, "rollup": 7, "dashboard": 6}
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
Answers = dict[tuple[tuple[str, ...], int | None], dict[Group, Figures]]
"""Dimensions and step in seconds → figures of every metric."""
MEASURES = ("count", "sum", "min", "max")


@dataclass(slots=True)
class Findings:
    """What is wrong, in sentences; of each kind the first few."""

    sentences: list[str] = field(default_factory=list)

    def add(self, kind: str, found: list[str]) -> None:
        if found:
            self.sentences.append(f"{kind}: {len(found)}, such as {'; '.join(sorted(found)[:3])}")


@pytest.mark.chaos
async def test_every_acknowledged_event_is_counted_exactly_once(
    tmp_path: Path, kafka_jars: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    for client in ("aiokafka", "kafka"):  # they say of every kill that the broker is away
        caplog.set_level(logging.CRITICAL, client)
    seed = int(request.config.getoption("--chaos-seed", None) or SEED)
    scale = float(request.config.getoption("--chaos-scale", 1.0))
    load = Load(events=round(EVENTS * scale))
    kills = {name: round(count * scale) for name, count in KILLS.items()}
    print(f"\nseed {seed}: {load.events} events, kills {kills}, files in {tmp_path}")
    async with system(tmp_path, kafka_jars) as running:
        run = Run(running, seed, load, kills)
        begin = time.monotonic()
        async with run.nemesis.keeping():
            await run.load_and_kill(LOAD_S * max(1.0, scale))
            loaded = time.monotonic()
            log, answers = await log_and_answers(running, run.senders)
            ledger = await ask_ledger(running)
            print(f"load {loaded - begin:.1f} s, everything counted and read {time.monotonic() - loaded:.1f} s later")
        running.roles["dashboard"].bury()
        print(run.summary(log))
        findings = held_against_the_log(run.senders, log, answers)
        findings.add("rows of the ledger that are wrong", ledgers.differences(ledger, log.events))
        findings.add("totals and watermarks that went back", run.watcher.went_back)
        findings.add("positions that are not the log's end", positions_off(running.database, log))
    if findings.sentences:
        pytest.fail(f"seed {seed}:\n" + "\n".join(findings.sentences), pytrace=False)
    assert len(run.nemesis.kills) == sum(kills.values())
    assert run.senders.acknowledged >= load.events
    assert run.late_writes.written
    assert run.watcher.looks


async def log_and_answers(running: System, senders: Senders) -> tuple[RawLog, Answers]:
    """The log and what the API answers, at one and the same end of the log: a request that was given up may still be
    on its way when the load is over."""
    for _ in range(10):
        log = await asyncio.to_thread(oracle.read_log, running.kafka.bootstrap, TOPIC)
        answers = await ask_everything(running, min_position(senders, log), senders.sent())
        if await asyncio.to_thread(oracle.end_offsets, running.kafka.bootstrap, TOPIC) == log.ends:
            return log, answers
    raise AssertionError("the log still grows, although nobody sends")


async def ask_ledger(running: System) -> dict[str, Any]:
    """The ledger of all time, once it says that nothing is pending."""
    url = running.roles["dashboard"].url + "/api/v1/ledger"
    deadline = time.monotonic() + HEAL_S
    while True:
        answer = await running.client.get(url, params={"from": 0})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if not found["pending"]["records"] or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.1)


def min_position(senders: Senders, log: RawLog) -> str:
    """The end of the log as a position, under the topic id that ingest gave with its answers."""
    topic = next(batch.position for batch in senders.history if batch.outcome == "ok").split(";")[0]
    return f"{topic};{','.join(f'{p}:{end}' for p, end in sorted(log.ends.items()))}"


# --- asking the read model ------------------------------------------------------------------------------------------


async def ask_everything(running: System, position: str, sent: Mapping[str, SentEvent]) -> Answers:
    """Answers of the query API to `ASKED`, once everything up to `position` is counted in."""
    times = [event.time_ms for event in sent.values()]
    fields: dict[str, Any] = {"from": min(times) // 60_000 * 60_000, "to": -(-max(times) // 60_000) * 60_000}
    fields |= {"measures": MEASURES, "min_position": position, "timeout": 5}
    url = running.roles["dashboard"].url + "/api/v1/query"
    deadline = time.monotonic() + HEAL_S
    answers: Answers = {}
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
    raise AssertionError(f"not everything was counted within {HEAL_S:g} s: {last}; dashboard: {health.text}")


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


def held_against_the_log(senders: Senders, log: RawLog, answers: Answers) -> Findings:
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
