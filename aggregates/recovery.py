"""Where a rollup worker goes on: behind its last delta, with the ids and running totals before it read again.

The output is the truth, not a commit: a worker killed after a delta was written and one killed before are told apart
by what stands in `rollups`.
"""

from __future__ import annotations

import logging
from typing import Protocol

from aggregates import deltas
from aggregates.duplicates import DuplicateWindow
from aggregates.positions import Broken, Fault, Position, PositionError, ReadableLog, check
from aggregates.rollup import PartitionRollup, Source

WAY_OUT = "; `tallyboard accept-loss` gives them up, and counting goes on behind them"
_log = logging.getLogger(__name__)


class TopicNames(Protocol):
    """The two topics a worker stands between."""

    @property
    def events(self) -> str: ...
    @property
    def rollups(self) -> str: ...


def recover(log: ReadableLog, topics: TopicNames, partition: int, window: DuplicateWindow) -> PartitionRollup:
    """The rollup of a partition, to be fed from its `next_offset`. Raises `PositionError` when the log lost records
    that were not rolled up yet, or holds other ones than those that were."""
    begin = log.begin_offsets(topics.events)[partition]
    fresh = PartitionRollup(Source(log.topic_id(topics.events), partition), begin, begin, window)
    last = last_delta(log, topics.rollups, partition)
    if last is None:
        return fresh
    position = Position(last.topic_id, partition, last.next_offset, last.crc)
    found = check(log, topics.events, position)
    if isinstance(found, Broken):
        raise PositionError(found.detail + (WAY_OUT if found.fault is Fault.LOST else ""))
    if found is None:
        _log.warning("%s was created anew: partition %d starts at its beginning", topics.events, partition)
        return fresh
    source = Source(last.topic_id, partition)
    return PartitionRollup(source, last.next_offset, max(begin, last.state_from), window, last.totals_from)


def last_delta(log: ReadableLog, topic: str, partition: int) -> deltas.Header | None:
    """Header of the newest delta of a partition; None when there is none."""
    end = log.end_offsets(topic)[partition]
    record = log.read(topic, partition, end - 1) if end else None
    if record is None:
        return None
    try:
        return deltas.decode(record.value).header
    except deltas.DeltaError as error:
        raise PositionError(f"{topic}, partition {partition}: the last record is no delta: {error}") from error
