"""Ties a process to the life of the one that started it: nothing outlives a supervisor that was killed with -9.

`python -m tallyboard.lifeline PARENT_PID [--guard FD] -- command…` prepares and then becomes the command, so the
command's process id and exit code are its own. Two ways, as signals are per thread and per system:

* Linux, started from the main thread: the kernel sends SIGKILL to the command when its parent dies.
* otherwise `--guard FD`: a small process in the command's group holds the read end of a pipe whose write end only the
  parent has, and kills the group at its end of file.

Imported by nothing heavy and importing nothing heavy: it runs before every role.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


def own_command(*words: str) -> tuple[str, ...]:
    """The command line of `tallyboard <words>`. `-P`: a file in the current folder never shadows a module of a role."""
    return (sys.executable, "-P", "-m", "tallyboard", *words)


class Child:
    """A process in its own session that dies with this one. `process` is its Popen."""

    def __init__(
        self,
        command: Sequence[str],
        stdout: int | IO[bytes],
        env: Mapping[str, str] | None = None,
        keep: tuple[int, ...] = (),
    ) -> None:
        """Start `command` with stderr joined to `stdout`; stdin is empty. `keep`: file descriptors it inherits."""
        kernel_watches = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
        read_end, self._write_end = (-1, -1) if kernel_watches else os.pipe()
        guard = [] if kernel_watches else ["--guard", str(read_end)]
        launcher = [sys.executable, "-S", "-E", str(Path(__file__)), str(os.getpid()), *guard, "--", *command]
        try:
            self.process = subprocess.Popen(
                launcher,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=keep if kernel_watches else (*keep, read_end),
                env=None if env is None else dict(env),
            )
        finally:
            if read_end >= 0:
                os.close(read_end)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM); harmless when it has."""
        if self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """End it and everything in its group at once (SIGKILL); harmless when they have ended."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def release(self) -> None:
        """Let go of the pipe, once the process has ended."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1


def main(arguments: Sequence[str]) -> None:
    """Tie this process to its parent, then become the command."""
    parent = int(arguments[0])
    split = arguments.index("--")
    if split == 1:
        _die_with_parent()
    else:
        _fork_guard(int(arguments[2]))
    if os.getppid() != parent:  # it died before the tie was made
        sys.exit(1)
    command = list(arguments[split + 1 :])
    os.execvp(command[0], command)  # noqa: S606  the command is the supervisor's own list


def _die_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"the kernel refuses PR_SET_PDEATHSIG: {os.strerror(ctypes.get_errno())}")


def _fork_guard(pipe: int) -> None:
    """Leave a child in this process group that kills the group when `pipe` ends; it ends when the command does."""
    command = os.getpid()
    if os.fork():
        os.close(pipe)
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for standard in (0, 1, 2):
        os.close(standard)  # or the parent would wait for the end of output that never comes
    while os.getppid() == command:
        if select.select([pipe], [], [], 1.0)[0]:
            os.killpg(0, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
