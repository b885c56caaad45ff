"""What the dashboard role tells: health for supervisors, numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from aggregates.remembered import Remembered
from dashboard.access import Keys
from dashboard.feed import Feed
from dashboard.runner import Runner

PREFIX = "tallyboard_dashboard_"
OUTCOMES: Final = ("answered", "refused", "too_slow", "abandoned", "busy")


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


class Noticed:
    """A health with what is wrong beside it: why the newest keys are not in force."""

    def __init__(self, health: Health, keys: Keys) -> None:
        self._health, self._keys = health, keys

    def not_ready(self) -> list[str]:
        return self._health.not_ready()

    def health(self) -> dict[str, object]:
        problem = self._keys.problem
        return {**self._health.health(), "notices": {"keys.toml": problem} if problem else {}}


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


class QueryCollector(Collector):
    """Reads what became of queries when Prometheus asks."""

    def __init__(self, runner: Runner, remembered: Remembered[Any]) -> None:
        self._runner, self._remembered = runner, remembered

    def collect(self) -> Iterator[Metric]:
        counts, tally = self._runner.counts, self._remembered.tally
        queries = CounterMetricFamily(PREFIX + "queries", "Queries over HTTP, by outcome", labels=["outcome"])
        for outcome in OUTCOMES:
            queries.add_metric([outcome], getattr(counts, outcome))
        yield queries
        yield CounterMetricFamily(
            PREFIX + "query_seconds", "Time queries over HTTP took, waiting included", counts.seconds
        )
        yield GaugeMetricFamily(PREFIX + "queries_open", "Queries over HTTP that run or wait", self._runner.open)
        answers = CounterMetricFamily(PREFIX + "answers", "Answers of the read model, by where from", labels=["source"])
        for source in ("made", "remembered", "shared"):
            answers.add_metric([source], getattr(tally, source))
        yield answers
        yield GaugeMetricFamily(PREFIX + "answers_kept", "Answers that are remembered", len(self._remembered))
        yield GaugeMetricFamily(PREFIX + "answers_kept_bytes", "Memory of these", self._remembered.bytes)


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
