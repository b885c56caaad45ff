"""The projector: deltas of `rollups` into the read model, inside the process that serves it.

All database writes happen on one thread, one transaction per batch of deltas. A gap between deltas ends applying but
not serving: the answers grow stale and say so, the replica is not ready. While the disk is full applying waits.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prometheus_client import CollectorRegistry

from aggregates import deltas
from aggregates.annotations import Annotations
from aggregates.catalogue import Views
from aggregates.database import StoreError
from aggregates.following import TopicFollowing
from aggregates.journal import Journal
from aggregates.letterbox import Letterbox
from aggregates.levels import sealable, watermark
from aggregates.positions import Broken, Fault, Position, PositionError, check
from aggregates.readmodel import ReadModel
from aggregates.receipts import Receipts
from aggregates.retention import Retention
from aggregates.settings import ReadModelSettings
from aggregates.side_topics import SideTopics
from aggregates.store import Input, MissingDeltas, Store
from aggregates.stream import StreamOptions, TopicStream, running
from aggregates.telemetry import ProjectionTelemetry
from aggregates.writer import Writer
from ingest.append import Appender
from ingest.follow import TopicFollower
from ingest.log import Log, LogError, LogRecord, checksum
from ingest.registry import Registry

_WATCH_S = 1.0
_STOP_PATIENCE_S = 3.0
_log = logging.getLogger(__name__)


class Projector:
    """Reads every partition of `rollups` (a `stream.Reader`) and applies it to the store."""

    def __init__(
        self, settings: ReadModelSettings, log: Log, store: Store, model: ReadModel, telemetry: ProjectionTelemetry
    ) -> None:
        self._settings = settings
        self._topics = settings.topics
        self._log = log
        self._log_turn = asyncio.Lock()  # `Log` serves one thread at a time
        self._store = store
        self._model = model
        self._telemetry = telemetry
        self._writer = Writer(settings.data)
        self._mark_ms: int | None = None
        self._retention = Retention(settings.keep_s)
        self._rollups_id = ""
        self._assigned: frozenset[int] = frozenset()
        self.broken: Callable[[StoreError], None] = lambda _: None
        """Gets the error that the store cannot go on from."""
        self.gap: str | None = None
        self.kafka_error: str | None = None
        self.lag: dict[int, int] = {}

    async def ask(self, question: Any, *arguments: Any) -> Any:
        """Ask the log, one question at a time, beside the event loop."""
        async with self._log_turn:
            return await asyncio.to_thread(question, *arguments)

    async def write(self, change: Any, *arguments: Any) -> Any:
        """Change the store, one change at a time, in the writer's thread; waits while the disk is full."""
        try:
            return await self._writer.write(change, *arguments)
        except StoreError as error:
            self.broken(error)
            raise

    async def use(self, registry: Registry) -> None:
        """Keep what this registry says, for as long as it says."""
        self._retention = Retention.of(self._settings.keep_s, registry)
        await self.write(self._store.set_apart, self._retention.own.keys())

    async def positions(self, partitions: frozenset[int]) -> Mapping[int, int]:
        self._rollups_id = await self.ask(self._log.topic_id, self._topics.rollups)
        begins = await self.ask(self._log.begin_offsets, self._topics.rollups)
        found = {p: await self._position(p, begins[p]) for p in partitions}
        self._assigned = partitions
        _log.info("reading %s from %s", self._topics.rollups, found)
        return found

    async def _position(self, partition: int, begin: int) -> int:
        position = self._store.inputs.get(partition)
        if position is None:
            return begin
        found = await self.ask(check, self._log, self._topics.rollups, position)
        if isinstance(found, Broken):
            if found.fault is not Fault.LOST:
                raise PositionError(found.detail)
            self._stop_counting(found.detail)  # what was counted is right: it is served on, as stale
            return begin
        if found is None:
            _log.warning("%s was created anew: partition %d starts at its beginning", self._topics.rollups, partition)
            return begin
        return position.next_offset

    def _stop_counting(self, why: str) -> None:
        self.gap = f"counting stopped: {why}"
        _log.error("%s", self.gap)

    async def handle(self, records: Mapping[int, list[LogRecord]]) -> None:
        if self.gap is not None:
            return
        try:
            inputs = await asyncio.to_thread(self._inputs, records)
            start = time.perf_counter()
            events = await self.write(self._store.apply, inputs)
        except (MissingDeltas, deltas.DeltaError) as error:
            self._stop_counting(str(error))
            return
        self._telemetry.seconds.observe(time.perf_counter() - start)
        self._telemetry.events.inc(events)
        self._telemetry.series.set(len(self._store.catalogue.total_of))
        await self._model.applied()

    def _inputs(self, records: Mapping[int, list[LogRecord]]) -> list[Input]:
        """The deltas in the records; raises `DeltaError`."""
        return [self._input(partition, record) for partition, found in records.items() for record in found]

    def _input(self, partition: int, record: LogRecord) -> Input:
        delta = deltas.decode(record.value)
        return Input(delta, Position(self._rollups_id, partition, record.offset + 1, checksum(record.value)))

    async def watch(self, stream: TopicStream) -> None:
        """Once a second: how far behind, and whether the topics are still the same."""
        while True:
            try:
                await self._look(stream)
                self.kafka_error = None
            except LogError as error:
                self.kafka_error = str(error)
            except Exception as error:
                stream.fail(error)
            await asyncio.sleep(_WATCH_S)

    async def _look(self, stream: TopicStream) -> None:
        asked_ms = time.time_ns() // 1_000_000
        events_id = await self.ask(self._log.topic_id, self._topics.events)
        ends = await self.ask(self._log.end_offsets, self._topics.events)
        if self._rollups_id and await self.ask(self._log.topic_id, self._topics.rollups) != self._rollups_id:
            stream.fail(PositionError(f"{self._topics.rollups} was created anew"))
        sources = {p: s for (topic, p), s in self._store.sources.items() if topic == events_id}
        self.lag = {p: max(0, end - (sources[p].next_offset if p in sources else 0)) for p, end in ends.items()}
        for partition, records in self.lag.items():
            self._telemetry.lag.labels(str(partition)).set(records)
        reached = {p: (s.next_offset, s.record_ms) for p, s in sources.items()}
        mark = watermark(range(self._topics.partitions), reached, ends, asked_ms)
        self._model.observe(events_id, mark, self.lag)
        if mark is not None:
            self._telemetry.watermark.set(mark / 1000)
            self._mark_ms = mark

    async def maintain(self, stream: TopicStream) -> None:
        """Once a second: seal and delete what can be."""
        while True:
            try:
                if self._mark_ms is not None and await self.write(self._maintain, self._mark_ms):
                    await self._model.applied()
            except Exception as error:
                stream.fail(error)
            await asyncio.sleep(_WATCH_S)

    def _maintain(self, mark_ms: int) -> bool:
        sealed = self._store.seal(sealable(mark_ms, self._settings.grace_s))
        if sealed:
            self._store.retain(mark_ms // 1000, self._retention.default, self._retention.own)
        return sealed

    def not_ready(self) -> list[str]:
        """Why this replica is not ready; empty when it is."""
        reasons = [reason for reason in (self.gap, self._writer.paused) if reason]
        missing = self._topics.partitions - len(self._assigned)
        if missing:
            reasons.append(f"{missing} of {self._topics.partitions} partitions are not assigned")
        if self.kafka_error:
            reasons.append(self.kafka_error)
        return reasons

    def close(self) -> None:
        """Wait for the last transaction."""
        self._writer.close()


class ProjectionError(Exception):
    """The read model cannot be kept up to date; the message is for the operator."""


class _EventsTopic:
    """The topic `events`, as `aggregates.receipts` asks it."""

    def __init__(self, projector: Projector, log: Log, name: str) -> None:
        self._projector, self._log, self._name = projector, log, name

    async def topic_id(self) -> str:
        return str(await self._projector.ask(self._log.topic_id, self._name))

    async def bounds(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        begins = await self._projector.ask(self._log.begin_offsets, self._name)
        return begins, await self._projector.ask(self._log.end_offsets, self._name)

    async def record(self, partition: int, offset: int) -> LogRecord | None:
        found: LogRecord | None = await self._projector.ask(self._log.read, self._name, partition, offset)
        return found


@dataclass(frozen=True, slots=True)
class Projection:
    """A running projector."""

    projector: Projector
    read_model: ReadModel
    receipts: Receipts
    letters: Letterbox
    journal: Journal
    annotations: Annotations
    followings: tuple[TopicFollowing, ...]
    failed: asyncio.Future[BaseException]
    """Gets the error that ended the projector: the process has to end then."""

    async def use(self, registry: Registry) -> None:
        """Take over a changed registry. Views are those of the start: changing them rewrites the file."""
        if _views_of(registry) != _views_of(self.read_model.registry):
            _log.warning("the views of the registry changed: they count when the dashboard is started again")
        await self.projector.use(registry)
        await self.projector.write(self.read_model.use, registry)
        await self.read_model.applied()

    def not_ready(self) -> list[str]:
        return [*self.projector.not_ready(), *(f.stopped for f in self.followings if f.stopped is not None)]

    def health(self) -> dict[str, object]:
        """What `/health/ready` says beside its verdict."""
        freshness = self.read_model.freshness(time.time_ns() // 1_000_000)
        return {
            "lag": self.projector.lag,
            "watermark": freshness.watermark_ms,
            "lag_ms": freshness.lag_ms,
            "position": freshness.position,
        }


@asynccontextmanager
async def open_projection(
    settings: ReadModelSettings, registry: Registry, metrics: CollectorRegistry
) -> AsyncIterator[Projection]:
    """Open the read model's file and keep it up to date. Raises `ProjectionError`."""
    try:
        async with _open(settings, registry, metrics) as projection:
            yield projection
    except (StoreError, LogError, PositionError) as error:
        raise ProjectionError(str(error)) from error


@asynccontextmanager
async def _open(
    settings: ReadModelSettings, registry: Registry, metrics: CollectorRegistry
) -> AsyncIterator[Projection]:
    store = await asyncio.to_thread(_opened_store, settings, _views_of(registry))
    try:
        with await asyncio.to_thread(Log, settings.kafka) as log:
            await asyncio.to_thread(log.ensure_topics, settings.topics)
            model = ReadModel(store, registry, limits=settings.limits)
            projector = Projector(settings, log, store, model, ProjectionTelemetry(metrics))
            receipts = Receipts(_EventsTopic(projector, log, settings.topics.events), store)
            await projector.use(registry)
            options = StreamOptions(
                group=store.meta("consumer_group"),
                member=f"dashboard-{socket.gethostname()}",
                topic=settings.topics.rollups,
                partitions=settings.topics.partitions,
                folder=settings.data / "faust",
            )
            stream = TopicStream(options, settings.kafka, projector)
            appender = Appender(settings.kafka)
            follow = partial(TopicFollower, settings.kafka)
            side = SideTopics(settings, log, store, projector.ask, projector.write, follow, appender)
            async with running(stream) as failed:
                projector.broken = partial(_ended_by, failed)
                work = (projector.watch(stream), projector.maintain(stream))
                tasks = [*map(asyncio.create_task, work), *side.start(stream.fail)]
                side_of = Letterbox(store, side.letters), side.journal, side.annotations, side.followings
                try:
                    yield Projection(projector, model, receipts, *side_of, failed)
                finally:
                    await _cancelled(tasks)
            projector.close()
            await asyncio.to_thread(appender.close)
    finally:
        store.close()


def _views_of(registry: Registry) -> Views:
    return {name: metric.views for name, metric in registry.metrics.items() if metric.views is not None}


def _opened_store(settings: ReadModelSettings, views: Views) -> Store:
    try:
        zone = ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise StoreError(
            f"timezone {settings.timezone!r} is not known: give an IANA name such as Europe/Amsterdam"
        ) from error
    return Store(settings.file, views, zone, settings.grace_s, round(86_400 * settings.as_of_days), settings.memory_mb)


def _ended_by(failed: asyncio.Future[BaseException], error: StoreError) -> None:
    """End the process: with a sentence, without a traceback. The disk is to blame."""
    if not failed.done():
        failed.set_result(error)


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_STOP_PATIENCE_S)
