"""The push: one message per tick and browser, each distinct view computed at most once a tick.

Browsers register as `Reader`s and say what they watch. Nothing is computed while nobody reads. The newest message
wins: a reader that was busy finds the latest one and never a queue.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aggregates.queries import TooManyRows, Unanswerable, UnknownMetric
from dashboard.explore import Held, Times, view
from dashboard.reading import Reading
from dashboard.settings import DashboardSettings
from dashboard.state import parse, write
from dashboard.tiles import tiles

Clock = Callable[[], int]
"""Epoch milliseconds."""
Reasons = Callable[[], list[str]]
"""Why the replica is not ready; empty when it is."""

log = logging.getLogger("tallyboard.dashboard")


@dataclass(frozen=True, slots=True)
class Rendered:
    """One watched view as JSON; `serial` changes with its content."""

    serial: int
    json: str


@dataclass(slots=True)
class _View:
    held: Held = field(default_factory=Held)
    content: str = ""
    rendered: Rendered | None = None
    tick: int = -1


class Reader:
    """One browser's place in the feed: what it watches and the newest message it has not taken yet."""

    def __init__(self) -> None:
        self.watch: str | None = None
        self._base = ""
        self._chart: Rendered | None = None
        self._sent = -1
        self._news = asyncio.Event()

    def offer(self, base: str, chart: Rendered | None) -> None:
        """The newest message; one that was not taken is forgotten."""
        self._base, self._chart = base, chart
        self._news.set()

    async def take(self) -> str:
        """Waits for news; the chart is left out while it is the one sent last."""
        await self._news.wait()
        self._news.clear()
        chart = self._chart
        if chart is None or chart.serial == self._sent:
            return self._base
        self._sent = chart.serial
        return f'{self._base[:-1]},"chart":{chart.json}}}'


@dataclass(slots=True)
class Counters:
    """What /metrics tells about the feed."""

    ticks: int = 0
    messages: int = 0
    views: int = 0
    failures: int = 0
    dropped: int = 0
    busy_seconds: float = 0.0


class Feed:
    """Computes and hands out messages; `run` is its one task."""

    def __init__(self, model: Reading, settings: DashboardSettings, clock: Clock, reasons: Reasons = list) -> None:
        self.counters = Counters()
        self._model, self._settings, self._clock, self._reasons = model, settings, clock, reasons
        self._readers: set[Reader] = set()
        self._views: dict[str, _View] = {}
        self._wake = asyncio.Event()
        self._base = ""
        self._serial = 0
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
            reader.offer(self._base, None)
        self._wake.set()
        return reader

    def leave(self, reader: Reader) -> None:
        """Forgets a reader; leaving twice is harmless."""
        self._readers.discard(reader)

    def watch(self, reader: Reader, search: str | None) -> None:
        """Sets what a reader watches: the query string of the explore page, or None."""
        # the written form, so that equal views are computed once
        reader.watch = None if search is None else search[:8192]
        self._wake.set()

    async def run(self) -> None:
        """Ticks for ever; between ticks it serves what was newly asked for."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if not self._readers:
                self._views.clear()
                self._base = ""
                await self._wake.wait()
                due = loop.time()
            self._wake.clear()
            began = loop.time()
            if began >= due:
                due = max(due + self._settings.tick_ms / 1000, began)
                if await self._next_tick():
                    self._send(set(self._readers), await self._charts(self._readers))
            else:
                await self._newcomers()
            self.counters.busy_seconds += loop.time() - began
            await self._pause(due - loop.time())

    async def _pause(self, seconds: float) -> None:
        """Until the next tick is due or somebody asks for something."""
        try:
            await asyncio.wait_for(self._wake.wait(), max(seconds, 0))
        except TimeoutError:
            return
        # several changes of one moment are served together
        await asyncio.sleep(min(0.01, max(seconds, 0)))

    async def _next_tick(self) -> bool:
        """Prepares the message of this tick; without one browsers find their numbers growing old, and say so."""
        self._tick += 1
        self.counters.ticks += 1
        now = self._clock()
        try:
            freshness, overview = await asyncio.to_thread(self._overview, now)
            reasons = self._reasons()
            message = {"v": self._tick, "now": now, "freshness": freshness, "reasons": reasons, "tiles": overview}
            self._base = _encode(message)
        except Exception:
            self.counters.failures += 1
            log.exception("tick failed")
            return False
        return True

    def _overview(self, now: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        fresh = self._model.freshness(now)
        return (
            {"position": fresh.position, "watermark_ms": fresh.watermark_ms, "lag_ms": fresh.lag_ms},
            tiles(now, self._model.tiles(now)),
        )

    async def _newcomers(self) -> None:
        """Views nobody has computed in this tick, and only for those who wait for them."""
        waiting = {r for r in self._readers if self._is_new(r)}
        if waiting and self._base:
            self._send(waiting, await self._charts(waiting))

    def _is_new(self, reader: Reader) -> bool:
        known = self._views.get(reader.watch or "")
        return reader.watch is not None and (known is None or known.tick != self._tick)

    async def _charts(self, readers: set[Reader]) -> dict[str, Rendered]:
        """The views these readers watch, computed once for this tick."""
        watched = sorted({r.watch for r in readers if r.watch is not None})
        wanted = {r.watch for r in self._readers}
        self._views = {key: known for key, known in self._views.items() if key in wanted}
        charts = {}
        for key in watched:
            known = self._views.get(key)
            if known is None and len(self._views) >= self._settings.max_watches:
                charts[key] = Rendered(
                    -self._tick, _encode({"empty": "Too many different views are open. Waiting for a place."})
                )
                continue
            known = self._views.setdefault(key, _View())
            if known.tick != self._tick:
                known.tick = self._tick
                await self._render(key, known)
            if known.rendered is not None:
                charts[key] = known.rendered
        return charts

    async def _render(self, key: str, known: _View) -> None:
        state, notices = parse(key)
        now = self._clock()
        kept = self._settings.read_model
        times = Times(now, kept.grace_s * 1000, round(kept.retention_1s_hours * 3_600_000))
        try:
            chart, known.held = await asyncio.to_thread(view, self._model, state, known.held, times)
        except UnknownMetric:
            chart = {"empty": "This metric is gone."}
        except Unanswerable as refused:
            chart = {"error": f"This cannot be shown: {refused}."}
        except TooManyRows:
            chart = {"error": "Too many values for so many buckets. Try a shorter range or a wider step."}
        except Exception:
            # one view must not take the push away from everybody: it says so, with a reference to find it in the log
            reference = secrets.token_hex(3)
            self.counters.failures += 1
            log.exception("view failed", extra={"reference": reference, "search": write(state)[:500]})
            chart = {"error": f"This chart could not be loaded. Reference {reference}."}
        self.counters.views += 1
        chart["watch"] = key
        chart["notices"] = [*notices, *chart.get("notices", [])]
        content = _encode(chart)
        if known.rendered is None or content != known.content:
            self._serial += 1
            known.content, known.rendered = content, Rendered(self._serial, content)

    def _send(self, readers: set[Reader], charts: dict[str, Rendered]) -> None:
        for reader in readers & self._readers:
            reader.offer(self._base, charts.get(reader.watch) if reader.watch is not None else None)
            self.counters.messages += 1


def _encode(value: object) -> str:
    """Compact JSON; what is no finite number becomes null."""
    return msgspec.json.encode(value).decode()
