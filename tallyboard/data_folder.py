"""The data folder of one `tallyboard up`: who uses it, and what `tallyboard status` reads about it.

<data>/lock  up.json  kafka/  logs/<role>.log  dashboard.duckdb  demo-<name>.json
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tallyboard.failure import Failure

STATE_VERSION = 1


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go of it when the process ends, however it ends.

    Raises `Failure` when another process holds it, or it cannot be made.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("a+")
    except OSError as error:
        raise Failure(f"The data folder {data} cannot be used: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                f"Tallyboard already runs on {data} (process {_holder(lock.name)}): stop it first, "
                "or choose another folder with --data."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def is_locked(data: Path) -> bool:
    """Whether a supervisor holds the folder at this moment."""
    try:
        with (data / "lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _holder(lock: str) -> str:
    return Path(lock).read_text().strip() or "unknown"


def free_mb(data: Path) -> int:
    """Free space on the folder's disk, in MB."""
    return shutil.disk_usage(data).free // 1_000_000


def require_space(data: Path, megabytes: int) -> None:
    """Raise `Failure` when less than that is free."""
    if (free := free_mb(data)) < megabytes:
        raise Failure(disk_full(data, free))


def disk_full(data: Path, free: int | None = None) -> str:
    """The sentence for a full disk."""
    left = f"only {free} MB left" if free is not None else "no space left"
    return f"The disk of {data} is full ({left}): free some space, or choose another folder with --data."


def write_state(data: Path, state: Mapping[str, Any]) -> None:
    """Replace `up.json` in one step: a reader sees the old or the new one, never half of one.

    Raises `Failure` when the disk is full.
    """
    part = data / ".up.json.part"
    try:
        part.write_text(json.dumps({"version": STATE_VERSION, **state}, indent=1))
        part.replace(data / "up.json")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Failure(disk_full(data)) from error
        raise Failure(f"The data folder {data} cannot be written: {error.strerror}.") from error


def read_state(data: Path) -> dict[str, Any] | None:
    """What the last supervisor on this folder wrote, or None."""
    try:
        state = json.loads((data / "up.json").read_text())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) and state.get("version") == STATE_VERSION else None


def find(start: Path) -> Path | None:
    """The folder a command means when none is named: `start` or one directly in it, a running one first."""
    candidates = [start, *sorted(path for path in start.glob("*/") if path.is_dir())]
    known = [path for path in candidates if read_state(path) is not None]
    return next((path for path in known if is_locked(path)), known[0] if known else None)
