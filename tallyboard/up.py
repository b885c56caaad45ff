"""`tallyboard up`: embedded Kafka, one of each role and the demos, as one thing to start and to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from ingest.log import Log, LogError
from tallyboard import data_folder, installed_version
from tallyboard.console import Voice
from tallyboard.demo import registry_files
from tallyboard.failure import Failure
from tallyboard.kafka import listens
from tallyboard.kafka_cache import ensure_jars
from tallyboard.lifeline import own_command
from tallyboard.probes import BrokerHealth, RoleHealth
from tallyboard.role_process import State
from tallyboard.settings import Settings
from tallyboard.supervisor import Role, Stage, Supervisor, Surroundings

_LAST_RUN_ENDS_S = 5.0
_TOPICS_S = 15.0


def up(settings: Settings, demos: Sequence[str], voice: Voice) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP. Raises `Failure` when it cannot start or go on."""
    settings = _at_home(settings, demos)
    with data_folder.locked(settings.data):
        data_folder.require_space(settings.data, settings.min_free_mb)
        _require_ports(settings)
        if settings.kafka is None:
            with voice.download() as progress:
                ensure_jars(settings.cache_folder, progress, voice.say)
        asyncio.run(_Run(settings, tuple(demos), voice).run())


def _at_home(settings: Settings, demos: Sequence[str]) -> Settings:
    """The settings as the roles get them: absolute paths, and what the demos send described."""
    # The workspace once more behind the demos: what it says of their metrics holds, in a copy of examples/shop too.
    own = [path for path in [settings.workspace / "metrics.toml"] if demos and path.is_file()]
    home = settings.model_copy(
        update={
            "data": settings.data.absolute(),
            "workspace": settings.workspace.absolute(),
            "metrics": tuple(path.absolute() for path in (*registry_files(demos), *own, *settings.metrics)),
        }
    )
    (
        home.ingest(),
        home.rollup(),
        home.dashboard(),
        home.registry(),
    )  # a mistake is told here, once, and not by every role
    if demos and home.keys().value is not None and home.key is None:
        raise Failure(f"{home.keys_file} asks for keys: set TALLYBOARD_KEY to one that may write, for the demos.")
    return home


def _require_ports(settings: Settings) -> None:
    """Raise `Failure` for a port that is in use; what a killed run leaves behind is given time to end."""
    wanted = {
        "--ingest-port": settings.ingest_port,
        "--rollup-port": settings.rollup_port,
        "--dashboard-port": settings.dashboard_port,
    }
    if settings.kafka is None:
        wanted["--kafka-port"] = settings.kafka_port
    for flag, port in wanted.items():
        if twin := next((other for other in wanted if other != flag and wanted[other] == port), None):
            raise Failure(f"{flag} and {twin} are both {port}: choose another with {flag}.")
    deadline = time.monotonic() + (_LAST_RUN_ENDS_S if _last_run_lives(settings.data) else 0)
    for flag, port in wanted.items():
        host = "127.0.0.1" if flag == "--kafka-port" else settings.host
        while _in_use(host, port):
            if time.monotonic() >= deadline:
                raise Failure(f"Port {port} is in use by another program: choose another with {flag}.")
            time.sleep(0.1)


def _last_run_lives(data: Path) -> bool:
    roles = (data_folder.read_state(data) or {}).get("roles", {})
    return any(psutil.pid_exists(role["pid"]) for role in roles.values() if role.get("pid"))


def _in_use(host: str, port: int) -> bool:
    try:
        ((family, *_, address), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise Failure(f"--host {host} is not an address of this machine: {error.strerror}.") from error
    except PermissionError as error:
        raise Failure(f"Port {port} may not be opened by this user: choose one above 1023.") from error
    except OSError:
        return True
    return False


class _Run:
    """One run of the supervisor, from the first process to the last."""

    def __init__(self, settings: Settings, demos: tuple[str, ...], voice: Voice) -> None:
        self._settings = settings
        self._demos = demos
        self._voice = voice
        self._started_at = _now()
        self._addresses = {
            "dashboard": settings.local_url(settings.dashboard_port) + settings.base_path,
            "ingest": settings.local_url(settings.ingest_port),
            "rollup": settings.local_url(settings.rollup_port),
            "kafka": settings.connection.bootstrap,
        }

    async def run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop, stop)
        async with httpx.AsyncClient(trust_env=False) as client:
            supervisor = Supervisor(self._stages(client), self._surroundings())
            self._voice.say("Starting " + ", ".join(supervisor.states) + " …")
            begin = time.monotonic()
            await supervisor.run(stop, lambda: self._started(time.monotonic() - begin))
        self._voice.say("Stopped; the next start goes on with the same data.")

    def _asked_to_stop(self, stop: asyncio.Event) -> None:
        if not stop.is_set():
            self._voice.say("Stopping …")
        stop.set()

    def _started(self, seconds: float) -> None:
        self._voice.started(self._addresses, self._settings.data, self._demos, seconds)

    def _stages(self, client: httpx.AsyncClient) -> list[Stage]:
        connection, addresses = self._settings.connection, self._addresses
        broker = (
            (Role("kafka", own_command("kafka"), BrokerHealth(connection)),) if self._settings.kafka is None else ()
        )
        roles = tuple(
            Role(name, own_command(name), RoleHealth(client, addresses[name]))
            for name in ("ingest", "rollup", "dashboard")
        )
        demos = tuple(Role(f"demo-{name}", self._demo_command(name)) for name in self._demos)
        return [Stage(broker, then=self._ensure_topics), Stage(roles), Stage(demos)]

    def _demo_command(self, name: str) -> tuple[str, ...]:
        state = self._settings.data / f"demo-{name}.json"
        return own_command("demo", name, "--url", self._addresses["ingest"], "--state", str(state))

    async def _ensure_topics(self) -> None:
        """Raises `Failure` when the cluster does not answer or has other topics than configured."""

        def ensure() -> None:
            with Log(self._settings.connection, timeout_s=_TOPICS_S) as log:
                log.ensure_topics(self._settings.topics)

        bootstrap = self._settings.connection.bootstrap
        if not await asyncio.to_thread(listens, bootstrap):
            raise Failure(f"No Kafka listens at {bootstrap}: start it, or leave out --kafka for the embedded one.")
        try:
            await asyncio.to_thread(ensure)
        except LogError as error:
            raise Failure(f"Kafka at {bootstrap} cannot be used: {error}.") from error

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            logs=self._settings.data / "logs",
            say=self._voice.say,
            changed=self._changed,
            environment={**os.environ, **self._settings.as_environment(), "PYTHONUNBUFFERED": "1"},
            log_bytes=self._settings.log_mb * 1_000_000,
            log_count=self._settings.log_count,
        )

    def _changed(self, states: Mapping[str, State]) -> None:
        """Keep `up.json` true, and stop before the disk is so full that data could not be closed in order."""
        roles: dict[str, Any] = {name: asdict(state) for name, state in states.items()}
        data_folder.write_state(
            self._settings.data,
            {
                "tallyboard": installed_version(),
                "pid": os.getpid(),
                "started_at": self._started_at,
                "updated_at": _now(),
                "addresses": self._addresses,
                "demos": self._demos,
                "roles": roles,
            },
        )
        if any(state.phase != "stopped" for state in states.values()):
            data_folder.require_space(self._settings.data, self._settings.min_free_mb // 4)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
