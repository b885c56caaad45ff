"""How every role runs: one event loop, one HTTP server in it, log lines on stderr, an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvicorn
import uvloop
from prometheus_client import disable_created_metrics
from starlette.types import ASGIApp

_LINGER_S = 5.0
"""Longest time between the end of a role's work and the end of its process."""


class HttpServer(uvicorn.Server):
    """uvicorn inside a role: the role handles the signals, uvicorn would end the process by the one it got."""

    def __init__(self, app: ASGIApp, host: str, port: int, *, drain_s: float = 3.0, **options: Any) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(drain_s)),
            **options,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Take no more requests, answer the open ones, then return from `serve`."""
        self.should_exit = True


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


def configure_logging() -> None:
    """One line per fact on stderr. The Kafka clients' own lines are left out: what matters of them is said by the
    role, and they repeat themselves while a broker is away."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("kafka", "aiokafka", "faust", "mode"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
