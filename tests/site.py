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
from dashboard.access import Keys
from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from dashboard.sockets import PushProtocol
from tests.counted import DELAY, REVENUE, Counted
from tests.noted import Noted

DEADLINE_S = 20.0
INGEST = "http://127.0.0.1:18080"
NOON = 1_795_435_200_000  # 23 Nov 2026, 12:00:00 UTC


class Site:
    """A running dashboard over a real read model; the clock stands at noon unless `moving`."""

    def __init__(self, folder: Path, keys: Keys | None = None, **settings: Any) -> None:
        self.keys = keys
        self.now_ms = NOON
        self.moving = False
        self.reasons: list[str] = []
        """Why the replica is not ready."""
        self._began = time.monotonic()
        self.counted = Counted(folder, REVENUE, DELAY)
        self.counted.known_until(NOON - 400)
        self.noted = Noted(folder, self.clock)
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
        routers = (api.router(self.counted.model, self.clock), self.noted.router())
        model, health, notes = self.counted.model, Told(self), self.noted.notes
        app = create_app(
            model, self.settings, clock=self.clock, health=health, routers=routers, notes=notes, keys=self.keys
        )
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=self.port,
            log_config=None,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            ws=PushProtocol,
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
        self.noted.close()

    def sell(self, *orders: tuple[int, float, str]) -> None:
        """Orders of (seconds before now, euros, country)."""
        now = self.clock()
        self.counted.add(REVENUE, [(now - ago * 1000, euros, {"country": where}) for ago, euros, where in orders])


class Told:
    """The health that a site was given."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def not_ready(self) -> list[str]:
        return list(self._site.reasons)

    def health(self) -> dict[str, object]:
        return {}


def wait_until(condition: Callable[[], bool], words: str) -> None:
    """Polls until the condition holds; fails with the words after a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE_S:.0f} s: {words}")
        time.sleep(0.02)
