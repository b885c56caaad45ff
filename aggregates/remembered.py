"""Answers that are remembered until they change, and given to everybody who asks for the same at the same time.

Keyed by (question, version): an answer is only ever given out while its version holds. Bounded in number and bytes; the
one that was not asked for the longest goes first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from aggregates.patience import Caller
from aggregates.queries import Abandoned
from aggregates.versions import Version

T = TypeVar("T")
_LARGEST_SHARE = 4
"""An answer larger than this part of the whole is not remembered."""
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """A new answer: about how many bytes it takes, and whether it is exactly that of the version."""

    answer: T
    size: int
    is_exact: bool


@dataclass(slots=True)
class _Kept(Generic[T]):
    version: Version
    answer: T
    size: int


@dataclass(slots=True)
class _Flight(Generic[T]):
    """A question that is being answered, and everybody who waits for it."""

    callers: list[Caller]
    done: threading.Event = field(default_factory=threading.Event)
    made: Made[T] | None = None
    error: BaseException | None = None

    def is_wanted(self) -> bool:
        return any(not caller.has_left for caller in self.callers)


@dataclass(slots=True)
class Tally:
    """How often an answer was remembered, shared with somebody who had asked already, and made."""

    remembered: int = 0
    shared: int = 0
    made: int = 0


class Remembered(Generic[T]):
    """Thread-safe; whoever asks first answers, in its own thread."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Kept[T]] = OrderedDict()
        self._flights: dict[tuple[Hashable, Version], _Flight[T]] = {}
        self.bytes = 0
        self.tally = Tally()

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self, question: Hashable, version: Version, make: Callable[[Callable[[], bool]], Made[T]], caller: Caller
    ) -> T:
        """The answer to a question at a version.

        Args:
            make: makes it; is given a function that says whether anybody still waits. What it raises everybody gets
                who waits, but `Abandoned` only those who left.
        """
        while True:
            with self._lock:
                kept = self._kept.get(question)
                if kept is not None and kept.version == version:
                    self._kept.move_to_end(question)
                    self.tally.remembered += 1
                    return kept.answer
                flight = self._flights.get((question, version))
                if flight is None:
                    mine = self._flights[question, version] = _Flight[T]([caller])
                    self.tally.made += 1
                    break
                flight.callers.append(caller)
                self.tally.shared += 1
            found = _waited(flight, caller)
            if found is not None:
                return found.answer
        return self._fly(question, version, make, mine)

    def _fly(
        self, question: Hashable, version: Version, make: Callable[[Callable[[], bool]], Made[T]], flight: _Flight[T]
    ) -> T:
        try:
            made = flight.made = make(flight.is_wanted)
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._flights[question, version]
                if flight.made is not None and flight.made.is_exact:
                    self._keep(question, version, flight.made)
            flight.done.set()
        return made.answer

    def _keep(self, question: Hashable, version: Version, made: Made[T]) -> None:
        old = self._kept.pop(question, None)
        self.bytes -= 0 if old is None else old.size
        if made.size > self._most_bytes // _LARGEST_SHARE:
            return
        self._kept[question] = _Kept(version, made.answer, made.size)
        self.bytes += made.size
        while self.bytes > self._most_bytes or len(self._kept) > self._most:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= dropped.size


def _waited(flight: _Flight[T], caller: Caller) -> Made[T] | None:
    """What the flight brings; None: it was given up, although this caller is still here."""
    while not flight.done.wait(_LOOK_EVERY_S):
        if caller.has_left:
            raise Abandoned
    if isinstance(flight.error, Abandoned) and not caller.has_left:
        return None
    if flight.error is not None:
        raise flight.error
    return flight.made
