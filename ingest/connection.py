"""One HTTP connection: what it owes its client, how long it may take, and how it ends.

Every refusal is answered as RFC 9457, after the answers that are still owed, and the connection is closed so that the
client gets to read what it was told. Time is kept by `Connection.sweep`, which the server calls about once a second:
a request costs no timer. What is read from a connection is in `ingest.http_edge`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ingest.problems import MEDIA_TYPE, Problem, unavailable

MAX_DISCARDED_BYTES: Final = 64 * 1024 * 1024
"""Read behind an early answer, so that a client that sends before it reads gets to read."""
BETWEEN, HEAD, BODY = "between requests", "head", "body"
"""What the parser is in."""

Refused = Callable[[Problem, str], None]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What the connections of one server may take. Times hold to within a second."""

    connections: int = 2_000
    """Open connections; those above get 503."""
    head_s: float = 10.0
    """Time for the head of a request, and for a new connection to begin one."""
    idle_s: float = 75.0
    """Time between two requests of a connection."""
    stall_s: float = 30.0
    """Longest silence inside a body that the application waits for."""
    linger_s: float = 2.0
    """How long the rest of a request is read after it was answered and the connection is to close."""
    write_s: float = 60.0
    """Longest time in which a client takes nothing of its answer."""
    half_open: bool = True
    """A client that closes its side is still answered; if not, it counts as gone."""


class _Outlet:
    """What an answer is written to: the transport, except that closing it is up to the protocol."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class Connection(HttpToolsProtocol):
    """One connection. `refused` hears of every problem that is answered here, without the application."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: HttpLimits,
        refused: Refused | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._refused = refused
        self._phase = BETWEEN
        self._requests = 0
        """Requests begun."""
        self._fed = 0
        """Bytes of a head, or of a body, that is not complete yet."""
        self._last_words: Problem | None = None
        """To be said after the answers that are owed; nothing more is parsed."""
        self._eof = False
        self._closing = False
        self._discarded = 0
        self._linger: asyncio.TimerHandle | None = None
        self._waiting: tuple[str, int] | None = None
        self._waiting_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._outlet = cast("asyncio.Transport", _Outlet(transport, self._finish))
        excess = len(self.connections) - self._limits.connections
        if excess > self._limits.connections:
            transport.abort()
        elif excess > 0:
            self._say(unavailable("busy", "too many open connections", 1))

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has said all it wants may still be waiting for its answers."""
        self._eof = True
        if self._closing:
            return False
        if self._phase is BODY:
            self._refuse(Problem(400, "bad_request", "the connection ended before the body did"))
            return True
        if not self._owes() or not self._limits.half_open:
            return False
        self.cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._closing:
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last_words is not None:
            self._say(self._last_words)

    def shutdown(self) -> None:
        """The server takes no more requests: answer what is owed, then close."""
        if self._closing:
            self.transport.close()
        elif self._owes():
            self.cycle.keep_alive = False
        elif self._phase is HEAD:
            self._refuse(_stopping())
        else:
            self.transport.close()

    def give_up(self) -> None:
        """The server waits no longer for the application: say so, where nothing was said yet."""
        if self._owes() and not self.pipeline and not self.cycle.response_started:
            self._interrupt(_stopping())
        else:
            self.transport.abort()

    def sweep(self, now: float) -> None:
        """End what takes too long. `now` in seconds of any steady clock."""
        waiting, allowed_s = self._waits()
        if waiting is None or waiting != self._waiting:
            self._waiting, self._waiting_since = waiting, now
        elif now - self._waiting_since >= allowed_s:
            self._waiting = None
            self._expire(waiting[0])

    # Time.

    def _waits(self) -> tuple[tuple[str, int] | None, float]:
        """What the client is to do next, with a number that changes as it gets on with it; and how long it may take."""
        limits = self._limits
        if self._closing or self.flow.write_paused:
            return ("read", self.transport.get_write_buffer_size()), limits.write_s
        if self._phase is HEAD:
            return (HEAD, self._requests), limits.head_s
        if self._phase is BODY:
            if self.cycle is not None and self.cycle.response_complete:
                return ("rest", self._requests), limits.head_s
            return (None if self.flow.read_paused else (BODY, self._fed)), limits.stall_s
        if self._owes():
            return None, 0.0
        return (BETWEEN, self._requests), limits.idle_s if self._requests else limits.head_s

    def _expire(self, waiting: str) -> None:
        if waiting == "read":
            self.transport.abort()
        elif waiting == HEAD:
            self._refuse(Problem(408, "head_timeout", f"the head did not arrive within {self._limits.head_s:g} s"))
        elif waiting == BODY:
            self._refuse(Problem(408, "body_timeout", f"nothing of the body arrived for {self._limits.stall_s:g} s"))
        else:
            self.transport.close()

    def _owes(self) -> bool:
        """Is there a request that was taken and not answered to its end?"""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, problem: Problem) -> None:
        """Answer what is no request, behind the answers that are owed, and close."""
        if self._phase is BODY and not self._owes():
            self._finish()  # it has its answer
        elif self._phase is BODY and self.pipeline:
            self.pipeline.popleft()
            self._last_words = problem
        elif self._phase is BODY:
            self._interrupt(problem)
        elif self._owes():
            self._last_words = problem
        else:
            self._say(problem)

    def _interrupt(self, problem: Problem) -> None:
        """Answer in place of the application, which learns that its client has gone."""
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        if self.cycle.response_started:
            self.transport.abort()
        else:
            self._say(problem)

    def _say(self, problem: Problem) -> None:
        request_id = uuid.uuid4().hex
        if self._refused is not None:
            self._refused(problem, request_id)
        self.transport.write(_answer(problem, request_id, self.server_state.default_headers))
        self._finish()

    def _finish(self) -> None:
        """Close when the client has read what was written. Closed at once, the rest of its request would meet a
        reset, and many clients would never see the answer."""
        if self._closing:
            return
        self._closing = True
        complete = self._phase is BETWEEN and self._requests
        if complete or self._eof or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.flow.resume_reading()
        self.transport.write_eof()
        self._linger = self.loop.call_later(self._limits.linger_s, self.transport.close)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > MAX_DISCARDED_BYTES:
            self.transport.abort()


def _answer(problem: Problem, request_id: str, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    """A whole answer, as bytes."""
    body = problem.body(request_id)
    fields = {**problem.headers, "Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
    lines += [f"{name.decode()}: {value.decode()}" for name, value in default_headers]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _stopping() -> Problem:
    return unavailable("draining", "the server is stopping", 5)
