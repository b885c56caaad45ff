"""What a killed writer leaves on its way: a request sent before SIGKILL may reach the broker when the successor
already writes. It is done here on purpose, as the real thing takes luck: the newest records are appended again."""

from __future__ import annotations

import asyncio
import random

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

_BROKER_BACK_S = 60.0
_PAUSE_S = 0.3
_MAX_BYTES = 16 * 1024 * 1024


class LateWrites:
    """Appends the newest record of every partition of a topic again, byte for byte, seconds after a kill."""

    def __init__(self, bootstrap: str, topic: str, seed: int) -> None:
        self.written = 0
        self._bootstrap = bootstrap
        self._topic = topic
        self._draw = random.Random(f"{seed}/late")

    async def after_kill(self) -> None:
        """Take the newest records now and append them a moment later. Gives up when the broker stays away."""
        delay_s = self._draw.uniform(0.0, 4.0)
        newest: dict[int, bytes] | None = None
        try:
            async with asyncio.timeout(_BROKER_BACK_S):
                while True:
                    try:
                        if newest is None:
                            newest = await self._newest()
                            await asyncio.sleep(delay_s)
                        await self._append(newest)
                    except KafkaError:
                        await asyncio.sleep(_PAUSE_S)
                    else:
                        return
        except TimeoutError:
            pass

    async def _newest(self) -> dict[int, bytes]:
        """Partition → value of its last record."""
        bounds = {"max_partition_fetch_bytes": _MAX_BYTES, "fetch_max_bytes": 4 * _MAX_BYTES}
        consumer = AIOKafkaConsumer(self._topic, bootstrap_servers=self._bootstrap, **bounds)
        try:
            await consumer.start()
            values: dict[int, bytes] = {}
            for tp, end in (await consumer.end_offsets(consumer.assignment())).items():
                if end:
                    consumer.seek(tp, end - 1)
                    values[tp.partition] = (await consumer.getone(tp)).value
            return values
        finally:
            await consumer.stop()

    async def _append(self, values: dict[int, bytes]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", max_request_size=_MAX_BYTES)
        try:
            await producer.start()
            for partition, value in values.items():
                await producer.send_and_wait(self._topic, value, partition=partition)
                self.written += 1
        finally:
            await producer.stop()
