"""A log in memory, the twin of `ingest.log.Log`: for tests of whoever reads positions, with the accidents of a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from ingest.log import LogError, LogRecord, Topics


@dataclass(slots=True)
class _Partition:
    begin: int = 0
    records: list[LogRecord] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.begin + len(self.records)


@dataclass(slots=True)
class _Topic:
    partitions: list[_Partition]
    topic_id: str = field(default_factory=lambda: uuid4().hex)


class MemoryLog:
    """Topics in memory. Reads answer as `Log` does, `append` as `ingest.append.Appender` and `follow` as
    `ingest.follow.TopicFollower`; `trim`, `cut` and `recreate` are the test's."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self.is_away = False
        """Whether nothing can be appended, as without a broker; the test's."""

    def ensure_topics(self, topics: Topics) -> None:
        for name in topics.specifications():
            count = 1 if name == topics.journal else topics.partitions
            self._topics.setdefault(name, _Topic([_Partition() for _ in range(count)]))

    def append(self, name: str, partition: int, value: bytes | None, timestamp_ms: int = 0) -> int:
        """Append a record; returns its offset."""
        if self.is_away:
            raise LogError("no broker")
        found = self._topic(name).partitions[partition]
        found.records.append(LogRecord(found.end, timestamp_ms, value))
        return found.end - 1

    def follow(self, name: str, offsets: Mapping[int, int]) -> MemoryFollower:
        return MemoryFollower(self, name, offsets)

    def trim(self, name: str, partition: int, begin: int) -> None:
        """Retention: records below `begin` are gone."""
        found = self._topic(name).partitions[partition]
        found.records = [record for record in found.records if record.offset >= begin]
        found.begin = begin

    def cut(self, name: str, partition: int, end: int) -> None:
        """A power cut: records at and behind `end` are gone, their offsets will be given out again."""
        found = self._topic(name).partitions[partition]
        found.records = [record for record in found.records if record.offset < end]

    def recreate(self, name: str) -> None:
        """Delete the topic and create it again, empty."""
        self._topics[name] = _Topic([_Partition() for _ in self._topic(name).partitions])

    def topic_id(self, name: str) -> str:
        return self._topic(name).topic_id

    def begin_offsets(self, name: str) -> dict[int, int]:
        return {number: found.begin for number, found in enumerate(self._topic(name).partitions)}

    def end_offsets(self, name: str) -> dict[int, int]:
        return {number: found.end for number, found in enumerate(self._topic(name).partitions)}

    def read(self, name: str, partition: int, offset: int) -> LogRecord | None:
        found = self._topic(name).partitions[partition]
        if not found.begin <= offset < found.end:
            return None
        return found.records[offset - found.begin]

    def _topic(self, name: str) -> _Topic:
        if name not in self._topics:
            raise LogError(f"topic {name} does not exist")
        return self._topics[name]


class MemoryFollower:
    """The twin of `ingest.follow.TopicFollower`."""

    def __init__(self, log: MemoryLog, topic: str, offsets: Mapping[int, int]) -> None:
        log.topic_id(topic)
        self._log = log
        self._topic = topic
        self._next = dict(offsets)

    def poll(self, wait_s: float) -> Mapping[int, list[LogRecord]]:
        ends, begins = self._log.end_offsets(self._topic), self._log.begin_offsets(self._topic)
        found: dict[int, list[LogRecord]] = {}
        for partition, offset in self._next.items():
            if not begins[partition] <= offset <= ends[partition]:
                raise LogError(f"{self._topic} cannot be read on: {partition} has no offset {offset}")
            read = [self._log.read(self._topic, partition, at) for at in range(offset, ends[partition])]
            if read:
                found[partition] = [record for record in read if record is not None]
                self._next[partition] = ends[partition]
        if not found:
            time.sleep(min(wait_s, 0.01))
        return found

    def close(self) -> None:
        pass
