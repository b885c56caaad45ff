"""Browsers that connect and then read nothing: what they cost, that they are cut, that nobody else notices."""

from __future__ import annotations

import array
import asyncio
import base64
import contextlib
import fcntl
import json
import os
import socket
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from fastapi import FastAPI
from websockets.sync.client import connect

from aggregates.readmodel import ReadModel
from dashboard.feed import Feed
from dashboard.live import live_router
from dashboard.settings import DashboardSettings
from dashboard.sockets import KERNEL_BYTES, UNSENT_BYTES, PushProtocol
from ingest.service import HttpServer
from tests.counted import REVENUE, Counted
from tests.site import DEADLINE_S, wait_until

LARGE = 50_000
MOST_A_CLIENT = 5_000_000
SILENT = 10


class Flood(Feed):
    """A feed that has something new to say a hundred times a second."""

    def __init__(self, model: ReadModel, size: int) -> None:
        super().__init__(model, DashboardSettings(), lambda: 0)
        self._size = size

    async def run(self) -> None:
        number = 0
        while True:
            number += 1
            noise = base64.b64encode(os.urandom(self._size * 3 // 4)).decode()
            for reader in tuple(self._readers):
                reader.offer(json.dumps({"v": number, "noise": noise}), None)
            await asyncio.sleep(0.01)


class Seen(PushProtocol):
    """Keeps what it was, for the test to look at."""

    made: list[Seen]

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.made.append(self)

    @property
    def unsent(self) -> int:
        return int(self.transport.get_write_buffer_size())

    @property
    def in_kernel(self) -> int:
        """Bytes that the kernel holds and the other side has not confirmed."""
        found = array.array("i", [0])
        with contextlib.suppress(OSError):  # it is gone
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, found)
        return found[0]


class Served:
    """`/live` alone, on the event loop and the server that the roles use."""

    def __init__(self, feed: Feed, send_timeout_s: float, **options: Any) -> None:
        self.feed = feed
        self.sockets: list[Seen] = []
        self.app = FastAPI()
        self.app.include_router(live_router(feed, send_timeout_s))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"ws://127.0.0.1:{self.port}/live"
        kind = type("SeenHere", (Seen,), {"made": self.sockets})
        self.server = HttpServer(self.app, "127.0.0.1", self.port, ws=kind, **options)

    async def main(self) -> None:
        running = asyncio.create_task(self.feed.run())
        await self.server.serve()
        running.cancel()

    def silent(self) -> socket.socket:
        """A browser that asks for the push and then reads nothing."""
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        found.connect(("127.0.0.1", self.port))
        key = base64.b64encode(os.urandom(16)).decode()
        found.sendall(
            f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        return found


@contextmanager
def served(feed: Feed, send_timeout_s: float, **options: Any) -> Iterator[Served]:
    found = Served(feed, send_timeout_s, **options)
    thread = threading.Thread(target=uvloop.run, args=(found.main(),), daemon=True)
    thread.start()
    wait_until(lambda: found.server.started, "the server listens")
    yield found
    found.server.stop()
    thread.join(DEADLINE_S)


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ReadModel]:
    counted = Counted(tmp_path, REVENUE)
    yield counted.model
    counted.close()


def test_readers_that_take_nothing_cost_little_and_are_cut(model: ReadModel) -> None:
    with served(Flood(model, LARGE), 1.0) as site, connect(site.url, close_timeout=0.1) as quick:
        first = json.loads(quick.recv(DEADLINE_S))["v"]
        before = psutil.Process().memory_info().rss
        silent = [site.silent() for _ in range(SILENT)]
        wait_until(lambda: site.feed.readers == SILENT + 1, "all are there")
        costs: list[int] = []
        last = first
        while site.feed.readers > 1:
            costs += [each.unsent for each in site.sockets[1:]]
            costs += [each.in_kernel - 2 * KERNEL_BYTES for each in site.sockets[1:]]
            last = json.loads(quick.recv(DEADLINE_S))["v"]
            assert last < 100_000
        assert max(costs) <= UNSENT_BYTES + LARGE + 1000
        assert psutil.Process().memory_info().rss - before < SILENT * MOST_A_CLIENT
        assert last > first + 3
        assert site.feed.counters.dropped == SILENT
        # cut, not only forgotten: what could not be sent is not kept
        wait_until(lambda: len(site.server.server_state.connections) == 1, "the connections are gone")
        assert [each.unsent for each in site.sockets[1:]] == [0] * SILENT
        json.loads(quick.recv(DEADLINE_S))
        for each in silent:
            assert _is_cut(each)


def test_a_reader_of_small_messages_is_cut_when_it_answers_no_ping(model: ReadModel) -> None:
    options = {"ws_ping_interval": 0.3, "ws_ping_timeout": 0.3}
    with served(Flood(model, 40), 60.0, **options) as site, connect(site.url, close_timeout=0.1) as quick:
        quick.recv(DEADLINE_S)
        silent = site.silent()
        wait_until(lambda: site.feed.readers == 2, "it is there")
        while site.feed.readers > 1:
            assert json.loads(quick.recv(DEADLINE_S))["v"] < 100_000
        assert site.feed.counters.dropped == 0
        wait_until(lambda: len(site.server.server_state.connections) == 1, "the connection is gone")
        assert _is_cut(silent)


def _is_cut(browser: socket.socket) -> bool:
    browser.settimeout(DEADLINE_S)
    try:
        for _ in range(100_000):
            if not browser.recv(65_536):
                return True
    except ConnectionError:
        return True
    return False
