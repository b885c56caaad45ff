"""Records that Kafka no longer holds although they were never rolled up: found, and given up on a person's word.

The word is a delta of its own in `rollups`, of no records and no rows. It stands in order with all others, so it holds
for the worker that goes on behind it, for every replica, and for one that is built anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aggregates import deltas
from aggregates.grouping import no_rows
from aggregates.positions import Broken, Fault, Position, PositionError, ReadableLog, check
from aggregates.recovery import TopicNames, last_delta
from ingest.log import LogError

Append = Callable[[str, int, bytes], int]


@dataclass(frozen=True, slots=True)
class Loss:
    """Records [first_offset, next_offset) of a partition of `events`.

    `after_ms` is the append time of the last record that was rolled up before them, `before_ms` that of the first that
    is still there; None when there is none.
    """

    topic_id: str
    partition: int
    first_offset: int
    next_offset: int
    after_ms: int | None
    before_ms: int | None

    @property
    def records(self) -> int:
        """How many: at most, where transactions left control records among them."""
        return self.next_offset - self.first_offset


def find_losses(log: ReadableLog, topics: TopicNames) -> list[Loss]:
    """What a worker that starts now would miss, by partition. Raises `LogError`."""
    try:
        found = [_loss(log, topics, partition) for partition in sorted(log.begin_offsets(topics.events))]
    except PositionError as error:
        raise LogError(str(error)) from error
    return [loss for loss in found if loss is not None]


def _loss(log: ReadableLog, topics: TopicNames, partition: int) -> Loss | None:
    last = last_delta(log, topics.rollups, partition)
    if last is None:
        return None
    state = check(log, topics.events, Position(last.topic_id, partition, last.next_offset, last.crc))
    if not isinstance(state, Broken) or state.fault is not Fault.LOST:
        return None
    begin = log.begin_offsets(topics.events)[partition]
    oldest = log.read(topics.events, partition, begin)
    return Loss(
        last.topic_id,
        partition,
        last.next_offset,
        begin,
        last.records[-1].timestamp_ms if last.records else None,
        oldest.timestamp_ms if oldest else None,
    )


def accept(loss: Loss, topics: TopicNames, append: Append, noted_ms: int) -> None:
    """Write the loss down. A second time changes nothing: read models drop what lies below their position. Raises
    `LogError`: then it may be written."""
    append(topics.rollups, loss.partition, deltas.encode(as_delta(loss, noted_ms)))


def as_delta(loss: Loss, noted_ms: int) -> deltas.Delta:
    """The delta that read models go past the lost records by."""
    header = deltas.Header(
        topic_id=loss.topic_id,
        partition=loss.partition,
        first_offset=loss.first_offset,
        next_offset=loss.next_offset,
        crc=0,
        state_from=loss.next_offset,
        records=[],
    )
    return deltas.Delta(header, no_rows(), noted_ms)
