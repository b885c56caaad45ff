"""Tells the program that uses a client what it should know: its callbacks, else lines in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from ingest.client.answers import Refusal, Verdicts
from ingest.client.delivery import Pause, Post, Settled
from ingest.client.settings import Settings
from ingest.client.wire import OutgoingEvent

LOG: Final = logging.getLogger("tallyboard.client")


class Reports:
    """One client's reports. An outage and a full queue are said once, and once when they are over.

    A callback that raises ends nothing: its traceback goes into the log.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._outage: str | None = None
        self._dropping = False

    def step(self, step: Post | Pause | Settled) -> None:
        if isinstance(step, Pause):
            if self._outage is None:
                LOG.warning("%s; sending the same events again until they are taken", step.reason)
            self._outage = step.reason
        elif isinstance(step, Settled):
            if self._outage is not None and isinstance(step.outcome, Verdicts):
                LOG.info("events are taken again")
                self._outage = None
            self._settled(step)

    def dropped(self) -> None:
        if not self._dropping:
            LOG.warning("the queue is full: events are dropped (%s)", self._settings.when_full)
        self._dropping = True

    def emptied(self) -> None:
        """Nothing waits: the next full queue is said again."""
        self._dropping = False

    def lost(self, refusal: Refusal, events: Sequence[OutgoingEvent]) -> None:
        if self._settings.on_error is None:
            LOG.error("%d events were given up: %s", len(events), refusal)
        else:
            _guarded(self._settings.on_error, refusal, events)

    def _settled(self, step: Settled) -> None:
        if isinstance(step.outcome, Refusal):
            self.lost(step.outcome, step.events)
        elif step.outcome.rejected and self._settings.on_rejected is None:
            first = step.outcome.rejected[0]
            LOG.warning("%d events rejected, the first: %s: %s", len(step.outcome.rejected), first.code, first.message)
        elif self._settings.on_rejected is not None:
            for rejection in step.outcome.rejected:
                _guarded(self._settings.on_rejected, rejection, step.events[rejection.index])


def _guarded(callback: Callable[..., Any], *arguments: object) -> None:
    try:
        callback(*arguments)
    except Exception:
        LOG.exception("a callback failed")
