"""Following a topic: its records in order, from offsets of one's own, without a consumer group.

For topics that every reader wants whole (`rejected`, `journal`). Memory is bounded by what one fetch may bring, however
far behind the reader is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from ingest.log import KafkaConnection, LogError, LogRecord

FETCH_BYTES = 4 * 1024 * 1024
"""Aim of one fetch. A single larger record still comes, alone: it may have `MAX_MESSAGE_BYTES`."""
_POLL_RECORDS = 200
_RECONNECT_MS = 500
_CONNECT_MS = 10_000


class Follower(Protocol):
    """Reads on where it stopped. Blocking; for one thread."""

    def poll(self, wait_s: float) -> Mapping[int, list[LogRecord]]:
        """Partition → next records in order; waits for some as long as `wait_s`, then nothing. Raises `LogError` when
        the wanted offsets are not in the log (any more)."""
        ...

    def close(self) -> None: ...


class TopicFollower:
    """The partitions of a Kafka topic that `offsets` names, from there. Raises `LogError` when Kafka is away."""

    def __init__(self, connection: KafkaConnection, topic: str, offsets: Mapping[int, int]) -> None:
        self._topic = topic
        try:
            self._consumer = KafkaConsumer(
                **connection.client_options(),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",  # a missing offset is said, never skipped
                fetch_max_bytes=FETCH_BYTES,
                max_partition_fetch_bytes=FETCH_BYTES // 4,
                max_poll_records=_POLL_RECORDS,
                bootstrap_timeout_ms=_CONNECT_MS,
                reconnect_backoff_max_ms=_RECONNECT_MS,
                metrics_enabled=False,
            )
            partitions = {partition: TopicPartition(topic, partition) for partition in offsets}
            self._consumer.assign(list(partitions.values()))
            for partition, where in partitions.items():
                self._consumer.seek(where, offsets[partition])
        except KafkaError as error:
            raise LogError(f"{topic} cannot be followed: {error}") from error

    def poll(self, wait_s: float) -> Mapping[int, list[LogRecord]]:
        try:
            found = self._consumer.poll(timeout_ms=int(wait_s * 1000))
        except KafkaError as error:
            raise LogError(f"{self._topic} cannot be read on: {error}") from error
        return {
            where.partition: [LogRecord(record.offset, record.timestamp, record.value) for record in records]
            for where, records in found.items()
        }

    def close(self) -> None:
        self._consumer.close()
