"""Which seconds of a made-up world were sent, which are missing, and what is to be sent next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tallyboard.demo.happened import Demo
from tallyboard.demo.rhythm import HOUR
from tallyboard.demo.sender import Event

_BATCH_EVENTS = 4000

Span = tuple[int, int]
"""Epoch seconds: from the first up to, not including, the second."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`missing` are past seconds that were not sent yet, in the order they will be: the newest hour first, so that a
    page is soon full. From `live` on, seconds are sent as they pass."""

    seed: int
    missing: tuple[Span, ...]
    live: int

    def sent(self, until: int) -> Progress:
        """The first missing span was sent up to here."""
        (_, end), *rest = self.missing
        return replace(self, missing=(*([(until, end)] if until < end else []), *rest))


def resume(kept: Progress | None, seed: int, now: int, backfill_s: int) -> Progress:
    """Go on from what was kept: what passed meanwhile is missing. Nothing older than `backfill_s` is sent."""
    oldest = now - backfill_s
    known = kept is not None and kept.seed == seed
    spans = ((kept.live, now), *kept.missing) if kept is not None and known else ((oldest, now),)
    clipped = ((max(start, oldest), min(end, now)) for start, end in spans)
    return Progress(seed, tuple(hour for start, end in clipped for hour in _hours(start, end)), now)


def _hours(start: int, end: int) -> Iterator[Span]:
    """A span in parts of an hour, the newest first."""
    while start < end:
        yield max(start, end - HOUR), end
        end -= HOUR


def totals(demo: Demo, progress: Progress) -> list[Event]:
    """The running totals of everything that is missing; they have to be sent before the live ones."""
    seconds = (second for start, end in sorted(progress.missing) for second in range(start, end))
    return [event for second in seconds for event in demo.totals(progress.seed, second)]


def history(demo: Demo, progress: Progress) -> Iterator[tuple[list[Event], Span]]:
    """What is missing, in batches, each with the seconds that it holds. Only what is true belongs to history: nothing
    is sent twice, and no client is wrong."""
    for start, end in progress.missing:
        world = demo.begin(progress.seed, start)
        events: list[Event] = []
        first = start
        for second in range(start, end):
            found = world.next()
            events += found.prompt + found.late
            if len(events) >= _BATCH_EVENTS or second + 1 == end:
                yield events, (first, second + 1)
                events, first = [], second + 1
