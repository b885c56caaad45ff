"""What seals and what does not: idle, stopped and lagging partitions, times that lie, and files left by a crash."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from random import Random

import pytest

from aggregates import sealing
from aggregates.accounts import LedgerQuery
from aggregates.deltas import Delta
from aggregates.levels import DAY, LEVELS, MINUTE, QUARTER, sealable, watermark
from aggregates.queries import Query
from aggregates.readmodel import ReadModel
from aggregates.settings import ReadModelSettings
from aggregates.store import GRACE_S, Store
from ingest.registry import Registry
from tests.builders import TOPIC_ID, Event, inputs_of
from tests.level_reader import repeated
from tests.recorded import Recorded

HOUR = 1_795_428_000
"""A whole hour, epoch seconds."""


class _Stopped(Exception):
    """Work ended in the middle."""


class Replica:
    """A store of two partitions, and the ends of the log it is told about, as a projector would."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "dashboard.duckdb"
        self.store = Store(self.path, {})
        self.log = Recorded()
        self.ends = {0: 0, 1: 0}

    def append(self, partition: int, record_s: float, *times_s: float, history: bool = False) -> Delta:
        """A record of events of these times stands in the log; its delta is not applied yet."""
        self.ends[partition] += 1
        events: list[Event] = [("orders", {"country": "NL"}, round(1000 * t), 1.0, None) for t in times_s]
        return self.log.append(partition, round(1000 * record_s), events, history)

    def apply(self, *deltas: Delta) -> None:
        self.store.apply(inputs_of(list(deltas)))

    def look(self, now_s: float) -> None:
        """Seal and delete what can be, at a time of this machine's clock."""
        reached = {s.partition: (s.next_offset, s.record_ms) for s in self.store.sources.values()}
        mark = watermark(range(2), reached, self.ends, round(1000 * now_s))
        if mark is not None and self.store.seal(sealable(mark, GRACE_S)):
            self.store.retain(mark // 1000, ReadModelSettings().keep_s)

    def show(self, model: ReadModel, now_s: float) -> int | None:
        """The watermark that is shown."""
        reached = {s.partition: (s.next_offset, s.record_ms) for s in self.store.sources.values()}
        model.observe(TOPIC_ID, watermark(range(2), reached, self.ends, round(1000 * now_s)))
        return model.freshness(round(1000 * now_s)).watermark_ms

    @property
    def sealed(self) -> int:
        return self.store.kept.sealed_until[MINUTE]

    def rows(self, table: str) -> list[tuple[int, int, int]]:
        """(time, known, count) of a table, in this order."""
        with self.store.reader() as cursor:
            sql = f"SELECT time, known, count FROM {table} ORDER BY ALL"  # noqa: S608 - a name of the test's own
            return cursor.execute(sql).fetchall()


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    made = Replica(tmp_path)
    yield made
    made.store.close()


def test_idle_partitions_hold_nothing_back(replica: Replica) -> None:
    replica.apply(replica.append(0, HOUR + 1, HOUR))
    replica.look(HOUR + 200)
    assert replica.sealed == HOUR + 180  # partition 1 never had a record
    replica.apply(replica.append(1, HOUR + 201, HOUR + 200))
    replica.look(HOUR + 400)
    assert replica.sealed == HOUR + 360  # both are idle


def test_a_stopped_worker_stops_sealing_and_its_events_are_not_late(replica: Replica) -> None:
    replica.apply(replica.append(0, HOUR + 1, HOUR), replica.append(1, HOUR + 2, HOUR))
    missing = replica.append(1, HOUR + 30, HOUR + 29)
    replica.apply(replica.append(0, HOUR + 500, HOUR + 500))
    replica.look(HOUR + 510)
    assert replica.sealed <= HOUR  # the deltas of partition 1 are not there yet
    assert replica.rows("total_1m") == []
    replica.apply(missing)
    replica.look(HOUR + 520)
    assert replica.sealed == HOUR + 480
    assert replica.rows("total_1m") == [(HOUR, 0, 3)]


def test_a_lagging_partition_makes_nothing_late(replica: Replica) -> None:
    late = [replica.append(1, HOUR + second, HOUR + second) for second in range(0, 600, 20)]
    for number, delta in enumerate(late):
        now = HOUR + 1000 + 60 * number
        replica.apply(replica.append(0, now, now))
        replica.apply(delta)
        replica.look(now + 1)
        assert replica.sealed <= HOUR + 20 * number - GRACE_S or number == len(late) - 1
    replica.look(HOUR + 5000)
    assert {known for _, known, _ in replica.rows("total_1m")} == {0}
    assert sum(count for _, _, count in replica.rows("total_1m")) == 2 * len(late)


@pytest.mark.parametrize(("ahead", "history"), [(600, False), (365 * 86_400, True)])
def test_an_event_from_the_future_advances_nothing(replica: Replica, ahead: int, history: bool) -> None:
    replica.apply(replica.append(0, HOUR + 70, HOUR + 70 + ahead, history=history))
    waiting = replica.append(0, HOUR + 72, HOUR + 71)
    replica.look(HOUR + 10 * ahead)
    assert replica.sealed == HOUR + 60
    assert replica.store.kept.kept_from[MINUTE] < HOUR
    replica.apply(waiting)
    replica.look(HOUR + 200)
    assert replica.rows("total_1m") == [(HOUR + 60, 0, 1)]
    assert (HOUR + 70 + ahead, 0, 1) in replica.rows("total_1s")


def test_a_clock_that_steps_back_unseals_nothing_and_loses_nothing(replica: Replica) -> None:
    replica.apply(replica.append(0, HOUR + 300, HOUR + 299, HOUR + 110))
    replica.look(HOUR + 301)
    assert replica.sealed == HOUR + 240
    for second in (3300, 3299):
        replica.apply(replica.append(0, HOUR - second, HOUR - 3301, HOUR + 110))
    replica.look(HOUR - 3300)
    assert replica.sealed == HOUR + 240
    for minute in (480, 600, 660):
        replica.look(HOUR + minute)
    assert replica.rows("total_1m") == [(HOUR - 3360, 0, 2), (HOUR + 60, 0, 2), (HOUR + 60, HOUR + 300, 1),
                                        (HOUR + 240, 0, 1)]  # fmt: skip
    assert repeated(replica.store) == {}


AGES_S = (0, 0, 0, 0, 4, 3600, 30 * 86_400, -600, -365 * 86_400)
"""How far an event lies behind its record's append time: an hour and a month late, ten minutes and a year ahead."""
STEPS_S = (1, 1, 5, 20, 70, -5, 3600, -3600)
"""What a broker's clock does between two records."""


@pytest.mark.parametrize("seed", range(3))
def test_late_and_future_events_under_clocks_that_lie_are_counted_and_nothing_goes_back(
    replica: Replica, seed: int
) -> None:
    """The broker's clock jumps, this machine's is off by another hour, deltas come late and in bursts, the process is
    started again; events come shuffled, from everywhere in time."""
    draw = Random(seed)
    model = ReadModel(replica.store, Registry())
    broker_s, waiting = HOUR, list[Delta]()
    mark, count, sealed = 0, 0, 0
    for number in range(60):
        broker_s += draw.choice(STEPS_S)
        times = [broker_s - draw.choice(AGES_S) - draw.random() for _ in range(draw.randint(1, 6))]
        waiting.append(replica.append(number % 2, broker_s, *times))
        if number == 0 or draw.random() < 0.6:
            replica.apply(*waiting)
            waiting.clear()
        if draw.random() < 0.05:
            replica.store.close()
            replica.store = Store(replica.path, {})
            model, mark = ReadModel(replica.store, Registry()), 0  # what was shown before is not known
        now_s = broker_s + draw.choice((0, 0, -5, 3600, -3600))
        replica.look(now_s)
        shown = replica.show(model, now_s)
        assert shown is None or shown >= mark
        assert replica.sealed >= sealed
        assert total_of(model) >= count
        mark, count, sealed = shown or mark, total_of(model), replica.sealed
    replica.apply(*waiting)
    replica.look(broker_s + 7200)
    days = Counter(event.ms // 86_400_000 for event in replica.log.events)
    asked = Query("orders", ("count",), 1000 * (HOUR // 86_400 - 400) * 86_400, 1000 * (HOUR + 400 * 86_400), 86_400)
    told = {int(str(day)) // 86_400_000: count for day, count in model.query(asked).rows if count}
    assert told == dict(days)
    ledger = model.ledger(LedgerQuery(None, 0, 2000 * HOUR))
    accounts = {(row.metric, row.start_ms // 1000): row.account for row in ledger.rows}
    assert {key: (a.accepted, a.applied, a.duplicates) for key, a in accounts.items()} == replica.log.ledger()


def total_of(model: ReadModel) -> int:
    """All events of all time."""
    ((found,),) = model.query(Query("orders", ("count",), 0, 4000 * HOUR)).rows
    return int(str(found))


def test_late_is_a_property_of_row_and_level(replica: Replica) -> None:
    """40 s late for the second, not for its minute; then for the minute, not for its quarter; then for that."""
    replica.apply(*(replica.append(0, HOUR + at, HOUR) for at in (1, 11, 11.002, 70, 70.001, 910, 910.001)))
    replica.look(HOUR + 2000)
    assert replica.rows("total_1s") == [(HOUR, 0, 2), (HOUR, HOUR + 60, 2), (HOUR, HOUR + 120, 1),
                                        (HOUR, HOUR + 900, 1), (HOUR, HOUR + 960, 1)]  # fmt: skip
    assert replica.rows("total_1m") == [(HOUR, 0, 4), (HOUR, HOUR + 120, 1), (HOUR, HOUR + 900, 1),
                                        (HOUR, HOUR + 960, 1)]  # fmt: skip
    assert replica.rows("total_15m") == [(HOUR, 0, 6), (HOUR, HOUR + 1800, 1)]


def test_rows_of_a_late_event_are_the_same_whenever_its_bucket_was_sealed(tmp_path: Path) -> None:
    found = []
    for name, seal_first in (("early", True), ("late", False)):
        (tmp_path / name).mkdir()
        replica = Replica(tmp_path / name)
        replica.apply(replica.append(0, HOUR + 1, HOUR))
        if seal_first:
            replica.look(HOUR + 90_000)
        replica.apply(replica.append(0, HOUR + 100_000, HOUR), replica.append(0, HOUR + 100_001, HOUR))
        for later in (0, 60, 120, 900, 1800):
            replica.look(HOUR + 100_020 + later)
        found.append([replica.rows(f"{family}_{level}") for family in ("total", "view") for level in LEVELS])
        assert repeated(replica.store) == {}
        replica.store.close()
    assert found[0] == found[1]


def test_rows_stay_bounded_under_late_traffic(replica: Replica) -> None:
    """A third of all events is late, by up to 40 minutes: a row for the baseline, one for every time of knowing."""
    minutes = 48
    for minute in range(minutes):
        at = HOUR + 60 * minute
        for half in (11, 41):
            late = [at - 61 * ((37 * minute + 11 * n + half) % 40) for n in range(3)]
            replica.apply(replica.append(0, at + half, *late, *[at + half - n for n in range(6)]))
        replica.look(at + 60 + GRACE_S)
        assert repeated(replica.store) == {}
    rows = replica.rows("total_1m")
    assert sum(count for _, _, count in rows) == sum(1 for e in replica.log.events if e.ms < 1000 * replica.sealed)
    assert len(rows) <= len({time for time, _, _ in rows}) + 6 * minutes
    quarters = replica.rows("total_15m")
    assert len(quarters) <= (minutes // 15 + 4) * 5


def test_what_a_process_before_left_unmerged_is_merged(replica: Replica) -> None:
    replica.apply(replica.append(0, HOUR + 1, HOUR))
    replica.look(HOUR + 2000)
    for second in (2001, 2002):
        replica.apply(replica.append(0, HOUR + second, HOUR))
    replica.store.close()
    replica.store = Store(replica.path, {})
    replica.look(HOUR + 4000)
    assert repeated(replica.store) == {}
    assert replica.rows("total_1m") == [(HOUR, 0, 1), (HOUR, HOUR + 2040, 2)]


def test_restatements_beyond_the_horizon_become_baseline(replica: Replica) -> None:
    replica.apply(replica.append(0, HOUR + 1, HOUR), replica.append(0, HOUR + 50_000, HOUR))
    replica.look(HOUR + 86_400)
    assert [known for _, known, _ in replica.rows("total_15m")] == [0, HOUR + 50_400]
    replica.look(HOUR + 32 * 86_400)
    assert [row[1:] for row in replica.rows("total_15m")] == [(0, 2)]
    assert [row[1:] for row in replica.rows("total_1d")] == [(0, 2)]
    assert [row[1:] for row in replica.rows("series_1d")] == [(0, 2)]
    assert replica.store.kept.folded_until > HOUR + 50_400
    replica.apply(replica.append(0, HOUR + 50_001, HOUR))  # what was known by then is baseline
    assert {known for _, known, _ in replica.rows("total_1d")} == {0}


def test_nothing_is_deleted_before_its_coarser_bucket_is_sealed(replica: Replica) -> None:
    replica.apply(replica.append(0, HOUR + 1, HOUR))
    nothing = {**dict.fromkeys(LEVELS, 0.0), DAY: None}
    replica.store.retain(HOUR + 10**6, nothing)
    assert set(replica.store.kept.kept_from.values()) == {0}
    replica.store.seal(HOUR + 60)
    replica.store.retain(HOUR + 10**6, nothing)
    assert replica.store.kept.kept_from["1s"] == HOUR + 60
    assert replica.store.kept.kept_from[MINUTE] <= HOUR
    assert replica.rows("total_1s") == []
    assert replica.rows("total_1m") == [(HOUR, 0, 1)]
    replica.store.seal(HOUR + 900)
    replica.store.retain(HOUR + 10**6, nothing)
    assert replica.rows("total_1m") == []
    assert replica.rows("total_15m") == [(HOUR, 0, 1)]
    assert replica.store.kept.kept_from[QUARTER] <= HOUR
    replica.store.seal(HOUR + 86_400)
    replica.store.retain(HOUR + 10**6, nothing)
    assert replica.rows("total_15m") == []
    assert len(replica.rows("total_1d")) == 1
    assert replica.store.kept.kept_from[DAY] == 0


def test_late_events_go_where_their_bucket_is_still_kept(replica: Replica) -> None:
    replica.apply(replica.append(0, HOUR + 1, HOUR))
    replica.look(HOUR + 40 * 86_400)  # seconds and minutes of that hour are gone
    late = HOUR + 40 * 86_400
    replica.apply(replica.append(0, late, HOUR))
    assert replica.rows("total_1s") == replica.rows("total_1m") == []
    assert [count for _, _, count in replica.rows("total_15m")] == [1, 1]
    assert [count for _, _, count in replica.rows("total_1d")] == [1, 1]


def test_a_crash_while_sealing_leaves_what_was_before(replica: Replica, tmp_path: Path) -> None:
    replica.apply(replica.append(0, HOUR + 1, HOUR))
    aside = tmp_path / "crashed"
    aside.mkdir()
    with contextlib.suppress(_Stopped), replica.store.writing() as connection:
        sealing.seal(connection, replica.store.kept, HOUR + 86_400, UTC, {})
        for file in tmp_path.glob("dashboard.duckdb*"):
            shutil.copy(file, aside)
        raise _Stopped
    replica.store.close()
    replica.store = Store(aside / "dashboard.duckdb", {})
    assert replica.sealed == 0
    assert replica.rows("total_1m") == []
    assert replica.store.sources[TOPIC_ID, 0].next_offset == 1
    replica.look(HOUR + 86_400)
    assert replica.rows("total_1m") == [(HOUR, 0, 1)]
