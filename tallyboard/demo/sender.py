"""Sends events as a careful service does: the same events with the same ids until they are acknowledged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from ingest.client.answers import Refusal
from ingest.client.courier import Courier
from ingest.client.delivery import Patience, Pause, Post, Settled, Target
from ingest.client.wire import RANDOM_BYTES, outgoing
from tallyboard.failure import Failure

LONGEST_OUTAGE_S: Final = 600.0
_REJECTIONS_EVERY_S: Final = 60.0

Event = dict[str, Any]


def said(refusal: Refusal) -> str:
    return f"{refusal.status or ''} {refusal.detail}".strip()


class Sender:
    """Posts batches to one ingest, one after the other."""

    def __init__(self, target: Target, say: Callable[[str], None]) -> None:
        self._target = target
        patience = Patience(denied_s=0.0, give_up_s=LONGEST_OUTAGE_S)
        self._courier = Courier(self._target, patience, timeout_s=30.0)
        self._say = say
        self._away = False
        self._rejected = 0
        self._quiet_until = 0.0

    def close(self) -> None:
        self._courier.close()

    def send(self, events: Sequence[Event]) -> int:
        """Return how many events were accepted, when every one is acknowledged or rejected for good.

        Waits while ingest is away or says 503 or 429; raises `Failure` after ten minutes of that.
        """
        accepted = 0

        def tell(step: Post | Pause | Settled) -> None:
            nonlocal accepted
            if isinstance(step, Pause):
                address = self._target.address
                self._complain(f"{address} answers {step.status}" if step.status else f"no answer from {address}")
            elif isinstance(step, Settled):
                accepted += self._settled(step)

        now_ms = time.time_ns() // 1_000_000
        self._courier.carry([outgoing(event, now_ms, os.urandom(RANDOM_BYTES)) for event in events], tell)
        return accepted

    def _settled(self, step: Settled) -> int:
        if isinstance(step.outcome, Refusal):
            raise Failure(f"{self._target.address} refused the events: {said(step.outcome)}.")
        if self._away:
            self._away = False
            self._say(f"{self._target.address} takes events again")
        if rejected := step.outcome.rejected:
            self._tell_of(len(rejected), rejected[-1].message)
        return step.outcome.accepted

    def _tell_of(self, rejected: int, newest: str) -> None:
        """The first rejection at once, then how many there were, at most once a minute."""
        self._rejected += rejected
        now = time.monotonic()
        if now >= self._quiet_until:
            self._say(f"{self._rejected} event{'' if self._rejected == 1 else 's'} rejected, the last one: {newest}")
            self._rejected, self._quiet_until = 0, now + _REJECTIONS_EVERY_S

    def _complain(self, complaint: str) -> None:
        """Say it once per outage."""
        if not self._away:
            self._say(f"{complaint}; sending the same events again until it takes them")
        self._away = True
