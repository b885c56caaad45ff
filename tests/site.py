"""A dashboard in this process, on a free port, over a real read model that tests fill by hand."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from dashboard import api
from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from tests.counted import DELAY, REVENUE, Counted

DEADLINE_S = 20.0
INGEST = "http://127.0.0.1:18080"
NOON = 1_795_435_200_000  # 23 Nov 2026, 12:00:00 UTC


class Site:
    """A running dashboard over a real read model; the clock stands at noon unless `moving`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.now_ms = NOON
        self.moving = False
        self._began = time.monotonic()
        self.counted = Counted(folder, REVENUE, DELAY)
        self.counted.known_until(NOON - 400)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.settings = DashboardSettings(**{"port": self.port, "tick_ms": 200, "ingest_url": INGEST, **settings})
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def clock(self) -> int:
        passed = int((time.monotonic() - self._began) * 1000) if self.moving else 0
        return self.now_ms + passed

    def start(self) -> None:
        routers = (api.router(self.counted.model, self.clock),)
        app = create_app(self.counted.model, self.settings, clock=self.clock, routers=routers)
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_config=None, timeout_graceful_shutdown=1, ws="websockets-sansio"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=asyncio.run, args=(self._server.serve(),), daemon=True)
        self._thread.start()
        wait_until(lambda: self._server is not None and self._server.started, "the server listens")

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(DEADLINE_S)
        self._server = self._thread = None

    def fall_behind(self, lag_ms: int) -> None:
        """Time goes on and the read model does not, until it lags so far."""
        self.now_ms = NOON - 400 + lag_ms

    def close(self) -> None:
        self.stop()
        self.counted.close()

    def sell(self, *orders: tuple[int, float, str]) -> None:
        """Orders of (seconds before now, euros, country)."""
        now = self.clock()
        self.counted.add(REVENUE, [(now - ago * 1000, euros, {"country": where}) for ago, euros, where in orders])


def wait_until(condition: Callable[[], bool], words: str) -> None:
    """Polls until the condition holds; fails with the words after a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE_S:.0f} s: {words}")
        time.sleep(0.02)
