"""The rollup worker: records of `events` in, deltas on `rollups` out, partition i to partition i.

It keeps nothing on disk. Deltas of a partition are written one after the other, each awaited before the next is
made; a send that fails or times out ends the process, which then starts from what the log holds.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from aggregates import deltas
from aggregates.duplicates import DuplicateWindow
from aggregates.positions import PositionError
from aggregates.recovery import recover
from aggregates.rollup import PartitionRollup
from aggregates.settings import RollupSettings
from aggregates.stream import StreamOptions, TopicStream, running
from aggregates.telemetry import RollupTelemetry
from ingest.log import Log, LogError, LogRecord
from ingest.logs import configure_logging
from ingest.service import HttpServer, on_termination, run_role

RUN_BYTES = 1024 * 1024
"""Source bytes that go into one delta, at least one record."""
_WATCH_S = 2.0
_log = logging.getLogger(__name__)


class RollupWorker:
    """Reads the assigned partitions of `events` (a `stream.Reader`) and writes their deltas."""

    def __init__(self, settings: RollupSettings, log: Log, telemetry: RollupTelemetry) -> None:
        self._settings = settings
        self._topics = settings.topics
        self._log = log
        self._log_turn = asyncio.Lock()  # `Log` serves one thread at a time
        self._telemetry = telemetry
        age_ms = round(settings.dedupe_hours * 3_600_000)
        self._window = DuplicateWindow(settings.dedupe_events, age_ms, salt=secrets.randbits(64))
        self._rollups: dict[int, PartitionRollup] = {}
        self._output: Any = None
        self.lag: dict[int, int] = {}
        self.kafka_error: str | None = None

    def write_to(self, stream: TopicStream) -> None:
        """Send deltas through the stream's producer."""
        self._output = stream.topic(self._topics.rollups, partitions=self._topics.partitions)

    @property
    def partitions(self) -> list[int]:
        return sorted(self._rollups)

    async def _ask(self, question: Any, *arguments: Any) -> Any:
        async with self._log_turn:
            return await asyncio.to_thread(question, *arguments)

    async def positions(self, partitions: frozenset[int]) -> Mapping[int, int]:
        rollups = {p: await self._ask(recover, self._log, self._topics, p, self._window) for p in partitions}
        self._rollups = rollups
        for partition, rollup in sorted(rollups.items()):
            _log.info("partition %d: reading %s from offset %d", partition, self._topics.events, rollup.next_offset)
        return {partition: rollup.next_offset for partition, rollup in rollups.items()}

    async def handle(self, records: Mapping[int, list[LogRecord]]) -> None:
        start = time.perf_counter()
        await asyncio.gather(*(self._roll(partition, found) for partition, found in records.items()))
        self._telemetry.seconds.observe(time.perf_counter() - start)
        self._telemetry.ids_bytes.set(sum(rollup.ids_bytes for rollup in self._rollups.values()))
        self._telemetry.totals_bytes.set(sum(rollup.totals_bytes for rollup in self._rollups.values()))

    async def _roll(self, partition: int, records: list[LogRecord]) -> None:
        rollup = self._rollups[partition]
        for run in runs(records):
            if run[0].offset != rollup.next_offset:
                await self._pass_hole(rollup, run[0].offset)
            delta = rollup.add(run)
            if delta is not None:
                await self._send(partition, delta)

    async def _pass_hole(self, rollup: PartitionRollup, found: int) -> None:
        """Offsets that are missing inside the log are legal (control records); records that retention removed, that
        were not delivered, or that came again, are not: a client begins anew when its position is not in the log."""
        partition, expected = rollup.source.partition, rollup.next_offset
        behind = await self._ask(self._log.read, self._topics.events, partition, expected) if found > expected else None
        if behind is None or behind.offset != found:
            raise PositionError(
                f"{self._topics.events}, partition {partition}: expected offset {expected}, got {found}"
            )
        rollup.skip_to(found)

    async def _send(self, partition: int, delta: deltas.Delta) -> None:
        value = deltas.encode(delta)
        await (await self._output.send(value=value, partition=partition))
        records = delta.header.records
        duplicates = int(delta.rows.column("duplicates").to_numpy().sum())
        self._telemetry.events.inc(sum(record.events for record in records))
        self._telemetry.duplicates.inc(duplicates)
        self._telemetry.rows.inc(delta.rows.num_rows)
        for record in records:
            if record.undecodable is not None:
                self._telemetry.undecodable.inc()
                _log.warning("partition %d, offset %d: %s", partition, record.offset, record.undecodable)

    async def watch(self, stream: TopicStream) -> None:
        """Keep the lag up to date, and end the stream when its topic is replaced under it: a re-created topic would
        otherwise be waited on in silence."""
        topic_id = await self._ask(self._log.topic_id, self._topics.events)
        while True:
            try:
                if await self._ask(self._log.topic_id, self._topics.events) != topic_id:
                    stream.fail(PositionError(f"{self._topics.events} was created anew"))
                ends = await self._ask(self._log.end_offsets, self._topics.events)
                self._note_lag(ends)
                self.kafka_error = None
            except LogError as error:
                self.kafka_error = str(error)
            await asyncio.sleep(_WATCH_S)

    def _note_lag(self, ends: Mapping[int, int]) -> None:
        self.lag = {p: max(0, ends.get(p, 0) - rollup.next_offset) for p, rollup in self._rollups.items()}
        for partition, records in self.lag.items():
            self._telemetry.lag.labels(str(partition)).set(records)

    def not_ready(self) -> list[str]:
        """Why the worker is not ready; empty when it is."""
        reasons = [] if self._rollups else ["no partition is assigned"]
        if any(rollup.replaying for rollup in self._rollups.values()):
            reasons.append("reading earlier ids and running totals again")
        if self.kafka_error:
            reasons.append(self.kafka_error)
        return reasons


def runs(records: Iterable[LogRecord]) -> Iterator[list[LogRecord]]:
    """Consecutive records, cut at holes and where a run exceeds `RUN_BYTES`."""
    run: list[LogRecord] = []
    size = 0
    for record in records:
        length = len(record.value or b"")
        if run and (size + length > RUN_BYTES or record.offset != run[-1].offset + 1):
            yield run
            run, size = [], 0
        run.append(record)
        size += length
    if run:
        yield run


def create_api(worker: RollupWorker, registry: CollectorRegistry) -> FastAPI:
    """Health and metrics of the worker."""
    api = FastAPI(title="Tallyboard rollup worker", openapi_url=None, redirect_slashes=False)

    @api.get("/health/live")
    async def live() -> dict[str, str]:
        return {"role": "rollup"}

    @api.get("/health/ready")
    async def ready() -> JSONResponse:
        reasons = worker.not_ready()
        body = {
            "role": "rollup",
            "ready": not reasons,
            "reasons": reasons,
            "lag": worker.lag,
            "partitions": worker.partitions,
        }
        return JSONResponse(body, 503 if reasons else 200)

    @api.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return api


def serve(settings: RollupSettings) -> None:
    """Run the role until SIGTERM or SIGINT. Exits with status 1 when the log forbids going on, or is away."""
    configure_logging(settings.log_format)
    run_role(_serve(settings))


async def _serve(settings: RollupSettings) -> None:
    try:
        failure = await run(settings)
    except (LogError, PositionError) as error:
        failure = error
    if failure is not None:
        _log.error("%s", failure)  # the last line, behind whatever Faust said while it stopped: `status` shows it
        raise SystemExit(1)


async def run(settings: RollupSettings) -> BaseException | None:
    """Run a worker until it is told to stop (None) or its stream ends with an error."""
    registry = CollectorRegistry()
    with await asyncio.to_thread(Log, settings.kafka) as log:
        await asyncio.to_thread(log.ensure_topics, settings.topics)
        worker = RollupWorker(settings, log, RollupTelemetry(registry))
        stream = TopicStream(_options(settings), settings.kafka, worker)
        worker.write_to(stream)
        server = HttpServer(create_api(worker, registry), settings.host, settings.port, lifespan="off")
        on_termination(server.stop)
        async with running(stream) as failure:
            failure.add_done_callback(lambda _: server.stop())
            watcher = asyncio.create_task(worker.watch(stream))
            await server.serve()
            watcher.cancel()
        return failure.result() if failure.done() else None


def _options(settings: RollupSettings) -> StreamOptions:
    return StreamOptions(
        group=settings.topics.prefix.rstrip(".") + "-rollup",
        member=f"rollup-{socket.gethostname()}-{settings.port}",
        topic=settings.topics.events,
        partitions=settings.topics.partitions,
        folder=settings.data / "faust",
    )
