"""The client that writes to Kafka itself: the same records as ingest, and through outages."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from ingest.client import EventsLost
from ingest.client_kafka import KafkaClient
from ingest.events import DecodedEvents, decode
from ingest.log import KafkaConnection, Log, Topics
from ingest.publish import MemoryPublisher
from ingest.registry import MetricDefinition, Registry
from ingest.series import Kind
from ingest.settings import IngestSettings
from tests.write_site import UnsureLog, write_site

REGISTRY = Registry(
    {
        "orders": MetricDefinition("orders", Kind.COUNTER, unit="1", minimum=0, maximum=100),
        "visitors": MetricDefinition("visitors", Kind.UNIQUE),
    }
)


def documents(now_ms: int) -> list[dict[str, Any]]:
    """Good and bad events of several kinds and many series."""
    events: list[dict[str, Any]] = []
    for n in range(400):
        good: dict[str, Any] = {"metric": "orders", "value": n % 100, "dimensions": {"shop": f"s{n % 37}", "é": "ü"}}
        text = {"metric": "visitors", "value": f"u{n}"}
        odd = {"metric": "free", "value": n / 3, "dimensions": {}}
        bad = {"metric": "orders", "value": 1_000 if n % 2 else "text"}
        event = (good, text, odd, bad)[n % 4]
        events.append({**event, "id": f"e{n}", "timestamp": now_ms - n})
    return events


async def test_records_are_byte_for_byte_those_of_ingest() -> None:
    events = documents(time.time_ns() // 1_000_000)
    log = MemoryPublisher()
    with write_site(registry=REGISTRY) as site:
        body = "\n".join(json.dumps(event) for event in events)
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(
                f"{site.url}/v1/events", content=body, headers={"Content-Type": "application/x-ndjson"}
            )
        async with KafkaClient(site.settings, REGISTRY, log) as client:
            result = await client.send_batch(events)
        topic = site.settings.topics.events
        written = {key: records for key, records in site.log.records.items() if key[0] == topic}
    assert log.records == written
    assert len(written) == 4
    assert result.accepted == answer.json()["accepted"] == 300
    assert result.position == answer.json()["position"]
    told = [(error["index"], error["id"], error["code"], error["field"]) for error in answer.json()["errors"]]
    assert [(r.index, r.id, r.code, r.field) for r in result.rejected] == told


async def test_a_batch_of_any_size_is_taken() -> None:
    log = MemoryPublisher()
    events = [{"metric": "m", "value": "1" if n == 25 else n} for n in range(30)]
    async with KafkaClient(IngestSettings(max_events=10), Registry(), log) as client:
        result = await client.send_batch(events)
        assert (await client.send_batch([])).accepted == 0
    assert (result.accepted, [rejection.index for rejection in result.rejected]) == (29, [25])
    ends = {partition: len(records) for (_, partition), records in log.records.items() if records}
    assert result.position == "00000000;" + ",".join(f"{partition}:{end}" for partition, end in sorted(ends.items()))


async def test_what_is_not_known_is_written_again_with_the_same_ids() -> None:
    log = UnsureLog(2)
    async with KafkaClient(IngestSettings(), Registry(), log) as client:
        result = await client.send_batch([{"metric": "m", "value": 1}])
    assert result.accepted == 1
    values = [record.value for records in log.records.values() for record in records]
    assert len(values) == 3
    assert len(set(values)) == 1


async def test_an_outage_is_outlasted_or_told() -> None:
    log = MemoryPublisher()
    async with KafkaClient(IngestSettings(), Registry(), log, patience_s=0.5) as client:
        log.away = "Kafka is away"
        sending = asyncio.create_task(client.send_batch([{"metric": "m", "value": 1}]))
        await asyncio.sleep(0)
        log.away = None
        assert (await sending).accepted == 1
        log.away = "Kafka is away"
        with pytest.raises(EventsLost, match="unavailable: Kafka is away"):
            await client.send_batch([{"metric": "m", "value": 1}])


async def test_kafka_holds_what_was_accepted(kafka_connection: KafkaConnection, topics: Topics) -> None:
    settings = IngestSettings(kafka=kafka_connection, topics=topics)
    async with KafkaClient(settings, Registry()) as client:
        result = await client.send_batch([{"metric": "m", "value": n, "id": f"e{n}"} for n in range(10)])
    assert result.accepted == 10
    prefix, _, offsets = result.position.partition(";")
    with Log(kafka_connection) as log:
        assert log.topic_id(topics.events).startswith(prefix)
        ends = {partition: end for partition, end in log.end_offsets(topics.events).items() if end}
        assert offsets == ",".join(f"{partition}:{end}" for partition, end in sorted(ends.items()))
        found = []
        for partition in ends:
            record = log.read(topics.events, partition, 0)
            assert record is not None
            batch = decode(record.value)
            assert isinstance(batch, DecodedEvents)
            assert batch.ids is not None
            found += batch.ids.to_pylist()
    assert sorted(found) == [f"e{n}" for n in range(10)]
