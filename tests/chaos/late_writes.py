"""What a killed writer leaves on its way: a request sent before SIGKILL may reach the broker when the successor
already writes. It is done here on purpose, as the real thing takes luck: the newest records are appended again."""

from __future__ import annotations

import asyncio
import random
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

_BROKER_BACK_S = 20.0
_PAUSE_S = 0.3
_ANSWER_MS = 3_000


class LateWrites:
    """Appends the newest record of every partition of a topic again, byte for byte, seconds after a kill."""

    def __init__(self, bootstrap: str, topic: str, seed: int) -> None:
        self.written = 0
        self._bootstrap = bootstrap
        self._topic = topic
        self._draw = random.Random(f"{seed}/late")

    async def after_kill(self) -> None:
        """Take the newest records now and append them a moment later. Does nothing when the broker stays away."""
        delay_s = self._draw.uniform(0.0, 4.0)
        deadline = time.monotonic() + _BROKER_BACK_S
        newest: dict[int, bytes] | None = None
        while time.monotonic() < deadline:
            try:
                if newest is None:
                    newest = await asyncio.to_thread(self._newest)
                    await asyncio.sleep(delay_s)
                self.written += await asyncio.to_thread(self._append, newest)
            except KafkaError:
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    def _newest(self) -> dict[int, bytes]:
        """Partition → value of its last record."""
        consumer = KafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            consumer_timeout_ms=_ANSWER_MS,
            bootstrap_timeout_ms=_ANSWER_MS,
            request_timeout_ms=_ANSWER_MS,
        )
        try:
            partitions = [TopicPartition(self._topic, p) for p in consumer.partitions_for_topic(self._topic) or ()]
            ends = {tp: end for tp, end in consumer.end_offsets(partitions).items() if end}
            values: dict[int, bytes] = {}
            for tp, end in ends.items():
                consumer.assign([tp])
                consumer.seek(tp, end - 1)
                values |= {tp.partition: record.value for record in [next(consumer, None)] if record is not None}
            return values
        finally:
            consumer.close()

    def _append(self, values: dict[int, bytes]) -> int:
        """How many were appended."""
        producer = KafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            max_request_size=16 * 1024 * 1024,
            max_block_ms=_ANSWER_MS,
            bootstrap_timeout_ms=_ANSWER_MS,
            request_timeout_ms=_ANSWER_MS,
            delivery_timeout_ms=2 * _ANSWER_MS,
        )
        try:
            sent = [producer.send(self._topic, value, partition=partition) for partition, value in values.items()]
            return sum(1 for future in sent if future.get(timeout=10))
        finally:
            producer.close(timeout=5)
