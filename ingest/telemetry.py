"""What can be observed of the ingest role: Prometheus metrics with bounded labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from ingest.verdicts import Reason, RejectedEvent

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "tallyboard_ingest_"
_BUCKETS: Final = (0.0001, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


_Mode = Literal["livesum", "livemin", "livemax"]
_GAUGES: Final[dict[str, tuple[str, _Mode]]] = {
    "queue_events": ("Events waiting for Kafka's acknowledgement", "livesum"),
    "open_bodies": ("Requests whose body is on its way", "livesum"),
    "series": ("Series met since the start", "livemax"),
    "ready": ("1 while events can be taken, else 0", "livemin"),
    "stale_files": ("Files of the workspace whose newest content is not in force", "livemax"),
}


@dataclass(frozen=True, slots=True)
class State:
    """How an ingest process is at a moment; a gauge for every field."""

    queue_events: int
    open_bodies: int
    series: int
    ready: bool
    stale_files: int


class Telemetry:
    """The metrics of one ingest process; every object has its own registry.

    Workers that share a port share a `folder` too, by way of the variable PROMETHEUS_MULTIPROC_DIR that the client
    library reads: whichever of them is asked answers for all.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._registry = CollectorRegistry()
        self._folder = folder
        self._accepted = self._counter("accepted_events", "Events accepted and durable")
        self._rejected = self._counter("rejected_events", "Events rejected, by reason", "reason")
        self._requests = self._counter("requests", "Answered requests to write endpoints", "status")
        self._refused = self._counter("refused_requests", "Requests refused as a whole, by code", "code")
        self._body_bytes = self._counter("body_bytes", "Bytes of request bodies, unpacked")
        self._flushed = self._counter("flushed_events", "Events in finished flushes, durable or not")
        self._request_seconds = self._histogram(
            "request_seconds", "Time from the head of an answered request to its answer, the wait for Kafka included"
        )
        self._judge_seconds = self._histogram("judge_seconds", "Time to decode and judge the events of a request")
        self._flush_seconds = self._histogram("flush_seconds", "Time from the start of a flush to its acknowledgement")
        self._gauges = {name: self._gauge(name, text, mode) for name, (text, mode) in _GAUGES.items()}
        self._by_reason = {reason: self._rejected.labels(reason.value) for reason in Reason}
        self._by_status: dict[int, Counter] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(_PREFIX + name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(_PREFIX + name, text, buckets=_BUCKETS, registry=self._registry)

    def _gauge(self, name: str, text: str, mode: _Mode) -> Gauge:
        return Gauge(_PREFIX + name, text, registry=self._registry, multiprocess_mode=mode)

    def sample(self, state: State) -> None:
        """Take over how the process is now; to be called before every scrape and every second."""
        for name, gauge in self._gauges.items():
            gauge.set(getattr(state, name))

    def answered(self, status: int, seconds: float) -> None:
        """A request whose events were all judged."""
        self._count(status)
        self._request_seconds.observe(seconds)

    def refused(self, status: int, code: str) -> None:
        """A request refused as a whole."""
        self._count(status)
        self._refused.labels(code).inc()

    def _count(self, status: int) -> None:
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(str(status))
        counter.inc()

    def received(self, size: int) -> None:
        self._body_bytes.inc(size)

    def judged(self, seconds: float) -> None:
        self._judge_seconds.observe(seconds)

    def committed(self, accepted: int, rejected: Sequence[RejectedEvent]) -> None:
        """The verdicts on a request's events, once all of them are durable."""
        if accepted:
            self._accepted.inc(accepted)
        for event in rejected:
            self._by_reason[event.verdict.reason].inc()

    def flushed(self, seconds: float, events: int) -> None:
        self._flush_seconds.observe(seconds)
        self._flushed.inc(events)

    def render(self) -> bytes:
        """Prometheus' text format, summed up over all workers."""
        if self._folder is None:
            return generate_latest(self._registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone, str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(everyone)
