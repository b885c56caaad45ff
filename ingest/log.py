"""The log itself: which topics there are, how to reach Kafka, and what stands at an offset.

Part of the contract: every role names topics and identifies positions the same way. Blocking calls (kafka-python's
admin and consumer); asyncio code runs them in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import crc32c
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, TopicAlreadyExistsError

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_RECONNECT_MS = 500
"""Longest pause between tries to connect: the clients' own 30 s would outlast most outages."""
_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """How to reach the Kafka cluster: `bootstrap` is HOST:PORT[,HOST:PORT…]; SASL and TLS are optional."""

    bootstrap: str = "127.0.0.1:9092"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_cafile: str | None = None

    def client_options(self) -> dict[str, object]:
        """Keyword arguments of any kafka-python client."""
        options: dict[str, object] = {
            "bootstrap_servers": self.bootstrap.split(","),
            "security_protocol": self.security_protocol,
        }
        if self.sasl_mechanism:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        if self.ssl_cafile:
            options["ssl_cafile"] = self.ssl_cafile
        return options


@dataclass(frozen=True, slots=True)
class Topics:
    """Names and shape of the topics."""

    prefix: str = "tallyboard."
    partitions: int = 4
    replication: int = 1

    @property
    def events(self) -> str:
        return self.prefix + "events"

    @property
    def rollups(self) -> str:
        return self.prefix + "rollups"

    @property
    def rejected(self) -> str:
        return self.prefix + "rejected"

    @property
    def journal(self) -> str:
        return self.prefix + "journal"

    def specifications(self) -> dict[str, dict[str, object]]:
        """Topic → partitions, replication factor and configuration, as the admin client takes them."""
        days = {self.events: 7, self.rollups: 30, self.rejected: 30, self.journal: None}
        specifications: dict[str, dict[str, object]] = {}
        for name, kept in days.items():
            configs = {
                "max.message.bytes": str(MAX_MESSAGE_BYTES),
                "retention.ms": str(kept * _DAY_MS) if kept else "-1",
                "retention.bytes": "-1",
                "cleanup.policy": "delete",
                "message.timestamp.type": "LogAppendTime",
            }
            if self.replication == 1:
                # With one copy, a power cut would take acknowledged records and give their offsets out again.
                configs["flush.messages"] = "1"
            specifications[name] = {
                "num_partitions": 1 if name == self.journal else self.partitions,
                "replication_factor": self.replication,
                "configs": configs,
            }
        return specifications


def checksum(value: bytes | None) -> int:
    """CRC-32C of a record value: tells whether the record at an offset is still the one that was read."""
    return int(crc32c.crc32c(value or b""))


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record as the log holds it; `timestamp_ms` is the broker's append time."""

    offset: int
    timestamp_ms: int
    value: bytes | None


class LogError(Exception):
    """The log is not as the roles need it, or cannot be reached."""


class Log:
    """Administration and single reads of the log, for one thread. Raises `LogError` when Kafka does not answer."""

    def __init__(self, connection: KafkaConnection, timeout_s: float = 10.0) -> None:
        self._connection = connection
        self._timeout_ms = int(timeout_s * 1000)
        self._consumer: KafkaConsumer | None = None
        try:
            self._admin = KafkaAdminClient(
                **connection.client_options(),
                bootstrap_timeout_ms=self._timeout_ms,
                request_timeout_ms=self._timeout_ms,
                reconnect_backoff_max_ms=_RECONNECT_MS,
            )
        except KafkaError as error:
            raise LogError(f"Kafka at {connection.bootstrap} does not answer: {error}") from error

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._admin.close()
        if self._consumer is not None:
            self._consumer.close()

    def ensure_topics(self, topics: Topics) -> None:
        """Create the topics that are missing, and check the partition counts of `events` and `rollups`."""
        try:
            present = set(self._admin.list_topics())
            for name, specification in topics.specifications().items():
                if name not in present:
                    self._create(name, specification)
            self._admin.wait_for_topics(list(topics.specifications()), self._timeout_ms)
        except KafkaError as error:
            raise LogError(f"the topics could not be created: {error}") from error
        self.check_partitions(topics)

    def _create(self, name: str, specification: Mapping[str, object]) -> None:
        try:
            self._admin.create_topics({name: dict(specification)}, timeout_ms=self._timeout_ms)
        except TopicAlreadyExistsError:
            pass  # another role was faster

    def check_partitions(self, topics: Topics) -> None:
        """Raise `LogError` unless `events` and `rollups` both have the configured number of partitions."""
        for name in (topics.events, topics.rollups):
            found = len(self.begin_offsets(name))
            if found != topics.partitions:
                raise LogError(f"topic {name} has {found} partitions, {topics.partitions} are configured")

    def topic_id(self, name: str) -> str:
        """The topic's id, 32 hex digits: a re-created topic has another one."""
        return str(self._describe(name)["topic_id"]).replace("-", "")

    def _describe(self, name: str) -> dict[str, object]:
        try:
            (topic,) = self._admin.describe_topics([name])
        except KafkaError as error:
            raise LogError(f"topic {name} cannot be described: {error}") from error
        if topic["error_code"]:
            raise LogError(f"topic {name} does not exist")
        return dict(topic)

    def end_offsets(self, name: str) -> dict[int, int]:
        """Partition → offset of the record that will be appended next."""
        return self._offsets(name, OffsetSpec.LATEST)

    def begin_offsets(self, name: str) -> dict[int, int]:
        """Partition → offset of the oldest record kept."""
        return self._offsets(name, OffsetSpec.EARLIEST)

    def _offsets(self, name: str, spec: OffsetSpec) -> dict[int, int]:
        partitions = self._describe(name)["partitions"]
        wanted = {TopicPartition(name, p["partition_index"]): spec for p in partitions}  # type: ignore[attr-defined]
        try:
            found = self._admin.list_partition_offsets(wanted, timeout_ms=self._timeout_ms)
        except KafkaError as error:
            raise LogError(f"the offsets of {name} cannot be read: {error}") from error
        return {partition.partition: int(at.offset) for partition, at in found.items()}

    def read(self, name: str, partition: int, offset: int) -> LogRecord | None:
        """The first record at or behind an offset, or None when the log ends before it."""
        begin, end = self.begin_offsets(name)[partition], self.end_offsets(name)[partition]
        if not begin <= offset < end:
            return None
        where = TopicPartition(name, partition)
        if self._consumer is None:
            self._consumer = KafkaConsumer(
                **self._connection.client_options(),
                group_id=None,
                enable_auto_commit=False,
                max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
                consumer_timeout_ms=self._timeout_ms,
                reconnect_backoff_max_ms=_RECONNECT_MS,
            )
        try:
            self._consumer.assign([where])
            self._consumer.seek(where, offset)
            for record in self._consumer:
                return LogRecord(record.offset, record.timestamp, record.value)
        except KafkaError as error:
            raise LogError(f"{name} {partition}: offset {offset} cannot be read: {error}") from error
        raise LogError(f"{name} {partition}: offset {offset} was not delivered in time")
