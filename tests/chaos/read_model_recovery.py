"""How long a dashboard takes after its write-ahead log was damaged: `python -m tests.chaos.read_model_recovery`.

A broker and a dashboard of their own. So many events are counted, the process is killed, one bit of its log is
flipped; then it is started again, and the time runs from there until everything is counted again and answered right.
Exit code 1 when an answer is wrong or the time is over the promise.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from ingest.log import KafkaConnection, Topics
from tallyboard.kafka import BrokerPlan, EmbeddedKafka, free_port
from tallyboard.kafka_cache import ensure_jars
from tests.chaos.oracle import end_offsets
from tests.chaos.read_model_role import Filler, Replica, until

PROMISE_S = 30.0
_BATCH = 10_000


def recovery(folder: Path, kafka: EmbeddedKafka, events: int) -> tuple[float, float, list[str]]:
    """Megabytes of the damaged log, seconds until all is counted again, and what is wrong then."""
    connection, topics = KafkaConnection(kafka.bootstrap), Topics()
    filler = Filler(connection, topics)
    replica = Replica(folder, connection, topics, filler)
    try:
        filler.fill(-(-events // _BATCH), _BATCH)
        ends = end_offsets(kafka.bootstrap, topics.events)
        position = f"{filler.topic_id[:8]};{','.join(f'{p}:{end}' for p, end in sorted(ends.items()))}"
        began_s = time.monotonic()
        replica.start()
        until(lambda: replica.health().get("position") == position, "everything is counted", 600)
        print(f"{events:,} events counted for the first time in {time.monotonic() - began_s:.1f} s", flush=True)
        replica.kill()
        content = bytearray(replica.wal.read_bytes())
        content[len(content) // 2] ^= 8
        replica.wal.write_bytes(content)
        began_s = time.monotonic()
        replica.start()
        until(lambda: replica.health().get("position") == position, "everything is counted again", 600)
        took_s = time.monotonic() - began_s
        assert list(replica.wal.parent.glob("*.wal.corrupt-*")), "the log was not set aside"
        return len(content) / 1e6, took_s, replica.violations()
    finally:
        replica.kill()
        filler.close()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.read_model_recovery")
    parser.add_argument("--events", type=int, default=2_000_000)
    given = parser.parse_args(arguments)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    cache = Path(os.environ.get("TALLYBOARD_CACHE") or platformdirs.user_cache_dir("tallyboard"))
    jars = ensure_jars(cache, lambda done, total, name: None, print)
    with tempfile.TemporaryDirectory(prefix="tallyboard-recovery-") as name:
        folder = Path(name)
        kafka = EmbeddedKafka(BrokerPlan(folder / "kafka", free_port(), jars))
        kafka.start()
        try:
            size, took_s, wrong = recovery(folder, kafka, given.events)
        finally:
            kafka.kill()
    print(f"a damaged log of {size:.0f} MB: {given.events:,} events counted again {took_s:.1f} s after the start")
    print("\n".join(wrong[:20]) or "every answer is right")
    return 1 if wrong or took_s > PROMISE_S else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
