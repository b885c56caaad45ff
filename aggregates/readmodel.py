"""The read model as the dashboard sees it: queries, catalogue, tiles, freshness. Thread-safe; calls block briefly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from aggregates.accounts import Ledger, LedgerQuery, read_ledger
from aggregates.answers import answer
from aggregates.asking import Cursor, GroupCache, Session
from aggregates.contents import load_kept, load_own_kept
from aggregates.derived import Asker, subject
from aggregates.frames import Keeping
from aggregates.last_events import LastEvents
from aggregates.levels import SECOND, Kept
from aggregates.measures import DERIVED, HEADLINES, RATIO, has_measure, measures_of
from aggregates.queries import Freshness, Metric, Query, Result, Tile, Unanswerable, UnknownMetric
from aggregates.retention import OwnKept, kept_at_most, kept_for
from aggregates.rolling import Rolling
from aggregates.store import Store
from ingest.registry import DerivedMetric, MetricDefinition, Registry

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
        self.registry = registry
        """What is said about metrics; may be replaced at any time."""
        self._topic_id: str | None = None
        self._watermark_ms: int | None = None
        self._applied_at_ms: int | None = None
        self._version = 0
        self._pending: Mapping[int, int] = {}
        self._moved: asyncio.Condition | None = None
        self._newest = LastEvents()
        self._rolling = Rolling()
        self._groups = GroupCache()

    @property
    def version(self) -> int:
        """Grows whenever an answer may have changed."""
        return self._version

    def observe(self, topic_id: str, watermark_ms: int | None, pending: Mapping[int, int] | None = None) -> None:
        """Take note of the current source topic, of the watermark, and by partition of the records of that topic that
        are not counted in yet."""
        self._topic_id = topic_id
        self._pending = dict(pending or {})
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
        """Answer a query. Raises `UnknownMetric`, `Unanswerable` or `TooManyRows`."""
        started = time.perf_counter()
        found = subject(query.metric, self._store.catalogue.metrics, self.registry.derived)
        # Taken before the transaction begins: an answer may hold more than its position says, never less.
        freshness = self.freshness(self._clock())
        with self._store.reader() as cursor:
            keeping = self._keeping(cursor, found.metrics)
            seconds_from = keeping.kept.kept_from[SECOND]
            asker = Asker.of(Session(cursor, self._groups), found, query.by, query.where, seconds_from)
            given = answer(asker, query, keeping, self.metric(query.metric).unit)
        return Result(
            columns=given.columns,
            rows=given.rows,
            freshness=freshness,
            start_ms=given.frame.start * 1000,
            end_ms=given.frame.end * 1000,
            step_s=given.frame.step,
            level=given.frame.level,
            view=asker.view,
            took_ms=round((time.perf_counter() - started) * 1000, 3),
            restated=given.restated,
            error_bound=given.error_bound,
            others=given.others,
        )

    def _keeping(self, cursor: Cursor, metrics: Sequence[str]) -> Keeping:
        """What is kept of all these metrics, at the moment of the cursor's transaction."""
        return Keeping(kept_for(metrics, *self._kept(cursor)), self._store.zone, self._store.grace_s)

    def _kept(self, cursor: Cursor) -> tuple[Kept, OwnKept]:
        """What is kept of the metrics that share it, and of those that stand apart."""
        return load_kept(cursor), load_own_kept(cursor)

    def metric(self, name: str) -> Metric:
        """One metric of the catalogue. Raises `UnknownMetric`."""
        found = subject(name, self._store.catalogue.metrics, self.registry.derived)
        measures, kept = measures_of(found.kind), kept_at_most(self.registry, found.metrics)
        if found.entry is None:
            said = found.derived or DerivedMetric(name, ("", ""), ("", ""))
            entries = [entry for entry in (found.above, found.below) if entry is not None]
            shared = set.intersection(*(entry.dimensions for entry in entries))
            about = (tuple(sorted(shared)), said.description, said.better)
            return Metric(name, found.kind, said.unit, *about, RATIO, measures=measures, kept_ms=kept)
        defined = self.registry.metrics.get(name) or MetricDefinition(name)
        measure = defined.measure if defined.measure and has_measure(found.kind, defined.measure) else None
        about = (tuple(sorted(found.entry.dimensions)), defined.description, defined.better)
        unit = found.entry.unit or defined.unit
        headline = measure or HEADLINES[found.kind]
        return Metric(name, found.kind, unit, *about, headline, measures=measures, kept_ms=kept)

    def catalogue(self) -> tuple[Metric, ...]:
        """Every metric that was ever counted: in the registry's order, the others behind by name, derived ones last."""
        known = self._store.catalogue.metrics
        order = [name for name in self.registry.metrics if name in known]
        order += sorted(set(known) - set(order))
        with self._store.reader() as cursor:
            newest = self._newest.read(cursor, order)
        found = [replace(self.metric(name), last_event_ms=newest.get(name)) for name in order]
        return (*found, *self._derived(newest))

    def _derived(self, newest: Mapping[str, int]) -> Iterator[Metric]:
        for name, said in self.registry.derived.items():
            try:
                found = self.metric(name)
            except (UnknownMetric, Unanswerable):
                continue
            if found.kind == DERIVED:
                parts = [newest[metric] for metric, _ in (said.numerator, said.denominator) if metric in newest]
                yield replace(found, last_event_ms=max(parts, default=None))

    def dimension_values(self, metric: str, dimension: str, limit: int = 50) -> list[str]:
        """Values of a dimension, those of most series first."""
        found = subject(metric, self._store.catalogue.metrics, self.registry.derived)
        said = found.derived
        names = [metric] if said is None else [said.numerator[0], said.denominator[0]]
        with self._store.reader() as cursor:
            rows = cursor.execute(
                "SELECT json_extract_string(dimensions, ?) AS value FROM series "
                "WHERE metric IN (SELECT unnest(?::VARCHAR[])) AND value IS NOT NULL "
                "GROUP BY value ORDER BY count(*) DESC, value LIMIT ?",
                ["/" + dimension.replace("~", "~0").replace("/", "~1"), names, limit],
            ).fetchall()
        return [value for (value,) in rows]

    def tiles(self, now_ms: int) -> tuple[Tile, ...]:
        """Every metric's rolling windows at `now_ms`."""
        metrics = self.catalogue()
        with self._store.reader() as cursor:
            kept, own = self._kept(cursor)
            return self._rolling.tiles(cursor, kept, own, metrics, self.registry.derived, now_ms // 1000)

    def ledger(self, wanted: LedgerQuery) -> Ledger:
        """The account of accepted events. Raises `TooManyRows`."""
        freshness = self.freshness(self._clock())
        with self._store.reader() as cursor:
            return read_ledger(cursor, wanted, load_kept(cursor), freshness, dict(self._pending))
