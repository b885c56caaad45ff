"""`tallyboard up` itself: what it refuses in one sentence, and the whole system started, killed and started again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ingest.log import KafkaConnection, Log, Topics
from tallyboard import data_folder
from tallyboard.kafka import EmbeddedKafka, free_port

OFFLINE = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
FLAGS = ("--kafka-port", "--ingest-port", "--rollup-port", "--dashboard-port")


def until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Poll until the condition holds or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def tallyboard(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tallyboard", *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """The one sentence with which a command refuses."""
    done = tallyboard(*arguments, env=env)
    assert done.returncode == 1, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("tallyboard: ")
    assert lines[0].endswith(".")
    return lines[0].removeprefix("tallyboard: ")


def port_flags() -> list[str]:
    return [word for flag in FLAGS for word in (flag, str(free_port()))]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.mark.parametrize("flag", FLAGS)
def test_a_port_in_use_names_port_and_flag(data: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refused("up", "--data", str(data), *port_flags(), flag, str(port))
    assert sentence == f"Port {port} is in use by another program: choose another with {flag}."


def test_one_port_for_two_roles_is_refused(data: Path) -> None:
    sentence = refused("up", "--data", str(data), "--ingest-port", "18080", "--rollup-port", "18080")
    assert sentence == "--ingest-port and --rollup-port are both 18080: choose another with --ingest-port."


def test_a_second_up_on_the_same_data_is_refused(data: Path) -> None:
    data.mkdir()
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sentence = refused("up", "--data", str(data), *port_flags())
    assert sentence.startswith(f"Tallyboard already runs on {data}")


def test_a_full_disk_is_refused(data: Path) -> None:
    sentence = refused("up", "--data", str(data), *port_flags(), env={"TALLYBOARD_MIN_FREE_MB": "1000000000"})
    assert sentence.startswith(f"The disk of {data} is full (only ")


def test_no_network_for_the_first_download_is_refused(data: Path, tmp_path: Path) -> None:
    env = {**OFFLINE, "TALLYBOARD_CACHE": str(tmp_path / "cold")}
    sentence = refused("up", "--data", str(data), *port_flags(), env=env)
    assert "could not be downloaded (about 45 MB, needed once): is there a network?" in sentence


def test_a_damaged_cache_without_network_is_refused(data: Path, tmp_path: Path, kafka_jars: Path) -> None:
    copy = tmp_path / "cache" / kafka_jars.name
    shutil.copytree(kafka_jars, copy)
    next(copy.glob("scala-library-*.jar")).write_bytes(b"PK")
    sentence = refused("up", "--data", str(data), *port_flags(), env={**OFFLINE, "TALLYBOARD_CACHE": str(copy.parent)})
    assert sentence.startswith(f"The Kafka cache {copy} is damaged (scala-library-")


def test_no_kafka_at_the_given_address_is_refused(data: Path) -> None:
    port = free_port()
    sentence = refused("up", "--data", str(data), *port_flags(), "--kafka", f"127.0.0.1:{port}")
    assert sentence.startswith(f"No Kafka listens at 127.0.0.1:{port}")


def test_a_cluster_with_other_partitions_is_refused(data: Path, broker: EmbeddedKafka, topics: Topics) -> None:
    with Log(KafkaConnection(bootstrap=broker.bootstrap)) as log:
        log.ensure_topics(topics)
    env = {"TALLYBOARD_TOPIC_PREFIX": topics.prefix, "TALLYBOARD_PARTITIONS": "7"}
    sentence = refused("up", "--data", str(data), *port_flags(), "--kafka", broker.bootstrap, env=env)
    assert sentence.endswith("has 4 partitions, 7 are configured.")


def test_a_wrong_registry_is_refused_before_anything_starts(data: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.toml").write_text("[metrics.a]\nkind = 1\n")
    sentence = refused("up", "--data", str(data), *port_flags(), "--workspace", str(tmp_path))
    assert sentence.startswith(f"{tmp_path}/metrics.toml:2: metrics.a.kind: ")
    assert not data.exists()


def test_demos_without_a_key_where_one_is_asked_for_are_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.toml").touch(0o600)
    sentence = refused("up", "--data", str(data), *port_flags(), "--workspace", str(tmp_path), "--demo", "flights")
    assert "asks for keys: set TALLYBOARD_KEY" in sentence


def test_status_of_a_folder_nothing_was_started_in(data: Path) -> None:
    assert refused("status", "--data", str(data)).startswith(f"Nothing was started in {data} yet")


class Up:
    """A running `tallyboard up`; everything it prints is kept."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.output = data.parent / "up.out"
        self.ports = dict(zip(FLAGS, (free_port() for _ in FLAGS), strict=True))
        flags = [word for flag, port in self.ports.items() for word in (flag, str(port))]
        with self.output.open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tallyboard", "up", "--data", str(data), *flags, *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def ingest(self) -> str:
        return f"http://127.0.0.1:{self.ports['--ingest-port']}"

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.ports['--dashboard-port']}"

    def said(self, part: str) -> bool:
        return until(lambda: part in self.output.read_text() or self.process.poll() is not None, 60) and (
            part in self.output.read_text()
        )

    def roles(self) -> dict[str, Any]:
        return dict((data_folder.read_state(self.data) or {})["roles"])

    def everything(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def send(self, event_id: str) -> str:
        """Send one event; the position after it. Retries while ingest says so."""
        event = {"metric": "up.test", "value": 1, "id": event_id}
        answers: list[httpx.Response] = []

        def accepted() -> bool:
            try:
                answers.append(httpx.post(f"{self.ingest}/v1/events", json=event, timeout=10))
            except httpx.TransportError:
                return False
            return answers[-1].status_code == 202

        assert until(accepted), answers[-1:]
        return str(answers[-1].json()["position"])

    def count(self, position: str) -> int:
        """Events of the metric in the last hour, at or after a position."""
        asked = {"metric": "up.test", "measures": "count", "min_position": position, "timeout": "10"}
        rows: list[int] = []

        def answered() -> bool:
            try:
                answer = httpx.get(f"{self.dashboard}/api/v1/query", params=asked, timeout=15)
            except httpx.TransportError:
                return False
            if answer.status_code == 200:
                rows.append(int(answer.json()["rows"][0][0]))
            return answer.status_code == 200

        assert until(answered)
        return rows[-1]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def up(data: Path) -> Iterator[Callable[..., Up]]:
    runs: list[Up] = []

    def start(*arguments: str) -> Up:
        runs.append(Up(data, *arguments))
        assert runs[-1].said("Tallyboard is ready"), runs[-1].output.read_text()
        return runs[-1]

    yield start
    for run in runs:
        run.end()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


@pytest.mark.usefixtures("kafka_jars")
def test_the_whole_system_is_started_killed_and_started_again(data: Path, up: Callable[..., Up]) -> None:
    first = up("--demo", "host")
    assert set(first.roles()) == {"kafka", "ingest", "rollup", "dashboard", "demo-host"}
    status_is_true(first)
    assert first.count(first.send("one")) == 1

    assert "already runs on" in refused("up", "--data", str(data), *port_flags())

    for role in ("rollup", "dashboard", "kafka", "ingest"):
        os.kill(first.roles()[role]["pid"], signal.SIGKILL)
        assert first.said(f"{role} died: signal SIGKILL. Restart 1 in 0.5 s.")
    assert until(lambda: tallyboard("status", "--data", str(data)).returncode == 0, 60)
    assert all(first.roles()[role]["restarts"] >= 1 for role in ("rollup", "dashboard", "kafka", "ingest"))
    assert first.count(first.send("two")) == 2

    children = first.everything()
    first.process.kill()
    first.process.wait()
    assert until(lambda: gone(children), 5.0)
    assert tallyboard("status", "--data", str(data)).returncode == 1

    second = up()
    assert second.count(second.send("one")) == 2  # the id of the first run is still known
    assert second.count(second.send("three")) == 3
    children = second.everything()
    begin = time.monotonic()
    second.process.send_signal(signal.SIGINT)
    assert second.process.wait(10) == 0
    assert time.monotonic() - begin < 5.0
    assert gone(children)
    assert "Stopped; the next start goes on with the same data." in second.output.read_text()


def status_is_true(run: Up) -> None:
    """What `tallyboard status` prints agrees with the processes there are."""
    done = tallyboard("status", "--data", str(run.data), "--json")
    assert done.returncode == 0, done.stdout
    status = json.loads(done.stdout)
    assert (status["ready"], status["running"]) == (True, True)
    assert status["addresses"]["dashboard"] == run.dashboard
    by_name = {role["role"]: role for role in status["roles"]}
    assert all(psutil.pid_exists(role["pid"]) for role in by_name.values())
    assert isinstance(by_name["rollup"]["lag"], int)
    assert "rollup" in tallyboard("status", "--data", str(run.data)).stdout
