"""Raw events of all kinds: counted by a real read model, and asked in plain SQL beside it.

The SQL here knows events, records and nothing of what Tallyboard keeps: no levels, no views, no bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa

from aggregates.levels import sealable
from aggregates.queries import Query
from aggregates.readmodel import ReadModel
from aggregates.rollup import PartitionRollup
from aggregates.store import Store
from ingest.events import EventColumns, encode
from ingest.log import LogRecord
from ingest.registry import MetricDefinition, Registry
from ingest.series import Kind, Series, SeriesTable
from tests.builders import inputs_of, rollup_of

PARTITIONS = 2
GRACE_S = 10


@dataclass(frozen=True, slots=True)
class Sent:
    """One event, of whatever kind."""

    metric: str
    kind: Kind
    dimensions: tuple[tuple[str, str], ...]
    ms: int
    value: float | str
    id: str | None = None

    @property
    def series(self) -> Series:
        return Series(self.metric, self.kind, self.dimensions)


class Raw:
    """A read model that is filled record by record, and the raw events it was filled with."""

    def __init__(
        self, folder: Path, registry: Registry | None = None, zone: str = "UTC", grace_s: int = GRACE_S
    ) -> None:
        self.registry = registry or Registry()
        views = {name: m.views for name, m in self.registry.metrics.items() if m.views is not None}
        self.zone = ZoneInfo(zone)
        self.store = Store(folder / "dashboard.duckdb", views, self.zone, grace_s)
        self.model = ReadModel(self.store, self.registry)
        self._rollups: dict[int, PartitionRollup] = {p: rollup_of(partition=p) for p in range(PARTITIONS)}
        self._offsets = dict.fromkeys(range(PARTITIONS), 0)
        self._read = dict.fromkeys(range(PARTITIONS), 0)
        self._rows: list[dict[str, object]] = []

    def append(self, events: Sequence[Sent], record_ms: int, history: bool = False) -> None:
        """Events that reach the log together, as one record a partition."""
        table = SeriesTable()
        numbers = np.array([table.intern(event.series) for event in events], np.int32)
        columns = EventColumns(
            table,
            numbers,
            np.array([event.ms for event in events], np.int64),
            np.array([np.nan if isinstance(event.value, str) else event.value for event in events], np.float64),
            [event.value if isinstance(event.value, str) else None for event in events],
            [event.id for event in events],
            history,
        )
        for record in encode(columns, PARTITIONS):
            p = record.partition
            delta = self._rollups[p].add([LogRecord(self._offsets[p], record_ms, record.value)])
            assert delta is not None
            self.store.apply(inputs_of([delta], self._read[p]))
            self._read[p] += 1
            for place, event in enumerate(e for e in events if e.series.key % PARTITIONS == p):
                self._rows.append(self._row(event, p, self._offsets[p], place, record_ms, history))
            self._offsets[p] += 1

    def seal(self, watermark_ms: int) -> None:
        """What the projector does once a second."""
        self.store.seal(sealable(watermark_ms, self.store.grace_s))

    def _row(self, event: Sent, p: int, offset: int, place: int, record_ms: int, history: bool) -> dict[str, object]:
        named = dict(event.dimensions)
        return {
            "metric": event.metric, "series": f"{event.kind} {event.dimensions}", "kind": event.kind.value,
            "country": named.get("country"), "product": named.get("product"), "ms": event.ms,
            "value": None if isinstance(event.value, str) else event.value,
            "text": event.value if isinstance(event.value, str) else None, "id": event.id,
            "place": (p * 1_000_000 + offset) * 1000 + place, "record_ms": record_ms, "history": history,
        }  # fmt: skip

    def connection(self) -> duckdb.DuckDBPyConnection:
        """A database of its own with the table `events`: duplicates left out, running totals as increases."""
        fields = {"metric": pa.utf8(), "series": pa.utf8(), "kind": pa.utf8(), "country": pa.utf8(),
                  "product": pa.utf8(), "ms": pa.int64(), "value": pa.float64(), "text": pa.utf8(), "id": pa.utf8(),
                  "place": pa.int64(), "record_ms": pa.int64(), "history": pa.bool_()}  # fmt: skip
        connection = duckdb.connect()
        connection.register("sent", pa.Table.from_pylist(self._rows, schema=pa.schema(list(fields.items()))))
        connection.execute(
            "CREATE TABLE events AS SELECT * EXCLUDE (value), CASE WHEN kind <> 'cumulative' THEN value "
            "WHEN before IS NULL OR ms - earlier > 900000 THEN 0 "
            "WHEN value < before THEN value ELSE value - before END "
            "AS value FROM (SELECT *, lag(value) OVER (PARTITION BY metric, series ORDER BY place) AS before, "
            "lag(ms) OVER (PARTITION BY metric, series ORDER BY place) AS earlier, "
            "row_number() OVER (PARTITION BY metric, series, coalesce(id, place::VARCHAR) ORDER BY place) AS copy "
            "FROM sent) WHERE copy = 1"
        )
        return connection


def local_day(ms: int, zone: ZoneInfo) -> int:
    """The first moment (epoch s) of the local day of a time, by the calendar."""
    moment = datetime.fromtimestamp(ms // 1000, zone)
    return int(moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp())


MEASURE_SQL = {
    "count": "count(*)",
    "sum": "coalesce(sum(value), 0)",
    "increase": "coalesce(sum(value), 0)",
    "avg": "avg(value)",
    "min": "min(value)",
    "max": "max(value)",
    "last": "arg_max(value, ms::HUGEINT * 10000000000000 + place)",
    "uniques": "count(DISTINCT text)",
}


def measure_sql(measure: str) -> str:
    """A measure of raw values; of percentiles that of nearest rank."""
    if measure in MEASURE_SQL:
        return MEASURE_SQL[measure]
    share = float(measure.removeprefix("p"))
    rank = f"greatest(1, ceil({round(share * 10)} * count(value) / 1000.0))::BIGINT"
    return f"list_sort(list(value))[{rank}]"


def expected(
    raw: Raw,
    query: Query,
    start_ms: int,
    end_ms: int,
    measures: Sequence[str],
    rest: Sequence[tuple[object, ...]] | None = None,
) -> dict[tuple[object, ...], tuple[object, ...]]:
    """The answer of one SQL query over the raw events: (time of the bucket in ms, labels…) → measures.

    With `rest` the key has one more cell, true for the groups in it, which are one: ("the rest", true).
    """
    connection = raw.connection()
    zone = ZoneInfo(query.timezone) if query.timezone else raw.zone
    conditions, values = ["metric = ?", "ms >= ?", "ms < ?"], [query.metric, start_ms, end_ms]
    for one in query.where:
        inside = f"{one.dimension} IN ({', '.join('?' * len(one.values))})"
        conditions.append(f"({one.dimension} IS NULL OR NOT {inside})" if one.negate else inside)
        values += one.values
    if query.as_of_ms is not None:
        # A second is complete when the grace after its end is over; what came later is known at the next whole minute.
        known = "ceil((record_ms / 1000.0 - ?) / 60) * 60 + ? <= ?"
        late = "(NOT history AND record_ms > (ms // 1000 + 1 + ?) * 1000)"
        conditions += ["ms // 1000 + 1 + ? <= ?", f"(NOT {late} OR {known})"]
        at, grace = query.as_of_ms // 1000, raw.store.grace_s
        values += [grace, at, grace, grace, grace, at]
    rows = connection.execute(f"SELECT DISTINCT ms FROM events WHERE {' AND '.join(conditions)}", values).fetchall()  # noqa: S608
    days = pa.table({"ms": [ms for (ms,) in rows], "day": [local_day(ms, zone) for (ms,) in rows]},
                    schema=pa.schema([("ms", pa.int64()), ("day", pa.int64())]))  # fmt: skip
    connection.register("days", days)
    step = query.step_s
    bucket = "day * 1000" if step == 86_400 else f"ms // 1000 // {step} * {step} * 1000" if step else str(start_ms)
    labels = f"row({', '.join(query.by)})" if query.by else "row(0)"
    if rest is not None:
        listed = [dict(zip(query.by, row, strict=True)) for row in rest]
        schema = pa.schema([(name, pa.utf8()) for name in query.by])
        connection.register("rest", pa.Table.from_pylist(listed, schema=schema))
        same = " AND ".join(f"r.{name} IS NOT DISTINCT FROM events.{name}" for name in query.by)
        labels = f"CASE WHEN EXISTS (SELECT 1 FROM rest r WHERE {same}) THEN NULL ELSE {labels} END"  # noqa: S608
    keys = f"{bucket} AS bucket, {labels} AS labels"
    selected = ", ".join(measure_sql(name) for name in measures)
    where = " AND ".join(conditions)
    found = connection.execute(
        f"SELECT {keys}, {selected} FROM events JOIN days USING (ms) WHERE {where} "  # noqa: S608 - names of ours
        "GROUP BY ALL HAVING count(*) > 0",
        values,
    ).fetchall()

    def key(labels: dict[str, object] | tuple[object, ...] | None) -> tuple[object, ...]:
        if labels is None:
            return ("the rest", True)
        cells = tuple(labels.values()) if isinstance(labels, dict) else tuple(labels)
        return (*cells[: len(query.by)], *([] if rest is None else [False]))

    return {(row[0], *key(row[1])): row[2:] for row in found}


def definitions(*found: MetricDefinition) -> Registry:
    return Registry({one.name: one for one in found})
