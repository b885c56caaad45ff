"""What pages and push ask of a read model: the part of `aggregates.readmodel.ReadModel` they use."""

from __future__ import annotations

from typing import Protocol

from aggregates.accounts import Ledger, LedgerQuery
from aggregates.queries import Freshness, Metric, Query, Result, Tile


class Reading(Protocol):
    """Thread-safe; calls block briefly."""

    def query(self, query: Query) -> Result:
        """Answers a query. Raises `UnknownMetric`, `Unanswerable` or `TooManyRows`."""
        ...

    def catalogue(self) -> tuple[Metric, ...]:
        """Every metric that has events, in a stable order."""
        ...

    def freshness(self, now_ms: int) -> Freshness:
        """How current answers are at `now_ms`."""
        ...

    def tiles(self, now_ms: int) -> tuple[Tile, ...]:
        """Every metric at a glance at `now_ms`."""
        ...


class Accounting(Reading, Protocol):
    """What also knows the account."""

    def ledger(self, wanted: LedgerQuery) -> Ledger:
        """The account of accepted events. Raises `TooManyRows`."""
        ...
