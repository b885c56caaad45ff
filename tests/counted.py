"""A real read model in a folder, filled without Kafka: events become a record, the record a delta, the delta rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from aggregates.readmodel import ReadModel
from aggregates.store import Store
from ingest.registry import MetricDefinition, Registry
from tests.builders import TOPIC_ID, Event, inputs_of, log_records, rollup_of

REVENUE = MetricDefinition("orders.revenue", unit="EUR", description="Paid amount", better="up", measure="sum")
DELAY = MetricDefinition("flights.delay", unit="min", description="Minutes late", better="down", measure="avg")


class Counted:
    """`model` answers for whatever was added; up to which time it knows is set by `known_until`."""

    def __init__(self, folder: Path, *definitions: MetricDefinition) -> None:
        self._store = Store(folder / "dashboard.duckdb", {})
        self._rollup = rollup_of()
        self._records = 0
        self.model = ReadModel(self._store, Registry({d.name: d for d in definitions}))

    def add(self, metric: MetricDefinition, events: Iterable[tuple[int, float, Mapping[str, str]]]) -> None:
        """Counts events of (epoch milliseconds, value, dimensions)."""
        batch: list[Event] = [(metric.name, dict(named), at_ms, value, None) for at_ms, value, named in events]
        delta = self._rollup.add(log_records([batch], self._records, max(event[2] for event in batch)))
        assert delta is not None
        self._store.apply(inputs_of([delta], self._records))
        self._records += 1

    def known_until(self, at_ms: int) -> None:
        """Moves the watermark, which never goes back."""
        self.model.observe(TOPIC_ID, at_ms)

    def close(self) -> None:
        self._store.close()
