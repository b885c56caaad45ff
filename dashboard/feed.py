"""The push: one message per tick and browser, each distinct view computed at most once a tick.

Browsers register as `Reader`s and say what they watch. Nothing is computed while nobody reads. The newest message
wins: a reader that was busy finds the latest one and never a queue, so that whoever was away misses nothing that
still holds.

The protocol of `/live`, JSON texts both ways. The browser says `{"watch": <query string of the explore page> | null}`
when it connects and whenever its address changes; anything else closes with 4400. The server says, once a tick and at
once after a connection or a change:

    {"v": <number of the tick>, "now": <epoch ms>,
     "freshness": {"position": …, "watermark_ms": <int> | null, "lag_ms": <int> | null},
     "reasons": [<why this replica is not ready>, …],
     "metrics": <how many there are>, "weekday": <"Mon", in the workspace's time zone>,
     "order": [<metric>, …], "tiles": [{"n": <place in order>, …<parts of dashboard.tiles>}, …],
     "chart": {"watch": <what was asked for>, "notices": […], …<dashboard.explore> | "empty": … | "error": …}}

`tiles` holds the parts that changed since this browser was sent some (`dashboard.tile_changes`), `order` stands there
when it changed; while a view is watched there is `choices` in their place, every metric as [name, name to be read,
dimensions], when it changed. `chart` is left out while nothing is watched, and while it is the one this browser was
sent last. There is nothing to ask for again after a cut: the first message is whole. `dashboard.sockets` says what a
browser that reads nothing costs; browsers beyond `max_browsers` are refused, and so are other sites and unknown hosts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

from aggregates.queries import Tile
from dashboard.details import weekday
from dashboard.notes import Notes
from dashboard.reading import Reading
from dashboard.settings import DashboardSettings
from dashboard.tile_changes import Tiled, advance
from dashboard.watched import Clock, Counters, Rendered, WatchedViews, encoded

Reasons = Callable[[], list[str]]
"""Why the replica is not ready; empty when it is."""
PATIENCE_S = 0.25
"""So long the messages to those who watch a view wait for the views of the tick; a slower one comes later, alone."""

__all__ = ["Clock", "Counters", "Feed", "Reader"]

log = logging.getLogger("tallyboard.dashboard")


class Reader:
    """One browser's place in the feed: what it watches and the newest message it has not taken yet."""

    def __init__(self) -> None:
        self.watch: str | None = None
        self.chart: Rendered | None = None
        """The chart of the newest message."""
        self._base = ""
        self._tiled: Tiled | None = None
        self._tiles_sent = self._choices_sent = 0
        self._sent = -1
        self._news = asyncio.Event()

    def offer(self, base: str, chart: Rendered | None, tiled: Tiled | None = None) -> None:
        """The newest message; one that was not taken is forgotten."""
        self._base, self.chart, self._tiled = base, chart, tiled
        self._news.set()

    async def take(self) -> str:
        """Waits for news: what changed of the tiles since it took some, if it shows them, else the names of metrics
        when they changed; the chart, unless it is the one sent last."""
        await self._news.wait()
        self._news.clear()
        message, chart, tiled = self._base[:-1], self.chart, self._tiled
        if tiled is not None and self.watch is None:
            message += "," + tiled.since(self._tiles_sent)
            self._tiles_sent = tiled.serial
        elif tiled is not None and self._choices_sent < tiled.ordered:
            message += "," + tiled.metrics
            self._choices_sent = tiled.ordered
        if chart is not None and chart.serial != self._sent:
            self._sent = chart.serial
            message += f',"chart":{chart.json}'
        return message + "}"


class Feed:
    """Computes and hands out messages; `run` is its one task."""

    def __init__(
        self,
        model: Reading,
        settings: DashboardSettings,
        clock: Clock,
        reasons: Reasons = list,
        notes: Notes = tuple,
    ) -> None:
        self.counters = Counters()
        self._model, self._settings, self._clock, self._reasons = model, settings, clock, reasons
        self._readers: set[Reader] = set()
        self._wake = asyncio.Event()
        self._views = WatchedViews(model, settings, clock, self.counters, self._wake.set, notes)
        self._base, self._tiled = "", Tiled()
        self._tick = 0

    @property
    def readers(self) -> int:
        """How many browsers are connected."""
        return len(self._readers)

    @property
    def is_full(self) -> bool:
        """Whether no further browser is taken."""
        return len(self._readers) >= self._settings.max_browsers

    def join(self) -> Reader:
        """A new reader; its first message comes at once."""
        reader = Reader()
        self._readers.add(reader)
        if self._base and len(self._readers) > 1:
            reader.offer(self._base, None, self._tiled)
        self._wake.set()
        return reader

    def leave(self, reader: Reader) -> None:
        """Forgets a reader; leaving twice is harmless."""
        self._readers.discard(reader)

    def watch(self, reader: Reader, search: str | None) -> None:
        """Sets what a reader watches: the query string of the explore page, or None."""
        returns = search is None and reader.watch is not None
        reader.watch = None if search is None else search[:8192]
        if returns and self._base:
            reader.offer(self._base, None, self._tiled)
        self._wake.set()

    async def run(self) -> None:
        """Ticks for ever; between ticks it serves what was newly asked for and what took longer."""
        try:
            await self._run()
        finally:
            self._views.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if not self._readers:
                self._views.keep(())
                self._base, self._tiled = "", Tiled(self._tiled.serial)
                await self._wake.wait()
                due = loop.time()
            self._wake.clear()
            now = loop.time()
            if now >= due:
                due = max(due + self._settings.tick_ms / 1000, now)
                await self._next_tick()
            else:
                self._newcomers()
            await self._pause(due - loop.time())

    async def _pause(self, seconds: float) -> None:
        """Until the next tick is due or somebody asks for something."""
        try:
            await asyncio.wait_for(self._wake.wait(), max(seconds, 0))
        except TimeoutError:
            return
        # several changes of one moment are served together
        await asyncio.sleep(min(0.002, max(seconds, 0)))

    async def _next_tick(self) -> None:
        """The message of this tick to everybody; without one browsers find their numbers growing old, and say so."""
        self._tick += 1
        self.counters.ticks += 1
        now, began = self._clock(), time.monotonic()
        try:
            freshness, tiled = await asyncio.to_thread(self._overview, now)
            message = {
                "v": self._tick,
                "now": now,
                "freshness": freshness,
                "reasons": self._reasons(),
                "metrics": len(tiled.tiles),
                "weekday": weekday(now, self._settings.read_model.timezone),
            }
            self._base, self._tiled = encoded(message), tiled
        except Exception:
            self.counters.failures += 1
            log.exception("tick failed")
            return
        self.counters.busy_seconds += time.monotonic() - began
        told = {r for r in self._readers if r.watch is None}
        self._send(told)
        self._views.keep({r.watch for r in self._readers if r.watch is not None})
        await self._views.compute(self._tick, PATIENCE_S)
        self._send(self._readers - told)

    def tile(self, metric: str) -> Tile | None:
        """A metric's tile as it was pushed last."""
        return self._tiled.find(metric)

    def _overview(self, now: int) -> tuple[dict[str, Any], Tiled]:
        fresh = self._model.freshness(now)
        return (
            {"position": fresh.position, "watermark_ms": fresh.watermark_ms, "lag_ms": fresh.lag_ms},
            advance(self._tiled, now, self._model.tiles(now)),
        )

    def _newcomers(self) -> None:
        """Starts what was asked for since the last message, and sends what is ready."""
        if not self._base:
            return
        self._views.keep({r.watch for r in self._readers if r.watch is not None})
        self._views.start(self._tick)
        self._send([r for r in self._readers if self._has_more(r)])

    def _has_more(self, reader: Reader) -> bool:
        chart = None if reader.watch is None else self._views.chart(reader.watch)
        return chart is not None and chart is not reader.chart

    def _send(self, readers: Collection[Reader]) -> None:
        for reader in tuple(readers):
            chart = self._views.chart(reader.watch) if reader.watch is not None else None
            reader.offer(self._base, chart, self._tiled)
            self.counters.messages += 1
