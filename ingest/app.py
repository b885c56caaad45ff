"""The ingest role's HTTP server: the edge of the write side."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
import time
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from ingest import openapi
from ingest.connection import HttpLimits
from ingest.guard import Guard
from ingest.intake import Clock, new_request_id
from ingest.kafka_publisher import KafkaPublisher
from ingest.keys import KeyRing
from ingest.logs import configure_logging
from ingest.problems import Problem
from ingest.publish import Publisher
from ingest.reference import page
from ingest.registry import Registry
from ingest.role import Role, answer_of
from ingest.service import HttpServer, on_termination, run_role
from ingest.settings import IngestSettings
from ingest.telemetry import CONTENT_TYPE
from ingest.watched import Watched

EVENTS_PATH: Final = "/v1/events"
GOODBYE_S: Final = 0.25
"""Time between SIGTERM and the end of listening."""
RELOAD_S: Final = 1.0
"""Time between looks at the files of the workspace."""
REPORT_S: Final = 10.0
"""Time between two reports of what was rejected."""
_LOG: Final = logging.getLogger("tallyboard.ingest")


class IngestApp(FastAPI):
    """Everything but writes goes through FastAPI; its layers cost more than the rest of a small write."""

    def __init__(self, role: Role, **options: Any) -> None:
        super().__init__(lifespan=lambda _app: role.running(), **options)
        self.role = role
        self._guarded = Guard(self._route, (role.settings.host, *role.settings.hosts), _refuse)

    def openapi(self) -> dict[str, Any]:
        return openapi.document()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guarded(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == EVENTS_PATH and scope["method"] == "POST":
            await self.role.write(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    settings: IngestSettings, registry: Registry, publisher: Publisher, clock: Clock, keys: KeyRing | None = None
) -> IngestApp:
    """The application. Nothing runs before its lifespan starts."""
    role = Role(settings, registry, publisher, clock, keys)
    app = IngestApp(
        role,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        exception_handlers={HTTPException: _http_error, Exception: _bug},
    )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(page(app.openapi()), media_type="text/html")

    @app.post(EVENTS_PATH)
    async def events() -> Response:
        raise AssertionError("never called: IngestApp takes it; the route makes other methods a 405")

    @app.get("/health/live")
    async def live() -> Response:
        return _json(200, {"role": "ingest", "live": True})

    @app.get("/health/ready")
    async def ready() -> Response:
        reasons = role.obstacles()
        said = {"role": "ingest", "ready": not reasons, "reasons": reasons, "notices": role.notices}
        return _json(503 if reasons else 200, said)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(role.render_metrics(), headers={"Content-Type": CONTENT_TYPE})

    return app


def _json(status: int, document: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    await answer_of(problem, new_request_id())(scope, receive, send)


async def _http_error(_request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    problem = Problem(status, status.name.lower(), str(error.detail), dict(error.headers or {}))
    return answer_of(problem, new_request_id())


async def _bug(_request: HttpRequest, _error: Exception) -> Response:
    return answer_of(Problem(500, "internal", "a fault of the server; it is in its log"), new_request_id())


def serve(
    settings: IngestSettings,
    registry: Watched[Registry],
    keys: Watched[KeyRing | None],
    listener: socket.socket | None = None,
) -> None:
    """Run the role until SIGTERM or SIGINT, on `listener` when workers share one, else on the port of the settings.
    Exits with status 1 when the port cannot be bound."""
    configure_logging(settings.log_format)
    # The producer's thread gets its turn within a millisecond while the event loop is busy.
    sys.setswitchinterval(0.001)
    publisher = KafkaPublisher(settings.kafka, settings.topics, settings.kafka_timeout_ms)
    app = create_app(settings, registry.value, publisher, lambda: time.time_ns() // 1_000_000, keys.value)
    drain_s = settings.drain_s + settings.kafka_timeout_ms / 1000
    server = HttpServer(
        app,
        settings.host,
        settings.port,
        drain_s=drain_s,
        limits=HttpLimits(connections=settings.max_connections),
        refused=app.role.refused,
        ws="none",
        proxy_headers=False,
    )
    _LOG.info(
        "starting on %s port %d",
        settings.host,
        settings.port,
        extra={"metrics": len(registry.value.metrics), "keys": _summary(keys.value)},
    )
    gc.freeze()  # what was imported is never garbage: the collector's pauses get shorter
    run_role(_serve(server, app.role, registry, keys, listener))


async def _serve(
    server: HttpServer,
    role: Role,
    registry: Watched[Registry],
    keys: Watched[KeyRing | None],
    listener: socket.socket | None,
) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        role.drain()
        # Requests that were sent before clients could know get their 503, not a closed connection.
        loop.call_later(GOODBYE_S, server.stop)

    on_termination(stop)
    tasks = [loop.create_task(_watch(role, registry, keys)), loop.create_task(_report(role))]
    await server.serve([listener] if listener else None)
    for task in tasks:
        task.cancel()
    role.tallies.report()


def _summary(ring: KeyRing | None) -> str:
    return "nobody is asked for one" if ring is None else ring.summary(time.time_ns() // 1_000_000)


async def _watch(role: Role, registry: Watched[Registry], keys: Watched[KeyRing | None]) -> None:
    """Take over changed files; a wrong one leaves the old content in force, and is named until it is mended."""
    while True:
        await asyncio.sleep(RELOAD_S)
        if await asyncio.to_thread(registry.poll):
            role.intake.use(registry.value)
            _LOG.info("metrics.toml has changed", extra={"metrics": len(registry.value.metrics)})
        if await asyncio.to_thread(keys.poll):
            role.keys = keys.value
            _LOG.info("keys.toml has changed", extra={"keys": _summary(keys.value)})
        role.notice({"metrics.toml": registry.problem, "keys.toml": keys.problem})
        role.sample()


async def _report(role: Role) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        role.tallies.report()
