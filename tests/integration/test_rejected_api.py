"""`/api/v1/rejected` over a real ingest and a real store, with the log in memory: every accident on the way."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from aggregates.replays import CLAIM, LEASE_MS, RESULT
from dashboard.edge import Guard
from dashboard.edits import Edits
from tests.desk import HOUR_MS, TOPICS, Desk, Replica

NL = {"set": {"dimensions.country": "NL"}}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def replica(desk: Desk, tmp_path: Path) -> AsyncIterator[Replica]:
    async with desk.replica(tmp_path) as found:
        yield found


def order(value: float = -1, **fields: Any) -> dict[str, Any]:
    """Rejected as long as its value is below 0."""
    return {"metric": "orders", "value": value, **fields}


async def one_letter(desk: Desk, replica: Replica, event: Any = None) -> str:
    """A rejected event's letter."""
    answer = await desk.send(order() if event is None else event, status=422)
    await replica.caught_up(desk)
    return f"{answer['request_id']}/0"


def outcomes(answer: Any) -> list[str]:
    return [letter["outcome"] for letter in answer["letters"]]


def claim_by_hand(desk: Desk, letter: str, edits: Edits, replay: str = "crashed") -> None:
    """What a replica that died behind its claim leaves in the journal."""
    body = {"type": CLAIM, "replay": replay, "letters": [{"id": letter, "root": letter}], "edits": edits.document()}
    desk.log.append(TOPICS.journal, 0, msgspec.json.encode(body))


# --- listing ------------------------------------------------------------------------------------------------------


async def test_rejected_events_are_listed_with_all_that_is_known(desk: Desk, replica: Replica) -> None:
    answer = await desk.send(order(id="order-1", dimensions={"country": "NL"}), {"metric": "nothing", "value": 1})
    await replica.caught_up(desk)
    found = await replica.get()
    assert (found["total"], found["folded"], found["other_metrics"]) == (2, 0, 0)
    assert found["by_reason"] == {"out_of_range": 1, "unknown_metric": 1}
    assert found["by_metric"] == [{"metric": "nothing", "count": 1}, {"metric": "orders", "count": 1}]
    first = found["rejected"][0]
    assert first["id"] == f"{answer['request_id']}/0"
    assert first["event"] == {"metric": "orders", "value": -1, "id": "order-1", "dimensions": {"country": "NL"}}
    assert (first["reason"], first["field"], first["metric"]) == ("out_of_range", "value", "orders")
    assert (first["event_id"], first["protocol"], first["key"]) == ("order-1", "native", None)
    assert (first["replayed"], first["replay_of"], first["kept"], first["cut"]) == (None, None, True, False)
    assert first["position"]["index"] == 0
    freshness = found["freshness"]
    assert freshness["position"].startswith(desk.log.topic_id(TOPICS.rejected)[:8] + ";0:")
    assert (freshness["stopped"], freshness["lag"]) == (None, 0)
    assert await replica.get(f"/{first['id']}") == first


async def test_filters_find_what_they_say(desk: Desk, replica: Replica) -> None:
    first = await desk.send(order(), {"metric": "nothing", "value": 1}, [])
    await desk.send(order(), {"metric": "orders"})
    await replica.caught_up(desk)

    async def count(**filters: Any) -> int:
        found = await replica.get(**filters)
        assert len(found["rejected"]) == found["total"] == sum(found["by_reason"].values())
        return int(found["total"])

    assert await count() == 5
    assert await count(reason="out_of_range") == 2
    assert await count(reason=["out_of_range", "missing_field"]) == 3
    assert await count(metric="orders") == 3
    assert await count(request_id=first["request_id"]) == 3
    assert await count(request_id=first["request_id"], metric="orders") == 1
    assert await count(key="k1") == 0
    assert await count(**{"from": "-1h"}) == 5
    assert await count(to="-1h") == 0
    assert await count(replayed="no") == 5
    assert await count(replayed="yes") == 0


async def test_pages_hold_every_letter_once_newest_first(desk: Desk, replica: Replica) -> None:
    for _ in range(3):
        await desk.send(*([order()] * 7))
    await replica.caught_up(desk)
    seen: list[tuple[str, str]] = []
    parameters: dict[str, Any] = {"limit": 4}
    for _ in range(10):
        page = await replica.get(**parameters)
        assert page["total"] == 21
        seen += [(letter["time"], letter["id"]) for letter in page["rejected"]]
        if page["next"] is None:
            break
        parameters["cursor"] = page["next"]
    assert len(seen) == len(set(seen)) == 21
    assert [time for time, _ in seen] == sorted((time for time, _ in seen), reverse=True)


@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        ("reason", {"reason": "nothing"}),
        ("limit", {"limit": "0"}),
        ("limit", {"limit": "1001"}),
        ("limit", {"limit": "x"}),
        ("cursor", {"cursor": "x"}),
        ("cursor", {"cursor": "1.a.99999999999"}),
        ("from", {"from": "yesterday"}),
        ("from", {"from": "-1h", "to": "-2h"}),
        ("to", {"to": "2026-11-23T10:00:00"}),
        ("replayed", {"replayed": "maybe"}),
        ("format", {"format": "xml"}),
        ("metric", {"metric": ""}),
        ("metric", [("metric", "a"), ("metric", "b")]),
        ("colour", {"colour": "red"}),
    ],
)
async def test_a_bad_parameter_is_named(replica: Replica, field: str, parameters: Any) -> None:
    answer = await replica.client.get("/rejected", params=parameters)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "invalid_parameter", field)
    assert answer.json()["message"]


async def test_an_unknown_letter_is_not_found(replica: Replica) -> None:
    for letter in ("nothing", "nothing/0", "a/99999999999999", "%00/1"):
        answer = await replica.client.get(f"/rejected/{letter}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_letter")


async def test_csv_and_ndjson_hold_the_same_letters(desk: Desk, replica: Replica) -> None:
    await desk.send(order(dimensions={"a": "=1+1"}), ["text"], {"metric": "=cmd", "value": 1})
    await replica.caught_up(desk)
    listed = (await replica.get())["rejected"]
    lines = (await replica.client.get("/rejected", params={"format": "ndjson"})).text.splitlines()
    assert [json.loads(line) for line in lines] == listed
    answer = await replica.client.get("/rejected", headers={"accept": "text/csv"}, params={"limit": 2})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == [letter["id"] for letter in listed[:2]]
    assert answer.headers["x-next-cursor"]
    rest = await replica.client.get("/rejected", params={"format": "csv", "cursor": answer.headers["x-next-cursor"]})
    (last,) = csv.DictReader(io.StringIO(rest.text))
    assert last["metric"] == "'=cmd"


async def test_large_originals_come_with_their_own_letter(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica, order(note="x" * 10_000))
    (listed,) = (await replica.get())["rejected"]
    assert "event" not in listed
    assert (listed["kept"], listed["size"] > 10_000) == (True, True)
    assert (await replica.get(f"/{letter}"))["event"]["note"] == "x" * 10_000


# --- replaying ----------------------------------------------------------------------------------------------------


async def test_a_letter_is_sent_again_with_an_edit_and_once(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica, order(dimensions={"land": "NL", "x": "y"}))
    edits = {"set": {"value": 5}, "drop": ["dimensions.x"], "rename": {"dimensions.land": "dimensions.country"}}
    answer = await replica.replay(ids=[letter], **edits)
    assert answer["letters"] == [
        {"id": letter, "outcome": "accepted", "code": None, "message": None, "event_id": letter, "became": None}
    ]
    assert (answer["counts"], answer["recorded"], len(answer["positions"])) == ({"accepted": 1}, True, 1)
    assert desk.plant.accepted() == [('{"country":"NL"}', 5.0, letter)]
    for again in ({**edits}, {"set": {"value": 6}}, {"set": {"value": 6}, "force": True}):
        assert outcomes(await replica.replay(ids=[letter], **again)) == ["already_replayed"]
    assert len(desk.plant.accepted()) == 1
    assert (await replica.get(replayed="yes"))["rejected"][0]["replayed"] == "accepted"
    assert (await replica.get(replayed="no"))["total"] == 0


async def test_an_event_named_by_its_request_keeps_that_name(desk: Desk, replica: Replica) -> None:
    """The client's own retry of the request is the same event, and counts once with the replay."""
    answer = await desk.send(order(), {"metric": 5, "value": 1}, headers={"Idempotency-Key": "k-2"})
    assert [error["id"] for error in answer["errors"]] == ["k-2/0", "k-2/1"]
    await replica.caught_up(desk)
    assert [letter["event_id"] for letter in (await replica.get())["rejected"]] == ["k-2/0", "k-2/1"]
    await replica.replay(ids=[f"{answer['request_id']}/0"], set={"value": 1})
    await replica.replay(ids=[f"{answer['request_id']}/1"], set={"metric": "orders"})
    assert desk.plant.accepted() == [("{}", 1.0, "k-2/0"), ("{}", 1.0, "k-2/1")]


async def test_an_event_keeps_its_own_id(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica, order(id="order-7"))
    await replica.replay(ids=[letter], set={"value": 1})
    assert desk.plant.accepted() == [("{}", 1.0, "order-7")]


async def test_a_rejected_replay_becomes_a_letter_of_the_same_event(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica)
    (answer,) = (await replica.replay(ids=[letter], set={"value": -2}))["letters"]
    assert (answer["outcome"], answer["code"]) == ("rejected", "out_of_range")
    await replica.caught_up(desk)
    child = await replica.get(f"/{answer['became']}")
    assert (child["replay_of"], child["event_id"], child["event"]["value"]) == (letter, letter, -2)
    assert outcomes(await replica.replay(ids=[answer["became"]], set={"value": 2})) == ["accepted"]
    # The first letter is the same event: with whatever edits, it is not sent again.
    assert outcomes(await replica.replay(ids=[letter], set={"value": 3})) == ["already_replayed"]
    assert desk.plant.accepted() == [("{}", 2.0, letter)]


async def test_a_crash_after_sending_leaves_the_lineage_in_the_event(desk: Desk, replica: Replica) -> None:
    """The first replay died before it could journal that its event was rejected."""
    letter = await one_letter(desk, replica)
    claim_by_hand(desk, letter, Edits(set={"value": -2}))
    sent = await desk.send({**order(-2), "id": letter, "replay_of": letter}, status=422)
    await replica.caught_up(desk)
    desk.clock.ahead_ms += LEASE_MS
    child = f"{sent['request_id']}/0"
    assert outcomes(await replica.replay(ids=[child], set={"value": 4})) == ["unknown"]
    assert outcomes(await replica.replay(ids=[letter], set={"value": 4})) == ["unknown"]
    assert desk.plant.accepted() == []


async def test_a_claim_without_a_result_is_finished_with_the_same_edits_only(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica)
    claim_by_hand(desk, letter, Edits(set={"value": 5}))
    assert outcomes(await replica.replay(ids=[letter], set={"value": 5})) == ["in_progress"]
    desk.clock.ahead_ms += LEASE_MS
    assert outcomes(await replica.replay(ids=[letter], set={"value": 6})) == ["unknown"]
    assert desk.plant.accepted() == []
    assert outcomes(await replica.replay(ids=[letter], set={"value": 5})) == ["accepted"]
    assert desk.plant.accepted() == [("{}", 5.0, letter)]


async def test_an_old_claim_without_a_result_needs_force(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica)
    claim_by_hand(desk, letter, Edits(set={"value": 5}))
    desk.clock.ahead_ms += 24 * HOUR_MS
    (answer,) = (await replica.replay(ids=[letter], set={"value": 5}))["letters"]
    assert (answer["outcome"], "force" in answer["message"]) == ("unknown", True)
    assert (await replica.get())["rejected"][0]["replayed"] == "unknown"
    assert outcomes(await replica.replay(ids=[letter], set={"value": 5}, force=True)) == ["accepted"]
    assert len(desk.plant.accepted()) == 1


async def test_a_lost_answer_is_unknown_and_finished_under_the_same_id(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica)
    desk.wire.cut = True
    assert outcomes(await replica.replay(ids=[letter], set={"value": 5})) == ["unknown"]
    desk.wire.cut = False
    assert outcomes(await replica.replay(ids=[letter], set={"value": 6})) == ["unknown"]
    assert outcomes(await replica.replay(ids=[letter], set={"value": 5})) == ["accepted"]
    # Twice in the log, under one id and in one series: counted once.
    assert desk.plant.accepted() == [("{}", 5.0, letter)] * 2


async def test_when_ingest_is_away_nothing_is_lost_or_locked(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica)
    desk.wire.away = True
    (answer,) = (await replica.replay(ids=[letter], set={"value": 5}))["letters"]
    assert (answer["outcome"], answer["code"]) == ("not_sent", "unreachable")
    desk.wire.away = False
    desk.plant.away = "Kafka is away"
    (answer,) = (await replica.replay(ids=[letter], set={"value": 5}))["letters"]
    assert (answer["outcome"], answer["code"]) == ("not_sent", "unavailable")
    desk.plant.away = None
    assert outcomes(await replica.replay(ids=[letter], set={"value": 6})) == ["accepted"]


async def test_two_clients_and_two_replicas_send_a_letter_once(desk: Desk, replica: Replica, tmp_path: Path) -> None:
    answer = await desk.send(*([order()] * 20))
    ids = [f"{answer['request_id']}/{index}" for index in range(20)]
    async with desk.replica(tmp_path / "second") as second:
        await replica.caught_up(desk)
        await second.caught_up(desk)
        answers = await asyncio.gather(
            *(found.replay(ids=ids, set={"value": number}) for number, found in enumerate([replica, second] * 3))
        )
        found = [outcomes(one) for one in answers]
    for letter in zip(*found, strict=True):
        assert letter.count("accepted") == 1, letter
        assert set(letter) <= {"accepted", "already_replayed", "in_progress"}
    assert len(desk.plant.accepted()) == 20
    assert len({value for _, value, _ in desk.plant.accepted()}) == 1


async def test_a_filter_replays_each_letter_once(desk: Desk, replica: Replica) -> None:
    for _ in range(5):
        await desk.send(order(), {"metric": "orders"})
    await replica.caught_up(desk)
    request: dict[str, Any] = {"filter": {"reason": "out_of_range"}, "limit": 2, "set": {"value": -3}}
    found: list[str] = []
    for _ in range(10):
        answer = await replica.replay(**request)
        found += outcomes(answer)
        if answer["next"] is None:
            break
        request["cursor"] = answer["next"]
    # Those a replay rejects are new letters, which stand behind.
    assert found[:5] == ["rejected"] * 5
    await replica.caught_up(desk)
    assert outcomes(await replica.replay(filter={"reason": ["out_of_range"]}, set={"value": 3})).count("accepted") == 5
    assert len(desk.plant.accepted()) == 5
    assert (await replica.get(reason="missing_field", replayed="no"))["total"] == 5


async def test_a_dry_run_shows_the_events_and_sends_nothing(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica, order(dimensions={"a": "b"}))
    before = desk.wire.requests
    answer = await replica.replay(ids=[letter, "none/0"], dry_run=True, **NL)
    assert (answer["replay"], answer["dry_run"]) == (None, True)
    would, missing = answer["letters"]
    assert (would["outcome"], missing["outcome"]) == ("would_send", "not_found")
    assert would["event"]["dimensions"] == {"a": "b", "country": "NL"}
    assert desk.wire.requests == before
    assert desk.log.end_offsets(TOPICS.journal) == {0: 0}


async def test_letters_that_are_no_events_are_sent_when_an_edit_makes_them_whole(desk: Desk, replica: Replica) -> None:
    body = b'[{"metric": "orders", "value": NaN, "dimensions": {"country": "NL"}}, 5, {"metric": "orders", "value": 1}]'
    async with httpx.AsyncClient(transport=desk.wire, base_url="http://127.0.0.1:8080") as client:
        sent = await client.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert sent.json()["rejected"] == 2
    await replica.caught_up(desk)
    number, nan = [f"{sent.json()['request_id']}/{index}" for index in (1, 0)]
    assert [letter["id"] for letter in (await replica.get(metric="orders"))["rejected"]] == [nan], "NaN hides no metric"
    answer = await replica.replay(ids=[nan, number], **NL)
    assert outcomes(answer) == ["not_whole", "not_whole"]
    assert "no JSON object" in answer["letters"][1]["message"]
    assert outcomes(await replica.replay(ids=[nan], set={"value": 7})) == ["accepted"]
    assert outcomes(await replica.replay(ids=[number], set={"metric": "orders", "value": 8})) == ["accepted"]
    assert sorted(desk.plant.accepted()) == [('{"country":"NL"}', 7.0, nan), ("{}", 1.0, None), ("{}", 8.0, number)]


async def test_cloudevents_are_sent_again_as_such(desk: Desk, replica: Replica) -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "orders", "data": {"value": -1}}
    async with httpx.AsyncClient(transport=desk.wire, base_url="http://127.0.0.1:8080") as client:
        headers = {"content-type": "application/cloudevents+json"}
        sent = await client.post("/v1/events", content=msgspec.json.encode(event), headers=headers)
    await replica.caught_up(desk)
    letter = f"{sent.json()['request_id']}/0"
    assert (await replica.get(f"/{letter}"))["metric"] == "orders"
    answer = await replica.replay(ids=[letter], set={"value": 3, "dimensions.country": "NL"})
    assert outcomes(answer) == ["accepted"], answer
    assert desk.plant.accepted() == [('{"country":"NL"}', 3.0, "/shop/7")]


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("ids", {}),
        ("ids", {"ids": ["a/0"], "filter": {}}),
        ("ids", {"ids": []}),
        ("ids", {"ids": [5]}),
        ("ids", {"ids": [f"a/{n}" for n in range(1001)]}),
        ("filter", {"filter": 5}),
        ("filter.colour", {"filter": {"colour": "red"}}),
        ("reason", {"filter": {"reason": "nothing"}}),
        ("set", {"ids": ["a/0"], "set": []}),
        ("drop", {"ids": ["a/0"], "drop": "x"}),
        ("drop", {"ids": ["a/0"], "drop": ["dimensions."]}),
        ("rename", {"ids": ["a/0"], "rename": {"a": 5}}),
        ("dry_run", {"ids": ["a/0"], "dry_run": "yes"}),
        ("limit", {"filter": {}, "limit": 0}),
        ("colour", {"ids": ["a/0"], "colour": "red"}),
    ],
)
async def test_a_bad_replay_names_its_field(replica: Replica, field: str, body: Any) -> None:
    answer = await replica.client.post("/rejected/replay", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "invalid_parameter", field)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"ids": ["' + b"a" * 70_000 + b'"]}'])
async def test_a_body_that_is_no_replay_is_refused(replica: Replica, body: bytes) -> None:
    answer = await replica.client.post("/rejected/replay", content=body)
    assert answer.status_code in (400, 413)
    assert answer.json()["message"]


async def test_without_its_journal_nothing_is_sent(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica)
    desk.log.cut(TOPICS.journal, 0, 0)
    replica.side.followings[1].stopped = "reading t.journal stopped: for a reason"
    before = desk.wire.requests
    answer = await replica.client.post("/rejected/replay", json={"ids": [letter], "set": {"value": 1}})
    assert (answer.status_code, answer.json()["code"]) == (503, "journal_unavailable")
    assert desk.wire.requests == before


async def test_the_callers_key_goes_on_to_ingest_and_nowhere_else(desk: Desk, replica: Replica) -> None:
    letter = await one_letter(desk, replica)
    desk.wire.seen.clear()
    headers = {"authorization": "Bearer tb_secret"}
    body = {"ids": [letter], "set": {"value": 1}}
    answer = await replica.client.post("/rejected/replay", json=body, headers=headers)
    assert outcomes(answer.json()) == ["accepted"]
    assert desk.wire.seen == ["Bearer tb_secret"]
    journal = [desk.log.read(TOPICS.journal, 0, offset) for offset in range(2)]
    assert [msgspec.json.decode(record.value or b"")["type"] for record in journal if record] == [CLAIM, RESULT]
    assert not any(b"tb_secret" in (record.value or b"") for record in journal if record)


async def test_other_sites_cannot_replay(replica: Replica) -> None:
    inner: Any = replica.client._transport
    app = FastAPI()
    app.mount("/", inner.app)
    guarded = Guard(app, ("test",), lambda: "default-src 'none'")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://test/api/v1") as client:
        body = {"ids": ["a/0"]}
        for origin in ("http://evil.example", "null", "http://test.evil.example"):
            answer = await client.post("/rejected/replay", json=body, headers={"origin": origin})
            assert answer.status_code == 403
        for headers in ({}, {"origin": "http://test"}):
            assert (await client.post("/rejected/replay", json=body, headers=headers)).status_code == 200


# --- the table ----------------------------------------------------------------------------------------------------


async def test_a_replica_started_again_goes_on_and_a_late_one_reads_all(desk: Desk, tmp_path: Path) -> None:
    async with desk.replica(tmp_path / "first") as first:
        letter = await one_letter(desk, first)
        await first.replay(ids=[letter], set={"value": 1})
        before = (await first.get())["rejected"]
    await desk.send(order(), status=422)
    async with desk.replica(tmp_path / "first") as again, desk.replica(tmp_path / "late") as late:
        for found in (again, late):
            await found.caught_up(desk)
            listed = await found.get()
            assert listed["total"] == 2
            assert before[0]["id"] in [one["id"] for one in listed["rejected"]]
            assert outcomes(await found.replay(ids=[letter], set={"value": 2})) == ["already_replayed"]
        assert await again.get() | {"freshness": None} == await late.get() | {"freshness": None}


async def test_an_unreadable_record_is_a_letter_and_the_partition_goes_on(desk: Desk, replica: Replica) -> None:
    version_2 = b'{"version": 2, "request_id": "r", "time": 1, "protocol": "native", "events": []}'
    beyond = b'{"version": 1, "request_id": "r", "time": 99999999999999999999, "protocol": "native", "events": []}'
    for junk in (b"junk", b"\xff\xfe", None, b"[]", version_2, beyond, b"x" * 100_000):
        desk.log.append(TOPICS.rejected, 2, junk)
    desk.log.append(TOPICS.journal, 0, b"junk")
    letter = await one_letter(desk, replica)
    found = await replica.get(reason="unreadable")
    assert found["total"] == 7
    assert all(one["position"]["partition"] == 2 and one["message"] for one in found["rejected"])
    assert (await replica.get(f"/{found['rejected'][0]['id']}"))["reason"] == "unreadable"
    assert outcomes(await replica.replay(ids=[letter], set={"value": 1})) == ["accepted"]


async def test_offsets_given_out_again_stop_the_reading_and_say_so(desk: Desk, tmp_path: Path) -> None:
    async with desk.replica(tmp_path) as replica:
        letter = await one_letter(desk, replica)
    (partition,) = (p for p, end in desk.log.end_offsets(TOPICS.rejected).items() if end)
    desk.log.cut(TOPICS.rejected, partition, 0)
    desk.log.append(TOPICS.rejected, partition, b"another")
    async with desk.replica(tmp_path) as replica:
        async with asyncio.timeout(20):
            while (stopped := (await replica.get())["freshness"]["stopped"]) is None:
                await asyncio.sleep(0.01)
        assert "gave offsets out again" in stopped
        assert (await replica.get())["rejected"][0]["id"] == letter


async def test_records_removed_before_they_were_read_are_passed_over(desk: Desk, tmp_path: Path) -> None:
    async with desk.replica(tmp_path) as replica:
        await one_letter(desk, replica)
    for number in range(4):
        desk.log.append(TOPICS.rejected, 0, b"junk %d" % number)
    desk.log.trim(TOPICS.rejected, 0, desk.log.end_offsets(TOPICS.rejected)[0] - 1)
    async with desk.replica(tmp_path) as replica:
        await replica.caught_up(desk)
        assert (await replica.get(reason="unreadable"))["total"] == 1


async def test_a_topic_created_anew_is_read_from_its_beginning(desk: Desk, replica: Replica) -> None:
    await one_letter(desk, replica)
    desk.log.recreate(TOPICS.rejected)
    for number in range(12):  # behind the offset the old topic was read to as well
        desk.log.append(TOPICS.rejected, number % 4, b"junk")
    await one_letter(desk, replica)
    assert (await replica.get(limit=1))["by_reason"] == {"unreadable": 12, "out_of_range": 2}


async def test_the_oldest_originals_go_first_and_counts_stay_exact(desk: Desk, tmp_path: Path) -> None:
    async with desk.replica(tmp_path, rejected_mb=1, rejected_rows=64) as replica:
        for number in range(60):
            await desk.send(order(note="x" * 40_000, id=f"order-{number}"), status=422)
            await replica.caught_up(desk)
        found = await replica.get()
        kept = [letter["event_id"] for letter in found["rejected"] if letter["kept"]]
        assert 18 < len(kept) <= 24  # of 40 kB each, in four quarters of 250 kB
        assert kept == [f"order-{number}" for number in range(59, 59 - len(kept), -1)]
        oldest = found["rejected"][-1]["id"]
        assert outcomes(await replica.replay(ids=[oldest], set={"value": 1})) == ["not_kept"]
        for _ in range(4):
            await desk.send(*([order()] * 10), {"metric": "nothing", "value": 1})
        await replica.caught_up(desk)
        counted = await replica.get(limit=1000)
        assert (counted["total"], counted["by_reason"]) == (104, {"out_of_range": 100, "unknown_metric": 4})
        assert len(counted["rejected"]) <= 68
        assert counted["folded"] == 104 - len(counted["rejected"]) > 0
        assert (await replica.get(reason="out_of_range", **{"from": "-1h"}))["total"] == 100
        assert (await replica.get(to="-2h"))["total"] == 0


async def test_what_is_older_than_the_retention_is_gone(desk: Desk, tmp_path: Path) -> None:
    async with desk.replica(tmp_path, retention_rejected_days=1.0) as replica:
        desk.clock.ahead_ms = -25 * HOUR_MS
        await one_letter(desk, replica)
        desk.clock.ahead_ms = 0
        letter = await one_letter(desk, replica)
        assert (await replica.get())["total"] == 2
    async with desk.replica(tmp_path, retention_rejected_days=1.0) as replica:
        async with asyncio.timeout(20):
            while (found := await replica.get())["total"] != 1:
                await asyncio.sleep(0.01)
        assert found["rejected"][0]["id"] == letter
