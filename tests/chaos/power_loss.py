"""A power cut, as near as one machine comes to it: `python -m tests.chaos.power_loss --cuts 5` (as root, Linux).

The broker's folder is an ext4 file system in a file. While records are sent and acknowledged, the broker is killed and
the file is copied before the file system is unmounted: what the kernel had not written back is not in the copy. A
broker is then started on the copy, and every acknowledged record is looked for. One topic has `flush.messages=1`, as
ingest makes its topics, the other has Kafka's default, which leaves writing to the operating system.

What it is not: the copy takes part of a second, and no disk loses its own cache. Writes the result into
docs/reliability.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from tallyboard.failure import Failure
from tallyboard.kafka import BrokerPlan, EmbeddedKafka
from tallyboard.kafka_cache import ensure_jars
from tests.chaos.proxied_kafka import quiet_port
from tests.chaos.soak import DOCUMENT

BEGIN, END = "<!-- power:begin -->", "<!-- power:end -->"
FLUSHED, DEFAULT = "flushed", "default"
_PARTITIONS = 4
_IMAGE_MB = 768
_READ_MS = 10_000
Key = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(slots=True)
class Cut:
    """One power cut: what was acknowledged before it and is not there after it, by topic."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[None]:
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


def cut(folder: Path, jars: Path, seed: int) -> Cut:
    """Send for some seconds, cut, start again on what was written, compare."""
    draw = random.Random(f"{seed}/power")
    image, copy, at = folder / "disk.img", folder / "after.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(_IMAGE_MB * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    kafka = EmbeddedKafka(BrokerPlan(at / "kafka", quiet_port(), jars))
    with mounted(image, at):
        kafka.start()
        acknowledged = _send(kafka, draw, draw.uniform(2.0, 9.0))
        subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
    with mounted(copy, at):
        kafka.start()
        try:
            kept = {topic: _kept(kafka.bootstrap, topic) for topic in (FLUSHED, DEFAULT)}
        finally:
            kafka.kill()
    done = Cut()
    for topic, records in kept.items():
        mine = {key: value for key, value in acknowledged.items() if key[0] == topic}
        done.acknowledged[topic] = len(mine)
        done.missing[topic] = sum(records.get(key) != value for key, value in mine.items())
    image.unlink()
    copy.unlink()
    return done


def _send(kafka: EmbeddedKafka, draw: random.Random, seconds: float) -> dict[Key, bytes]:
    """Send to both topics until the time is over, then kill the broker; what was acknowledged until then."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    for topic, configs in ((FLUSHED, {"flush.messages": "1"}), (DEFAULT, {"flush.messages": str(2**63 - 1)})):
        admin.create_topics({topic: {"num_partitions": _PARTITIONS, "replication_factor": 1, "configs": configs}})
    admin.wait_for_topics([FLUSHED, DEFAULT], 20_000)
    admin.close()
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", enable_idempotence=True, linger_ms=1)
    acknowledged: dict[Key, bytes] = {}

    def keep(topic: str, value: bytes, record: object) -> None:
        acknowledged[topic, record.partition, record.offset] = value  # type: ignore[attr-defined]

    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        for topic in (FLUSHED, DEFAULT):
            number += 1
            value = f"{number}/".encode() + draw.randbytes(draw.randrange(100, 4000))
            sent = producer.send(topic, value, partition=number // 2 % _PARTITIONS)
            sent.add_callback(lambda record, topic=topic, value=value: keep(topic, value, record))
        if not number % 40:
            time.sleep(0.005)
    kafka.kill()
    kept = dict(acknowledged)
    producer._sender.force_close()
    producer.close(timeout=1)
    return kept


def _kept(bootstrap: str, topic: str) -> dict[Key, bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    records: dict[Key, bytes] = {}
    try:
        partitions = [TopicPartition(topic, number) for number in range(_PARTITIONS)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            polled = consumer.poll(timeout_ms=_READ_MS)
            assert polled, f"{topic}: nothing came within {_READ_MS / 1000:g} s"
            for tp, found in polled.items():
                records |= {(topic, tp.partition, record.offset): record.value for record in found}
    finally:
        consumer.close()
    return records


def report(cuts: Sequence[Cut], seed: int, day: str) -> str:
    """The table of the document."""
    lines = [f"{day}, seeds {seed} to {seed + len(cuts) - 1}, {len(cuts)} cuts, ext4:", ""]
    lines += ["| topic | acknowledged | missing after the cut | cuts that lost something |", "|---|---|---|---|"]
    for topic, name in ((FLUSHED, "`flush.messages=1`, as ingest makes its topics"), (DEFAULT, "Kafka's default")):
        sent, missing = sum(c.acknowledged[topic] for c in cuts), sum(c.missing[topic] for c in cuts)
        losing = sum(bool(c.missing[topic]) for c in cuts)
        lines.append(f"| {name} | {sent:,} records | {missing:,} | {losing} of {len(cuts)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.power_loss")
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-write", action="store_true", help="leave docs/reliability.md as it is")
    given = parser.parse_args(arguments)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    cache = Path(os.environ.get("TALLYBOARD_CACHE") or platformdirs.user_cache_dir("tallyboard"))
    jars = ensure_jars(cache, lambda done, total, name: None, print)
    cuts: list[Cut] = []
    try:
        for number in range(given.cuts):
            with tempfile.TemporaryDirectory(prefix="tallyboard-power-") as folder:
                cuts.append(cut(Path(folder), jars, given.seed + number))
            print(cuts[-1], flush=True)
    except (subprocess.CalledProcessError, Failure) as error:
        print(f"It needs root, loop devices and ext4: {error}")
        return 2
    table = report(cuts, given.seed, dt.datetime.now(dt.UTC).date().isoformat())
    print(table)
    if not given.no_write:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")
    return 1 if any(c.missing[FLUSHED] for c in cuts) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
