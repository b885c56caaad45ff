"""Plays a made-up world: live seconds as they pass, and between them, as fast as ingest takes it, what went before."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from ingest.client.delivery import Target
from tallyboard.demo.happened import Demo, World
from tallyboard.demo.progress import Progress, history, resume, totals
from tallyboard.demo.sender import Event, Sender

BACKFILL_S: Final = 3 * 3600
_HISTORY: Final = "import=true"
_UNPACKED: Final = None
"""Ingest is near: packing the history would take longer than sending it."""
_MOST_SECONDS: Final = 60
"""Live seconds in one request, after a time without ingest."""


def play(
    demo: Demo, target: Target, seed: int, backfill_s: float, state: Path | None, say: Callable[[str], None]
) -> None:
    """Send for ever. With a `state` file the next start sends what is missing since; without one the same seconds
    have the same ids, so that nothing counts twice either."""
    progress = resume(_kept(state), seed, int(time.time()), int(backfill_s))
    _remember(state, progress)
    missing = sum(end - start for start, end in progress.missing)
    say(f"{demo.name}: {missing / 60:,.0f} minutes of history, and from now on what happens")
    live, past = Sender(target, say), Sender(replace(target, parameters=_HISTORY, gzip_bytes=_UNPACKED), say)
    try:
        if before := totals(demo, progress):
            _in_parts(past, before)
        _go_on(demo, live, past, progress, state, say)
    finally:
        live.close()
        past.close()


def _go_on(
    demo: Demo, live: Sender, past: Sender, progress: Progress, state: Path | None, say: Callable[[str], None]
) -> None:
    world = demo.begin(progress.seed, progress.live)
    batches = history(demo, progress)
    while True:
        now = time.time()
        if progress.live < int(now):
            until = min(int(now), progress.live + _MOST_SECONDS)
            live.send(_seconds(demo, world, progress, until))
            progress = replace(progress, live=until)
            _remember(state, progress)
        elif progress.missing:
            events, (_, until) = next(batches)
            past.send(events)
            progress = progress.sent(until)
            _remember(state, progress)
            if not progress.missing:
                say("the history is complete")
        else:
            time.sleep(1 - now % 1)


def _seconds(demo: Demo, world: World, progress: Progress, until: int) -> list[Event]:
    """Everything that is sent from `progress.live` up to a second."""
    events: list[Event] = []
    for second in range(progress.live, until):
        events += world.next().all()
        events += demo.totals(progress.seed, second)
    return events


def _in_parts(sender: Sender, events: list[Event], size: int = 5000) -> None:
    for start in range(0, len(events), size):
        sender.send(events[start : start + size])


def _kept(state: Path | None) -> Progress | None:
    try:
        found = json.loads(state.read_text()) if state else None
        if found is None:
            return None
        return Progress(int(found["seed"]), tuple((int(a), int(b)) for a, b in found["missing"]), int(found["live"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _remember(state: Path | None, progress: Progress) -> None:
    if state is None:
        return
    part = state.with_suffix(".part")
    part.write_text(json.dumps(asdict(progress)))
    part.replace(state)
