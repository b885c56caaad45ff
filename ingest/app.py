"""The ingest role: the HTTP edge of the write side."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from ingest.body import BodyReader, Disconnected
from ingest.guard import Guard
from ingest.intake import Clock, Intake, Receipt, new_request_id
from ingest.kafka_publisher import KafkaPublisher
from ingest.openapi import EVENTS_DOCUMENTATION
from ingest.problems import MEDIA_TYPE, Problem, unavailable
from ingest.protocols import native
from ingest.publish import Publisher
from ingest.reference import page
from ingest.registry import Registry
from ingest.service import HttpServer, configure_logging, on_termination, run_role
from ingest.settings import IngestSettings
from ingest.telemetry import CONTENT_TYPE, Telemetry

EVENTS_PATH: Final = "/v1/events"
GOODBYE_S: Final = 0.25
"""Time between SIGTERM and the end of listening."""
_DRAINING: Final = "stopping"


class Role:
    """The running parts of one ingest process."""

    def __init__(self, settings: IngestSettings, registry: Registry, publisher: Publisher, clock: Clock) -> None:
        self.settings = settings
        self.publisher = publisher
        self.telemetry = Telemetry()
        self.intake = Intake(settings, registry, publisher, clock, self.telemetry)
        self.bodies = BodyReader(settings.max_body_bytes, settings.body_timeout_s)
        self.draining = False
        self.telemetry.watch(lambda: self.intake.commit.queued_events, lambda: not self.obstacles())

    def obstacles(self) -> list[str]:
        """Why this process is not ready; empty when it is."""
        return [*([_DRAINING] if self.draining else []), *self.publisher.obstacles()]

    def drain(self) -> None:
        """Take nothing new; what was begun gets its answer."""
        if not self.draining:
            self.draining = True
            self.bodies.drain(self.settings.drain_s / 3)

    async def write(self, scope: Scope, receive: Receive) -> Response:
        """Answer one request to the native write endpoint."""
        request_id = new_request_id()
        headers = dict(scope["headers"])
        promised = _not_kept(scope["query_string"], headers)
        outcome = promised or await self._write(request_id, headers, receive)
        response = _problem_or(outcome, request_id)
        self.telemetry.answered(response.status_code)
        return response

    async def _write(self, request_id: str, headers: Mapping[bytes, bytes], receive: Receive) -> Receipt | Problem:
        if self.draining:
            return unavailable("draining", "the server is stopping", 5, Connection="close")
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        form = native.form_of(content_type)
        if form is None:
            detail = f"the content type {content_type[:80]!r} is not supported"
            return Problem(415, "content_type", detail, {"Accept": ", ".join(native.CONTENT_TYPES)})
        try:
            body = await self.bodies.read(headers, receive)
        except Disconnected:
            return Problem(400, "disconnected", "the client went away")
        return body if isinstance(body, Problem) else await self.intake.submit(request_id, body, form)

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        await self.publisher.start()
        try:
            yield
        finally:
            await self.intake.commit.close()
            await self.publisher.close()


def create_app(settings: IngestSettings, registry: Registry, publisher: Publisher, clock: Clock) -> FastAPI:
    """The application; `app.state.role` is its `Role`. Nothing runs before the lifespan starts."""
    role = Role(settings, registry, publisher, clock)
    app = FastAPI(
        title="Tallyboard ingest",
        description="Takes metric events and answers when they are durable.",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        lifespan=role.lifespan,
        middleware=[
            Middleware(Guard, hosts=(settings.host, *settings.hosts), refuse=_refuse),
            Middleware(_ShortWay, role=role),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _bug},
    )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(page(app.openapi()), media_type="text/html")

    app.state.role = role

    @app.post(EVENTS_PATH, summary="Send events", **EVENTS_DOCUMENTATION)
    async def events(request: Request) -> Response:
        return await role.write(request.scope, request.receive)

    @app.get("/health/live", summary="The process runs")
    async def live() -> Response:
        return _json(200, {"role": "ingest", "live": True})

    @app.get("/health/ready", summary="Events can be taken: Kafka answers and the topics are there")
    async def ready() -> Response:
        reasons = role.obstacles()
        return _json(503 if reasons else 200, {"role": "ingest", "ready": not reasons, "reasons": reasons})

    @app.get("/metrics", summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(role.telemetry.render(), headers={"Content-Type": CONTENT_TYPE})

    return app


class _ShortWay:
    """Takes writes past routing and dependency resolution, which cost more than the rest of a small request."""

    def __init__(self, app: ASGIApp, role: Role) -> None:
        self._app = app
        self._role = role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == EVENTS_PATH and scope["method"] == "POST":
            response = await self._role.write(scope, receive)
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _not_kept(query: bytes, headers: Mapping[bytes, bytes]) -> Problem | None:
    """A client that asks for a promise this version does not make is told so, before anything is written."""
    asked = parse_qs(query.decode("latin-1"), keep_blank_values=True).keys() & {"atomic", "import"}
    if b"idempotency-key" in headers:
        asked |= {"Idempotency-Key"}
    if not asked:
        return None
    return Problem(400, "not_supported", f"{min(asked)} is not supported yet; nothing was written")


def _problem_or(outcome: Receipt | Problem, request_id: str) -> Response:
    if isinstance(outcome, Problem):
        return _problem(outcome, request_id)
    return Response(outcome.body, outcome.status, media_type="application/json")


def _json(status: int, document: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")


def _problem(problem: Problem, request_id: str) -> Response:
    return Response(problem.body(request_id), problem.status, dict(problem.headers), MEDIA_TYPE)


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    await _problem(problem, new_request_id())(scope, receive, send)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    problem = Problem(status, status.name.lower(), str(error.detail), dict(error.headers or {}))
    return _problem(problem, new_request_id())


async def _bug(_request: Request, _error: Exception) -> Response:
    return _problem(Problem(500, "internal", "a fault of the server; it is in its log"), new_request_id())


def serve(settings: IngestSettings, registry: Registry) -> None:
    """Run the role until SIGTERM or SIGINT. Exits with status 1 when the port cannot be bound."""
    configure_logging()
    # The producer's thread gets its turn within a millisecond while the event loop is busy.
    sys.setswitchinterval(0.001)
    publisher = KafkaPublisher(settings.kafka, settings.topics, settings.kafka_timeout_ms)
    app = create_app(settings, registry, publisher, lambda: time.time_ns() // 1_000_000)
    drain_s = settings.drain_s + settings.kafka_timeout_ms / 1000
    server = HttpServer(app, settings.host, settings.port, drain_s=drain_s, ws="none", timeout_keep_alive=75)
    run_role(_serve(server, app.state.role))


async def _serve(server: HttpServer, role: Role) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        role.drain()
        # Requests that were sent before clients could know get their 503, not a closed connection.
        loop.call_later(GOODBYE_S, server.stop)

    on_termination(stop)
    await server.serve()
