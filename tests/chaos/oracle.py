"""What has to be counted, worked out from the raw records of the log and nothing else.

Reads the topic `events` with a plain consumer and pyarrow, in plain Python. It knows the record format from the
design page (an Arrow stream; columns series, time, value, id) and shares no line with the product.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
from kafka import KafkaConsumer, TopicPartition

READ_S = 30.0
Group = tuple[str, tuple[str, ...], int | None]
"""Metric, dimension values in the order asked for, bucket start in epoch seconds (None: the whole time)."""


class LoggedEvent(NamedTuple):
    """One event where it stands in the log."""

    partition: int
    offset: int
    key: int
    id: str | None
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    time_ms: int
    value: float
    record_ms: int
    """Append time of its record."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a group's events add up to."""

    count: int
    sum: float
    min: float
    max: float

    def near(self, other: Figures) -> bool:
        """Equal; sums up to the order of addition (1e-9)."""
        exact = (self.count, self.min, self.max) == (other.count, other.min, other.max)
        return exact and math.isclose(self.sum, other.sum, rel_tol=1e-9)


@dataclass(frozen=True, slots=True)
class RawLog:
    """Everything in the topic: events in the order of partition, offset, place; the end offset of each partition."""

    events: list[LoggedEvent]
    ends: dict[int, int]


def read_log(bootstrap: str, topic: str) -> RawLog:
    """The whole topic up to its present end."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        ends = {tp.partition: int(end) for tp, end in consumer.end_offsets(partitions).items()}
        consumer.seek_to_beginning(*partitions)
        found: dict[int, list[LoggedEvent]] = {tp.partition: [] for tp in partitions}
        while any(consumer.position(tp) < ends[tp.partition] for tp in partitions):
            polled = consumer.poll(timeout_ms=int(READ_S * 1000))
            assert polled, f"{topic}: nothing came within {READ_S:g} s"
            for tp, records in polled.items():
                for record in records:
                    found[tp.partition] += decode(tp.partition, record)
    finally:
        consumer.close()
    return RawLog([event for events in found.values() for event in events], ends)


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition → offset of the record that will be appended next."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        return {tp.partition: int(end) for tp, end in consumer.end_offsets(partitions).items()}
    finally:
        consumer.close()


def decode(partition: int, record: Any) -> list[LoggedEvent]:
    """The events of one record, as kafka-python gives it."""
    offset, headers = record.offset, dict(record.headers)
    with pa.ipc.open_stream(record.value) as stream:
        batch = stream.read_next_batch()
    assert int(headers["events"]) == batch.num_rows, f"{partition}:{offset}: the header miscounts the events"
    column = batch.column("series")
    series = [
        (one["key"], one["metric"], tuple(sorted(json.loads(one["dimensions"]).items())))
        for one in column.dictionary.to_pylist()
    ]
    ids = batch.column("id").to_pylist() if "id" in batch.schema.names else [None] * batch.num_rows
    rows = zip(
        column.indices.to_pylist(),
        ids,
        batch.column("time").cast(pa.int64()).to_pylist(),
        batch.column("value").to_pylist(),
        strict=True,
    )
    events = []
    for index, id_, time_ms, number in rows:
        key, metric, dimensions = series[index]
        place = (partition, offset, key, id_, metric, dimensions)
        events.append(LoggedEvent(*place, time_ms, number, record.timestamp))
    return events


def counted_once(events: Iterable[LoggedEvent]) -> list[LoggedEvent]:
    """The first occurrence of every (series, id). Equal series stand in one partition, so log order decides. (The
    windows of 24 hours and 5 million events a partition lie far beyond a test.)"""
    first: dict[tuple[int, str | None], LoggedEvent] = {}
    for event in events:
        first.setdefault((event.key, event.id), event)
    return list(first.values())


def inconsistent_series(events: Iterable[LoggedEvent], partitions: int) -> list[str]:
    """Series whose key, name or partition is not one to one."""
    names: dict[int, set[tuple[str, tuple[tuple[str, str], ...], int]]] = defaultdict(set)
    for event in events:
        names[event.key].add((event.metric, event.dimensions, event.partition))
    wrong = [f"series key {key} stands for {found}" for key, found in names.items() if len(found) > 1]
    if len({(metric, dimensions) for found in names.values() for metric, dimensions, _ in found}) != len(names):
        wrong.append("one series has several keys")
    return wrong + [f"series key {key} stands in {p}" for key, [(_, _, p)] in names.items() if key % partitions != p]


def tally(events: Iterable[LoggedEvent], by: tuple[str, ...], step_s: int | None) -> dict[Group, Figures]:
    """Count, sum, smallest and largest value of each group and bucket."""
    values: dict[Group, list[float]] = defaultdict(list)
    for event in events:
        labels = dict(event.dimensions)
        bucket = event.time_ms // 1000 // step_s * step_s if step_s else None
        values[event.metric, tuple(labels[name] for name in by), bucket].append(event.value)
    return {group: Figures(len(v), math.fsum(v), min(v), max(v)) for group, v in values.items()}
