"""`Client` against a real ingest, and against a server that answers as it is told."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from concurrent.futures import Future
from typing import Any

import pytest

from ingest.client import BatchResult, Client, ClientClosed, EventsLost, OutgoingEvent, QueueFull, Refusal, Rejection
from ingest.client.courier import SENSES, Courier
from ingest.client.delivery import Patience, Target
from ingest.keys import Key, KeyRing, Scope, mint
from ingest.registry import Registry
from ingest.settings import IngestSettings
from tests.write_site import PATIENCE_S, Reply, UnsureLog, WriteSite, eventually, problem, scripted, write_site


def nowhere() -> str:
    """An address where nobody listens."""
    return WriteSite().url


def test_events_arrive_as_they_were_given() -> None:
    with write_site() as site, Client(site.url) as client:
        now_ms = time.time_ns() // 1_000_000
        client.send("orders", 12.5, id="o1", timestamp=now_ms, country="NL", status=200)
        client.send("visitors", "u7", dimensions={"metric": "x"}, value="y")
        assert client.flush(PATIENCE_S)
        first, second = sorted(site.events(), key=lambda event: event["metric"])
    assert first == {
        "metric": "orders",
        "value": 12.5,
        "timestamp": now_ms,
        "id": "o1",
        "dimensions": {"country": "NL", "status": "200"},
    }
    assert second["dimensions"] == {"metric": "x", "value": "y"}
    assert abs(second["timestamp"] - now_ms) < 60_000
    assert len(second["id"]) == 36


def test_many_threads_share_one_client() -> None:
    with write_site() as site, Client(site.url, when_full="block", queue_events=700, batch_events=100) as client:

        def work(thread: int) -> None:
            for n in range(500):
                client.send("m", n, id=f"{thread}-{n}")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(PATIENCE_S)
        assert Counter(site.ids()) == Counter(f"{t}-{n}" for t in range(6) for n in range(500))
        stats = client.stats()
    assert (stats.accepted, stats.queued, stats.dropped) == (3_000, 0, 0)


def test_rejected_events_are_handed_over_with_their_verdict() -> None:
    heard: list[tuple[Rejection, OutgoingEvent]] = []
    with write_site() as site:
        with Client(site.url, on_rejected=lambda rejection, event: heard.append((rejection, event))) as client:
            for value in (1, "12", float("nan"), 2):
                client.send("m", value, id=f"v{value}")
            assert client.flush(PATIENCE_S)
            stats = client.stats()
        assert len(site.dead()) == 2
        assert sorted(site.ids()) == ["v1", "v2"]
    assert [(rejection.id, rejection.code) for rejection, _ in heard] == [("v12", "wrong_type"), ("vnan", "malformed")]
    assert heard[0][1].document()["value"] == "12"
    assert (stats.accepted, stats.rejected) == (2, 2)


def test_the_future_of_a_batch_says_when_it_is_safe() -> None:
    with write_site() as site, Client(site.url, batch_events=2, linger_s=60.0) as client:
        events = [{"metric": "m", "value": value, "id": f"e{value}"} for value in (1, 2, "3", 4, 5)]
        result = client.send_batch(events).result(PATIENCE_S)
        assert set(site.ids()) == {"e1", "e2", "e4", "e5"}
        assert client.send_batch([]).result(0) == BatchResult(0, (), "")
    assert result.accepted == 4
    assert [(rejection.index, rejection.id) for rejection in result.rejected] == [(2, "e3")]
    assert result.position.startswith("00000000;")


def test_an_ingest_that_is_away_at_start_gets_everything_later() -> None:
    site = WriteSite()
    with Client(site.url) as client:
        for n in range(20):
            client.send("m", n, id=f"e{n}")
        assert not client.flush(0.3)
        assert client.stats().queued == 20
        site.start()
        try:
            assert client.flush(PATIENCE_S)
            assert sorted(site.ids()) == sorted(f"e{n}" for n in range(20))
        finally:
            site.stop()
    assert client.stats().retries > 0


def test_an_ingest_that_goes_and_comes_back_has_each_event_once() -> None:
    """Killed again and again under load; every retry carries the same ids."""
    with write_site() as site, Client(site.url, batch_events=50, linger_s=0.01) as client:
        for n in range(2_000):
            client.send("m", n, id=f"e{n}")
            if n % 500 == 250:
                site.stop()
            if n % 500 == 400:
                site.start()
        assert client.flush(PATIENCE_S)
        assert set(site.ids()) == {f"e{n}" for n in range(2_000)}
        assert client.stats().accepted == 2_000


def test_a_lost_acknowledgement_is_a_retry_with_the_same_ids() -> None:
    with scripted(Reply(how="reset"), Reply(how="reset")) as server, Client(server.url) as client:
        client.send("m", 1)
        client.send("m", 2)
        assert client.flush(PATIENCE_S)
    assert [request.body for request in server.requests] == [server.requests[0].body] * 3
    assert client.stats().retries == 2


def test_what_ingest_does_not_know_of_is_sent_again_with_the_same_ids() -> None:
    log = UnsureLog(1)
    with write_site(log=log) as site, Client(site.url) as client:
        result = client.send_batch([{"metric": "m", "value": n, "id": f"e{n}"} for n in range(10)]).result(PATIENCE_S)
        assert result.accepted == 10
        assert Counter(site.ids()) == Counter({f"e{n}": 2 for n in range(10)})  # a repeated id counts once
        assert client.stats().accepted == 10


def test_a_key_opens_and_a_wrong_one_is_told() -> None:
    made = mint(KeyRing(), Key("", "till", frozenset({Scope.WRITE})), 0, secrets.token_bytes)
    with write_site(keys=KeyRing().including(made.stored)) as site:
        with Client(site.url, key=made.text) as client:
            client.send("m", 1)
            assert client.flush(PATIENCE_S)
        with Client(site.url, key=made.text[:-1] + "x", exit_s=0.0, on_error=lambda *_: None) as client:
            client.send("m", 1)
            eventually(lambda: client.stats().retries)
        assert len(site.ids()) == 1
    assert client.stats().dropped == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_answers_that_may_change_are_retried(status: int) -> None:
    with scripted(problem(status, "later", Retry_After="0")) as server, Client(server.url, key="tb_k") as client:
        client.send("m", 1)
        assert client.flush(PATIENCE_S)
    assert [request.ids for request in server.requests] == [server.requests[0].ids] * 2
    assert server.requests[0].headers["authorization"] == "Bearer tb_k"
    assert server.requests[0].headers["user-agent"].startswith("tallyboard-client")


def test_a_server_that_hangs_is_asked_again() -> None:
    with scripted() as server, Client(server.url, timeout_s=0.3) as client:
        server.may_answer.clear()
        client.send("m", 1)
        eventually(lambda: len(server.requests) >= 2)
        server.may_answer.set()
        assert client.flush(PATIENCE_S)
    assert len({request.body for request in server.requests}) == 1


def test_retry_after_is_waited_for_before_the_next_request() -> None:
    """Told by a sleep that only notes: the second request follows the wait that was asked for, and nothing else."""
    happened: list[Any] = []

    def wait(seconds: float) -> bool:
        happened.append(round(seconds, 1))
        return True

    with scripted(problem(503, "busy", Retry_After="30"), problem(429, "slow", Retry_After="2")) as server:
        courier = Courier(Target(server.url), Patience(), wait=wait, senses=SENSES)
        event = OutgoingEvent("e", b'{"metric":"m","value":1,"id":"e"}')
        assert courier.carry([event], lambda step: happened.append(type(step).__name__))
        courier.close()
    steps = [thing for thing in happened if isinstance(thing, str)]
    assert steps == ["Post", "Pause", "Post", "Pause", "Post", "Settled"]
    first, second = (thing for thing in happened if isinstance(thing, float))
    assert 30.0 < first <= 33.0
    assert 2.0 < second <= 2.4


def test_too_large_is_split_until_it_fits() -> None:
    with write_site(settings=IngestSettings(max_events=3)) as site, Client(site.url, batch_events=20) as client:
        result = client.send_batch([{"metric": "m", "value": n, "id": f"e{n}"} for n in range(20)]).result(PATIENCE_S)
        assert result.accepted == 20
        assert sorted(site.ids()) == sorted(f"e{n}" for n in range(20))


def test_a_refused_request_is_told_once_and_is_over() -> None:
    heard: list[tuple[Refusal, list[str]]] = []
    with scripted(problem(415, "content_type")) as server:
        note = lambda refusal, events: heard.append((refusal, [event.id for event in events]))  # noqa: E731
        with Client(server.url, on_error=note) as client:
            client.send("m", 1, id="a")
            assert not client.flush(PATIENCE_S)
            client.send("m", 2, id="b")
            assert client.flush(PATIENCE_S)
    assert heard == [(Refusal(415, "content_type", "not now"), ["a"])]
    assert [request.ids for request in server.requests] == [["a"], ["b"]]
    assert (client.stats().refused, client.stats().accepted) == (1, 1)


def test_a_batch_that_was_refused_fails_its_future() -> None:
    with scripted(problem(400, "bad")) as server, Client(server.url, on_error=lambda *_: None) as client:
        future = client.send_batch([{"metric": "m", "value": 1}])
        with pytest.raises(EventsLost, match="400 bad: not now") as lost:
            future.result(PATIENCE_S)
    assert (lost.value.lost, lost.value.result.accepted) == (1, 0)


def test_giving_up_is_told() -> None:
    heard: list[Refusal] = []
    with Client(nowhere(), give_up_s=0.5, on_error=lambda refusal, _: heard.append(refusal)) as client:
        client.send("m", 1)
        assert not client.flush(PATIENCE_S)
    assert [refusal.code for refusal in heard] == ["gave_up"]


def test_a_callback_that_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def wrong(rejection: Rejection, event: OutgoingEvent) -> None:
        raise ZeroDivisionError

    with write_site() as site, Client(site.url, on_rejected=wrong) as client:
        client.send("m", "1")
        assert client.flush(PATIENCE_S)
        client.send("m", 1)
        assert client.flush(PATIENCE_S)
    assert "a callback failed" in caplog.text


# --- a full queue -------------------------------------------------------------------------------------------------


def test_a_full_queue_drops_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    with scripted() as server, Client(server.url, queue_events=10, batch_events=5) as client:
        server.may_answer.clear()
        taken = [client.send("m", n, id=f"e{n}") for n in range(15)]
        assert taken == [True] * 10 + [False] * 5
        assert (client.stats().queued, client.stats().dropped) == (10, 5)
        server.may_answer.set()
        assert not client.flush(PATIENCE_S)  # five are lost, and that is told
        assert client.flush(PATIENCE_S)
    assert [id_ for request in server.requests for id_ in request.ids] == [f"e{n}" for n in range(10)]
    assert caplog.text.count("the queue is full") == 1


def test_a_full_queue_raises() -> None:
    with scripted() as server, Client(server.url, queue_events=3, batch_events=3, when_full="raise") as client:
        server.may_answer.clear()
        for n in range(3):
            client.send("m", n)
        with pytest.raises(QueueFull):
            client.send("m", 3)
        server.may_answer.set()
        assert client.flush(PATIENCE_S)


def test_a_full_queue_blocks_until_there_is_room() -> None:
    with scripted() as server, Client(server.url, queue_events=4, batch_events=2, when_full="block") as client:
        server.may_answer.clear()
        threading.Timer(0.2, server.may_answer.set).start()
        assert all(client.send("m", n) for n in range(40))
        assert client.flush(PATIENCE_S)
    assert client.stats().accepted == 40


def test_the_oldest_make_room() -> None:
    with scripted() as server, Client(server.url, queue_events=4, batch_events=2, when_full="drop_oldest") as client:
        server.may_answer.clear()
        client.send("m", 0, id="e0")
        client.send("m", 1, id="e1")
        eventually(lambda: server.requests)
        for n in range(2, 12):
            assert client.send("m", n, id=f"e{n}")
        server.may_answer.set()
        client.flush(PATIENCE_S)
    assert [id_ for request in server.requests for id_ in request.ids] == ["e0", "e1", "e10", "e11"]
    assert client.stats().dropped == 8


# --- the end ------------------------------------------------------------------------------------------------------


def test_closing_sends_what_is_queued_and_takes_nothing_more() -> None:
    with write_site() as site:
        client = Client(site.url, linger_s=60.0)
        client.send("m", 1, id="last")
        assert client.close()
        assert site.ids() == ["last"]
        with pytest.raises(ClientClosed):
            client.send("m", 2)
        assert client.close()


def test_closing_in_vain_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(nowhere())
    future: Future[BatchResult] = client.send_batch([{"metric": "m", "value": 1}])
    client.send("m", 2)
    with caplog.at_level(logging.ERROR):
        assert not client.close(timeout=0.2)
    assert "2 events were given up: closed" in caplog.text
    with pytest.raises(EventsLost, match="closed"):
        future.result(0)
    assert client.stats().dropped == 2


def test_a_client_that_was_never_used_has_no_thread() -> None:
    before = threading.active_count()
    with Client(nowhere()) as client:
        assert client.flush(0)
        assert threading.active_count() == before


def test_an_empty_registry_is_not_needed() -> None:
    """What the registry refuses comes back by name."""
    with write_site(registry=Registry(unknown="reject")) as site, Client(site.url) as client:
        result = client.send_batch([{"metric": "nobody", "value": 1}]).result(PATIENCE_S)
    assert [rejection.code for rejection in result.rejected] == ["unknown_metric"]
