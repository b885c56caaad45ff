"""Every publisher keeps the same promises: one suite over the log in memory and over Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from ingest.kafka_publisher import KafkaPublisher
from ingest.log import KafkaConnection, Log, Topics
from ingest.publish import MemoryPublisher, Message, Publisher, Undelivered

if TYPE_CHECKING:
    from tallyboard.kafka import EmbeddedKafka


async def until_ready(publisher: Publisher) -> None:
    async with asyncio.timeout(20):
        while publisher.obstacles():
            await asyncio.sleep(0.02)


def message(topics: Topics, partition: int, value: bytes) -> Message:
    return Message(topics.events, partition, value, [("events", b"1")])


@pytest.fixture(params=["memory", "kafka"])
async def publisher(request: pytest.FixtureRequest, topics: Topics) -> AsyncIterator[Publisher]:
    made: Publisher
    if request.param == "memory":
        made = MemoryPublisher()
    else:
        broker: EmbeddedKafka = request.getfixturevalue("broker")
        made = KafkaPublisher(KafkaConnection(broker.bootstrap), topics)
    await made.start()
    await until_ready(made)
    yield made
    await made.close()


async def test_offsets_count_up_in_each_partition(publisher: Publisher, topics: Topics) -> None:
    for round_ in range(3):
        messages = [message(topics, p, b"%d" % p) for p in (2, 0, 3, 0)]
        assert await publisher.publish(messages) == [round_, 2 * round_, round_, 2 * round_ + 1]


async def test_publishes_side_by_side_do_not_mix(publisher: Publisher, topics: Topics) -> None:
    outcomes = await asyncio.gather(*(publisher.publish([message(topics, 1, b"x")]) for _ in range(50)))
    assert sorted(outcome for (outcome,) in outcomes if isinstance(outcome, int)) == list(range(50))


async def test_large_records_go_through(publisher: Publisher, topics: Topics) -> None:
    messages = [message(topics, p % 4, bytes(4 * 1024 * 1024)) for p in range(5)]
    assert await publisher.publish(messages) == [0, 0, 0, 0, 1]


async def test_nothing_to_send_is_no_error(publisher: Publisher) -> None:
    assert await publisher.publish([]) == []


async def test_the_topic_has_an_id(publisher: Publisher) -> None:
    assert len(publisher.topic_id) == 32
    assert int(publisher.topic_id, 16) >= 0


async def test_after_close_nothing_is_sent(publisher: Publisher, topics: Topics) -> None:
    await publisher.close()
    assert publisher.obstacles()
    (outcome,) = await publisher.publish([message(topics, 0, b"x")])
    assert isinstance(outcome, Undelivered)
    assert not outcome.unknown


async def test_kafka_holds_what_was_acknowledged(broker: EmbeddedKafka, topics: Topics) -> None:
    connection = KafkaConnection(broker.bootstrap)
    publisher = KafkaPublisher(connection, topics)
    await publisher.start()
    await until_ready(publisher)
    (offset,) = await publisher.publish([message(topics, 3, b"value")])
    assert isinstance(offset, int)
    with Log(connection) as log:
        record = log.read(topics.events, 3, offset)
        assert record is not None
        assert record.value == b"value"
        assert log.topic_id(topics.events) == publisher.topic_id
    await publisher.close()
