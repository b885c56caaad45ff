"""Positions in the log that know whether the log is still the one they were taken from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ingest.log import LogRecord, checksum


@dataclass(frozen=True, slots=True)
class Position:
    """`next_offset` of a partition, with the topic's id and the CRC-32C of the record before it."""

    topic_id: str
    partition: int
    next_offset: int
    crc: int


class Fault(StrEnum):
    """Why a position cannot be continued from."""

    PAST_THE_END = "past_the_end"
    REUSED = "reused_offsets"
    LOST = "lost_records"


@dataclass(frozen=True, slots=True)
class Broken:
    """A position that must not be continued from; `detail` is a sentence for the operator."""

    fault: Fault
    detail: str


class ReadableLog(Protocol):
    """What `check` asks of the log."""

    def topic_id(self, name: str) -> str: ...
    def begin_offsets(self, name: str) -> dict[int, int]: ...
    def end_offsets(self, name: str) -> dict[int, int]: ...
    def read(self, name: str, partition: int, offset: int) -> LogRecord | None: ...


class PositionError(Exception):
    """A role stops: its position and the log contradict each other."""


def check(log: ReadableLog, topic: str, position: Position) -> Position | Broken | None:
    """The position itself when the log still continues from it, None when the topic was created anew (another
    source: start at its beginning), or what is wrong."""
    if log.topic_id(topic) != position.topic_id:
        return None
    partition, offset = position.partition, position.next_offset
    begin, end = log.begin_offsets(topic)[partition], log.end_offsets(topic)[partition]
    where = f"{topic}, partition {partition}"
    if offset > end:
        return Broken(
            Fault.PAST_THE_END,
            f"{where}: {offset} records were read, the log ends at {end}: acknowledged records are gone from Kafka",
        )
    if offset < begin:
        return Broken(
            Fault.LOST, f"{where}: offsets {offset} to {begin - 1} were removed from Kafka before they were read"
        )
    if offset == begin:
        return position  # the record before it has been removed by retention: nothing left to compare with
    record = log.read(topic, partition, offset - 1)
    if record is not None and record.offset == offset - 1 and checksum(record.value) != position.crc:
        return Broken(
            Fault.REUSED,
            f"{where}: the record at offset {offset - 1} is not the one that was read: Kafka gave offsets out again",
        )
    return position
