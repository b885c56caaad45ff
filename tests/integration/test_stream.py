"""Where a stream reads on when Faust seeks, with the real broker: from the reader's positions, whatever was fetched."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

from kafka import KafkaProducer

from aggregates.stream import StreamOptions, TopicStream, running
from ingest.log import KafkaConnection, Log, LogRecord, Topics

RECORDS = 400
SEEKS = 12
PATIENCE_S = 60.0


class Careful:
    """A reader that goes back to the beginning at every seek, as a worker does for its ids, and notes every record
    that is not the next one."""

    def __init__(self) -> None:
        self.expected: dict[int, int] = {}
        self.wrong: list[str] = []
        self.seeks = 0
        self._draw = random.Random(5)

    async def positions(self, partitions: frozenset[int]) -> Mapping[int, int]:
        await asyncio.sleep(self._draw.uniform(0, 0.1))  # a log that takes its time
        self.seeks += 1
        self.expected = dict.fromkeys(partitions, 0)
        return dict(self.expected)

    async def handle(self, records: Mapping[int, list[LogRecord]]) -> None:
        await asyncio.sleep(0.01)
        for partition, found in records.items():
            for record in found:
                expected = self.expected.get(partition)
                if record.offset != expected:
                    self.wrong.append(f"seek {self.seeks}, partition {partition}: {expected}, not {record.offset}")
                self.expected[partition] = record.offset + 1

    def at_the_end(self) -> bool:
        return sum(self.expected.values()) == RECORDS


async def test_nothing_fetched_before_a_seek_is_handed_over_behind_it(
    kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path
) -> None:
    """Faust seeks at every rebalance, and once more when it finds records it may not deliver: both at once, now and
    then, while older records wait in its buffers."""
    await asyncio.to_thread(fill, kafka_connection, topics)
    reader = Careful()
    options = StreamOptions(topics.prefix + "g", "member", topics.events, topics.partitions, tmp_path)
    stream = TopicStream(options, kafka_connection, reader)
    draw = random.Random(7)
    async with asyncio.timeout(PATIENCE_S), running(stream) as failure:
        while not reader.at_the_end():
            assert not failure.done(), failure.result()
            await asyncio.sleep(0.05)
        for _ in range(SEEKS):
            await asyncio.gather(*(stream.consumer.perform_seek() for _ in range(draw.choice((1, 2)))))
            await asyncio.sleep(draw.uniform(0, 0.3))
        while not reader.at_the_end():
            await asyncio.sleep(0.05)
    assert reader.seeks > SEEKS
    assert reader.wrong == []


def fill(connection: KafkaConnection, topics: Topics) -> None:
    with Log(connection) as log:
        log.ensure_topics(topics)
    producer = KafkaProducer(**connection.client_options(), acks="all")
    for number in range(RECORDS):
        producer.send(topics.events, b"x" * 100, partition=number % topics.partitions)
    producer.close()
