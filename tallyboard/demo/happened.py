"""What a made-up world sends in one second, and what its networks do to it: events held back, and sent again."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from tallyboard.demo.rhythm import chance
from tallyboard.demo.sender import Event

_KEPT_S: Final = 10


@dataclass(slots=True)
class Second:
    """What is sent in one second, by what it is."""

    prompt: list[Event] = field(default_factory=list)
    """Happened in this second."""
    late: list[Event] = field(default_factory=list)
    """Happened earlier, and was held back: by a phone without a network, by a line that was down."""
    again: list[Event] = field(default_factory=list)
    """Was sent before, with the same ids: duplicates."""
    wrong: list[Event] = field(default_factory=list)
    """Of a client with bugs: the registry refuses every one."""

    def all(self) -> list[Event]:
        return [*self.prompt, *self.late, *self.again, *self.wrong]


class World(Protocol):
    """Seconds of a made-up world, one after the other. How a second turns out depends on seed and time alone, not on
    where the world began."""

    def next(self) -> Second: ...


@dataclass(frozen=True, slots=True)
class Demo:
    """A made-up world that can be played."""

    name: str
    begin: Callable[[int, int], World]
    """Takes the seed and the epoch second that the first `next` gives."""
    totals: Callable[[int, int], list[Event]] = lambda seed, second: []
    """Running totals at an epoch second. They count only in the order of time, so they are no part of a `Second`."""


def event(metric: str, value: float | str, at_ms: int, dimensions: dict[str, str], event_id: str) -> Event:
    return {"metric": metric, "value": value, "timestamp": at_ms, "dimensions": dimensions, "id": event_id}


class Held:
    """Events that wait for a network."""

    def __init__(self) -> None:
        self._by_second: dict[int, list[Event]] = {}

    def until(self, second: int, events: Iterable[Event]) -> None:
        self._by_second.setdefault(second, []).extend(events)

    def due(self, second: int) -> list[Event]:
        return self._by_second.pop(second, [])


class Resent:
    """A client that now and then misses an answer, and sends what it sent some seconds before again."""

    def __init__(self, seed: int, name: str) -> None:
        self._parts = (seed, name)
        self._sent: deque[list[Event]] = deque(maxlen=_KEPT_S)

    def after(self, second: int, events: list[Event], likely: float) -> list[Event]:
        """What it sends again in this second, given what it sends for the first time."""
        draw = random.Random(f"{self._parts}/{second}") if chance(*self._parts, second) < likely else None
        again = self._sent[draw.randrange(len(self._sent))] if draw and self._sent else []
        self._sent.append(events)
        return again
