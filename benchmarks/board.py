"""A dashboard in a process of its own over a read model in a file, with new events every second. No Kafka.

`python -m benchmarks.board FILE PORT` serves until SIGTERM and says `{"ahead_ms": …}` first: how far its clock is
before the wall's. The clock goes on where the file's newest event is, so that any read model looks live.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import httpx
import numpy as np
import psutil

from aggregates.duplicates import DuplicateWindow
from aggregates.levels import sealable
from aggregates.positions import Position
from aggregates.readmodel import ReadModel, epoch_ms
from aggregates.rollup import PartitionRollup, Source
from aggregates.store import GRACE_S, Input, Store
from dashboard import api
from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from dashboard.sockets import PING_S, PushProtocol
from ingest import events
from ingest.log import LogRecord
from ingest.registry import Registry
from ingest.series import Kind, Series, SeriesTable
from ingest.service import HttpServer, on_termination, run_role
from tallyboard.kafka import free_port

METRICS = ("orders.revenue", "payments.total", "visits.counted")
COUNTRIES = ("NL", "DE", "FR", "BE", "ES", "IT")
PRODUCTS = 50
VIEWS = {metric: [["country"], ["product"]] for metric in METRICS}
FILL_SOURCE, FILL_PARTITION = Source("a" * 32, 0), 62
LIVE_SOURCE, LIVE_PARTITION = Source("b" * 32, 0), 63
"""A topic of its own and a partition of `rollups` far from those of a file that somebody else filled."""
ROLLUPS = "1" * 32
RATE = 1000
FILL_S = 7200
_START_S = 120.0


@dataclass(frozen=True, slots=True)
class Board:
    """A running dashboard."""

    url: str
    pid: int
    ahead_ms: int

    def usage(self) -> tuple[float, float]:
        """CPU seconds since the start, resident MB."""
        process = psutil.Process(self.pid)
        times = process.cpu_times()
        return times.user + times.system, process.memory_info().rss / 1e6


@contextmanager
def board(file: Path | None) -> Iterator[Board]:
    """Serve a copy of the file, or a small model made here (three metrics, 900 series, two hours)."""
    with tempfile.TemporaryDirectory(prefix="tallyboard-board-") as folder:
        copy = Path(folder) / "dashboard.duckdb"
        if file is None:
            fill(copy)
        else:
            shutil.copy(file, copy)
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.board", str(copy), str(port)]
        with (Path(folder) / "board.log").open("w+b") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                if not said:
                    log.seek(0)
                    raise RuntimeError(log.read().decode()[-2000:])
                url = f"http://127.0.0.1:{port}"
                _wait(url)
                yield Board(url, process.pid, json.loads(said)["ahead_ms"])
            finally:
                process.terminate()
                process.wait(30)


def _wait(url: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the dashboard was not ready within {_START_S:.0f} s")


# --- events -----------------------------------------------------------------------------------------------------------


class Live:
    """Events of a made-up shop into a store, as the rollup worker's deltas."""

    def __init__(self, store: Store, source: Source = LIVE_SOURCE, partition: int = LIVE_PARTITION) -> None:
        self._store, self._partition = store, partition
        self._rollup = PartitionRollup(source, 0, 0, DuplicateWindow())
        self._table, self._draw, self._records = SeriesTable(), np.random.default_rng(11), 0
        for metric in METRICS:
            for country in COUNTRIES:
                for product in range(PRODUCTS):
                    named = (("country", country), ("product", f"p{product}"))
                    self._table.intern(Series(metric, Kind.DISTRIBUTION, named))

    def add(self, start_ms: int, end_ms: int, number: int) -> None:
        """Count in so many events of a range of time; products differ in how often they are bought."""
        draw = self._draw
        product = np.minimum(draw.exponential(PRODUCTS / 5, number).astype(np.int32), PRODUCTS - 1)
        metric, country = draw.integers(0, len(METRICS), number), draw.integers(0, len(COUNTRIES), number)
        series = ((metric * len(COUNTRIES) + country) * PRODUCTS + product).astype(np.int32)
        times = np.sort(draw.integers(start_ms, end_ms, number))
        columns = events.EventColumns(self._table, series, times, draw.integers(1, 100_000, number) / 100)
        (record,) = events.encode(columns, 1)
        delta = self._rollup.add([LogRecord(self._records, end_ms, record.value)])
        assert delta is not None
        self._records += 1
        self._store.apply([Input(delta, Position(ROLLUPS, self._partition, self._records, 0))])
        self._store.seal(sealable(end_ms, GRACE_S))


def fill(path: Path, events_a_second: int = 100) -> None:
    """A small read model that ends now."""
    store = Store(path, VIEWS)
    live, end_ms = Live(store, FILL_SOURCE, FILL_PARTITION), epoch_ms() // 1000 * 1000
    for start in range(end_ms - FILL_S * 1000, end_ms, 60_000):
        live.add(start, start + 60_000, 60 * events_a_second)
    store.close()


# --- the process ------------------------------------------------------------------------------------------------------


def views_of(path: Path) -> tuple[Mapping[str, list[list[str]]], int | None]:
    """The views a file was written with, by metric, and its newest bucket in epoch seconds."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute("SELECT DISTINCT metric, view FROM groups WHERE view <> ''").fetchall()
        newest = connection.execute("SELECT max(time) FROM total_1s").fetchone()
    found: dict[str, list[list[str]]] = {}
    for metric, view in rows:
        found.setdefault(metric, []).append(view.split(","))
    return found, newest[0] if newest else None


async def serve(path: Path, port: int) -> None:
    """Serve until SIGTERM; a second's events are counted in once a second."""
    views, newest_s = views_of(path)
    began_ms = epoch_ms()
    ahead_ms = 0 if newest_s is None else (newest_s + 1) * 1000 - began_ms
    store = Store(path, {**VIEWS, **views})

    def clock() -> int:
        return epoch_ms() + ahead_ms

    model = ReadModel(store, Registry(), clock)
    app = create_app(model, DashboardSettings(), clock=clock, routers=(api.router(model, clock),))
    server = HttpServer(app, "127.0.0.1", port, ws=PushProtocol, ws_ping_interval=PING_S, ws_ping_timeout=PING_S)
    on_termination(server.stop)
    feeding = asyncio.create_task(_feed(store, model, clock() // 1000 * 1000, ahead_ms))
    feeding.add_done_callback(lambda task: None if task.cancelled() else os._exit(1))
    print(json.dumps({"ahead_ms": ahead_ms}), flush=True)
    await server.serve()
    feeding.cancel()
    os._exit(0)  # a copy: nothing has to be closed


async def _feed(store: Store, model: ReadModel, from_ms: int, ahead_ms: int) -> None:
    live, writer, loop = Live(store), ThreadPoolExecutor(1, "writer"), asyncio.get_running_loop()
    while True:
        end_ms = from_ms + 1000
        await asyncio.sleep(max(0.0, (end_ms - ahead_ms - epoch_ms()) / 1000))
        await loop.run_in_executor(writer, live.add, from_ms, end_ms, RATE)
        model.observe(LIVE_SOURCE.topic_id, end_ms)
        await model.applied()
        from_ms = end_ms


if __name__ == "__main__":
    run_role(serve(Path(sys.argv[1]), int(sys.argv[2])))
