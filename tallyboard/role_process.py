"""One role as the supervisor sees it: a process, its log, and how it is."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tallyboard.lifeline import Child
from tallyboard.role_log import RoleLog

Phase = Literal["waiting", "starting", "ready", "not ready", "dead", "stopped"]
_FULL_DISK = re.compile(r"no space left on device|\bENOSPC\b|disk (is )?full", re.IGNORECASE)
_PRINTS_OF_ERRORS = re.compile(r"error|exception|critical|fatal|refus|cannot|failed", re.IGNORECASE)
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class State:
    """How a role is. `started_ms` is epoch ms of its present life; `last_error` explains its last death."""

    phase: Phase = "waiting"
    pid: int | None = None
    restarts: int = 0
    reason: str | None = None
    last_error: str | None = None
    died_ms: int | None = None
    started_ms: int | None = None


class RoleProcess:
    """Starts, buries and ends the process of one role; used from the supervisor's thread only."""

    def __init__(self, name: str, command: tuple[str, ...], log: RoleLog, env: Mapping[str, str] | None) -> None:
        self.name = name
        self.log = log
        self.state = State()
        self.died_of_full_disk = False
        self._command = command
        self._env = env
        self._child: Child | None = None
        self._pump: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.process.poll() is None

    def start(self, again: bool = False) -> None:
        """Start the process; `again` counts it as a restart."""
        self.log.forget()
        self._child = Child(self._command, stdout=subprocess.PIPE, env=self._env)
        output = self._child.process.stdout
        assert output is not None
        self._pump = self.log.follow(output)
        self.state = replace(
            self.state,
            phase="starting",
            pid=self._child.process.pid,
            reason=None,
            restarts=self.state.restarts + again,
            started_ms=time.time_ns() // 1_000_000,
        )

    def heard(self, reason: str | None) -> None:
        """Note what the role answered when asked whether it is ready."""
        phase: Phase = "ready"
        if reason is not None:
            phase = "starting" if self.state.phase == "starting" else "not ready"
        self.state = replace(self.state, phase=phase, reason=reason)

    def bury(self) -> None:
        """Take in a process that has ended: its group goes too, its last words become the reason."""
        code = self._end()
        recent = self.log.recent()
        self.died_of_full_disk = self.log.failure is not None or any(map(_FULL_DISK.search, recent))
        self.state = replace(
            self.state,
            phase="dead",
            pid=None,
            reason=None,
            last_error=_last_error(code, recent),
            died_ms=time.time_ns() // 1_000_000,
        )

    def terminate(self) -> None:
        if self._child is not None:
            self._child.terminate()

    def kill(self) -> None:
        """End it at once; it is then found dead like any other."""
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        """End it for good, by force if it still runs."""
        self._end()
        self.log.close()
        self.state = replace(self.state, phase="stopped", pid=None, reason=None)

    def _end(self) -> int:
        """Kill what is left of the group, wait for the rest of the output; the exit code (0 if it never ran)."""
        if self._child is None:
            return 0
        self._child.kill()
        code = self._child.process.wait()
        if self._pump is not None:
            self._pump.join(1.0)
        self._child.release()
        self._child = self._pump = None
        return code


def _last_error(code: int, recent: tuple[str, ...]) -> str:
    """How it ended and, of its last lines, the newest that tells of an error, else the newest."""
    ended = f"exit code {code}" if code >= 0 else f"signal {_signal_name(-code)}"
    telling = next((line for line in reversed(recent[-10:]) if _PRINTS_OF_ERRORS.search(line)), None)
    line = telling or (recent[-1] if recent else "")
    return f"{ended}: {line[:_LONGEST_REASON]}" if line and code != -signal.SIGKILL else ended


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
