"""The serving process as the dashboard role runs it, without Kafka: projector, feed, HTTP, all over one read model.

Events come from a process of their own, as deltas that the rollup worker would write, at a steady rate in real time; a
second on the wall is a second of the history's clock, which goes on where the history ends.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np

from aggregates.deltas import decode
from aggregates.levels import sealable
from aggregates.positions import Position
from aggregates.readmodel import ReadModel
from aggregates.settings import ReadModelSettings
from aggregates.store import GRACE_S, Input, Store
from benchmarks.filled import ROLLUPS, VIEWS, tied_to_parent
from benchmarks.history import LIVE_PAGE_SHARE, SOURCE, Deltas, drawn
from dashboard import api
from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from ingest.registry import Registry
from ingest.service import HttpServer
from tallyboard.kafka import free_port

RATE = 20_000
_RECORD_S = 0.1
_LOOK_S = 1.0
_FIRST_DELTA = 1 << 40
"""Beyond every delta of the history."""


@tied_to_parent()
def make(next_offset: int, start_ms: int, began: float, stopped: Event, out: Any) -> None:
    """Put (events, delta) into the queue, a record's worth every tenth of a second, until stopped; None at the end.

    Args:
        began: `time.time()` that start_ms stands for.
    """
    draw, deltas, number = np.random.default_rng(7), Deltas(next_offset), round(RATE * _RECORD_S)
    step_ms, tick = round(1000 * _RECORD_S), 0
    while not stopped.is_set():
        tick += 1
        time.sleep(max(0.0, began + tick * _RECORD_S - time.time()))
        end_ms = start_ms + tick * step_ms
        times = end_ms - step_ms + np.arange(number) * step_ms // number
        out.put((number, deltas.take(drawn(draw, times, LIVE_PAGE_SHARE), end_ms, at_once=True)))
    out.put(None)


@dataclass(slots=True)
class Serving:
    """One running read model. `applied` counts events since the start, `behind_s` how long each batch of deltas took
    from the end of its newest record to its commit."""

    store: Store
    model: ReadModel
    clock: Callable[[], int]
    url: str = ""
    applied: int = 0
    behind_s: list[float] = field(default_factory=list)


@asynccontextmanager
async def serving(path: Path, end_s: int) -> AsyncIterator[Serving]:
    """Open a read model, whose history ends at `end_s`, and keep 20,000 events a second coming."""
    context = multiprocessing.get_context("spawn")
    began = time.time() + 3.0  # the process that makes events needs a moment
    store = Store(path, VIEWS)

    def clock() -> int:
        return round(1000 * (end_s + time.time() - began))

    found = Serving(store, ReadModel(store, Registry(), clock), clock)
    (position,) = store.sources.values()
    stopped, messages = context.Event(), context.Queue()
    arguments = (position.next_offset, 1000 * end_s, began, stopped, messages)
    maker = context.Process(target=make, args=arguments, daemon=True)
    maker.start()
    port = free_port()
    found.url = f"http://127.0.0.1:{port}"
    app = create_app(found.model, DashboardSettings(), clock=clock, routers=(api.router(found.model, clock),))
    server = HttpServer(app, "127.0.0.1", port)
    tasks = [asyncio.create_task(_project(found, messages)), asyncio.create_task(server.serve())]
    try:
        yield found
    finally:
        stopped.set()
        await asyncio.wait_for(tasks[0], 60)
        server.stop()
        await tasks[1]
        maker.join(10)
        store.close()


async def _project(serving: Serving, messages: Any) -> None:
    """What `aggregates.projector` does with deltas from Kafka, until the last one."""
    writer = ThreadPoolExecutor(1, "writer")
    loop = asyncio.get_running_loop()
    keep_s, number, looked = ReadModelSettings().keep_s, _FIRST_DELTA, 0.0

    def maintain(mark_ms: int) -> bool:
        sealed = serving.store.seal(sealable(mark_ms, GRACE_S))
        return sealed and (serving.store.retain(mark_ms // 1000, keep_s) or True)

    while True:
        waiting = await asyncio.to_thread(_waiting, messages)
        values = [value for _, value in filter(None, waiting)]
        if values:
            inputs = await asyncio.to_thread(_inputs, values, number)
            number += len(values)
            await loop.run_in_executor(writer, serving.store.apply, inputs)
            serving.applied += sum(events for events, _ in filter(None, waiting))
            mark_ms = inputs[-1].delta.header.records[-1].timestamp_ms
            serving.behind_s.append((serving.clock() - mark_ms) / 1000)
            serving.model.observe(SOURCE.topic_id, mark_ms)
            await serving.model.applied()
            if time.monotonic() >= looked + _LOOK_S:
                looked = time.monotonic()
                if await loop.run_in_executor(writer, maintain, mark_ms):
                    await serving.model.applied()
        if waiting[-1] is None:
            writer.shutdown()
            return


def _waiting(messages: Any) -> list[tuple[int, bytes] | None]:
    """Everything there is, at least one thing."""
    found = [messages.get(timeout=60)]
    try:
        while found[-1] is not None:
            found.append(messages.get_nowait())
    except Empty:
        pass
    return found


def _inputs(values: list[bytes], number: int) -> list[Input]:
    return [Input(decode(value), Position(ROLLUPS, 0, number + i + 1, 0)) for i, value in enumerate(values)]
