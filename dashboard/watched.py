"""The explore views somebody watches: each computed at most once a tick, beside each other, none for nobody.

A view that takes long holds up neither the messages of the others nor the next tick: it is handed out when it is done,
and then rests as long as it took.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aggregates.queries import OutOfMemory, TooManyRows, TooSlow, Unanswerable, UnknownMetric
from dashboard.explore import view
from dashboard.notes import Notes
from dashboard.ranges import times_of
from dashboard.reading import Reading
from dashboard.scenes import Held
from dashboard.settings import DashboardSettings
from dashboard.state import parse, write

Clock = Callable[[], int]
"""Epoch milliseconds."""
AT_ONCE = 3
"""Views computed at the same time, in threads of their own, so that the tiles never wait for one."""
SLOW_S = 0.5
CROWDED = "Too many different views are open. Waiting for a place."

log = logging.getLogger("tallyboard.dashboard")


@dataclass(frozen=True, slots=True)
class Rendered:
    """One watched view as JSON; `serial` changes with its content."""

    serial: int
    json: str


@dataclass(slots=True)
class Counters:
    """What /metrics tells about the push."""

    ticks: int = 0
    messages: int = 0
    views: int = 0
    failures: int = 0
    dropped: int = 0
    busy_seconds: float = 0.0


@dataclass(slots=True)
class _View:
    held: Held = field(default_factory=Held)
    rendered: Rendered | None = None
    tick: int = -1
    task: asyncio.Task[None] | None = None
    rests_until: float = 0.0
    is_crowded_out: bool = False


class WatchedViews:
    """`changed` is called when a view that was started is there; `notes` gives the annotations of the moment."""

    def __init__(
        self,
        model: Reading,
        settings: DashboardSettings,
        clock: Clock,
        counters: Counters,
        changed: Callable[[], None],
        notes: Notes = tuple,
    ) -> None:
        self._model, self._settings, self._clock = model, settings, clock
        self._counters, self._changed, self._notes = counters, changed, notes
        self._views: dict[str, _View] = {}
        self._threads = ThreadPoolExecutor(AT_ONCE, "view")
        self._serial = 0

    def keep(self, wanted: Collection[str]) -> None:
        """From now on these are watched, by the query string of the explore page, and no others."""
        for key in self._views.keys() - set(wanted):
            if (task := self._views.pop(key).task) is not None:
                task.cancel()
        for key in sorted(set(wanted)):
            self._views.setdefault(key, _View())

    def start(self, tick: int) -> None:
        """Begins what has not been computed in this tick yet."""
        taken = sum(not known.is_crowded_out and known.tick >= 0 for known in self._views.values())
        for key, known in self._views.items():
            if known.tick == tick or known.task is not None or time.monotonic() < known.rests_until:
                continue
            if known.tick < 0 or known.is_crowded_out:
                known.is_crowded_out = taken >= self._settings.max_watches
                taken += not known.is_crowded_out
            known.tick = tick
            if known.is_crowded_out:
                self._put(known, encoded({"empty": CROWDED, "notices": [], "watch": key}))
            else:
                known.task = asyncio.create_task(self._compute(key, known))

    async def compute(self, tick: int, patience_s: float) -> None:
        """Begins all of them and waits for them, but not longer than that."""
        self.start(tick)
        running = [known.task for known in self._views.values() if known.task is not None]
        if running:
            await asyncio.wait(running, timeout=patience_s)

    def chart(self, key: str) -> Rendered | None:
        """The newest of a view, if there is one yet."""
        known = self._views.get(key)
        return None if known is None else known.rendered

    def close(self) -> None:
        """Waits for nothing."""
        self.keep(())
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _compute(self, key: str, known: _View) -> None:
        try:
            content, took = await self._made(key, known)
            known.rests_until = time.monotonic() + took if took > SLOW_S else 0.0
            self._counters.views += 1
            self._counters.busy_seconds += took
            self._put(known, content)
        finally:
            known.task = None
            self._changed()

    async def _made(self, key: str, known: _View) -> tuple[str, float]:
        """The view as JSON, and how many seconds it took once it was begun."""
        began = time.monotonic()

        def make() -> tuple[dict[str, Any], Held]:
            nonlocal began
            began = time.monotonic()
            times = times_of(self._settings.read_model, self._clock())
            return view(self._model, state, known.held, times, self._notes())

        state, notices = parse(key)
        try:
            chart, known.held = await asyncio.get_running_loop().run_in_executor(self._threads, make)
            chart["notices"] = [*notices, *chart.get("notices", [])]
            return encoded({**chart, "watch": key}), time.monotonic() - began
        except UnknownMetric:
            chart = {"empty": "This metric is gone."}
        except Unanswerable as refused:
            chart = {"error": f"This cannot be shown: {refused}."}
        except (TooSlow, OutOfMemory):
            chart = {"error": "This takes too long to count. Try a shorter range, a wider step or fewer filters."}
        except TooManyRows:
            chart = {"error": "Too many values for so many buckets. Try a shorter range or a wider step."}
        except Exception:
            # one view must not take the push away from everybody: it says so, with a reference to find it in the log
            reference = secrets.token_hex(3)
            self._counters.failures += 1
            log.exception("view failed", extra={"reference": reference, "search": write(state)[:500]})
            chart = {"error": f"This chart could not be loaded. Reference {reference}."}
        return encoded({**chart, "notices": notices, "watch": key}), time.monotonic() - began

    def _put(self, known: _View, content: str) -> None:
        if known.rendered is None or known.rendered.json != content:
            self._serial += 1
            known.rendered = Rendered(self._serial, content)


def encoded(value: object) -> str:
    """Compact JSON; what is no finite number becomes null."""
    return msgspec.json.encode(value).decode()
