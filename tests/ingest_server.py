"""The real HTTP server of the write side in a thread of its own, with a log that can be made to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvloop
from starlette.types import ASGIApp

from ingest.app import create_app
from ingest.connection import HttpLimits
from ingest.events import DecodedEvents, decode
from ingest.problems import Problem
from ingest.publish import MemoryPublisher, Message, Outcome, Undelivered
from ingest.registry import Registry
from ingest.service import HttpServer
from ingest.settings import IngestSettings


class MoodyLog(MemoryPublisher):
    """A log that can be away, silent, or of unknown outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.unsure = False

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        while not self.open.is_set():
            await asyncio.sleep(0.005)
        if self.unsure:
            return [Undelivered(True, "no answer in time") for _ in messages]
        return await super().publish(messages)


class ThreadedServer:
    """Any application behind the roles' HTTP server, from construction until `stop`."""

    def __init__(self, app: ASGIApp, limits: HttpLimits | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.refused: list[Problem] = []
        self.server = HttpServer(
            app,
            "127.0.0.1",
            self.port,
            ws="none",
            limits=limits,
            drain_s=1.0,
            refused=lambda problem, _id: self.refused.append(problem),
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        until(lambda: self.server.started)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.server.serve())

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()


class IngestServer(ThreadedServer):
    """The write side. `log.records` may be read from any thread."""

    def __init__(self, settings: IngestSettings, registry: Registry, limits: HttpLimits | None = None) -> None:
        self.settings = settings
        self.log = MoodyLog()
        self._read: dict[tuple[str, int], list[DecodedEvents]] = {}
        self.app = create_app(settings, registry, self.log, lambda: time.time_ns() // 1_000_000)
        self.role: Any = self.app.role
        super().__init__(self.app, limits)

    def stored(self) -> list[DecodedEvents]:
        """What stands in the log, batch by batch, in no order."""
        for key, records in list(self.log.records.items()):
            if key[0] == self.settings.topics.events:
                seen = self._read.setdefault(key, [])
                seen += [
                    batch for each in records[len(seen) :] if isinstance(batch := decode(each.value), DecodedEvents)
                ]
        return [batch for batches in self._read.values() for batch in batches]

    def ids(self) -> list[str | None]:
        """The id of every event in the log, repeated ones too."""
        return [id_ for batch in self.stored() for id_ in (batch.ids.to_pylist() if batch.ids else [None] * len(batch))]

    def letters(self) -> list[bytes]:
        """The records of dead letters."""
        topic = self.settings.topics.rejected
        return [
            each.value for (name, _), records in list(self.log.records.items()) if name == topic for each in records
        ]

    def stop(self) -> None:
        self.log.open.set()
        super().stop()


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextlib.contextmanager
def serving(
    settings: IngestSettings, registry: Registry | None = None, limits: HttpLimits | None = None
) -> Iterator[IngestServer]:
    server = IngestServer(settings, registry or Registry(), limits)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def serving_app(app: ASGIApp, limits: HttpLimits | None = None) -> Iterator[ThreadedServer]:
    server = ThreadedServer(app, limits)
    try:
        yield server
    finally:
        server.stop()
