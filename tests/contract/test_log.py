"""One suite for the log and its twin in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaProducer

from ingest.log import KafkaConnection, Log, LogError, Topics
from ingest.memory_log import MemoryLog

Append = Callable[[str, int, bytes], int]


@pytest.fixture(params=["memory", "kafka"])
def log(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Append, Topics]]:
    if request.param == "memory":
        memory = MemoryLog()
        yield memory, memory.append, Topics(prefix="t.")
        return
    connection: KafkaConnection = request.getfixturevalue("kafka_connection")
    topics: Topics = request.getfixturevalue("topics")
    producer = KafkaProducer(**connection.client_options(), acks="all")

    def append(name: str, partition: int, value: bytes) -> int:
        return int(producer.send(name, value, partition=partition).get(10).offset)

    with Log(connection) as real:
        yield real, append, topics
    producer.close()


def test_topics_are_made_once_and_keep_their_ids(log: tuple[Any, Append, Topics]) -> None:
    found, _, topics = log
    found.ensure_topics(topics)
    ids = {name: found.topic_id(name) for name in topics.specifications()}
    found.ensure_topics(topics)
    assert {name: found.topic_id(name) for name in topics.specifications()} == ids
    assert len(set(ids.values())) == 4
    assert all(len(topic_id) == 32 and int(topic_id, 16) for topic_id in ids.values())
    assert found.end_offsets(topics.events) == dict.fromkeys(range(4), 0)
    assert found.begin_offsets(topics.journal) == {0: 0}


def test_records_are_read_back_by_offset(log: tuple[Any, Append, Topics]) -> None:
    found, append, topics = log
    found.ensure_topics(topics)
    assert [append(topics.events, 2, value) for value in (b"a", b"b", b"c")] == [0, 1, 2]
    assert found.end_offsets(topics.events)[2] == 3
    for offset, value in enumerate((b"a", b"b", b"c")):
        record = found.read(topics.events, 2, offset)
        assert (record.offset, record.value) == (offset, value)
    assert found.read(topics.events, 2, 3) is None
    assert found.read(topics.events, 1, 0) is None


def test_an_unknown_topic_is_an_error(log: tuple[Any, Append, Topics]) -> None:
    found, _, _ = log
    with pytest.raises(LogError, match="nowhere"):
        found.topic_id("nowhere")


def test_a_broker_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LogError, match="does not answer"):
        Log(KafkaConnection("127.0.0.1:1"), timeout_s=0.5)


def test_other_partition_counts_are_refused(kafka_connection: KafkaConnection, topics: Topics) -> None:
    with Log(kafka_connection) as real:
        real.ensure_topics(topics)
        with pytest.raises(LogError, match="has 4 partitions, 8 are configured"):
            real.ensure_topics(Topics(topics.prefix, partitions=8))
