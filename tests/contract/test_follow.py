"""One suite for following and appending to Kafka, and for their twins in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from ingest.append import Appender
from ingest.follow import FETCH_BYTES, Follower, TopicFollower
from ingest.log import KafkaConnection, Log, LogError, LogRecord, Topics
from ingest.memory_log import MemoryLog

Append = Callable[[str, int, bytes], int]
Follow = Callable[[str, Mapping[int, int]], Follower]
PATIENCE_S = 20.0


@pytest.fixture(params=["memory", "kafka"])
def log(request: pytest.FixtureRequest) -> Iterator[tuple[Append, Follow, Topics]]:
    if request.param == "memory":
        memory, named = MemoryLog(), Topics(prefix="t.")
        memory.ensure_topics(named)
        yield memory.append, memory.follow, named
        return
    connection: KafkaConnection = request.getfixturevalue("kafka_connection")
    topics: Topics = request.getfixturevalue("topics")
    with Log(connection) as real:
        real.ensure_topics(topics)
    appender = Appender(connection)
    yield appender.append, lambda topic, offsets: TopicFollower(connection, topic, offsets), topics
    appender.close()


def take(follower: Follower, count: int) -> dict[int, list[LogRecord]]:
    """Poll until so many records came."""
    found: dict[int, list[LogRecord]] = {}
    deadline = time.monotonic() + PATIENCE_S
    while sum(map(len, found.values())) < count:
        assert time.monotonic() < deadline, f"{found} instead of {count} records"
        for partition, records in follower.poll(0.2).items():
            found.setdefault(partition, []).extend(records)
    return found


def test_records_come_in_order_from_the_offsets_asked_for(log: tuple[Append, Follow, Topics]) -> None:
    append, follow, topics = log
    for number in range(6):
        assert append(topics.rejected, number % 2, b"%d" % number) == number // 2
    follower = follow(topics.rejected, {0: 1, 1: 0})
    found = take(follower, 5)
    assert {p: [(r.offset, r.value) for r in records] for p, records in found.items()} == {
        0: [(1, b"2"), (2, b"4")],
        1: [(0, b"1"), (1, b"3"), (2, b"5")],
    }
    assert not follower.poll(0.01)
    append(topics.rejected, 1, b"later")
    (later,) = take(follower, 1)[1]
    assert (later.offset, later.value) == (3, b"later")
    follower.close()


def test_a_record_larger_than_a_fetch_comes_all_the_same(log: tuple[Append, Follow, Topics]) -> None:
    append, follow, topics = log
    large = bytes(FETCH_BYTES + 1)
    append(topics.rejected, 3, large)
    append(topics.rejected, 3, b"behind")
    follower = follow(topics.rejected, {3: 0})
    assert [record.value for record in take(follower, 2)[3]] == [large, b"behind"]
    follower.close()


def test_an_offset_that_is_not_there_is_said(log: tuple[Append, Follow, Topics]) -> None:
    append, follow, topics = log
    append(topics.journal, 0, b"only")
    follower = follow(topics.journal, {0: 7})
    with pytest.raises(LogError, match="cannot be read on"):
        take(follower, 1)
    follower.close()


def test_without_a_broker_appending_and_following_are_errors() -> None:
    nowhere = KafkaConnection("127.0.0.1:1")
    appender: Any = Appender(nowhere, timeout_s=0.5)
    for _ in range(2):
        with pytest.raises(LogError, match="journal cannot be written"):
            appender.append("journal", 0, b"entry")
    appender.close()
