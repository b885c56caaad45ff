"""Where a worker goes on, and when it must not: every accident of a log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aggregates import deltas
from aggregates.duplicates import DuplicateWindow
from aggregates.positions import Broken, Fault, Position, PositionError, check
from aggregates.recovery import last_delta, recover
from aggregates.rollup import PartitionRollup, Source
from ingest.events import EventColumns, encode
from ingest.log import Topics, checksum
from ingest.memory_log import MemoryLog
from ingest.series import Kind, Series, SeriesTable
from tests.builders import Event, record_value

TOPICS = Topics(partitions=1)
WINDOW = DuplicateWindow()


def event(number: int) -> Event:
    return ("orders", {}, 1000 * number, float(number), f"id-{number}")


@pytest.fixture
def log() -> MemoryLog:
    """Five source records, the first three rolled up."""
    found = MemoryLog()
    found.ensure_topics(TOPICS)
    for number in range(5):
        found.append(TOPICS.events, 0, record_value([event(number)]), number)
    worker = recover(found, TOPICS, 0, WINDOW)
    for offset in range(3):
        record = found.read(TOPICS.events, 0, offset)
        assert record
        delta = worker.add([record])
        assert delta
        found.append(TOPICS.rollups, 0, deltas.encode(delta))
    return found


def test_a_worker_goes_on_behind_its_last_delta_with_the_ids_before_it(log: MemoryLog) -> None:
    worker = recover(log, TOPICS, 0, WINDOW)
    assert worker.replaying
    assert worker.next_offset == 0
    records = [log.read(TOPICS.events, 0, offset) for offset in range(5)]
    delta = worker.add([record for record in records if record])
    assert delta
    assert (delta.header.first_offset, delta.header.next_offset, delta.header.state_from) == (3, 5, 0)
    assert not worker.replaying


def test_a_worker_reads_running_totals_again_from_where_they_begin(log: MemoryLog) -> None:
    """Ids reach further back than running totals: what stands between is read for its ids alone."""
    table = SeriesTable()
    numbers = np.zeros(1, np.int32) + table.intern(Series("requests", Kind.CUMULATIVE))
    for number, value in enumerate((10.0, 12.0, 15.0)):
        columns = EventColumns(table, numbers, np.array([1000 * number]), np.array([value]))
        (record,) = encode(columns, 1)
        log.append(TOPICS.events, 0, record.value, 10 + number)
    for offset in range(3, 7):
        worker = recover(log, TOPICS, 0, WINDOW)
        found = [log.read(TOPICS.events, 0, offset) for offset in range(worker.next_offset, offset + 1)]
        delta = worker.add([record for record in found if record])
        assert delta
        log.append(TOPICS.rollups, 0, deltas.encode(delta))
    header = last_delta(log, TOPICS.rollups, 0)
    assert header
    assert (header.state_from, header.totals_from) == (0, 5)
    worker = recover(log, TOPICS, 0, WINDOW)
    found = [log.read(TOPICS.events, 0, offset) for offset in range(8)]
    delta = worker.add([record for record in found if record])
    assert delta
    assert delta.rows.column("sum").to_pylist() == [3]


def test_a_delta_of_version_1_can_be_gone_on_from(log: MemoryLog) -> None:
    """A worker of this version behind the output of an older one."""
    golden = (Path(__file__).parents[1] / "golden" / "rollups-v1.arrow").read_bytes()
    header = deltas.decode(golden).header
    assert PartitionRollup(Source(header.topic_id, 0), 2, header.state_from, WINDOW, header.totals_from).replaying


def test_a_first_worker_starts_where_the_log_does(log: MemoryLog) -> None:
    log.recreate(TOPICS.rollups)
    log.trim(TOPICS.events, 0, 2)
    assert recover(log, TOPICS, 0, WINDOW).next_offset == 2


def test_records_removed_before_they_were_rolled_up_stop_the_worker(log: MemoryLog) -> None:
    log.trim(TOPICS.events, 0, 4)
    with pytest.raises(PositionError, match="offsets 3 to 3 were removed"):
        recover(log, TOPICS, 0, WINDOW)


def test_records_removed_behind_the_position_are_no_loss(log: MemoryLog) -> None:
    log.trim(TOPICS.events, 0, 3)
    assert recover(log, TOPICS, 0, WINDOW).next_offset == 3


def test_a_log_that_ends_before_the_position_stops_the_worker(log: MemoryLog) -> None:
    log.cut(TOPICS.events, 0, 2)
    with pytest.raises(PositionError, match="3 records were read, the log ends at 2"):
        recover(log, TOPICS, 0, WINDOW)


def test_offsets_given_out_again_stop_the_worker(log: MemoryLog) -> None:
    log.cut(TOPICS.events, 0, 2)
    for number in (7, 8, 9):
        log.append(TOPICS.events, 0, record_value([event(number)]))
    with pytest.raises(PositionError, match="gave offsets out again"):
        recover(log, TOPICS, 0, WINDOW)


def test_a_topic_created_anew_is_a_new_source(log: MemoryLog) -> None:
    before = log.topic_id(TOPICS.events)
    log.recreate(TOPICS.events)
    worker = recover(log, TOPICS, 0, WINDOW)
    assert worker.next_offset == 0
    assert worker.source.topic_id == log.topic_id(TOPICS.events) != before


def test_something_else_at_the_end_of_the_output_stops_the_worker(log: MemoryLog) -> None:
    log.append(TOPICS.rollups, 0, b"junk")
    with pytest.raises(PositionError, match="is no delta"):
        recover(log, TOPICS, 0, WINDOW)


def test_a_position_names_its_fault(log: MemoryLog) -> None:
    value = record_value([event(4)])
    good = Position(log.topic_id(TOPICS.events), 0, 5, checksum(value))
    assert check(log, TOPICS.events, good) == good
    other = Position(good.topic_id, 0, 5, good.crc + 1)
    found = check(log, TOPICS.events, other)
    assert isinstance(found, Broken)
    assert found.fault is Fault.REUSED
