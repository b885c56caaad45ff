"""Sending records to the log: the port `Publisher`, and a log in memory behind it (Kafka: `ingest.kafka_publisher`).

A message's outcome is a value: its offset once it is durable, or `Undelivered`. Whoever waits on an outcome is
answered within a bounded time, whatever Kafka does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One record to send."""

    topic: str
    partition: int
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Not known to be durable. `unknown`: the record may be in the log all the same."""

    unknown: bool
    detail: str


Outcome = int | Undelivered
"""The record's offset once it is durable, or why it is not known to be."""


class Publisher(Protocol):
    """A log that records can be sent to."""

    @property
    def topic_id(self) -> str:
        """Id of the topic `events`, 32 hex digits; empty before the first connection."""

    def obstacles(self) -> tuple[str, ...]:
        """Why nothing can be sent at present, for people; empty when all is well."""

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        """Send, and wait until every message is durable or has failed; outcomes in the order of the messages."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class MemoryPublisher:
    """A log in this process, for tests and trials: durable as long as the object lives."""

    def __init__(self, topic_id: str = "00000000000000000000000000000000") -> None:
        self.records: dict[tuple[str, int], list[Message]] = defaultdict(list)
        self.away: str | None = None
        """Set to a reason, nothing can be sent."""
        self._topic_id = topic_id

    @property
    def topic_id(self) -> str:
        return self._topic_id

    def obstacles(self) -> tuple[str, ...]:
        return (self.away,) if self.away else ()

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        if self.away:
            return [Undelivered(False, self.away) for _ in messages]
        return [self._append(message) for message in messages]

    def _append(self, message: Message) -> int:
        records = self.records[message.topic, message.partition]
        records.append(message)
        return len(records) - 1

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        self.away = "closed"
