"""The whole system for a measurement: an embedded Kafka and one process per role, each on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import platformdirs
import psutil

from ingest.log import Topics
from tallyboard.kafka import BrokerPlan, EmbeddedKafka, free_port
from tallyboard.kafka_cache import ensure_jars
from tallyboard.lifeline import Child

ROLES = ("ingest", "rollup", "dashboard")
_START_S = 60.0


@dataclass(slots=True)
class Stack:
    """Addresses and processes of the running roles."""

    ports: dict[str, int]
    pids: dict[str, int]
    kafka: str
    """HOST:PORT of the broker."""
    folder: Path
    """Of the broker and of the roles' data."""

    def url(self, role: str) -> str:
        return f"http://127.0.0.1:{self.ports[role]}"

    def usage(self) -> dict[str, tuple[float, float]]:
        """Role → CPU seconds since its start, and resident MB."""
        return {role: _used(psutil.Process(pid)) for role, pid in self.pids.items()}

    def stored(self) -> dict[str, int]:
        """Bytes on disk: of the topics' records as Kafka keeps them, of the read model, and of its write-ahead log."""
        topics = Topics()
        files = {name: self.folder.glob(f"kafka/**/{name}-*/*.log") for name in (topics.events, topics.rollups)}
        data = self.folder / "data" / "dashboard.duckdb"
        parts = {**files, "read model": [data], "its write-ahead log": [data.with_name(data.name + ".wal")]}
        return {name: sum(file.stat().st_size for file in found if file.exists()) for name, found in parts.items()}

    def pin(self, cores: dict[str, set[int]]) -> None:
        """Keep roles on some cores; others run where they like."""
        for role, wanted in cores.items():
            process = psutil.Process(self.pids[role])
            for one in (process, *process.children(recursive=True)):
                for thread in one.threads():
                    os.sched_setaffinity(thread.id, wanted)


def _used(process: psutil.Process) -> tuple[float, float]:
    """CPU seconds and resident MB of a process and its workers."""
    cpu = memory = 0.0
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        cpu += times.user + times.system
        memory += one.memory_info().rss / 1e6
    return cpu, memory


@contextmanager
def running_stack(roles: Sequence[str] = ROLES, **settings: str) -> Iterator[Stack]:
    """Start Kafka and these roles in a folder of its own; `settings` are further TALLYBOARD_ variables."""
    cache = Path(os.environ.get("TALLYBOARD_CACHE") or platformdirs.user_cache_dir("tallyboard"))
    jars = ensure_jars(cache, lambda done, total, name: None, print)
    with tempfile.TemporaryDirectory(prefix="tallyboard-bench-") as folder:
        kafka = EmbeddedKafka(BrokerPlan(Path(folder) / "kafka", free_port(), jars))
        kafka.start()
        children: dict[str, Child] = {}
        try:
            ports = {role: free_port() for role in roles}
            for role, port in ports.items():
                children[role] = _role(role, port, kafka.bootstrap, Path(folder), settings)
            for role, port in ports.items():
                _wait(role, port, children[role])
            pids = {role: child.process.pid for role, child in children.items()}
            yield Stack(ports, {"kafka": kafka.pid or 0, **pids}, kafka.bootstrap, Path(folder))
        finally:
            for child in children.values():
                child.terminate()
            for child in children.values():
                _bury(child)
            kafka.stop()


def _bury(child: Child) -> None:
    with suppress(subprocess.TimeoutExpired):
        child.process.wait(10)
    child.kill()
    child.release()


def _role(role: str, port: int, kafka: str, folder: Path, settings: dict[str, str]) -> Child:
    command = [sys.executable, "-m", "tallyboard", role, "--kafka", kafka, "--port", str(port)]
    if role != "ingest":
        command += ["--data", str(folder / "data")]
    with (folder / f"{role}.log").open("wb") as log:
        return Child(command, log, {**os.environ, **settings})


def _wait(role: str, port: int, child: Child) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if child.process.poll() is not None:
            raise RuntimeError(f"{role} ended with status {child.process.returncode}")
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{role} was not ready within {_START_S:.0f} s")
