"""Reading what stands in the log after a run, with a plain consumer and without the product's own decoder."""

from __future__ import annotations

import json
import time

from kafka import KafkaConsumer, TopicPartition

from ingest.log import KafkaConnection, Log, Topics
from tests.chaos import oracle
from tests.chaos.checker import Found, Letter, Place

_QUIET_S = 0.5
_SETTLES_WITHIN_S = 30.0


def read(bootstrap: str, topics: Topics) -> Found:
    """Everything in `events` and `rejected`, once neither grows any more. Blocks."""
    deadline = time.monotonic() + _SETTLES_WITHIN_S
    ends = _ends(bootstrap, topics)
    while True:
        time.sleep(_QUIET_S)  # a request that was given up may still be on its way into the log
        before, ends = ends, _ends(bootstrap, topics)
        if ends == before:
            break
        assert time.monotonic() < deadline, "the log still grows, although nobody sends"
    with Log(KafkaConnection(bootstrap)) as log:
        topic_id = log.topic_id(topics.events)
    raw = oracle.read_log(bootstrap, topics.events)
    found = Found(topic_id, raw.ends, letters=_letters(bootstrap, topics.rejected))
    for event in raw.events:
        found.events.setdefault(str(event.id), []).append(Place(event.partition, event.offset, event.value))
    return found


def _ends(bootstrap: str, topics: Topics) -> list[dict[int, int]]:
    return [oracle.end_offsets(bootstrap, topic) for topic in (topics.events, topics.rejected)]


def _letters(bootstrap: str, topic: str) -> list[Letter]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    letters: list[Letter] = []
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            polled = consumer.poll(timeout_ms=int(oracle.READ_S * 1000))
            assert polled, f"{topic}: nothing came within {oracle.READ_S:g} s"
            for records in polled.values():
                for record in records:
                    letters += _of_record(record.value, dict(record.headers))
    finally:
        consumer.close()
    return letters


def _of_record(value: bytes, headers: dict[str, bytes]) -> list[Letter]:
    document = json.loads(value)
    entries = document["events"]
    assert int(headers["events"]) == len(entries), "the header miscounts the dead letters"
    return [Letter(entry["id"], str(entry["event"].get("id")), entry["reason"]) for entry in entries]
