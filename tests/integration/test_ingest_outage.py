"""The ingest process beside a Kafka that is late, dies, hangs and comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest.events import DecodedEvents, decode
from ingest.log import KafkaConnection, Log, Topics
from tallyboard.kafka import BrokerPlan, EmbeddedKafka, free_port

SERVE = """
import sys
from ingest.app import serve
from ingest.log import KafkaConnection, Topics
from ingest.registry import Registry
from ingest.settings import IngestSettings
from ingest.watched import Watched
settings = IngestSettings(kafka=KafkaConnection(sys.argv[1]), port=int(sys.argv[2]), kafka_timeout_ms=2500)
serve(settings, Watched([], Registry), Watched([], lambda: None))
"""
TOPICS = Topics()


class Process:
    """An ingest process and a client of it."""

    def __init__(self, bootstrap: str, log: Path) -> None:
        self.port = free_port()
        self.log = log
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)
        with log.open("wb") as file:
            self.child = subprocess.Popen(
                [sys.executable, "-c", SERVE, bootstrap, str(self.port)], stderr=file, env=dict(os.environ)
            )
        self.until(lambda: self.get("/health/live") == 200)

    def get(self, path: str) -> int:
        try:
            return self.client.get(path).status_code
        except httpx.TransportError:
            return 0

    def post(self, name: str, count: int = 1) -> httpx.Response:
        return self.client.post(
            "/v1/events", json=[{"metric": "m", "value": 1, "id": f"{name}/{i}"} for i in range(count)]
        )

    def ready(self) -> bool:
        return self.get("/health/ready") == 200

    def until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.child.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def end(self) -> None:
        self.client.close()
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(10)


@pytest.fixture
def kafka(kafka_jars: Path, tmp_path: Path) -> Iterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(BrokerPlan(tmp_path / "kafka", free_port(), kafka_jars))
    yield kafka
    kafka.stop()


def ids_in(bootstrap: str) -> list[str]:
    """The ids of every event in the log, in any order."""
    found: list[str] = []
    with Log(KafkaConnection(bootstrap)) as log:
        for partition, end in log.end_offsets(TOPICS.events).items():
            for offset in range(end):
                record = log.read(TOPICS.events, partition, offset)
                assert record is not None
                batch = decode(record.value)
                assert isinstance(batch, DecodedEvents)
                assert batch.ids is not None
                found += [str(id_) for id_ in batch.ids]
    return found


def code_of(answer: httpx.Response) -> Any:
    return json.loads(answer.content).get("code")


def test_outages(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    process = Process(kafka.bootstrap, tmp_path / "ingest.log")
    answers: dict[str, int] = {}

    def post(name: str) -> httpx.Response:
        answer = process.post(name)
        answers[name] = answer.status_code
        return answer

    try:
        # Kafka is not there yet: the process runs, says so, and refuses.
        assert not process.ready()
        early = post("early")
        assert (early.status_code, code_of(early)) == (503, "unavailable")
        assert int(early.headers["retry-after"]) >= 1
        kafka.start()
        process.until(process.ready)
        assert post("first").status_code == 202

        # Killed: the request on its way fails within its time, later ones at once; back: recovery without restart.
        kafka.kill()
        assert post("killed").status_code == 503
        assert post("away").status_code == 503
        assert code_of(post("still away")) == "unavailable"
        assert not process.ready()
        kafka.start()
        process.until(process.ready)
        assert post("back").status_code == 202

        # Hanging: an answer comes all the same, and says that the outcome is open.
        kafka.freeze()
        hanging = post("hanging")
        assert (hanging.status_code, code_of(hanging)) == (503, "outcome_unknown")
        assert post("frozen").status_code == 503
        kafka.thaw()
        process.until(process.ready)
        assert post("thawed").status_code == 202

        found = ids_in(kafka.bootstrap)
        for name, status in answers.items():
            stored = found.count(f"{name}/0")
            assert stored == 1 if status == 202 else stored <= 1
        assert not {"early/0", "still away/0"} & set(found)
    finally:
        process.end()


def test_sigterm_answers_and_ends_orderly(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    kafka.start()
    process = Process(kafka.bootstrap, tmp_path / "ingest.log")
    try:
        process.until(process.ready)
        assert process.post("before").status_code == 202
        kafka.freeze()
        with ThreadPoolExecutor(4) as clients:
            opened = [clients.submit(process.post, f"open {n}") for n in range(4)]
            process.until(lambda: "queue_events 4.0" in process.client.get("/metrics").text)
            process.child.send_signal(signal.SIGTERM)
            codes = {code_of(answer.result(15)) for answer in opened}
            assert "outcome_unknown" in codes
            assert codes <= {"outcome_unknown", "unavailable"}  # what was not sent yet is not open
        assert process.child.wait(15) == 0
    finally:
        kafka.thaw()
        process.end()


def test_a_port_in_use_ends_the_process(broker: EmbeddedKafka, tmp_path: Path) -> None:
    process = Process(broker.bootstrap, tmp_path / "ingest.log")
    try:
        command = [sys.executable, "-c", SERVE, broker.bootstrap, str(process.port)]
        second = subprocess.run(command, capture_output=True, timeout=20, check=False)
        assert second.returncode == 1
        assert f"Port {process.port} of 127.0.0.1 cannot be opened: Address already in use".encode() in second.stderr
    finally:
        process.end()
