"""Faults of the file system for one process, by strace: attached to a running process, let go when a test says so."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

MISSING = "no strace here: install the Debian package `strace`"
CALLS = ("write", "pwrite64", "fdatasync", "ftruncate", "rename", "unlink")
"""Every call by which DuckDB, and whoever opens its file, changes files."""
_END_S = 10.0


class NoStrace(Exception):
    """strace is missing, or may not attach to a process here."""


def is_missing() -> bool:
    return shutil.which("strace") is None


@contextmanager
def injected(
    pid: int, faults: Sequence[str], only: Sequence[Path] = (), trace: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Faults (as strace's `inject=` takes them) for the calls of a process and its threads, while the block lasts.
    `when=` counts by thread and by call. Raises `NoStrace`."""
    names = dict.fromkeys(fault.partition(":")[0] for fault in faults)
    command = ["strace", "-f", "-y", "-o", str(trace or "/dev/null"), "-p", str(pid)]
    command += ["-e", f"trace={','.join(names) or ','.join(CALLS)}"]
    for fault in faults:
        command += ["-e", f"inject={fault}"]
    for path in only:
        command += ["-P", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        try:
            said = strace.stderr.readline()
            while only and "attached" not in said and "Requested path" in said:
                said = strace.stderr.readline()
            if "attached" not in said:
                raise NoStrace(f"strace cannot attach: {said.strip() or 'it says nothing'}")
            yield strace
        finally:
            if strace.poll() is None:
                strace.terminate()
            try:
                strace.wait(_END_S)
            except subprocess.TimeoutExpired:
                strace.kill()
