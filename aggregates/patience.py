"""How long a query may run: up to a time limit, and only while somebody waits for its answer.

One thread looks at all queries that run, and interrupts their statements. It does so again and again until the query
has ended: an interruption between two statements would be lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb

from aggregates.queries import Abandoned, OutOfMemory, TooSlow

_LOOK_EVERY_S = 0.02
_IDLE_S = 5.0


class Caller:
    """Somebody who waits for an answer, and may leave from any thread."""

    def __init__(self) -> None:
        self._left = threading.Event()

    def leave(self) -> None:
        self._left.set()

    @property
    def has_left(self) -> bool:
        return self._left.is_set()


@dataclass(slots=True)
class _Run:
    cursor: duckdb.DuckDBPyConnection
    until: float
    wanted: Callable[[], bool]
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: bool = False
    late: bool = False
    left: bool = False

    def look(self, now: float) -> None:
        with self.lock:
            if self.ended:
                return
            self.late = self.late or now >= self.until
            self.left = self.left or not self.wanted()
            if self.late or self.left:
                self.cursor.interrupt()


class Watchdog:
    """Ends what runs too long, or for nobody. Its thread is there only while there is something to watch."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._runs: list[_Run] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, cursor: duckdb.DuckDBPyConnection, wanted: Callable[[], bool]) -> Iterator[None]:
        """Statements of this cursor are interrupted when the time is up, or nobody wants them any more.

        Raises `TooSlow`, `Abandoned` or `OutOfMemory`; the cursor's transaction can only be rolled back then.
        """
        run = _Run(cursor, time.monotonic() + self.limit_s, wanted)
        self._add(run)
        try:
            yield
        except duckdb.InterruptException as interrupted:
            if run.left and not run.late:
                raise Abandoned from interrupted
            raise TooSlow(self.limit_s) from interrupted
        except (duckdb.OutOfMemoryException, MemoryError) as full:
            raise OutOfMemory from full
        finally:
            with run.lock:
                run.ended = True
            with self._changed:
                self._runs.remove(run)

    def _add(self, run: _Run) -> None:
        with self._changed:
            self._runs.append(run)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="query-watchdog", daemon=True)
                self._thread.start()
            elif len(self._runs) == 1:
                self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if not self._runs and not self._changed.wait_for(lambda: self._runs, _IDLE_S):
                    self._thread = None
                    return
            self._look()
            time.sleep(_LOOK_EVERY_S)

    def _look(self) -> None:
        with self._changed:
            runs = list(self._runs)
        now = time.monotonic()
        for run in runs:
            run.look(now)
