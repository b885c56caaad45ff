"""What answers depend on, as numbers: which commit changed a metric last, and how often buckets were sealed or deleted.

A reader that wants to keep an answer has to know which version its transaction sees. So it looks before the transaction
begins and again when it has: if nothing was committed in between, the version it noted is the one it reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Version = tuple[int, ...]
"""Equal for some metrics as long as their answers are."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Between which commits something was looked at, and the version of the metrics then."""

    commits: int
    is_committing: bool
    version: Version


class Versions:
    """Counted by the store's writer, read by everybody. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._commits = 0
        self._is_committing = False
        self._levels = 0
        self._metrics: dict[str, int] = {}

    def committing(self) -> None:
        """From now on a transaction that begins may see what is being committed."""
        with self._lock:
            self._is_committing = True

    @contextmanager
    def committed(self, metrics: Iterable[str] | None) -> Iterator[None]:
        """The commit is over; whatever is done inside (moving positions) is seen together with the new version.

        Args:
            metrics: whose answers changed; None: of all, in the last digits or the level that is read.
        """
        with self._lock:
            yield
            self._commits += 1
            self._is_committing = False
            if metrics is None:
                self._levels += 1
            else:
                self._metrics.update(dict.fromkeys(metrics, self._commits))

    def look(self, metrics: Iterable[str], also: Callable[[], T]) -> tuple[Moment, T]:
        """The present moment, and something else that belongs to it."""
        with self._lock:
            version = (self._levels, *(self._metrics.get(metric, 0) for metric in metrics))
            return Moment(self._commits, self._is_committing, version), also()

    def is_still(self, moment: Moment) -> bool:
        """Whether nothing was, or is being, committed since a moment."""
        with self._lock:
            return not (moment.is_committing or self._is_committing) and moment.commits == self._commits
