"""The write side alone: Kafka and ingest, nothing that reads. Every event has an id.

The broker's topic is counted afterwards: a speed whose events are not all in the log is no speed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop
from kafka import KafkaConsumer, TopicPartition

from benchmarks.sender import requests, send_all
from benchmarks.stack import Stack
from benchmarks.workload import workload
from ingest.events import DecodedEvents, decode
from ingest.log import Topics

BATCH = 500


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches of 500: events/s acknowledged, CPU µs of ingest an event, resident MB of ingest afterwards."""

    speed: float
    cpu_us: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Singles:
    """One event a request: requests/s, latencies in ms, CPU µs of ingest a request."""

    speed: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def batches(stack: Stack, events: int, connections: int, seed: int) -> Batches:
    """Send `events` events once. Raises `AssertionError` when not all of them were taken."""
    load = workload(events, time.time_ns() // 1_000_000, ids=True, seed=seed)
    prepared = requests("127.0.0.1", stack.ports["ingest"], load.bodies(BATCH))
    cpu, _ = stack.usage()["ingest"]
    start = time.perf_counter()
    sent = uvloop.run(send_all("127.0.0.1", stack.ports["ingest"], prepared, connections))
    seconds = time.perf_counter() - start
    assert sent.statuses.get(202) == len(prepared), sent.statuses
    spent, memory = stack.usage()["ingest"]
    return Batches(events / seconds, (spent - cpu) / events * 1e6, memory)


def singles(stack: Stack, connections: int, seconds: int) -> Singles | None:
    """Ask wrk; None when it is not installed (Debian: `wrk`)."""
    if shutil.which("wrk") is None:
        return None
    script = Path(__file__).with_name("one_at_a_time.lua")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    cpu, _ = stack.usage()["ingest"]
    said = subprocess.run([*command, f"{stack.url('ingest')}/v1/events"], capture_output=True, text=True, check=True)
    spent, _ = stack.usage()["ingest"]
    assert "Non-2xx" not in said.stdout, said.stdout
    (count,) = re.findall(r"(\d+) requests in", said.stdout)
    (speed,) = re.findall(r"Requests/sec:\s+([\d.]+)", said.stdout)
    p50, p99 = (_milliseconds(said.stdout, percent) for percent in ("50%", "99%"))
    return Singles(float(speed), p50, p99, (spent - cpu) / int(count) * 1e6)


def _milliseconds(said: str, percent: str) -> float:
    ((number, unit),) = re.findall(rf"{percent}\s+([\d.]+)(us|ms|s)", said)
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def stored(stack: Stack) -> int:
    """Events in the topic, every record read back and decoded."""
    found = 0
    consumer = KafkaConsumer(bootstrap_servers=stack.kafka, consumer_timeout_ms=10_000, max_poll_records=1000)
    try:
        name = Topics().events
        partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        missing = dict(consumer.end_offsets(partitions))
        while any(consumer.position(partition) < missing[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=1000).values():
                for record in records:
                    events = decode(record.value)
                    assert isinstance(events, DecodedEvents), events
                    found += len(events)
    finally:
        consumer.close()
    return found
