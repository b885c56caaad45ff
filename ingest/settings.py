"""Settings of the ingest role: one table, with every default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ingest.log import KafkaConnection, Topics
from ingest.logs import LogFormat


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Fields carry their unit in the name; all limits are per process."""

    kafka: KafkaConnection = field(default_factory=KafkaConnection)
    topics: Topics = field(default_factory=Topics)
    host: str = "127.0.0.1"
    port: int = 8080
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    """Names a `Host` header may carry besides `host`; others get 421. `*` allows every name."""
    max_body_bytes: int = 16 * 1024 * 1024
    """Largest request body, as sent and after decompression."""
    max_events: int = 10_000
    """Most events in one request."""
    body_timeout_s: float = 10.0
    """Longest wait for the whole body of a request."""
    flush_ms: float = 2.0
    """How long the first event of an idle process waits for company."""
    flush_events: int = 16_384
    """A flush of this many events does not wait for the one before."""
    queue_events: int = 200_000
    """Most events not yet acknowledged by Kafka; beyond it requests get 503."""
    kafka_timeout_ms: int = 5_000
    """After this time without an acknowledgement an event counts as failed, with unknown outcome."""
    max_series: int = 1_000_000
    """Series remembered before the table of series is started afresh."""
    past_days: float = 7.0
    """Oldest event time accepted, before arrival."""
    future_minutes: float = 10.0
    """Newest event time accepted, ahead of arrival."""
    max_connections: int = 2_000
    """Most open connections; those above get 503."""
    drain_s: float = 3.0
    """Time to answer open requests after SIGTERM."""
    log_format: LogFormat = "text"
    metrics_folder: Path | None = None
    """Where workers that share a port put their metrics together."""
