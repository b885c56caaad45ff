"""Dead letters from end to end, over the real broker: rejected, listed, mended, sent again, counted once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from aggregates.projector import Projection, open_projection
from aggregates.readmodel import epoch_ms
from aggregates.replays import CLAIM
from aggregates.settings import ReadModelSettings
from dashboard import api
from dashboard.app import create_app
from dashboard.edits import Edits
from dashboard.rejected import rejected_router
from dashboard.resend import Ingest
from dashboard.settings import DashboardSettings
from ingest.append import Appender
from ingest.log import KafkaConnection, Log, Topics
from ingest.registry import Registry
from tallyboard.kafka import free_port

PATIENCE_S = 40.0
METRICS = '[metrics."orders"]\nmin = 0\n'


@pytest.fixture
def write_side(kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path) -> Iterator[str]:
    """Ingest and a rollup worker as processes; the address of ingest."""
    (tmp_path / "metrics.toml").write_text(METRICS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYBOARD_")} | {
        "TALLYBOARD_KAFKA": kafka_connection.bootstrap,
        "TALLYBOARD_TOPIC_PREFIX": topics.prefix,
    }
    port = free_port()
    started: list[subprocess.Popen[bytes]] = []
    for role, own in (("ingest", ["--workspace", str(tmp_path)]), ("rollup", ["--data", str(tmp_path)])):
        command = [sys.executable, "-m", "tallyboard", role, "--port", str(port if role == "ingest" else free_port())]
        with (tmp_path / f"{role}.log").open("wb") as log:
            started.append(subprocess.Popen([*command, *own], stdout=log, stderr=log, env=environment))
    yield f"http://127.0.0.1:{port}"
    for process in started:
        process.kill()
        process.wait()


@asynccontextmanager
async def replica(
    connection: KafkaConnection, topics: Topics, folder: Path, ingest_url: str
) -> AsyncIterator[tuple[httpx.AsyncClient, Projection]]:
    """A dashboard replica over a folder, and a client of its API."""
    settings = DashboardSettings(ReadModelSettings(kafka=connection, topics=topics, data=folder), ingest_url=ingest_url)
    async with open_projection(settings.read_model, Registry(), CollectorRegistry()) as projection:
        routers = (
            api.router(projection.read_model, epoch_ms),
            rejected_router(projection.letters, projection.journal, Ingest(ingest_url), epoch_ms),
        )
        app = create_app(projection.read_model, settings, health=projection, routers=routers)
        base = "http://127.0.0.1/api/v1"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base, timeout=30) as client:
            yield client, projection
        assert not projection.failed.done(), projection.failed.result()


async def until(found: Callable[[], Awaitable[Any]], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := await found()):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)
    return answer


async def send(url: str, *events: Any) -> Any:
    async with httpx.AsyncClient(trust_env=False) as client:

        async def answered() -> Any:
            try:
                answer = await client.post(f"{url}/v1/events", json=list(events))
            except httpx.TransportError:
                return None
            return answer.json() if answer.status_code in (202, 422) else None

        return await until(answered, "ingest takes events")


async def listed(client: httpx.AsyncClient, count: int, **filters: Any) -> list[Any]:
    async def found() -> Any:
        answer = (await client.get("/rejected", params=filters)).json()
        return answer["rejected"] if answer["total"] == count else None

    rows: list[Any] = await until(found, f"{count} letters are listed")
    return rows


async def replayed(client: httpx.AsyncClient, *ids: str, **how: Any) -> list[str]:
    answer = await client.post("/rejected/replay", json={"ids": list(ids), **how})
    assert answer.status_code == 200, answer.text
    return [letter["outcome"] for letter in answer.json()["letters"]]


async def counted(client: httpx.AsyncClient, url: str) -> tuple[int, float]:
    """Count and sum of the metric, up to everything sent so far."""
    position = (await send(url, {"metric": "marks", "value": 1}))["position"]
    query = {"metric": "marks", "from": "-1h", "min_position": position, "timeout": 10}

    async def reached() -> bool:
        return (await client.post("/query", json=query)).status_code == 200

    await until(reached, "the mark is counted in")
    sent_ms = epoch_ms()

    async def up_to_date() -> bool:
        """The mark is of one partition: everything up to now has to be in."""
        freshness = (await client.get("/freshness")).json()
        return freshness["lag_ms"] is not None and epoch_ms() - freshness["lag_ms"] > sent_ms

    await until(up_to_date, "everything sent before is counted in")
    answer = await client.get("/query", params={"metric": "orders", "measures": "count,sum", "from": "-1h"})
    rows = answer.json().get("rows", [[0, 0.0]])
    return int(rows[0][0]), float(rows[0][1])


async def test_rejected_events_are_mended_sent_again_and_counted_once(
    kafka_connection: KafkaConnection,
    topics: Topics,
    tmp_path: Path,
    write_side: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = await send(write_side, *({"metric": "orders", "value": -n} for n in range(1, 5)))
    assert (sent["accepted"], sent["rejected"]) == (0, 4)
    ids = [f"{sent['request_id']}/{index}" for index in range(4)]
    async with replica(kafka_connection, topics, tmp_path / "one", write_side) as (client, _):
        # They were rejected before the replica was there: a late start reads the old ones.
        rows = await listed(client, 4)
        assert sorted(row["id"] for row in rows) == ids
        assert await replayed(client, ids[0], set={"value": 10, "dimensions.country": "NL"}) == ["accepted"]
        assert await replayed(client, ids[0], set={"value": 11}) == ["already_replayed"]
        assert await counted(client, write_side) == (1, 10.0)

        # A replica that died behind its claim, and behind its sending.
        appender = Appender(kafka_connection)
        await asyncio.to_thread(appender.append, topics.journal, 0, crashed_claim(ids[1], Edits(set={"value": 20})))
        await asyncio.to_thread(appender.close)
        await send(write_side, {"metric": "orders", "value": 20, "id": ids[1]})
        assert await replayed(client, ids[1], set={"value": 20}) == ["in_progress"]
        monkeypatch.setattr("aggregates.replays.LEASE_MS", 1)
        assert await replayed(client, ids[1], set={"value": 21}) == ["unknown"]
        assert await replayed(client, ids[1], set={"value": 20}) == ["accepted"]
        monkeypatch.undo()
        assert await counted(client, write_side) == (2, 30.0)

        async with replica(kafka_connection, topics, tmp_path / "two", write_side) as (other, _):
            await listed(other, 2, replayed="no")
            both = await asyncio.gather(
                *(replayed(one, *ids[2:], set={"value": 40 + n}) for n, one in enumerate([client, other] * 2))
            )
        assert [outcomes.count("accepted") for outcomes in zip(*both, strict=True)] == [1, 1], both
        assert (await counted(client, write_side))[0] == 4

    async with replica(kafka_connection, topics, tmp_path / "one", write_side) as (client, projection):
        # Started again it knows everything, and reads on.
        assert (await client.get("/rejected")).json()["total"] == 4
        await listed(client, 4, replayed="yes")
        await send(write_side, {"metric": "orders", "value": -9})
        await listed(client, 5)
        assert projection.not_ready() == []


def crashed_claim(letter: str, edits: Edits) -> bytes:
    return msgspec.json.encode(
        {"type": CLAIM, "replay": "crashed", "letters": [{"id": letter, "root": letter}], "edits": edits.document()}
    )


async def test_a_topic_made_anew_is_read_from_its_beginning(
    kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path
) -> None:
    from kafka import KafkaAdminClient

    with Log(kafka_connection) as log:
        log.ensure_topics(topics)
        appender = Appender(kafka_connection)
        for number in range(3):
            appender.append(topics.rejected, number, b"junk %d" % number)
        async with replica(kafka_connection, topics, tmp_path, "http://127.0.0.1:1") as (client, _):
            await listed(client, 3, reason="unreadable")
            admin = KafkaAdminClient(**kafka_connection.client_options())
            admin.delete_topics([topics.rejected])
            admin.close()

            async def there_again() -> bool:
                try:
                    await asyncio.to_thread(log.ensure_topics, topics)
                    await asyncio.to_thread(appender.append, topics.rejected, 1, b"more junk")
                except Exception:
                    return False
                return True

            await until(there_again, "the topic is there again")
            await listed(client, 4, reason="unreadable")
        appender.close()
