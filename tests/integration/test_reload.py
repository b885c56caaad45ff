"""Files of the workspace are taken over by a running ingest; wrong ones are named and change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest.log import KafkaConnection, Topics
from tallyboard.kafka import free_port


def wait_for(what: str, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)


class Running:
    """An ingest process in a workspace."""

    def __init__(self, kafka: KafkaConnection, topics: Topics, workspace: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = workspace / "log"
        command = [sys.executable, "-m", "tallyboard", "ingest", "--kafka", kafka.bootstrap, "--port", str(port)]
        env = {**os.environ, "TALLYBOARD_TOPIC_PREFIX": topics.prefix}
        with self.log.open("wb") as out:
            self.process = subprocess.Popen([*command, "--workspace", str(workspace)], stderr=out, env=env)

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def notices(self) -> Any:
        return httpx.get(f"{self.url}/health/ready").json()["notices"]

    def code(self, **event: Any) -> str | None:
        """The verdict on an event; None when it is accepted."""
        errors = httpx.post(f"{self.url}/v1/events", json=event).json()["errors"]
        return errors[0]["code"] if errors else None


@pytest.fixture
def running(kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "metrics.toml").write_text('unknown = "reject"\n[metrics.orders]\nmax = 10\n')
    running = Running(kafka_connection, topics, tmp_path)
    try:
        wait_for("ingest is ready", running.ready)
        yield running
    finally:
        running.process.terminate()
        running.process.wait(20)


def test_a_changed_registry_holds_without_a_restart_and_a_wrong_one_does_not(running: Running, tmp_path: Path) -> None:
    registry = tmp_path / "metrics.toml"
    assert running.code(metric="orders", value=5) is None
    assert running.code(metric="orders", value=50) == "out_of_range"
    assert running.code(metric="visits", value=1) == "unknown_metric"

    registry.write_text('unknown = "reject"\n[metrics.orders]\nmax = 100\n[metrics.visits]\n')
    wait_for("the new registry holds", lambda: running.code(metric="visits", value=1) is None)
    assert running.code(metric="orders", value=50) is None, "a series met before is judged by the new bounds"

    registry.write_text('unknown = "reject"\n[metrics.orders]\nkind = "guage"\n')
    wait_for("the mistake is told", lambda: bool(running.notices()))
    (said,) = running.notices().values()
    assert "metrics.toml:3" in said
    assert "kind" in said
    assert running.ready(), "what was in force goes on"
    assert running.code(metric="visits", value=1) is None
    assert "the old content stays in force" in running.log.read_text()
    assert "tallyboard_ingest_stale_files 1.0" in httpx.get(f"{running.url}/metrics").text

    registry.write_text('unknown = "reject"\n[metrics.orders]\n')
    wait_for("the mended registry holds", lambda: running.code(metric="visits", value=1) == "unknown_metric")
    wait_for("the notice is gone", lambda: not running.notices())
