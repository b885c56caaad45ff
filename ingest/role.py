"""The running parts of one ingest process, and what happens to a write request before and after its events."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as Request

from ingest.access import Access
from ingest.body import BodyReader, Disconnected
from ingest.intake import Clock, Intake, Receipt, new_request_id
from ingest.keys import KeyRing, Scope
from ingest.problems import MEDIA_TYPE, Problem, unavailable
from ingest.protocols.detect import choose
from ingest.publish import Publisher
from ingest.registry import Registry
from ingest.settings import IngestSettings
from ingest.tallies import Tallies
from ingest.telemetry import State, Telemetry
from ingest.wishes import wishes_of

_DRAINING: Final = "stopping"
_SINGLE: Final = (b"authorization", b"idempotency-key", b"content-type", b"content-encoding")
_LOG: Final = logging.getLogger("tallyboard.ingest")


class Role:
    """Takes the write requests of one event loop."""

    def __init__(
        self, settings: IngestSettings, registry: Registry, publisher: Publisher, clock: Clock, keys: KeyRing | None
    ) -> None:
        self.settings = settings
        self.publisher = publisher
        self.telemetry = Telemetry(settings.metrics_folder)
        self.keys = keys
        """Who may write; None: everybody."""
        self.notices: dict[str, str] = {}
        """File → why its newest content is not in force."""
        self.access = Access(lambda: self.keys, clock, time.monotonic)
        self.tallies = Tallies()
        self.intake = Intake(settings, registry, publisher, self.access, clock, self.telemetry, self.tallies)
        self.bodies = BodyReader(settings.max_body_bytes, settings.body_timeout_s)
        self.draining = False

    def obstacles(self) -> list[str]:
        """Why this process is not ready; empty when it is."""
        return [*([_DRAINING] if self.draining else []), *self.publisher.obstacles()]

    def notice(self, problems: Mapping[str, str | None]) -> None:
        """Say once, and in `/health/ready` as long as it lasts, which file is not in force and why."""
        for name, problem in problems.items():
            if problem and self.notices.get(name) != problem:
                _LOG.warning("%s: the old content stays in force: %s", name, problem)
            elif not problem and name in self.notices:
                _LOG.info("%s: mended", name)
        self.notices = {name: problem for name, problem in problems.items() if problem}

    def render_metrics(self) -> bytes:
        """The metrics of this moment."""
        self.sample()
        return self.telemetry.render()

    def sample(self) -> None:
        """Put how things are into the metrics."""
        queued, bodies = self.intake.commit.queued_events, self.bodies.open_bodies
        self.telemetry.sample(State(queued, bodies, self.intake.series, not self.obstacles(), len(self.notices)))

    def drain(self) -> None:
        """Take nothing new; what was begun gets its answer."""
        if not self.draining:
            self.draining = True
            self.bodies.drain(self.settings.drain_s / 3)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected to the log; at the end everything taken is answered first."""
        await self.publisher.start()
        try:
            yield
        finally:
            await self.intake.commit.close()
            await self.publisher.close()

    async def write(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer one request to a write endpoint."""
        started = time.perf_counter()
        request_id = new_request_id()
        try:
            outcome = await self._take(request_id, request, receive)
        except Exception:
            _LOG.exception("request %s", request_id)
            outcome = Problem(500, "internal", "a fault of the server; it is in its log")
        if isinstance(outcome, Problem):
            self.refused(outcome, request_id)
            await answer_of(outcome, request_id)(request, receive, send)
        else:
            self.telemetry.answered(outcome.status, time.perf_counter() - started)
            await _send(send, outcome)

    def refused(self, problem: Problem, request_id: str) -> None:
        """Count a request refused as a whole, here or before it was one."""
        self.telemetry.refused(problem.status, problem.code)
        self.tallies.refused(problem.code, request_id)

    async def _take(self, request_id: str, request: Request, receive: Receive) -> Receipt | Problem:
        """Every check that needs no body comes before it is read."""
        if self.draining:
            return unavailable("draining", "the server is stopping", 5, Connection="close")
        headers = dict(request["headers"])
        if len(headers) < len(request["headers"]) and (twice := _repeated(request["headers"])):
            return Problem(400, "invalid_header", f"the header {twice} may stand once")
        key = self.access.admit(headers, Scope.WRITE)
        if isinstance(key, Problem):
            return key
        wishes = wishes_of(request["query_string"], headers)
        if isinstance(wishes, Problem):
            return wishes
        reader = choose(headers)
        if isinstance(reader, Problem):
            return reader
        try:
            body = await self.bodies.read(headers, receive)
        except Disconnected:
            return Problem(400, "disconnected", "the client went away")
        if isinstance(body, Problem):
            return body
        self.telemetry.received(len(body))
        return await self.intake.submit(request_id, reader, body, wishes, key)


def _repeated(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """A header that stands more than once, of those of which only one could be meant."""
    names = [name for name, _ in headers]
    return next((name.decode() for name in _SINGLE if names.count(name) > 1), None)


async def _send(send: Send, receipt: Receipt) -> None:
    """A receipt without a response object, which would cost as much as judging a small request."""
    length = str(len(receipt.body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": receipt.status, "headers": headers})
    await send({"type": "http.response.body", "body": receipt.body})


def answer_of(problem: Problem, request_id: str) -> Response:
    return Response(problem.body(request_id), problem.status, dict(problem.headers), MEDIA_TYPE)
