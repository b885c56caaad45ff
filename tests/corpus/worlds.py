"""States of a server in which a request can meet it, and how it gets well again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.corpus import keys
from tests.ingest_server import IngestServer
from tests.raw_http import request, talk

HEALTHY = frozenset({"plain", "keys"})
"""States in which good events are taken."""

FILL = ",".join(['{"metric":"fill","value":1}'] * 10_000)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def world(name: str, server: IngestServer) -> AsyncIterator[None]:
    """The server in the named state; well again afterwards."""
    state = {"away": _away, "unsure": _unsure, "draining": _draining, "full": _full, "keys": _keys}.get(name)
    heal = await state(server) if state is not None else None
    try:
        yield
    finally:
        if heal is not None:
            await heal()


Heal = Callable[[], Awaitable[None]]


async def _away(server: IngestServer) -> Heal:
    server.log.away = "no broker answers"

    async def heal() -> None:
        server.log.away = None

    return heal


async def _unsure(server: IngestServer) -> Heal:
    server.log.unsure = True

    async def heal() -> None:
        server.log.unsure = False

    return heal


async def _draining(server: IngestServer) -> Heal:
    server.role.draining = True

    async def heal() -> None:
        server.role.draining = False

    return heal


async def _keys(server: IngestServer) -> Heal:
    server.role.keys = keys.ring()

    async def heal() -> None:
        server.role.keys = None

    return heal


async def _full(server: IngestServer) -> Heal:
    """As many events wait for Kafka as are allowed to."""
    server.log.open.clear()
    commit = server.role.intake.commit
    waiting = []
    while commit.queued_events < server.settings.queue_events:
        before = commit.queued_events
        waiting.append(asyncio.create_task(talk(server.port, request(f"[{FILL}]"))))
        await eventually(lambda before=before: commit.queued_events > before)  # type: ignore[misc]

    async def heal() -> None:
        server.log.open.set()
        for each in await asyncio.gather(*waiting):
            assert each.answer.status == 202

    return heal
