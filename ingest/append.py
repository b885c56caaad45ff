"""Appending single records to the log, each awaited: for the journal, where one entry decides what comes next."""

from __future__ import annotations

import logging

from kafka import KafkaProducer
from kafka.errors import KafkaError

from ingest.log import MAX_MESSAGE_BYTES, KafkaConnection, LogError

_RECONNECT_MS = 500
_log = logging.getLogger(__name__)


class Appender:
    """An idempotent producer, `acks=all`, one record at a time. Blocking; for one thread. Connects when first used."""

    def __init__(self, connection: KafkaConnection, timeout_s: float = 5.0) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._producer: KafkaProducer | None = None

    def append(self, name: str, partition: int, value: bytes) -> int:
        """Append a record and wait until it is durable; returns its offset.

        Raises `LogError` when that is not known in time: the record may be in the log, or appear in it later.
        """
        try:
            if self._producer is None:
                self._producer = self._connected()
            sent = self._producer.send(name, value, partition=partition)
            return int(sent.get(self._timeout_s + 1).offset)
        except KafkaError as error:
            self.close()  # sequence numbers and what may be on its way are no longer known
            raise LogError(f"{name} cannot be written: {error}") from error

    def _connected(self) -> KafkaProducer:
        timeout_ms = int(self._timeout_s * 1000)
        return KafkaProducer(
            **self._connection.client_options(),
            acks="all",
            enable_idempotence=True,
            max_request_size=MAX_MESSAGE_BYTES,
            delivery_timeout_ms=timeout_ms,
            request_timeout_ms=timeout_ms * 4 // 5,
            bootstrap_timeout_ms=timeout_ms,
            max_block_ms=timeout_ms,
            reconnect_backoff_max_ms=_RECONNECT_MS,
            metrics_enabled=False,
        )

    def close(self) -> None:
        """Let go of Kafka, without waiting for what is on its way."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer._sender.force_close()  # `close` alone would wait for it
            producer.close(timeout=1)
        except KafkaError as error:
            _log.warning("closing a producer: %s", error)
