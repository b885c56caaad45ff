"""What the dashboard role tells: health for supervisors, numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from dashboard.feed import Feed

PREFIX = "tallyboard_dashboard_"


class Health(Protocol):
    """What is asked of the projection behind the read model."""

    def not_ready(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        ...

    def health(self) -> dict[str, object]:
        """Further facts for /health/ready."""
        ...


class AlwaysReady:
    """The health of a read model nothing is projected into."""

    def not_ready(self) -> list[str]:
        return []

    def health(self) -> dict[str, object]:
        return {}


class DashboardCollector(Collector):
    """Reads the feed's counters when Prometheus asks."""

    def __init__(self, feed: Feed, health: Health) -> None:
        self._feed, self._health = feed, health

    def collect(self) -> Iterator[Metric]:
        counters = self._feed.counters
        yield GaugeMetricFamily(PREFIX + "browsers", "Browsers connected to the push", self._feed.readers)
        yield GaugeMetricFamily(PREFIX + "ready", "1 when ready", int(not self._health.not_ready()))
        for name, text, value in (
            ("ticks", "Ticks of the push", counters.ticks),
            ("messages", "Messages offered to browsers", counters.messages),
            ("views", "Explore views computed", counters.views),
            ("view_failures", "Explore views that failed", counters.failures),
            ("readers_dropped", "Browsers dropped because they took nothing", counters.dropped),
            ("push_busy_seconds", "Time spent computing and handing out messages", counters.busy_seconds),
        ):
            yield CounterMetricFamily(PREFIX + name, text, value)


def health_router(feed: Feed, health: Health, registry: CollectorRegistry) -> APIRouter:
    """/health/live, /health/ready and /metrics, which also tells what else is in `registry`."""
    registry.register(DashboardCollector(feed, health))
    router = APIRouter()

    @router.get("/health/live")
    async def live() -> JSONResponse:
        return JSONResponse({"role": "dashboard", "live": True})

    @router.get("/health/ready")
    async def ready() -> JSONResponse:
        reasons = health.not_ready()
        body = {"role": "dashboard", "ready": not reasons, "reasons": reasons, **health.health()}
        return JSONResponse(body, 503 if reasons else 200)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
