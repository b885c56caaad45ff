"""The read model as the dashboard sees it: queries, catalogue, tiles, freshness. Thread-safe; calls block briefly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from aggregates.accounts import Ledger, LedgerQuery, read_ledger
from aggregates.answers import Replied, answer, in_whole_buckets
from aggregates.asking import Cursor, GroupCache, Session
from aggregates.contents import load_kept, load_own_kept
from aggregates.derived import Asker, Subject, subject
from aggregates.frames import Keeping
from aggregates.last_events import LastEvents
from aggregates.last_week import LastWeek
from aggregates.levels import SECOND, Kept
from aggregates.measures import DERIVED, HEADLINES, RATIO, has_measure, measures_of
from aggregates.patience import Caller, Watchdog
from aggregates.queries import Filter, Freshness, Metric, Query, QueryLimits, Result, Tile, Unanswerable, UnknownMetric
from aggregates.remembered import Made, Remembered
from aggregates.restatements import late_minutes
from aggregates.retention import OwnKept, kept_at_most, kept_for
from aggregates.rolling import Rolling
from aggregates.series_list import SeriesPage, read_series
from aggregates.store import Store
from aggregates.versions import Moment
from ingest.registry import DerivedMetric, MetricDefinition, Registry

TOPIC_ID_PREFIX = 8
"""Hex digits of the topic id that stand in a position."""
_MOST_ANSWERS = 2000


def epoch_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


class ReadModel:
    """Answers from one store. `observe` and `applied` are the projector's."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Callable[[], int] = epoch_ms,
        limits: QueryLimits = QueryLimits(),  # noqa: B008 - immutable
    ) -> None:
        self._clock = clock
        self._store = store
        self.registry = registry
        """What is said about metrics."""
        self._topic_id: str | None = None
        self._watermark_ms: int | None = None
        self._applied_at_ms: int | None = None
        self._version = 0
        self._pending: Mapping[int, int] = {}
        self._moved: asyncio.Condition | None = None
        self._newest = LastEvents()
        self._rolling, self._last_week = Rolling(), LastWeek()
        self._groups = GroupCache()
        self._watchdog = Watchdog(limits.seconds)
        self.remembered = Remembered[Replied](_MOST_ANSWERS, limits.cache_bytes)

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

    def use(self, registry: Registry) -> None:
        """Say of metrics what this registry says. On the writer's thread: answers kept are no longer those."""
        with self._store.versions.committed(None):
            self.registry = registry

    # --- answers --------------------------------------------------------------------------------------------------

    def query(self, query: Query, caller: Caller | None = None) -> Result:
        """Answer a query, at most once for everybody who asks it between two changes of its metric.

        Raises `UnknownMetric`, `Unanswerable`, `TooManyRows`, `TooSlow`, `OutOfMemory`, or `Abandoned` when the caller
        has left.
        """
        started = time.perf_counter()
        query = in_whole_buckets(query)
        found = subject(query.metric, self._store.catalogue.metrics, self.registry.derived)
        # Looked at before the transaction begins: an answer may hold more than its position says, never less.
        moment, freshness = self._store.versions.look(found.metrics, lambda: self.freshness(self._clock()))

        def make(wanted: Callable[[], bool]) -> Made[Replied]:
            return self._made(query, found, moment, wanted)

        replied = self.remembered.get(query, moment.version, make, caller or Caller())
        return replied.result(freshness, time.perf_counter() - started)

    def _made(self, query: Query, found: Subject, moment: Moment, wanted: Callable[[], bool]) -> Made[Replied]:
        with self._reader(wanted) as cursor:
            is_exact = self._store.versions.is_still(moment)
            keeping = self._keeping(cursor, found.metrics)
            seconds_from = keeping.kept.kept_from[SECOND]
            asker = Asker.of(Session(cursor, self._groups), found, query.by, query.where, seconds_from)
            given = answer(asker, query, keeping, self.metric(query.metric).unit)
        replied = Replied(given, asker.view)
        return Made(replied, replied.size, is_exact)

    @contextmanager
    def _reader(self, wanted: Callable[[], bool] = lambda: True) -> Iterator[Cursor]:
        """A cursor inside one read transaction, for as long as a query may run and somebody wants its answer. Raises
        `TooSlow`, `OutOfMemory` or `Abandoned`."""
        with self._store.reader() as cursor, self._watchdog.watching(cursor, wanted):
            yield cursor

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
            series, group = sum(entry.series for entry in entries), _group(name, said.group)
            return Metric(name, found.kind, said.unit, *about, RATIO, None, measures, series, group, kept)
        defined = self.registry.metrics.get(name) or MetricDefinition(name)
        measure = defined.measure if defined.measure and has_measure(found.kind, defined.measure) else None
        about = (tuple(sorted(found.entry.dimensions)), defined.description, defined.better)
        unit, headline = found.entry.unit or defined.unit, measure or HEADLINES[found.kind]
        series, group = found.entry.series, _group(name, defined.group)
        return Metric(name, found.kind, unit, *about, headline, None, measures, series, group, kept)

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

    def series(
        self, metric: str, where: Sequence[Filter], limit: int, after: int = -1, caller: Caller | None = None
    ) -> SeriesPage:
        """A page of the metric's series. Raises `UnknownMetric`, `TooSlow`, `OutOfMemory` or `Abandoned`."""
        if metric not in self._store.catalogue.metrics:
            raise UnknownMetric(metric)
        with self._reader(lambda: caller is None or not caller.has_left) as cursor:
            return read_series(cursor, metric, where, limit, after)

    def tiles(self, now_ms: int) -> tuple[Tile, ...]:
        """Every metric at a glance at `now_ms`."""
        metrics = self.catalogue()
        with self._store.reader() as cursor:
            kept, own = self._kept(cursor)
            derived, now_s = self.registry.derived, now_ms // 1000
            found = self._rolling.tiles(cursor, kept, own, metrics, derived, now_s)
            before = self._last_week.read(cursor, kept, self._store.zone, metrics, derived, now_s)
            late = late_minutes(cursor, kept, derived, now_s)
        return tuple(
            replace(tile, last_week=before[tile.metric.name], late=late.get(tile.metric.name, {})) for tile in found
        )

    def ledger(self, wanted: LedgerQuery, caller: Caller | None = None) -> Ledger:
        """The account of accepted events. Raises `TooManyRows`, `TooSlow`, `OutOfMemory` or `Abandoned`."""
        freshness = self.freshness(self._clock())
        with self._reader(lambda: caller is None or not caller.has_left) as cursor:
            return read_ledger(cursor, wanted, load_kept(cursor), freshness, dict(self._pending))


def _group(name: str, said: str | None) -> str:
    first, dot, _ = name.partition(".")
    return said or (first if dot and first else "Other")
