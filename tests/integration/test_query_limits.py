"""Queries have bounds: time, number, memory; none runs for a client that left; equal ones are answered once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from aggregates.queries import OutOfMemory, Query
from tests.asked import NOON_MS, Board, board
from tests.ingest_server import ThreadedServer

DEADLINE_S = 30.0
TOTAL = {"metric": "orders.revenue", "measures": "count,sum", "from": "-1h"}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask(server: ThreadedServer, **more: str) -> httpx.Response:
    url = f"http://127.0.0.1:{server.port}/api/v1/query"
    return httpx.get(url, params={**TOTAL, **more}, timeout=DEADLINE_S, trust_env=False)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[tuple[Board, ThreadedServer]]:
    """Queries may take long, two at a time, and one more waits."""
    with board(tmp_path, seconds=600.0, at_once=2, queue=1, patience_s=600.0) as found:
        yield found


def test_a_query_that_runs_too_long_is_ended(tmp_path: Path) -> None:
    with board(tmp_path, seconds=0.3) as (found, server):
        found.slow_down()
        answer = ask(server)
        assert (answer.status_code, answer.json()["code"]) == (504, "query_timeout")
        assert "0.3 s" in answer.json()["message"]
        found.speed_up()
        assert ask(server).json()["rows"][0][0] == 200
        assert found.runner.counts.too_slow == 1


def leave(server: ThreadedServer, request: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(request)
    return client


GET = b"GET /api/v1/query?metric=orders.revenue HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BODY = b'{"metric": "orders.revenue", "measures": ["count"]}'
POST = b"POST /api/v1/query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_a_query_ends_when_its_client_leaves(patient: tuple[Board, ThreadedServer], request_: bytes) -> None:
    found, server = patient
    found.slow_down()
    client = leave(server, request_)
    until(lambda: found.runner.open == 1 and found.model.remembered.tally.made == 1)
    client.close()
    until(lambda: found.runner.open == 0)
    until(lambda: found.runner.counts.abandoned == 1)


def test_a_query_goes_on_while_somebody_else_waits_for_it(patient: tuple[Board, ThreadedServer]) -> None:
    found, server = patient
    found.slow_down()
    first, second = leave(server, GET), leave(server, GET)
    until(lambda: found.model.remembered.tally.shared == 1)
    first.close()
    until(lambda: found.runner.counts.abandoned == 1)
    assert found.runner.open >= 1
    second.close()
    until(lambda: found.runner.open == 0)


def test_too_many_at_once_are_told_to_come_back(patient: tuple[Board, ThreadedServer]) -> None:
    found, server = patient
    found.slow_down()
    clients = [leave(server, GET.replace(b"?", b"?step=%s&" % step)) for step in (b"1m", b"5m", b"15m")]
    until(lambda: found.runner.open == 3)
    refused = ask(server)
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "busy", "1")
    fresh = httpx.get(f"http://127.0.0.1:{server.port}/api/v1/freshness", trust_env=False, timeout=DEADLINE_S)
    assert fresh.status_code == 200
    for client in clients:
        client.close()
    until(lambda: found.runner.open == 0)
    found.speed_up()
    assert ask(server).status_code == 200


def test_one_that_waits_too_long_for_its_turn_is_told_so(tmp_path: Path) -> None:
    with board(tmp_path, seconds=600.0, at_once=1, queue=5, patience_s=0.2) as (found, server):
        found.slow_down()
        client = leave(server, GET)
        until(lambda: found.runner.open == 1)
        refused = ask(server)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        client.close()
        until(lambda: found.runner.open == 0)


def test_equal_queries_at_once_cost_one(patient: tuple[Board, ThreadedServer]) -> None:
    found, _ = patient
    query = Query("orders.revenue", ("sum",), NOON_MS - 3_600_000, NOON_MS)
    ready = threading.Barrier(6)

    def asked(_: int) -> list[tuple[object, ...]]:
        ready.wait(DEADLINE_S)
        return found.model.query(query).rows

    with ThreadPoolExecutor(6) as pool:
        rows = list(pool.map(asked, range(6)))
    assert rows == [rows[0]] * 6
    tally = found.model.remembered.tally
    assert (tally.made, tally.remembered + tally.shared) == (1, 5)


def test_an_answer_is_remembered_until_its_metric_changes(patient: tuple[Board, ThreadedServer]) -> None:
    found, server = patient
    before = ask(server)
    again = ask(server)
    assert again.json()["rows"] == before.json()["rows"]
    assert found.model.remembered.tally.made == 1
    found.add(("orders.visitors", {"country": "NL"}, NOON_MS - 5000, "v1", None))
    behind = ask(server)
    assert found.model.remembered.tally.made == 1
    assert behind.json()["freshness"]["position"].endswith("0:2")
    assert behind.headers["etag"] == before.headers["etag"]
    found.add(("orders.revenue", {"country": "NL"}, NOON_MS - 5000, 7.0, None))
    changed = ask(server)
    assert changed.json()["rows"][0][0] == before.json()["rows"][0][0] + 1
    assert found.model.remembered.tally.made == 2
    found.store.seal(NOON_MS // 1000 - 60)
    sealed = ask(server)
    assert sealed.json()["rows"][0] == pytest.approx(changed.json()["rows"][0])
    assert found.model.remembered.tally.made == 3


def test_a_query_of_too_much_memory_is_refused_and_nothing_else_is_hurt(tmp_path: Path) -> None:
    with board(tmp_path, seconds=60.0, memory_mb=128) as (found, server):
        with found.store.writing() as connection:
            connection.execute("ALTER TABLE total_1s RENAME TO real_1s")
            hungry = "(SELECT len(list(md5(range::VARCHAR) || md5((range + 1)::VARCHAR))) FROM range(8000000)) >= 0"
            connection.execute(f"CREATE VIEW total_1s AS FROM real_1s WHERE {hungry}")
        refused = ask(server)
        assert (refused.status_code, refused.json()["code"]) == (503, "out_of_memory")
        with pytest.raises(OutOfMemory):
            found.model.query(Query("orders.revenue", ("sum",), NOON_MS - 3_600_000, NOON_MS))
        with found.store.writing() as connection:
            connection.execute("DROP VIEW total_1s")
            connection.execute("ALTER TABLE real_1s RENAME TO total_1s")
        found.add(("orders.revenue", {"country": "NL"}, NOON_MS - 5000, 7.0, None))
        assert ask(server).json()["rows"][0][0] == 201


def test_the_same_query_gives_the_same_bytes_however_often_it_is_computed(tmp_path: Path) -> None:
    with board(tmp_path) as (found, server):
        bodies = set()
        tags = set()
        for _ in range(10):
            found.model.remembered._kept.clear()
            answer = ask(server, by="country,product", measures="sum,avg,p90,rate", format="csv")
            bodies.add(answer.content)
            tags.add(ask(server, by="country,product", measures="sum,avg,p90,rate").headers["etag"])
        assert (len(bodies), len(tags)) == (1, 1)
        held = httpx.get(
            f"http://127.0.0.1:{server.port}/api/v1/query",
            params={**TOTAL, "by": "country,product", "measures": "sum,avg,p90,rate"},
            headers={"If-None-Match": tags.pop()},
            trust_env=False,
        )
        assert (held.status_code, held.content) == (304, b"")
