"""Losses found and given up: what a worker, a replica and one built anew make of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aggregates import deltas
from aggregates.duplicates import DuplicateWindow
from aggregates.losses import Loss, accept, find_losses
from aggregates.positions import PositionError
from aggregates.recovery import recover
from aggregates.store import NO_RECORD_MS, Store
from ingest.log import Topics
from ingest.memory_log import MemoryLog
from tests.builders import Event, inputs_of, record_value

TOPICS = Topics(partitions=2)
WINDOW = DuplicateWindow()
HOUR_MS = 1_795_428_000_000


def event(number: int) -> Event:
    return ("orders", {}, HOUR_MS + 1000 * number, float(number), f"id-{number}")


@pytest.fixture
def log() -> MemoryLog:
    """Nine records in partition 0, three rolled up; six are gone. Partition 1 is idle."""
    found = MemoryLog()
    found.ensure_topics(TOPICS)
    for number in range(9):
        found.append(TOPICS.events, 0, record_value([event(number)]), HOUR_MS + 1000 * number)
    roll_up(found, 3)
    found.trim(TOPICS.events, 0, 6)
    return found


def roll_up(log: MemoryLog, until: int) -> None:
    """Be a worker from its start to an offset, of one record a delta."""
    worker = recover(log, TOPICS, 0, WINDOW)
    while worker.next_offset < until:
        record = log.read(TOPICS.events, 0, worker.next_offset)
        assert record
        delta = worker.add([record])
        if delta:
            log.append(TOPICS.rollups, 0, deltas.encode(delta))


def written(log: MemoryLog) -> list[deltas.Delta]:
    records = [log.read(TOPICS.rollups, 0, offset) for offset in range(log.end_offsets(TOPICS.rollups)[0])]
    return [deltas.decode(record.value) for record in records if record]


def test_a_loss_is_found_with_its_range_and_times(log: MemoryLog) -> None:
    with pytest.raises(PositionError, match=r"offsets 3 to 5 were removed .* `tallyboard accept-loss`"):
        recover(log, TOPICS, 0, WINDOW)
    expected = Loss(log.topic_id(TOPICS.events), 0, 3, 6, HOUR_MS + 2000, HOUR_MS + 6000)
    assert find_losses(log, TOPICS) == [expected]
    assert expected.records == 3


def test_a_loss_given_up_is_gone_past_listed_and_given_up_once(log: MemoryLog, tmp_path: Path) -> None:
    (loss,) = find_losses(log, TOPICS)
    for _ in range(2):
        accept(loss, TOPICS, log.append, 77)
    assert find_losses(log, TOPICS) == []
    roll_up(log, 9)
    found = written(log)
    spans = [(delta.header.first_offset, delta.header.next_offset) for delta in found]
    assert spans == [(0, 1), (1, 2), (2, 3), (3, 6), (3, 6), (6, 7), (7, 8), (8, 9)]
    store = Store(tmp_path / "dashboard.duckdb", {})
    assert store.apply(inputs_of(found[:3])) == 3
    assert store.apply(inputs_of(found[3:5], 3)) == 0
    position = store.sources[loss.topic_id, 0]
    assert (position.next_offset, position.record_ms) == (6, HOUR_MS + 2000)
    assert store.apply(inputs_of(found[5:], 5)) == 3
    with store.reader() as cursor:
        assert cursor.execute("FROM lost").fetchall() == [(loss.topic_id, 0, 3, 6, 77)]
    store.close()


def test_a_replica_built_anew_lists_the_same_loss(log: MemoryLog, tmp_path: Path) -> None:
    (loss,) = find_losses(log, TOPICS)
    accept(loss, TOPICS, log.append, 77)
    roll_up(log, 9)
    for name, first in (("whole", 0), ("from_the_loss_on", 3)):  # the older deltas were removed by retention
        store = Store(tmp_path / name, {})
        store.apply(inputs_of(written(log)[first:4], first))
        assert store.sources[loss.topic_id, 0].record_ms == (NO_RECORD_MS if first else HOUR_MS + 2000)
        store.apply(inputs_of(written(log)[4:], 4))
        with store.reader() as cursor:
            assert cursor.execute("FROM lost").fetchall() == [(loss.topic_id, 0, 3, 6, 77)]
        assert store.sources[loss.topic_id, 0].history_from == first
        store.close()


def test_more_may_be_lost_later(log: MemoryLog) -> None:
    accept(find_losses(log, TOPICS)[0], TOPICS, log.append, 77)
    log.trim(TOPICS.events, 0, 8)
    (loss,) = find_losses(log, TOPICS)
    assert (loss.first_offset, loss.next_offset, loss.after_ms, loss.before_ms) == (6, 8, None, HOUR_MS + 8000)
    accept(loss, TOPICS, log.append, 78)
    roll_up(log, 9)
    assert written(log)[-1].header.first_offset == 8


def test_a_delta_without_records_is_a_loss_or_nothing(log: MemoryLog) -> None:
    accept(find_losses(log, TOPICS)[0], TOPICS, log.append, 77)
    value = log.read(TOPICS.rollups, 0, 3)
    assert value
    assert value.value
    assert deltas.decode(value.value).lost_ms == 77
    with pytest.raises(deltas.DeltaError, match="no records"):
        deltas.decode(value.value.replace(b"tallyboard.lost", b"tallyboard.last"))
