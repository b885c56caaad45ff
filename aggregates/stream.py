"""Faust as this project uses it: raw batches of records from one topic, positions of our own, a crash that is seen.

The reader says where to start (never the broker's commits: those are hints for lag tools), takes records by
partition, and nothing is taken again until it is done. An error of the reader ends the stream for good: records are
never skipped, the process ends and starts again from its positions.

The overridden methods are Faust's, version 0.15; `docs/adr/0002-deterministic-deltas.md` says why each is needed.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import faust
from faust.contrib.asgi import bind_to_running_loop
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from aggregates.positions import PositionError
from ingest.log import MAX_MESSAGE_BYTES, KafkaConnection, LogError, LogRecord

_FETCH_WAIT_MS = 20
_FETCH_MIN_BYTES = 64 * 1024
_TAKE_RECORDS = 256
_TAKE_WITHIN_S = 0.01
_LONGEST_REST_S = 0.1
_REST_SHARE = 2.0
_POSITIONS_PATIENCE_S = 6.0
_STOP_PATIENCE_S = 3.0
_REJOINS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits before a process without partitions joins its group again; then it may well be one worker too many."""
_log = logging.getLogger(__name__)


class Reader(Protocol):
    """What a role does with a topic."""

    async def positions(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """First offset wanted of each assigned partition; called on every assignment."""

    async def handle(self, records: Mapping[int, list[LogRecord]]) -> None:
        """Take in records, in order within a partition, read from the positions asked for last. Raising ends the
        stream."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Who reads what: `group` is the consumer group, `member` a name that is unique among its processes and stays
    the same over restarts, so that a restarted process gets its partitions back at once."""

    group: str
    member: str
    topic: str
    partitions: int
    folder: Path


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A record, and the seek (by number) it was read behind."""

    record: Any
    seek: int


class _Thread(AIOKafkaConsumerThread):
    def __post_init__(self) -> None:
        super().__post_init__()
        self._rejoins_s = list(_REJOINS_S)
        self._seek = 0

    async def _fetch_records(self, *arguments: Any, **options: Any) -> Any:
        found = await super()._fetch_records(*arguments, **options)
        return {tp: [_Fetched(record, self._seek) for record in records] for tp, records in found.items()}

    async def seek_numbered(self, number: int, positions: Mapping[TP, int]) -> None:
        """Seek, and mark what is fetched from here on with the seek's number."""
        await self.call_thread(self._numbered, number, positions)

    async def _numbered(self, number: int, positions: Mapping[TP, int]) -> None:
        self._seek = number
        await self._seek_wait(self._ensure_consumer(), positions)  # seeks before it waits for anything

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust waits 1.5 s for idle partitions, and a busy one waits with them.
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        # One answer with many records costs far less than many answers with one, here and in the broker.
        consumer._fetch_min_bytes = _FETCH_MIN_BYTES
        return consumer

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """An assignment made while the broker did not know the topic yet is empty, and Kafka keeps it for ever: a
        process that comes back under the same member name is given it again without a new one being made. Join again,
        as a known member: that makes the group's leader assign anew."""
        await super().on_partitions_assigned(assigned, generation_id)
        if not assigned and self._rejoins_s:
            asyncio.get_running_loop().call_later(self._rejoins_s.pop(0), self._join_again)

    def _join_again(self) -> None:
        self._joining = asyncio.get_running_loop().create_task(self._rejoin())

    async def _rejoin(self) -> None:
        consumer = self._ensure_consumer()
        if not consumer.assignment():
            await consumer._client.force_metadata_update()
            consumer._coordinator.request_rejoin()


class _Consumer(Consumer):
    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Called whenever Faust decides where to read on, sometimes twice at once. The broker's commits play no part:
        the seek to them may come late, behind that to our positions."""
        app = cast("TopicStream", self.app)
        assigned = {tp for tp in self.assignment() if tp.topic == app.options.topic}
        return await app.start_from(assigned, cast("_Thread", self._thread).seek_numbered)

    def _to_message(self, tp: TP, record: Any) -> Any:
        message: Any = super()._to_message(tp, record.record)
        message.seek = record.seek
        return message

    async def getmany(self, timeout: float) -> AsyncIterator[Any]:
        """Faust notes every record it passed on as read, and drops what lies before it. A seek may happen while it
        passes one on: its note would then drop what has to be read again."""
        app = cast("TopicStream", self.app)
        found: Any = super().getmany(timeout)
        async for tp, message in found:
            if message.seek == app.seek:
                yield tp, message
                if message.seek != app.seek:
                    self._read_offset[tp] = None

    async def _wait_next_records(self, timeout: float) -> Any:
        if self.flow_active and self._buffered_partitions and not self._get_active_partitions():
            await asyncio.sleep(0.005)
            return {}, self._get_active_partitions()
        return await super()._wait_next_records(timeout)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        return await super()._getmany(active_partitions, 0.02 if self._buffered_partitions else timeout)


class _Transport(Transport):
    Consumer = _Consumer


class TopicStream(faust.App):
    """A Faust app that hands the records of one topic to a reader."""

    def __init__(self, options: StreamOptions, connection: KafkaConnection, reader: Reader) -> None:
        super().__init__(
            options.group,
            broker=[f"kafka://{server}" for server in connection.bootstrap.split(",")],
            broker_credentials=_credentials(connection),
            key_serializer="raw",
            value_serializer="raw",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            table_standby_replicas=0,
            store="memory://",
            datadir=str(options.folder),
            processing_guarantee="at_least_once",
            broker_session_timeout=10.0,
            broker_heartbeat_interval=1.0,
            consumer_group_instance_id=options.member,
            broker_commit_interval=1.0,
            stream_buffer_maxsize=256,
            consumer_max_fetch_size=MAX_MESSAGE_BYTES,
            producer_max_request_size=MAX_MESSAGE_BYTES,
            producer_request_timeout=10.0,
            topic_partitions=options.partitions,
        )
        self.options = options
        self.failure: asyncio.Future[BaseException] | None = None
        self._reader = reader
        self._turn: asyncio.Lock | None = None
        self.seek = 0
        """Number of the newest seek."""
        source = self.topic(options.topic, partitions=options.partitions)
        self.agent(source, name="reader")(self._consume)

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _lock(self) -> asyncio.Lock:
        if self._turn is None:
            self._turn = asyncio.Lock()
        return self._turn

    async def start_from(
        self, assigned: set[TP], seek: Callable[[int, Mapping[TP, int]], Awaitable[None]]
    ) -> Mapping[TP, int]:
        """Ask the reader for its positions and seek to them, as one step: what was fetched before belongs to what the
        reader was then, and is dropped. An error of the reader ends the stream."""
        async with self._lock():
            self.seek += 1
            try:
                found = await self._positions(frozenset(tp.partition for tp in assigned))
            except Exception as error:
                self.fail(error)
                raise
            positions = {TP(self.options.topic, partition): offset for partition, offset in found.items()}
            await seek(self.seek, positions)
        return positions

    async def _positions(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Asks again while Kafka does not answer: an assignment often comes while a broker is just starting."""
        patience = time.monotonic() + _POSITIONS_PATIENCE_S
        while True:
            try:
                return await self._reader.positions(partitions)
            except LogError:
                if time.monotonic() > patience:
                    raise
                await asyncio.sleep(0.5)

    async def _consume(self, stream: Any) -> None:
        async for events in stream.noack_take(_TAKE_RECORDS, within=_TAKE_WITHIN_S):
            started = time.perf_counter()
            try:
                async with self._lock():
                    if batch := self._fresh(events):
                        await self._reader.handle(batch)
            except Exception as error:
                self.fail(error)
                await asyncio.Event().wait()  # never on to the next batch; the process is about to end
            for event in events:
                event.ack()
            # A batch costs much the same whatever its size: resting in proportion to the last one makes them fewer
            # and larger under load, and costs an idle system some milliseconds.
            await asyncio.sleep(min(_REST_SHARE * (time.perf_counter() - started), _LONGEST_REST_S))

    def _fresh(self, events: Iterable[Any]) -> dict[int, list[LogRecord]]:
        """Records by partition, without those that were fetched before the last seek: they wait in buffers over a
        rebalance, and are read again or are no longer this process's."""
        batch: dict[int, list[LogRecord]] = {}
        for event in events:
            message = event.message
            if message.seek == self.seek:
                record = LogRecord(message.offset, round(message.timestamp * 1000), event.value)
                batch.setdefault(message.partition, []).append(record)
        return batch

    def fail(self, error: BaseException) -> None:
        """Remember the first error; whoever runs the stream ends the process."""
        if self.failure is not None and not self.failure.done():
            expected = isinstance(error, LogError | PositionError)
            _log.error("%s", error, exc_info=None if expected else error)
            self.failure.set_result(error)


def _credentials(connection: KafkaConnection) -> Any:
    if connection.security_protocol == "PLAINTEXT":
        return None
    context = None
    if connection.security_protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=connection.ssl_cafile)
    if not connection.sasl_mechanism:
        return faust.SSLCredentials(context=context)
    return faust.SASLCredentials(
        username=connection.sasl_username,
        password=connection.sasl_password,
        mechanism=connection.sasl_mechanism,
        ssl_context=context,
    )


@asynccontextmanager
async def running(stream: TopicStream) -> AsyncIterator[asyncio.Future[BaseException]]:
    """Run the stream; the future gets the error that ended it, if any."""
    loop = asyncio.get_running_loop()
    stream.failure = loop.create_future()
    # Faust makes its own folder, but not the ones above it.
    await asyncio.to_thread(stream.options.folder.mkdir, parents=True, exist_ok=True)
    bind_to_running_loop(stream)
    watcher = asyncio.create_task(_watch(stream, stream.failure))
    stream.finalize()
    await stream.maybe_start()
    try:
        yield stream.failure
    finally:
        watcher.cancel()
        # Not `wait_for`: Faust's wait for unacknowledged records swallows the cancellation, and after an error some
        # records are never acknowledged. What is left is ended with the process (`ingest.service.run_role`).
        stopping = asyncio.create_task(stream.stop())
        await asyncio.wait({stopping}, timeout=_STOP_PATIENCE_S)
        if not stopping.done():
            _log.warning("the stream did not stop within %g s", _STOP_PATIENCE_S)


async def _watch(stream: TopicStream, failure: asyncio.Future[BaseException]) -> None:
    """Faust's own crash does not reach the web server it is embedded in: look for it."""
    while not failure.done():
        await asyncio.sleep(0.5)
        if stream.crashed or stream.should_stop:
            stream.fail(stream.crash_reason or RuntimeError("the stream stopped"))
