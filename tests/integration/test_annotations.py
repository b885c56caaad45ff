"""`/api/v1/annotations`: over a real store with the log in memory, and from replica to replica over the real broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from aggregates.projector import Projection, open_projection
from aggregates.readmodel import epoch_ms
from aggregates.settings import ReadModelSettings
from dashboard.annotations import annotations_router
from dashboard.app import create_app
from dashboard.edge import Guard
from dashboard.notes import notes_of
from dashboard.settings import DashboardSettings
from ingest.log import KafkaConnection, Topics
from ingest.registry import Registry
from tests.desk import TOPICS, Desk, Replica

NOON = "2026-11-23T12:00:00Z"
KAFKA_PATIENCE_S = 60.0
PATH = "/annotations"
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def replica(desk: Desk, tmp_path: Path) -> AsyncIterator[Replica]:
    async with desk.replica(tmp_path) as found:
        yield found


async def asked(replica: Replica, method: str, path: str = "", status: int = 200, **more: Any) -> Any:
    answer = await replica.client.request(method, PATH + path, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


async def add(replica: Replica, text: str = "deploy", status: int = 201, headers: Any = None, **fields: Any) -> Any:
    return await asked(replica, "POST", "", status, json={"text": text, "at": NOON, **fields}, headers=headers)


async def texts(replica: Replica, **parameters: Any) -> list[str]:
    return [one["text"] for one in (await asked(replica, "GET", params=parameters))["annotations"]]


async def test_added_edited_removed(desk: Desk, replica: Replica) -> None:
    answer = await add(replica, end="2026-11-23T12:30:00Z", metric="orders", id="d-1")
    first = answer["annotation"]
    assert answer["position"] == f"{desk.log.topic_id(TOPICS.journal)[:8]};0:1"
    assert {name: first[name] for name in ("id", "at", "end", "text", "metric", "author", "edits", "edited_at")} == {
        "id": "d-1", "at": NOON, "end": "2026-11-23T12:30:00Z", "text": "deploy", "metric": "orders",
        "author": None, "edits": 0, "edited_at": None,
    }  # fmt: skip
    assert await asked(replica, "GET", "/d-1") == first
    changed = (await asked(replica, "PATCH", "/d-1", json={"text": "rollback", "end": None}))["annotation"]
    assert (changed["text"], changed["at"], changed["end"], changed["metric"]) == ("rollback", NOON, None, "orders")
    assert (changed["edits"], changed["created_at"]) == (1, first["created_at"])
    whole = (await asked(replica, "PUT", "/d-1", json={"text": "all", "at": NOON}))["annotation"]
    assert (whole["text"], whole["metric"], whole["edits"]) == ("all", None, 2)
    assert await texts(replica) == ["all"]
    assert (await asked(replica, "DELETE", "/d-1"))["annotation"] is None
    await asked(replica, "DELETE", "/d-1")
    assert await texts(replica) == []
    for method, body in (("PATCH", {"text": "x"}), ("PUT", {"text": "x", "at": NOON}), ("GET", None)):
        assert (await asked(replica, method, "/d-1", 409, json=body))["code"] == "annotation_removed"
        assert (await asked(replica, method, "/d-2", 404, json=body))["code"] == "unknown_annotation"
    assert (await add(replica, id="d-1", status=409))["code"] == "annotation_removed"


async def test_asked_twice_it_is_added_once(desk: Desk, replica: Replica) -> None:
    first = await add(replica, id="d-1")
    assert await add(replica, id="d-1", status=200) == first
    assert (await add(replica, "other", id="d-1", status=409))["code"] == "id_taken"
    keyed = await add(replica, "sale", at="now", headers={"Idempotency-Key": "k 1"})
    desk.clock.ahead_ms += 5000
    assert await add(replica, "sale", at="now", status=200, headers={"Idempotency-Key": "k 1"}) == keyed
    await asked(replica, "PATCH", f"/{keyed['annotation']['id']}", json={"text": "big sale"})
    again = await add(replica, "sale", at="now", status=200, headers={"Idempotency-Key": "k 1"})
    assert again["annotation"]["text"] == "big sale"
    assert (await add(replica, status=400, headers={"Idempotency-Key": "\x7f"}))["code"] == "invalid_idempotency_key"
    together = await asyncio.gather(*(replica.client.post(PATH, json={"text": "x", "id": "x"}) for _ in range(5)))
    assert sorted(answer.status_code for answer in together) == [200, 200, 200, 200, 201]
    assert sorted(await texts(replica)) == ["big sale", "deploy", "x"]


async def test_lists_are_filtered_and_come_in_pages(replica: Replica) -> None:
    for minute, metric in ((5, None), (1, "orders"), (3, "flights")):
        await add(replica, f"m{minute}", at=f"2026-11-23T12:0{minute}:00Z", metric=metric)
    assert await texts(replica) == ["m1", "m3", "m5"]
    assert await texts(replica, metric="orders") == ["m1", "m5"]
    assert await texts(replica, **{"from": "2026-11-23T12:01:01Z", "to": "2026-11-23T12:05:00Z"}) == ["m3"]
    page = await asked(replica, "GET", params={"limit": "2"})
    assert [one["text"] for one in page["annotations"]] == ["m1", "m3"]
    rest = await asked(replica, "GET", params={"limit": "2", "cursor": page["next"]})
    assert ([one["text"] for one in rest["annotations"]], rest["next"]) == (["m5"], None)


async def test_what_was_written_can_be_waited_for(desk: Desk, replica: Replica, tmp_path: Path) -> None:
    async with desk.replica(tmp_path / "other") as other:
        await other.caught_up(desk)
        position = (await add(replica))["position"]
        assert await texts(other, min_position=position, timeout="10") == ["deploy"]
    late = await asked(replica, "GET", status=504, params={"min_position": position[:-1] + "9", "timeout": "0.01"})
    assert late["code"] == "position_not_reached"
    for wrong in ("00000000;0:1", position.replace(";0", ";1")):
        found = await asked(replica, "GET", status=400, params={"min_position": wrong})
        assert found["code"] == "unknown_topic"


async def test_every_replica_and_every_start_shows_the_same(desk: Desk, replica: Replica, tmp_path: Path) -> None:
    async with desk.replica(tmp_path / "other") as other:
        await add(replica, id="a")
        await replica.caught_up(desk)
        await other.caught_up(desk)
        await asyncio.gather(
            asked(replica, "PATCH", "/a", json={"text": "one"}), asked(other, "PATCH", "/a", json={"text": "two"})
        )
        await replica.caught_up(desk)
        await other.caught_up(desk)
        here = await asked(replica, "GET", "/a")
        assert await asked(other, "GET", "/a") == here
        assert here["edits"] == 2
    async with desk.replica(tmp_path / "other") as again:  # before anything was read
        assert await asked(again, "GET", "/a") == here
        await again.caught_up(desk)
    async with desk.replica(tmp_path / "empty") as third:
        await third.caught_up(desk)
        assert await asked(third, "GET", "/a") == here


async def test_a_journal_that_cannot_be_written_is_503(desk: Desk, replica: Replica) -> None:
    await add(replica, id="a")
    desk.log.is_away = True
    for method, path, body in (("POST", "", {"text": "x"}), ("PATCH", "/a", {"text": "x"}), ("DELETE", "/a", None)):
        answer = await replica.client.request(method, PATH + path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "journal_unavailable")
        assert answer.headers["retry-after"]
    desk.log.is_away = False
    assert await texts(replica) == ["deploy"]


async def test_nonsense_is_told_apart_and_never_an_error_of_ours(replica: Replica) -> None:
    await add(replica, id="a")
    bodies = [
        b"", b"{", b"[]", b"3", b'"x"', b"\xff", b'{"text":"\\ud800"}', b"[" * 5000, b'{"text":"x","text":3}',
        b'{"text":"x","at":1e400}', b'{"text":' + b"9" * 400 + b"}", b'{"text":"' + b"x" * 70_000 + b'"}',
    ]  # fmt: skip
    for body in bodies:
        for method, path in (("POST", ""), ("PUT", "/a"), ("PATCH", "/a")):
            answer = await replica.client.request(method, PATH + path, content=body)
            assert answer.status_code in (400, 413), (method, body[:40], answer.text)
            assert set(answer.json()) == {"code", "field", "message"}
    for path in ("/%00", "/%FF", "/" + "a" * 5000, "/<img>"):
        for method in ("GET", "DELETE", "PATCH"):
            answer = await replica.client.request(method, PATH + path, json={"text": "x"})
            assert answer.status_code == 404, (method, path)
    assert (await asked(replica, "POST", "?a=1", 400, json={"text": "x"}))["field"] == "a"
    assert await texts(replica) == ["deploy"]


async def test_hostile_texts_come_back_as_they_went(replica: Replica) -> None:
    hostile = ["<img src=x onerror=alert(1)>", "javascript:alert(1)", "\u202egnp.exe", "a\x00b", "😀" * 500, "=1+1"]
    for number, text in enumerate(hostile):
        await add(replica, text, id=f"h{number}", metric="'; DROP TABLE journal; --")
    assert await texts(replica) == hostile


async def test_other_sites_cannot_change_anything(replica: Replica) -> None:
    transport = replica.client._transport
    guarded = Guard(transport.app, ("test",), lambda: "")  # type: ignore[attr-defined, unused-ignore]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://test/api/v1") as client:
        elsewhere = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
        assert (await client.post(PATH, content='{"text": "x"}', headers=elsewhere)).status_code == 403
        assert (await client.delete(PATH + "/a", headers=elsewhere)).status_code == 403
        assert (await client.post(PATH, json={"text": "x"}, headers={"Origin": "http://test"})).status_code == 201
    assert await texts(replica) == ["x"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["id", "at", "end", "text", "metric", "x"]), junk), st.sampled_from("PA"))
def test_any_json_object_is_taken_or_refused(nonsense: Callable[[str, Any], int], said: Any, method: str) -> None:
    assert nonsense("POST" if method == "P" else "PATCH", said) in (200, 201, 400, 409)


@pytest.fixture
def nonsense(tmp_path: Path) -> Any:
    """Asks a replica that lives as long as the test, from beside its loop."""
    loop = asyncio.new_event_loop()
    desk = Desk()
    opened = desk.replica(tmp_path / "nonsense")
    found = loop.run_until_complete(opened.__aenter__())
    loop.run_until_complete(add(found, id="a"))

    def ask(method: str, body: Any) -> int:
        path = PATH + ("" if method == "POST" else "/a")
        content = json.dumps(body)
        return loop.run_until_complete(found.client.request(method, path, content=content)).status_code

    yield ask
    loop.run_until_complete(opened.__aexit__(None, None, None))
    loop.close()


# --- over the real broker -----------------------------------------------------------------------------------------


@asynccontextmanager
async def dashboard(
    connection: KafkaConnection, topics: Topics, folder: Path
) -> AsyncIterator[tuple[httpx.AsyncClient, Projection]]:
    """A replica over a folder, and a client of it."""
    chosen = DashboardSettings(ReadModelSettings(kafka=connection, topics=topics, data=folder))
    async with open_projection(chosen.read_model, Registry(), CollectorRegistry()) as projection:
        routers = (annotations_router(projection.annotations, projection.journal, epoch_ms),)
        notes = notes_of(projection.annotations)
        app = create_app(projection.read_model, chosen, health=projection, routers=routers, notes=notes)
        base = "http://127.0.0.1/api/v1"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base, timeout=40) as client:
            yield client, projection
        assert not projection.failed.done(), projection.failed.result()


async def seen(client: httpx.AsyncClient, wanted: list[str]) -> None:
    deadline = time.monotonic() + KAFKA_PATIENCE_S
    while True:
        found = [one["text"] for one in (await client.get(PATH)).json()["annotations"]]
        if found == wanted:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


async def test_from_replica_to_replica_over_kafka(
    kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path
) -> None:
    async with dashboard(kafka_connection, topics, tmp_path / "one") as (one, projection):
        answer = await one.post(PATH, json={"id": "a", "text": "deploy", "at": NOON})
        assert answer.status_code == 201, answer.text
        assert projection.annotations.all[0].text == "deploy"
        async with dashboard(kafka_connection, topics, tmp_path / "two") as (two, _):
            await seen(two, ["deploy"])
            assert (await two.patch(f"{PATH}/a", json={"text": "rollback"})).status_code == 200
            await seen(one, ["rollback"])
            assert (await one.post(PATH, json={"id": "b", "text": "sale", "at": NOON})).status_code == 201
            assert (await two.delete(f"{PATH}/a")).status_code == 200
            await seen(one, ["sale"])
    async with dashboard(kafka_connection, topics, tmp_path / "one") as (one, projection):
        assert [found.text for found in projection.annotations.all] == ["sale"]  # from the file, at once
        await seen(one, ["sale"])
