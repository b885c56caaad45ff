"""The read model as the dashboard sees it: queries, catalogue, tiles, freshness. Thread-safe; calls block briefly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product

from aggregates.catalogue import MetricEntry
from aggregates.levels import Kept
from aggregates.planner import Statement, statement
from aggregates.queries import (
    EMPTY,
    MAX_ROWS,
    Column,
    Freshness,
    Metric,
    Query,
    Result,
    Tile,
    TooManyRows,
    UnknownMetric,
    measure_of,
)
from aggregates.rolling import tile_values
from aggregates.store import Store
from ingest.registry import MetricDefinition, Registry

_HEADLINE = {"counter": "sum", "cumulative": "sum", "gauge": "avg", "distribution": "avg", "unique": "count"}
TOPIC_ID_PREFIX = 8
"""Hex digits of the topic id that stand in a position."""


def epoch_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


class ReadModel:
    """Answers from one store. `observe` and `applied` are the projector's."""

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], int] = epoch_ms) -> None:
        self._clock = clock
        self._store = store
        self._registry = registry
        self._topic_id: str | None = None
        self._watermark_ms: int | None = None
        self._applied_at_ms: int | None = None
        self._version = 0
        self._moved: asyncio.Condition | None = None

    @property
    def version(self) -> int:
        """Grows whenever an answer may have changed."""
        return self._version

    def observe(self, topic_id: str, watermark_ms: int | None) -> None:
        """Take note of the current source topic and of the watermark."""
        self._topic_id = topic_id
        if watermark_ms is not None:
            self._watermark_ms = max(watermark_ms, self._watermark_ms or 0)

    async def applied(self) -> None:
        """A transaction was committed: wake whoever waits for a position."""
        self._applied_at_ms = self._clock()
        self._version += 1
        async with self._condition():
            self._condition().notify_all()

    def _condition(self) -> asyncio.Condition:
        if self._moved is None:
            self._moved = asyncio.Condition()
        return self._moved

    # --- freshness ------------------------------------------------------------------------------------------------

    def positions(self) -> dict[int, int]:
        """Partition → next offset of the current topic `events`."""
        sources = self._store.sources.values()
        return {s.partition: s.next_offset for s in sources if s.topic_id == self._topic_id}

    def position(self) -> str:
        """The position as text: `<topic id prefix>;<partition>:<next offset>,…`."""
        reached = ",".join(f"{p}:{offset}" for p, offset in sorted(self.positions().items()))
        return f"{(self._topic_id or '')[:TOPIC_ID_PREFIX]};{reached}"

    def freshness(self, now_ms: int) -> Freshness:
        """How current answers are at `now_ms`."""
        mark = self._watermark_ms
        return Freshness(self.position(), mark, None if mark is None else max(0, now_ms - mark), self._applied_at_ms)

    def knows_topic(self, prefix: str) -> bool:
        """Whether a position's topic id prefix is that of the current topic."""
        return self._topic_id is not None and self._topic_id.startswith(prefix) and len(prefix) == TOPIC_ID_PREFIX

    async def reach(self, wanted: Mapping[int, int], timeout_s: float) -> bool:
        """Wait until every partition is counted in up to its wanted offset; False when the time is up."""
        try:
            async with asyncio.timeout(timeout_s), self._condition():
                await self._condition().wait_for(lambda: self._has_reached(wanted))
        except TimeoutError:
            return False
        return True

    def _has_reached(self, wanted: Mapping[int, int]) -> bool:
        reached = self.positions()
        return all(reached.get(partition, 0) >= offset for partition, offset in wanted.items())

    # --- answers --------------------------------------------------------------------------------------------------

    def query(self, query: Query) -> Result:
        """Answer a query. Raises `UnknownMetric` or `TooManyRows`."""
        started = time.perf_counter()
        entry = self._entry(query.metric)
        # Taken before the transaction begins: an answer may hold more than its position says, never less.
        freshness = self.freshness(self._clock())
        with self._store.reader() as cursor:
            row = cursor.execute("SELECT sealed_until, seconds_from FROM levels").fetchone()
            planned = statement(query, entry, Kept(*(row or (0, 0))))
            found = cursor.execute(planned.sql, planned.parameters)
            names = [column[0] for column in found.description or ()]
            cells = found.fetchmany(MAX_ROWS + 1)
        rows = _rows(query, planned, names, cells)
        return Result(
            columns=_columns(query, self.metric(query.metric).unit),
            rows=rows,
            freshness=freshness,
            start_ms=planned.start_s * 1000,
            end_ms=planned.end_s * 1000,
            step_s=query.step_s,
            level=planned.level,
            view=planned.view,
            took_ms=round((time.perf_counter() - started) * 1000, 3),
        )

    def _entry(self, metric: str) -> MetricEntry:
        entry = self._store.catalogue.metrics.get(metric)
        if entry is None:
            raise UnknownMetric(metric)
        return entry

    def metric(self, name: str) -> Metric:
        """One metric of the catalogue. Raises `UnknownMetric`."""
        entry = self._entry(name)
        said = self._registry.metrics.get(name) or MetricDefinition(name)
        measure = said.measure or _HEADLINE[entry.kind]
        unit = entry.unit or said.unit
        return Metric(name, entry.kind, unit, tuple(sorted(entry.dimensions)), said.description, said.better, measure)

    def catalogue(self) -> tuple[Metric, ...]:
        """Every metric that was ever counted: in the registry's order, the others behind by name."""
        known = self._store.catalogue.metrics
        order = [name for name in self._registry.metrics if name in known]
        order += sorted(set(known) - set(order))
        newest = self.last_events()
        return tuple(replace(self.metric(name), last_event_ms=newest.get(name)) for name in order)

    def last_events(self) -> dict[str, int]:
        """Metric → newest event time in ms, to the second while seconds are kept, else to the minute."""
        with self._store.reader() as cursor:
            found = cursor.execute(
                "SELECT metric, 1000 * max(time) FROM groups "
                "JOIN (SELECT id, time FROM total_1s UNION ALL SELECT id, time FROM total_1m) ON group_id = id "
                "GROUP BY metric"
            ).fetchall()
        return dict(found)

    def dimension_values(self, metric: str, dimension: str, limit: int = 50) -> list[str]:
        """Values of a dimension, those of most series first."""
        self._entry(metric)
        with self._store.reader() as cursor:
            found = cursor.execute(
                "SELECT json_extract_string(dimensions, ?) AS value FROM series WHERE metric = ? AND value IS NOT NULL "
                "GROUP BY value ORDER BY count(*) DESC, value LIMIT ?",
                ["/" + dimension.replace("~", "~0").replace("/", "~1"), metric, limit],
            ).fetchall()
        return [value for (value,) in found]

    def tiles(self, now_ms: int) -> tuple[Tile, ...]:
        """Every metric's rolling windows at `now_ms`."""
        metrics = self.catalogue()
        with self._store.reader() as cursor:
            row = cursor.execute("SELECT sealed_until, seconds_from FROM levels").fetchone()
            values = tile_values(cursor, Kept(*(row or (0, 0))), metrics, now_ms // 1000)
        return tuple(
            Tile(metric, windows, spark, events)
            for metric, (windows, spark, events) in zip(metrics, values, strict=True)
        )


def _columns(query: Query, unit: str | None) -> tuple[Column, ...]:
    columns = [Column("time", "time")] if query.step_s else []
    columns += [Column(name, "string") for name in query.by]
    for measure in query.measures:
        if measure == "count":
            columns.append(Column(measure, "integer", "events"))
        else:
            columns.append(Column(measure, "number", f"{unit or ''}/s" if measure == "rate" else unit))
    return tuple(columns)


def _rows(
    query: Query, planned: Statement, names: Sequence[str], cells: Sequence[tuple[object, ...]]
) -> list[tuple[object, ...]]:
    """Merged partials as rows of the answer, empty buckets filled in, ordered by time and labels."""
    width = len(query.by)
    found = {
        (row[0], row[1 : 1 + width]): dict(zip(names[1 + width :], row[1 + width :], strict=True)) for row in cells
    }
    groups = sorted({labels for _, labels in found}, key=lambda labels: [(label is None, label) for label in labels])
    if not query.by:
        groups = [()]
    step = query.step_s
    buckets = range(planned.start_s, planned.end_s, step) if step else [planned.start_s]
    if len(buckets) * len(groups) > MAX_ROWS:
        raise TooManyRows(len(buckets) * len(groups))
    seconds = step or max(1, planned.end_s - planned.start_s)
    rows: list[tuple[object, ...]] = []
    for bucket, labels in product(buckets, groups):
        partial = found.get((bucket, labels), EMPTY)
        time_cell = (bucket * 1000,) if step else ()
        rows.append((*time_cell, *labels, *(measure_of(name, partial, seconds) for name in query.measures)))
    return rows
