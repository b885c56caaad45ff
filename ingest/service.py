"""How every role runs: one event loop, one HTTP server in it, log lines on stderr, an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, cast

import uvicorn
import uvloop
from prometheus_client import disable_created_metrics
from starlette.types import ASGIApp

from ingest.connection import Connection, HttpLimits, Refused
from ingest.http_edge import EdgeProtocol

__all__ = ["HttpLimits", "HttpServer", "PortTaken", "listen", "on_termination", "run_role"]

_LOG: Final = logging.getLogger("tallyboard.service")
_BACKLOG: Final = 2048
_LINGER_S: Final = 5.0
"""Longest time between the end of a role's work and the end of its process."""
_SHORT_S: Final = 2.0
"""A limit below this is looked at ten times a second, otherwise once."""
_OTHER_FILES: Final = 512
"""Open files beside connections: Kafka, the database, logs."""


class HttpServer(uvicorn.Server):
    """uvicorn inside a role: the role handles the signals, uvicorn would end the process by the one it got.

    `refused` hears of the problems that `ingest.http_edge` answers by itself, before there is a request to route.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        drain_s: float = 3.0,
        limits: HttpLimits | None = None,
        refused: Refused | None = None,
        **options: Any,
    ) -> None:
        self._limits = limits or HttpLimits()
        protocol = functools.partial(EdgeProtocol, limits=self._limits, refused=refused)
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=cast("type[asyncio.Protocol]", protocol),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(drain_s)),
            **options,
        )
        super().__init__(config)
        self._shortest_s = min(self._limits.head_s, self._limits.idle_s, self._limits.stall_s, self._limits.write_s)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Take no more requests, answer the open ones, then return from `serve`."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Exits with status 1, and a sentence in the log, when the port cannot be had."""
        _allow_open_files(2 * self._limits.connections + _OTHER_FILES)
        if sockets is None:
            try:
                sockets = [listen(self.config.host, self.config.port)]
            except PortTaken as error:
                _LOG.error("%s", error)
                raise SystemExit(1) from None
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0 or self._shortest_s < _SHORT_S:
            now = time.monotonic()
            for connection in self._http_connections():
                connection.sweep(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, but a request that outlives the time to drain gets 503 and not 500."""
        patience_s = self.config.timeout_graceful_shutdown or 0
        last_call = asyncio.get_running_loop().call_later(patience_s, self._give_up)
        try:
            await super().shutdown(sockets)
        finally:
            last_call.cancel()

    def _give_up(self) -> None:
        for connection in self._http_connections():
            connection.give_up()

    def _http_connections(self) -> list[Connection]:
        return [each for each in self.server_state.connections if isinstance(each, Connection)]


class PortTaken(Exception):
    """A port cannot be opened; the message is a sentence without its dot."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `PortTaken`."""
    try:
        ((family, kind, *_, address), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)  # named, so that asyncio too sets TCP_NODELAY
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise PortTaken(f"Port {port} of {host} cannot be opened: {error.strerror}") from error
    listener.listen(_BACKLOG)
    return listener


def _allow_open_files(wanted: int) -> None:
    """Raise this process's soft limit of open files as far as it may: often it is 1,024, less than the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def on_termination(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT; to be called inside the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def run_role(main: Coroutine[Any, Any, None]) -> None:
    """Run a role to its end on an event loop of its own."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(main)
        except BaseException:
            _leave_within(_LINGER_S, 1)
            raise
        _leave_within(_LINGER_S, 0)


def _leave_within(seconds: float, code: int) -> None:
    """End the process even if a library's task does not let go: a role that is over but still there would be neither
    restarted nor of any use."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
