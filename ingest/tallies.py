"""What was rejected and refused, for the log: counted, and said at most once in a while, with one example of each.

A line for every bad event would let a broken client fill the disk; the events themselves are in `rejected`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ingest.verdicts import RejectedEvent

MAX_TALLIES: Final = 200
"""Most lines of one report; what is beyond them is summed up in one more."""
_LOG: Final = logging.getLogger("tallyboard.ingest.verdicts")


@dataclass(slots=True)
class _Tally:
    """How often, and the first request it happened to."""

    request_id: str
    field: str | None = None
    count: int = 0


class Tallies:
    """Counts by code and key, between two reports."""

    def __init__(self) -> None:
        self._rejected: dict[tuple[str, str | None], _Tally] = {}
        self._refused: dict[tuple[str, str | None], _Tally] = {}
        self._beyond = 0

    def rejected(self, request_id: str, key: str | None, events: Sequence[RejectedEvent]) -> None:
        """Verdicts on events of one request."""
        for event in events:
            self._count(self._rejected, event.verdict.reason.value, key, request_id, event.verdict.field)

    def refused(self, code: str, request_id: str) -> None:
        """A request refused as a whole."""
        self._count(self._refused, code, None, request_id, None)

    def _count(
        self,
        tallies: dict[tuple[str, str | None], _Tally],
        code: str,
        key: str | None,
        request_id: str,
        field: str | None,
    ) -> None:
        tally = tallies.get((code, key))
        if tally is None:
            if len(tallies) >= MAX_TALLIES:
                self._beyond += 1
                return
            tally = tallies[code, key] = _Tally(request_id, field)
        tally.count += 1

    def report(self) -> None:
        """Write the lines since the last report, and start afresh."""
        for (code, key), tally in self._rejected.items():
            fields = {"reason": code, "events": tally.count, "key": key, "request_id": tally.request_id}
            _LOG.info("events rejected", extra={**fields, "field": tally.field})
        for (code, _), tally in self._refused.items():
            fields = {"code": code, "requests": tally.count, "request_id": tally.request_id}
            _LOG.info("requests refused", extra=fields)
        if self._beyond:
            _LOG.info("more was rejected or refused", extra={"count": self._beyond})
        self._rejected, self._refused, self._beyond = {}, {}, 0
