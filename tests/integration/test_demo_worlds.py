"""The made-up worlds through the real thing: what they send comes out as they say, and after a restart too."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from aggregates.accounts import Account, LedgerQuery
from aggregates.projector import Projection, open_projection
from aggregates.queries import Query
from aggregates.readmodel import epoch_ms
from aggregates.settings import ReadModelSettings
from ingest.client.delivery import Target
from ingest.log import KafkaConnection, Topics
from ingest.registry import load
from tallyboard.demo import workspace
from tallyboard.demo.happened import Demo
from tallyboard.demo.rhythm import HOUR, MINUTE
from tallyboard.demo.sender import Event, Sender
from tallyboard.demo.shop.world import SHOP
from tallyboard.demo.social.world import SOCIAL
from tallyboard.kafka import free_port

PATIENCE_S = 60.0
BACKFILL_S = 240
WORLDS = {demo.name: demo for demo in (SHOP, SOCIAL)}


@pytest.fixture
def environment(kafka_connection: KafkaConnection, topics: Topics) -> dict[str, str]:
    own = {"TALLYBOARD_KAFKA": kafka_connection.bootstrap, "TALLYBOARD_TOPIC_PREFIX": topics.prefix}
    return {name: value for name, value in os.environ.items() if not name.startswith("TALLYBOARD_")} | own


@pytest.fixture(params=sorted(WORLDS))
def demo(request: pytest.FixtureRequest) -> Demo:
    return WORLDS[request.param]


@pytest.fixture
def write_side(environment: dict[str, str], tmp_path: Path, demo: Demo) -> Iterator[str]:
    """Ingest with the registry of the demo's workspace, and a rollup worker; the address of ingest."""
    port = free_port()
    started: list[subprocess.Popen[bytes]] = []
    for role, own in (("ingest", ["--workspace", str(workspace(demo.name))]), ("rollup", ["--data", str(tmp_path)])):
        command = [sys.executable, "-m", "tallyboard", role, "--port", str(port if role == "ingest" else free_port())]
        with (tmp_path / f"{role}.log").open("wb") as log:
            started.append(subprocess.Popen([*command, *own], stdout=log, stderr=log, env=environment))
    yield f"http://127.0.0.1:{port}"
    for process in started:
        process.kill()
        process.wait()


def plan(connection: KafkaConnection, topics: Topics, folder: Path) -> ReadModelSettings:
    return ReadModelSettings(kafka=connection, topics=topics, data=folder / "replica")


async def until(found: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.2)


def account(projection: Projection) -> Account:
    """Everything so far."""
    return projection.read_model.ledger(LedgerQuery(None, 0, epoch_ms() + 60_000)).total


def once(events: Sequence[Event]) -> Counter[str]:
    """Events by metric, each id of a series counted once."""
    keys = {(e["metric"], *sorted(e["dimensions"].items()), e["id"]) for e in events}
    return Counter(str(key[0]) for key in keys)


async def test_accepted_repeated_and_rejected_events_are_those_of_the_world(
    kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path, write_side: str, demo: Demo
) -> None:
    """Some minutes of the last whole hour, with clients that are wrong and clients that send again."""
    start = int(time.time()) // HOUR * HOUR - HOUR + {"shop": 30, "social": 38}[demo.name] * MINUTE
    world = demo.begin(7, start)
    right, wrong = list[Event](), list[Event]()
    sender = Sender(Target(write_side), lambda _: None)
    for minute in range(start, start + 6 * MINUTE, MINUTE):
        seconds = [(world.next(), demo.totals(7, second)) for second in range(minute, minute + MINUTE)]
        good = [e for s, totals in seconds for e in (*s.prompt, *s.late, *s.again, *totals)]
        bad = [e for s, _ in seconds for e in s.wrong]
        assert await asyncio.to_thread(sender.send, good + bad) == len(good)
        right += good
        wrong += bad
    sender.close()
    counts = once(right)
    repeated = len(right) - counts.total()
    assert repeated > 20
    assert len(wrong) > 20

    registry = load(workspace(demo.name) / "metrics.toml")
    async with open_projection(plan(kafka_connection, topics, tmp_path), registry, CollectorRegistry()) as projection:
        await until(
            lambda: (
                account(projection).accepted == len(right) and sum(account(projection).rejected.values()) == len(wrong)
            ),
            lambda: (account(projection), len(right), len(wrong)),
        )
        total = account(projection)
        assert (total.applied, total.duplicates) == (counts.total(), repeated)
        assert len(total.rejected) >= 6
        every = Query("", ("count",), 0, 1000 * (start + HOUR))
        for metric, count in counts.items():
            assert projection.read_model.query(replace(every, metric=metric)).rows == [(count,)], metric
        for derived in registry.derived:
            ((ratio,),) = projection.read_model.query(replace(every, metric=derived, measures=())).rows
            assert isinstance(ratio, float)
            assert ratio > 0
        assert not projection.failed.done()


def state_of(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


def is_live(path: Path, least: int) -> bool:
    """Whether the history is complete, and what happens now is sent."""
    found = state_of(path)
    return found is not None and not found["missing"] and least < found["live"] > time.time() - 3


async def test_a_demo_that_is_killed_goes_on_and_counts_nothing_twice(
    kafka_connection: KafkaConnection,
    topics: Topics,
    tmp_path: Path,
    write_side: str,
    demo: Demo,
    environment: dict[str, str],
) -> None:
    state = tmp_path / "state.json"
    command = [sys.executable, "-m", "tallyboard", "demo", demo.name, "--url", write_side]
    command += ["--backfill", str(BACKFILL_S), "--state", str(state)]
    began, beginning = int(time.time()), None
    for _ in range(2):
        with (tmp_path / "demo.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        await until(partial(is_live, state, began + 5), (tmp_path / "demo.log").read_text)
        process.kill()
        process.wait()
        kept = state_of(state)
        assert kept is not None
        beginning, began = beginning or began, kept["live"]
    assert beginning is not None

    metric = {"shop": "payments.attempts", "social": "social.online"}[demo.name]
    start, end = beginning - BACKFILL_S + 60, began
    world = demo.begin(1, start)
    expected = [e for _ in range(start, end) for e in world.next().prompt if e["metric"] == metric]
    registry = load(workspace(demo.name) / "metrics.toml")
    async with open_projection(plan(kafka_connection, topics, tmp_path), registry, CollectorRegistry()) as projection:
        query = Query(metric, ("count", "sum"), 1000 * start, 1000 * end)

        def counted() -> list[Any]:
            known = any(one.name == metric for one in projection.read_model.catalogue())
            return list(projection.read_model.query(query).rows) if known else []

        wanted = (len(expected), sum(e["value"] for e in expected))
        await until(lambda: counted() == [wanted], lambda: (counted(), wanted))
        assert account(projection).exact
