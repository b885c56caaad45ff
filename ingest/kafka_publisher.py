"""Sending records to Kafka, through outages, with kafka-python's idempotent producer."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from ingest.log import MAX_MESSAGE_BYTES, KafkaConnection, Log, LogError, Topics
from ingest.publish import Message, Outcome, Undelivered

PROBE_S: Final = 2.0
RETRY_S: Final = 0.5
_BOOTSTRAP_MS: Final = 3_000
_LOG: Final = logging.getLogger("tallyboard.ingest.kafka")


@dataclass(frozen=True, slots=True)
class _Link:
    """A connected producer and the topic it was connected for."""

    producer: KafkaProducer
    topic_id: str


class KafkaPublisher:
    """Kafka through kafka-python's idempotent producer, `acks=all`.

    A thread of its own connects, watches and replaces the producer, so that a start without Kafka is no error and an
    outage is noticed when nothing is sent. After any failed send the producer is given up for a new one: its state
    (sequence numbers, batches that may still be on their way) is no longer known. Call `start` on the event loop.
    """

    def __init__(self, connection: KafkaConnection, topics: Topics, timeout_ms: int = 5_000) -> None:
        self._connection = connection
        self._topics = topics
        self._timeout_ms = timeout_ms
        self._link: _Link | None = None
        self._obstacle: str | None = "not connected to Kafka yet"
        self._topic_id = ""
        self._retired: list[KafkaProducer] = []
        self._wake = threading.Event()
        self._closing = False
        self._log: Log | None = None
        self._thread = threading.Thread(target=self._keep_connected, name="kafka-link", daemon=True)

    @property
    def topic_id(self) -> str:
        return self._topic_id

    def obstacles(self) -> tuple[str, ...]:
        return (self._obstacle,) if self._obstacle else ()

    async def start(self) -> None:
        self._thread.start()

    async def close(self) -> None:
        self._closing = True
        self._obstacle = "stopping"
        self._wake.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, self._timeout_ms / 1000)

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        link = self._link
        if link is None or self._obstacle:
            return [Undelivered(False, self._obstacle or "not connected") for _ in messages]
        if not messages:
            return []
        group = _Group(len(messages), asyncio.get_running_loop())
        for number, message in enumerate(messages):
            group.send(link.producer, number, message)
        try:
            await asyncio.wait_for(group.done, self._timeout_ms / 1000 + 1)
        except TimeoutError:  # the producer's own timeout did not fire: it hangs
            pass
        outcomes = group.outcomes()
        failure = next((outcome for outcome in outcomes if isinstance(outcome, Undelivered)), None)
        if failure:
            self._retire(link, failure.detail)
        return outcomes

    def _retire(self, link: _Link, detail: str) -> None:
        if self._link is link:
            _LOG.error("sending failed, the producer is replaced: %s", detail)
            self._obstacle = f"the last send failed: {detail}"
            self._link = None
            self._retired.append(link.producer)
            self._wake.set()

    # What follows runs in the thread `kafka-link`.

    def _keep_connected(self) -> None:
        while not self._closing:
            self._wake.clear()
            while self._retired:
                _close_now(self._retired.pop())
            obstacle = self._probe() if self._link else self._connect()
            if obstacle != self._obstacle and not self._closing:
                _LOG.log(logging.WARNING if obstacle else logging.INFO, "%s", obstacle or "connected to Kafka")
                # A send that failed meanwhile has taken the link away: then there is no all-clear.
                self._obstacle = obstacle or (None if self._link else self._obstacle)
            self._wake.wait(PROBE_S if self._link else RETRY_S)
        if self._link:
            self._retired.append(self._link.producer)
            self._link = None
        for producer in self._retired:
            _close_now(producer)
        if self._log:
            self._log.close()

    def _connect(self) -> str | None:
        """Make a link; the obstacle when that fails."""
        try:
            producer = self._new_producer()
        except (KafkaError, OSError) as error:
            return f"Kafka at {self._connection.bootstrap} does not answer: {error}"
        try:
            topic_id = self._check_topics()
            for topic in (self._topics.events, self._topics.rejected):
                producer.partitions_for(topic)  # a later send then never waits for metadata
        except (LogError, KafkaError, OSError) as error:
            _close_now(producer)
            return str(error)
        self._topic_id = topic_id
        self._link = _Link(producer, topic_id)
        return None

    def _new_producer(self) -> KafkaProducer:
        clients: list[KafkaNetClient] = []

        def remembered(**options: Any) -> KafkaNetClient:
            clients.append(KafkaNetClient(**options))
            return clients[-1]

        try:
            return KafkaProducer(
                **self._connection.client_options(),
                kafka_client=remembered,
                client_id="tallyboard-ingest",
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                batch_size=1024 * 1024,
                max_request_size=MAX_MESSAGE_BYTES,
                delivery_timeout_ms=self._timeout_ms,
                request_timeout_ms=self._timeout_ms * 4 // 5,
                bootstrap_timeout_ms=_BOOTSTRAP_MS,
                reconnect_backoff_max_ms=500,
                max_block_ms=1_000,  # `send` runs on the event loop: it must not wait long for metadata
                metrics_enabled=False,
            )
        except BaseException:
            for client in clients:  # kafka-python leaves its sockets open when it cannot connect
                client.close()
            raise

    def _check_topics(self) -> str:
        if self._log is None:
            self._log = Log(self._connection, _BOOTSTRAP_MS / 1000)
        self._log.ensure_topics(self._topics)
        return self._log.topic_id(self._topics.events)

    def _probe(self) -> str | None:
        """Ask Kafka for the topic; the obstacle when there is no answer. A topic made anew needs a new link."""
        link = self._link
        if link is None or self._log is None:
            return self._obstacle
        try:
            topic_id = self._log.topic_id(self._topics.events)
        except (LogError, KafkaError, OSError) as error:
            return f"Kafka does not answer: {error}"
        if topic_id != link.topic_id:
            self._retire(link, f"topic {self._topics.events} was made anew")
            return self._obstacle
        return None


class _Group:
    """The messages of one `publish`, acknowledged in the producer's thread: one wake-up of the loop for all."""

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._outcomes: list[Outcome | None] = [None] * size
        self._missing = size
        self._lock = threading.Lock()

    def send(self, producer: KafkaProducer, number: int, message: Message) -> None:
        try:
            sent = producer.send(message.topic, message.value, partition=message.partition, headers=message.headers)
        except (KafkaError, ValueError, RuntimeError) as error:
            self._settle(number, Undelivered(False, str(error)))
            return
        sent.add_callback(lambda record: self._settle(number, _outcome(int(record.offset))))
        sent.add_errback(lambda error: self._settle(number, Undelivered(True, str(error))))

    def outcomes(self) -> list[Outcome]:
        return [Undelivered(True, "no answer in time") if o is None else o for o in self._outcomes]

    def _settle(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[number] = outcome
            self._missing -= 1
            if self._missing:
                return
        try:
            self._loop.call_soon_threadsafe(self._finish)
        except RuntimeError:
            pass  # the loop is gone, and so is whoever waited

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _outcome(offset: int) -> Outcome:
    """A broker that finds a batch to be a repetition of one too long ago does not say where that one stands."""
    return offset if offset >= 0 else Undelivered(True, "appended, but the broker does not say where")


def _close_now(producer: KafkaProducer) -> None:
    """Close without waiting for what is on its way: `close` alone would wait, and raise before it stops the thread."""
    try:
        producer._sender.force_close()
        producer.close(timeout=1)
    except KafkaError as error:
        _LOG.warning("closing a producer: %s", error)
