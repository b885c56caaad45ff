"""`tallyboard ingest --workers N`: several processes behind one port, started again when they die, ended together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from ingest.log import KafkaConnection, Topics
from tallyboard.kafka import free_port

WORKERS = 2


def wait_for(what: str, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)


class Fleet:
    """A parent with its workers."""

    def __init__(self, kafka: KafkaConnection, topics: Topics, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "tallyboard", "ingest", "--kafka", kafka.bootstrap, "--port", str(self.port)]
        env = {**os.environ, "TALLYBOARD_TOPIC_PREFIX": topics.prefix}
        with log.open("wb") as out:
            self.process = subprocess.Popen([*command, "--workers", str(WORKERS)], stdout=out, stderr=out, env=env)
        self.log = log

    @property
    def pids(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def accepts(self) -> bool:
        """Whether an event on a fresh connection is taken."""
        try:
            return httpx.post(f"{self.url}/v1/events", json={"metric": "a", "value": 1}).status_code == 202
        except httpx.TransportError:
            return False

    def accepted(self) -> float:
        """Accepted events as one of the workers tells them for all."""
        text = httpx.get(f"{self.url}/metrics").text
        (found,) = re.findall(r"^tallyboard_ingest_accepted_events_total (\S+)$", text, re.MULTILINE)
        return float(found)


@pytest.fixture
def fleet(kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(kafka_connection, topics, tmp_path / "log")
    try:
        wait_for("the workers start", lambda: len(fleet.pids) == WORKERS and fleet.accepts())
        yield fleet
    finally:
        fleet.process.terminate()
        fleet.process.wait(20)


def test_workers_share_a_port_and_tell_their_metrics_together(fleet: Fleet) -> None:
    before = fleet.accepted()
    for _ in range(60):
        wait_for("an event is taken", fleet.accepts)
    assert {fleet.accepted() for _ in range(10)} == {before + 60}


def test_a_worker_that_dies_is_replaced_while_the_others_go_on(fleet: Fleet) -> None:
    victim = min(fleet.pids)
    os.kill(victim, signal.SIGKILL)
    for _ in range(20):  # a connection given to the dead one is reset; a new one finds the others
        wait_for("an event is taken", fleet.accepts, 5)
    wait_for("a new worker", lambda: victim not in fleet.pids and len(fleet.pids) == WORKERS)
    assert "a worker died and is started again worker=" in fleet.log.read_text()


def test_sigterm_ends_all_of_them(fleet: Fleet) -> None:
    pids = fleet.pids
    fleet.process.send_signal(signal.SIGTERM)
    assert fleet.process.wait(20) == 0
    wait_for("all have ended", lambda: not any(psutil.pid_exists(pid) for pid in pids), 5)


def test_nothing_outlives_a_parent_that_was_killed(fleet: Fleet) -> None:
    pids = fleet.pids
    fleet.process.kill()
    fleet.process.wait()
    wait_for("all have ended", lambda: not any(psutil.pid_exists(pid) for pid in pids), 10)


def test_a_port_in_use_is_one_sentence(fleet: Fleet) -> None:
    command = [sys.executable, "-m", "tallyboard", "ingest", "--port", str(fleet.port), "--workers", "2"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 1
    assert ran.stderr == f"tallyboard: Port {fleet.port} of 127.0.0.1 cannot be opened: Address already in use.\n"
