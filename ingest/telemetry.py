"""What can be observed of the ingest role: Prometheus metrics with bounded labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ingest.verdicts import Reason

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_FLUSH_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Telemetry:
    """The metrics of one ingest process; every object has its own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._accepted = Counter(
            "tallyboard_ingest_accepted_events", "Events accepted and durable", registry=self._registry
        )
        rejected = Counter(
            "tallyboard_ingest_rejected_events", "Events rejected, by reason", ["reason"], registry=self._registry
        )
        self._rejected = {reason: rejected.labels(reason.value) for reason in Reason}
        self._requests = Counter(
            "tallyboard_ingest_requests", "Answered requests to write endpoints", ["status"], registry=self._registry
        )
        self._flush_seconds = Histogram(
            "tallyboard_ingest_flush_seconds",
            "Time from the start of a flush to its acknowledgement",
            buckets=_FLUSH_BUCKETS,
            registry=self._registry,
        )
        self._flushed = Counter(
            "tallyboard_ingest_flushed_events", "Events in finished flushes, durable or not", registry=self._registry
        )
        self._queue = Gauge(
            "tallyboard_ingest_queue_events", "Events waiting for Kafka's acknowledgement", registry=self._registry
        )
        self._ready = Gauge("tallyboard_ingest_ready", "1 while events can be taken, else 0", registry=self._registry)
        self._by_status: dict[int, Counter] = {}

    def watch(self, queued: Callable[[], int], ready: Callable[[], bool]) -> None:
        """Functions asked at every scrape."""
        self._queue.set_function(lambda: float(queued()))
        self._ready.set_function(lambda: float(ready()))

    def answered(self, status: int) -> None:
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(str(status))
        counter.inc()

    def accepted(self, events: int) -> None:
        self._accepted.inc(events)

    def rejected(self, reason: Reason) -> None:
        self._rejected[reason].inc()

    def flushed(self, seconds: float, events: int) -> None:
        self._flush_seconds.observe(seconds)
        self._flushed.inc(events)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
