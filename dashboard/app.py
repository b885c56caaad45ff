"""The dashboard role: pages, push, query API and the projector in one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from dash import Dash
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from aggregates.projector import Projection, ProjectionError, open_projection
from aggregates.readmodel import epoch_ms
from dashboard import api
from dashboard.access import Access, Keys
from dashboard.annotations import annotations_router
from dashboard.details import details_router
from dashboard.edge import Compressor, Guard, content_policy
from dashboard.export import export_router
from dashboard.feed import Clock, Feed
from dashboard.gate import Gate
from dashboard.live import LONGEST_MESSAGE, live_router
from dashboard.notes import Notes, notes_of
from dashboard.pages import shell
from dashboard.pages.sign_in import Frame
from dashboard.proxied import Forwarded, Prefix
from dashboard.ranges import times_of
from dashboard.reading import Accounting
from dashboard.receipts import receipts_router
from dashboard.reference import reference_router
from dashboard.rejected import rejected_router
from dashboard.resend import Ingest
from dashboard.runner import Runner
from dashboard.sessions import SECRET_BYTES, Sessions, secret_in
from dashboard.settings import DashboardSettings
from dashboard.sign_in import SignIn, Tries, sign_in_router
from dashboard.sockets import PING_S, PushProtocol
from dashboard.telemetry import AlwaysReady, Health, Noticed, QueryCollector, health_router
from ingest.keys import KeyRing
from ingest.logs import configure_logging
from ingest.registry import Registry
from ingest.service import HttpLimits, HttpServer, on_termination, run_role
from ingest.watched import Watched

ASSETS = Path(__file__).parent / "assets"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
RELOAD_S = 1.0
"""Time between looks at the registry's files."""

log = logging.getLogger("tallyboard.dashboard")


def create_app(
    model: Accounting,
    settings: DashboardSettings,
    *,
    clock: Clock = epoch_ms,
    health: Health | None = None,
    metrics: CollectorRegistry | None = None,
    routers: tuple[APIRouter, ...] = (),
    notes: Notes = tuple,
    keys: Keys | None = None,
) -> FastAPI:
    """The whole web application over a read model. `routers` are further routes, such as the query API; `notes` gives
    the annotations of the moment; `keys` are those who may ask, without them everybody may."""
    health = health or AlwaysReady()
    access = Access(keys or Keys(), Sessions(settings.session_secret or os.urandom(SECRET_BYTES)), clock)
    signing_in = SignIn(access, Frame(settings.base_path, ASSETS), shell.PAGES, Tries())
    feed = Feed(model, settings, clock, health.not_ready, notes)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    app = FastAPI(title="Tallyboard", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    own = (
        sign_in_router(access, signing_in),
        live_router(feed, settings.send_timeout_s),
        details_router(feed.tile, model, settings.read_model.timezone, clock),
        health_router(feed, health, metrics or CollectorRegistry()),
        export_router(model, lambda at: times_of(settings.read_model, at), clock),
    )
    for router in (*routers, *own):
        app.include_router(router)
    dash = dash_app(app, settings)
    app.add_api_route("/{path:path}", not_found, methods=METHODS, include_in_schema=False)
    app.add_middleware(PageRoutes)
    app.add_middleware(Compressor)
    app.add_middleware(Gate, access=access, page=signing_in.instead)
    app.add_middleware(Prefix, base=settings.base_path)
    app.add_middleware(Guard, hosts=(settings.host, *settings.hosts), policy=lambda: content_policy(dash.csp_hashes()))
    app.add_middleware(Forwarded, proxies=settings.trusted_proxies)  # the last one added sees a request first
    return app


def dash_app(app: FastAPI, settings: DashboardSettings) -> Dash:
    """Dash on top of the application, with everything served from here."""
    dash = Dash(
        __name__,
        server=app,
        requests_pathname_prefix=settings.base_path + "/",
        routes_pathname_prefix="/",
        assets_folder=str(ASSETS),
        assets_ignore=r"head\.js|sign_in\.css",
        title="Tallyboard",
        update_title="",
        compress=False,
        serve_locally=True,
        use_pages=False,
        add_log_handler=False,
        suppress_callback_exceptions=True,
        index_string=shell.index_string(ASSETS, settings.base_path),
    )
    dash.interpolate_index = shell.first_view(dash.interpolate_index)
    dash.layout = shell.layout(settings.base_path)
    shell.add_callbacks(dash, settings)
    return dash


async def not_found(path: str) -> Response:
    """The answer for whatever nothing is registered for."""
    if path.startswith("api/"):
        body = {"code": "not_found", "field": None, "message": f"There is nothing at /{path[:200]}."}
        return JSONResponse(body, 404)
    return PlainTextResponse("There is no such page. The overview is at /\n", 404)


class PageRoutes:
    """Serves the one page of the application under the address of each of its pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in shell.PAGES and scope["method"] in ("GET", "HEAD"):
            # Dash prepares itself on requests for its root only
            scope = {**scope, "path": "/", "raw_path": b"/"}
        await self._app(scope, receive, send)


def serve(settings: DashboardSettings, registry: Watched[Registry], keys: Watched[KeyRing | None]) -> None:
    """Run the role until SIGTERM or SIGINT. Exits with status 1 when the read model or the log forbids going on."""
    configure_logging(settings.log_format)
    run_role(_serve(settings, registry, keys))


async def _serve(settings: DashboardSettings, registry: Watched[Registry], keys: Watched[KeyRing | None]) -> None:
    try:
        await _run(settings, registry, keys)
    except ProjectionError as error:
        log.error("%s", error)
        raise SystemExit(1) from None


async def follow(registry: Watched[Registry], projection: Projection) -> None:
    """Take over the registry whenever its files change; one that is wrong changes nothing."""
    told: str | None = None
    while True:
        await asyncio.sleep(RELOAD_S)
        if await asyncio.to_thread(registry.poll):
            await projection.use(registry.value)
            log.info("the registry changed", extra={"digest": registry.digest})
        if registry.problem and registry.problem != told:
            log.warning("the registry before stays in force: %s", registry.problem)
        told = registry.problem


async def _run(settings: DashboardSettings, registry: Watched[Registry], watched: Watched[KeyRing | None]) -> None:
    metrics, keys = CollectorRegistry(), Keys(watched.value)
    if settings.session_secret is None:
        settings = replace(settings, session_secret=secret_in(settings.read_model.data))
    async with open_projection(settings.read_model, registry.value, metrics) as projection:
        model = projection.read_model
        runner = Runner(settings.queries, settings.query_queue, settings.read_model.query_seconds)
        metrics.register(QueryCollector(runner, model.remembered))
        app = create_app(
            model,
            settings,
            health=Noticed(projection, keys),
            metrics=metrics,
            keys=keys,
            routers=(
                api.router(model, epoch_ms, runner),
                receipts_router(projection.receipts, model, epoch_ms),
                reference_router(),
                annotations_router(projection.annotations, projection.journal, epoch_ms),
                rejected_router(projection.letters, projection.journal, Ingest(settings.ingest_url), epoch_ms),
            ),
            notes=notes_of(projection.annotations),
        )
        # a browser that closes its side has gone, and its query with it
        limits = HttpLimits(half_open=False)
        server = HttpServer(
            app,
            settings.host,
            settings.port,
            limits=limits,
            ws=PushProtocol,
            ws_max_size=LONGEST_MESSAGE * 4,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            proxy_headers=False,
        )
        on_termination(server.stop)
        projection.failed.add_done_callback(lambda _: server.stop())
        following = [asyncio.create_task(one) for one in (keys.follow(watched, epoch_ms), follow(registry, projection))]
        try:
            await server.serve()
        finally:
            for task in following:
                task.cancel()
        if projection.failed.done():
            raise ProjectionError(f"the read model cannot go on: {projection.failed.result()}")
