"""The demos send real input in order, with ids that hold over retries and restarts."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ingest.client.delivery import Target
from ingest.registry import load
from tallyboard.demo import METRICS_FILE, flights, host, registry_files, workspace
from tallyboard.demo.flights import Flights, Place, batches, events_of, following, read_flights
from tallyboard.demo.load import Load, body, generate, series_fragments, sizes
from tallyboard.demo.sender import Sender
from tallyboard.failure import Failure
from tallyboard.settings import read
from tallyboard.up import _at_home
from tests.write_site import Reply, Request, accepted, problem, scripted

SPEED = 600.0


@pytest.fixture(scope="module")
def year() -> Flights:
    return read_flights()


def part(year: Flights, count: int) -> Flights:
    return Flights(
        year.minutes[:count],
        year.departure_delay[:count],
        year.arrival_delay[:count],
        year.distance[:count],
        year.carriers[:count],
        year.origins[:count],
        year.destinations[:count],
    )


def test_all_flights_are_there_in_scheduled_order(year: Flights) -> None:
    assert len(year) == 336_776
    assert bool(np.all(np.diff(year.minutes) >= 0))
    assert int(year.minutes[0]) == 5 * 60 + 15  # the first was scheduled for 05:15 on 1 January
    assert int(np.isnan(year.departure_delay).sum()) == 8_255
    assert set(year.origins) == {"EWR", "JFK", "LGA"}
    assert len(set(year.destinations)) == 105
    assert "JetBlue Airways" in year.carriers


def test_a_flight_is_cancelled_or_departed_never_both(year: Flights) -> None:
    place, counts = Place("r", 0, 0, 0.0), Counter[str]()
    for row in range(2000):
        metrics = [event["metric"] for event in events_of(year, Place("r", 0, row, place.at_ms), 0)]
        assert ("flights.cancelled" in metrics) == bool(np.isnan(year.departure_delay[row]))
        assert metrics == ["flights.cancelled"] or "flights.departures" in metrics
        counts.update(metrics)
    assert counts["flights.departures"] + counts["flights.cancelled"] == 2000
    assert counts["flights.arrival_delay"] <= counts["flights.departure_delay"] == counts["flights.departures"]


def test_the_replay_keeps_the_rhythm_of_the_year(year: Flights) -> None:
    place = Place("r", 0, 0, 1_000_000.0)
    for _ in range(500):
        place = following(year, place, SPEED)
    minutes = float(year.minutes[500] - year.minutes[0])
    assert place.at_ms == pytest.approx(1_000_000 + minutes * 60_000 / SPEED)


def test_the_year_begins_again_with_other_ids(year: Flights) -> None:
    few = part(year, 3)
    place, seen = Place("r", 0, 0, 0.0), []
    for _ in range(7):
        seen.append((place.loop, place.row))
        place = following(few, place, SPEED)
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    ids = {event["id"] for loop, row in seen for event in events_of(few, Place("r", loop, row, 0.0), 0)}
    assert len(ids) == 7


def test_backfill_then_live_sends_every_flight_once(year: Flights) -> None:
    now = itertools.count(3_600_000, 250)
    stream = batches(year, Place("r", 0, 0, 0.0), SPEED, lambda: next(now))
    ids: list[str] = []
    times: list[int] = []
    for _ in range(40):
        events, after = next(stream)
        ids += [event["id"] for event in events if event["metric"] in ("flights.departures", "flights.cancelled")]
        times += [event["timestamp"] for event in events]
    assert ids == [f"r-0-{row}" for row in range(after.row)]
    assert times == sorted(times)
    assert after.at_ms > 3_600_000


def test_a_state_file_goes_on_where_it_ended(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    fresh = flights._resume(state, 10_000_000.0, 3600, 100)
    assert (fresh.row, fresh.at_ms) == (0, 10_000_000 - 3_600_000)
    flights._remember(state, Place("abc", 2, 50, 9_999_000.0))
    assert flights._resume(state, 10_000_000.0, 3600, 100) == Place("abc", 2, 50, 9_999_000.0)
    long_ago = flights._resume(state, 99_000_000.0, 3600, 100)
    assert (long_ago.row, long_ago.at_ms) == (50, 99_000_000 - 3_600_000)
    state.write_text("{")
    assert flights._resume(state, 10_000_000.0, 3600, 100).row == 0


def test_the_host_sample_names_only_described_metrics_and_values() -> None:
    defined = load(METRICS_FILE).metrics
    events = host.sample(host.Totals(100, 0, 50, 0), host.Totals(160, 10, 40, 5), 1_000, "r-1")
    assert {event["metric"] for event in events} <= set(defined)
    assert all(set(event["dimensions"]) <= set(defined[event["metric"]].dimensions) for event in events)
    values = {(e["metric"], *e["dimensions"].values()): e["value"] for e in events}
    assert values["host.disk_io", "read"] == 60
    assert values["host.network", "in"] == 0  # an interface went away
    assert len({(e["metric"], *e["dimensions"].items(), e["id"]) for e in events}) == len(events)


def test_flights_send_only_described_metrics(year: Flights) -> None:
    defined = load(METRICS_FILE).metrics
    events = [event for row in range(500) for event in events_of(year, Place("r", 0, row, 0.0), 0)]
    assert {event["metric"] for event in events} == {name for name in defined if name.startswith("flights.")}
    assert all(tuple(event["dimensions"]) == defined[event["metric"]].dimensions for event in events)


def test_load_is_the_same_for_the_same_seed() -> None:
    load_, fragments = Load(seed=7, series=12), series_fragments(12)
    first = json.loads(body(load_, fragments, 3, 50, 1_000, "a"))
    again = json.loads(body(load_, fragments, 3, 50, 2_000, "b"))
    assert [(e["value"], e["dimensions"]) for e in first] == [(e["value"], e["dimensions"]) for e in again]
    assert {e["id"] for e in first}.isdisjoint(e["id"] for e in again)
    assert len({json.dumps(e["dimensions"]) for e in json.loads(body(load_, fragments, 1, 500, 0, "a"))}) == 12
    assert list(sizes(Load(count=1050, batch=500))) == [500, 500, 50]


def test_refused_for_now_is_sent_again_with_the_same_ids() -> None:
    said: list[str] = []
    with scripted(*(problem(status, "busy", Retry_After="0") for status in (503, 429, 503))) as server:
        sender = Sender(Target(server.url), said.append)
        assert sender.send([{"metric": "m", "value": 1, "id": "x"}]) == 1
        sender.close()
    assert len(server.requests) == 4
    assert all(request.body == server.requests[0].body for request in server.requests)
    assert [re.sub(r"http\S+", "…", line) for line in said] == [
        "… answers 503; sending the same events again until it takes them",
        "… takes events again",
    ]


def test_refused_for_good_is_a_failure() -> None:
    with scripted(problem(415, "content_type")) as server:
        sender = Sender(Target(server.url), lambda _: None)
        with pytest.raises(Failure, match="refused the events: 415 not now"):
            sender.send([{"metric": "m", "value": 1}])
        sender.close()


def taken(request: Request) -> Reply:
    return Reply(body=accepted(len(json.loads(request.body))))


async def test_load_sends_the_whole_count_in_spite_of_503() -> None:
    with scripted(problem(503, "busy", Retry_After="0"), *([taken] * 10)) as server:
        tally = await generate(
            Target(server.url, "tb_k"), Load(rate=0, count=95, batch=10, connections=1, seconds=None), "run"
        )
    assert (tally.accepted, tally.requests, tally.retries) == (95, 10, 1)
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer tb_k"}
    bodies = [json.loads(request.body) for request in server.requests]
    assert bodies[0] == bodies[1]
    assert len({event["id"] for events in bodies for event in events}) == 95


def test_each_demo_brings_the_registry_it_needs() -> None:
    assert registry_files(["shop"]) == [workspace("shop") / "metrics.toml"]
    assert registry_files(["host", "social"]) == [METRICS_FILE, workspace("social") / "metrics.toml"]
    assert registry_files([]) == []
    names = [set(load(path).metrics) for path in registry_files(["flights", "shop", "social"])]
    assert sum(map(len, names)) == len(set.union(*names))
    assert load(*registry_files(["flights", "shop", "social"])).unknown == "register"


def test_rejections_are_told_once_a_minute() -> None:
    def refusing(request: Request) -> Reply:
        errors = [{"index": 0, "id": None, "code": "out_of_range", "field": "value", "message": "too much"}]
        count = len(request.events)
        return Reply(422, body=json.dumps({"accepted": count - 1, "rejected": 1, "errors": errors}).encode())

    said: list[str] = []
    with scripted(*([refusing] * 5)) as server:
        sender = Sender(Target(server.url), said.append)
        for _ in range(5):
            assert sender.send([{"metric": "m", "value": 1}, {"metric": "m", "value": 2}]) == 1
        sender.close()
    assert said == ["1 event rejected, the last one: too much"]


def test_up_describes_what_demos_send_and_the_workspace_has_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = _at_home(read(), ["shop", "host"])
    known = home.registry().value
    assert known.metrics["shop.revenue"].unit == "EUR"
    assert "host.cpu" in known.metrics
    assert "social.posts" not in known.metrics
    assert all(path.is_absolute() for path in home.registry_files)
    (tmp_path / "metrics.toml").write_text('[metrics."shop.revenue"]\nunit = "USD"\n')
    known = _at_home(read(), ["shop"]).registry().value
    assert known.metrics["shop.revenue"].unit == "USD"
    assert known.metrics["shop.orders"].unit == "orders"
    assert _at_home(read(), []).metrics == ()
