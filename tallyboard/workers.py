"""Several ingest processes behind one port: started, restarted and ended together by a parent that does nothing else.

The parent holds the listening socket, the workers inherit it: a connection goes to whichever of them is free. When the
parent dies the workers die with it (`tallyboard.lifeline`).
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import Final

from prometheus_client.multiprocess import mark_process_dead

from ingest.service import PortTaken, listen
from tallyboard.failure import Failure
from tallyboard.lifeline import Child

MAX_WORKERS: Final = 64
_POLL_S: Final = 0.05
_RESTART_S: Final = 1.0
"""Shortest time between two starts of a worker."""
_STEADY_S: Final = 10.0
_QUICK_DEATHS: Final = 10
"""So many workers dead within `_STEADY_S` of their start, one after the other, end everything."""
_STOP_S: Final = 15.0
_LOG: Final = logging.getLogger("tallyboard.workers")


class Workers:
    """Keeps `count` copies of a command running until `stop`."""

    def __init__(self, command: tuple[str, ...], count: int, listener: socket.socket, env: Mapping[str, str]) -> None:
        """`command` gets `--listen-fd <number>` behind it; `env` is the workers' whole environment."""
        self._command = (*command, "--listen-fd", str(listener.fileno()))
        self._listener = listener
        self._env = env
        self._children: list[Child | None] = [None] * count
        self._started = [0.0] * count
        self._quick_deaths = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Returns when all have ended after `stop`. Raises `Failure` when workers die as soon as they are started."""
        try:
            while not self._stopping.wait(_POLL_S):
                for number, child in enumerate(self._children):
                    if child is None or child.process.poll() is not None:
                        self._start(number, child)
        finally:
            self._end()

    def _start(self, number: int, dead: Child | None) -> None:
        now = time.monotonic()
        if dead is not None:
            if now < self._started[number] + _RESTART_S:
                return
            self._quick_deaths = self._quick_deaths + 1 if now < self._started[number] + _STEADY_S else 0
            self._bury(number, dead)
        self._started[number] = now
        self._children[number] = Child(self._command, sys.stderr.fileno(), self._env, keep=(self._listener.fileno(),))

    def _bury(self, number: int, dead: Child) -> None:
        code = dead.process.returncode
        dead.release()
        mark_process_dead(dead.process.pid, self._env["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
        if self._quick_deaths >= _QUICK_DEATHS:
            raise Failure(f"The workers of ingest end as soon as they are started (exit code {code}).")
        _LOG.warning("a worker died and is started again", extra={"worker": number + 1, "exit_code": code})

    def _end(self) -> None:
        """SIGTERM for all, time to answer what is open, then by force."""
        alive = [child for child in self._children if child is not None]
        for child in alive:
            child.terminate()
        deadline = time.monotonic() + _STOP_S
        while any(child.process.poll() is None for child in alive) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        for child in alive:
            child.kill()
            child.process.wait()
            child.release()


def run_workers(command: tuple[str, ...], count: int, host: str, port: int, env: Mapping[str, str]) -> None:
    """Run `count` workers on one port until SIGTERM or SIGINT. Raises `Failure` when the port cannot be had."""
    try:
        listening = listen(host, port)
    except PortTaken as error:
        raise Failure(f"{error}.") from error
    with listening as listener, tempfile.TemporaryDirectory(prefix="tallyboard-metrics-") as metrics:
        listener.set_inheritable(True)
        surroundings = {**env, "PROMETHEUS_MULTIPROC_DIR": metrics, "TALLYBOARD_METRICS_FOLDER": metrics}
        workers = Workers(command, count, listener, surroundings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: workers.stop())
        workers.run()
