"""Changing `keys.toml`: one change at a time, each whole or not at all, readable by its owner only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from ingest.keys import KeyRing, KeysError, Scope, StoredKey
from ingest.keys_file import EPOCH, load

LOCK_WAIT_S: Final = 10.0
_POLL_S: Final = 0.02
_HEADER: Final = """\
# The API keys of this workspace, written by `tallyboard key create` and `tallyboard key revoke`.
# Only hashes of the secrets stand here. A running Tallyboard takes changes over within seconds.
# While this file exists nobody sends events, or asks the dashboard, without a key.
"""


def edit(path: Path, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Read the file (a missing one is an empty ring), change it, write it; nobody else edits it meanwhile.

    Gives the ring that is in the file now; one that `change` gives back as it was is not written. Raises `KeysError`
    when the file has mistakes or cannot be written, and what `change` raises; the file is then as before.
    """
    target = path.resolve()  # a link stays one
    try:
        with _locked(target.parent):
            before = load(target)
            after = change(before or KeyRing())
            if after is not before:
                _replace(target, render(after).encode())
            return after
    except TimeoutError:
        raise KeysError(str(path), None, "", "another command is changing the file and does not end") from None
    except OSError as error:
        raise KeysError(str(path), None, "", f"cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder itself: a lock on the file would be one on the file that is about to be replaced."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _wait_for(held)
        yield
    finally:
        os.close(held)


def _wait_for(folder: int) -> None:
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError from None
            time.sleep(_POLL_S)
        else:
            return


def _replace(target: Path, content: bytes) -> None:
    """Whoever reads the file finds the old content or the new one, after a power cut too."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                before = target.stat()
                os.fchown(handle, before.st_uid, before.st_gid)  # root's edit must not lock the service out
            file.write(content)
            file.flush()
            os.fsync(handle)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def render(ring: KeyRing) -> str:
    """The file's text; read again it gives an equal ring."""
    return "\n".join([_HEADER, *map(_table, ring.keys.values())])


def _table(stored: StoredKey) -> str:
    key = stored.key
    values = {
        "name": _quoted(key.name),
        "hash": _quoted(f"sha256:{stored.digest.hex()}"),
        "scopes": "[" + ", ".join(_quoted(scope) for scope in Scope if scope in key.scopes) + "]",
        "created": rfc3339(stored.created_ms),
        "expires": rfc3339(key.expires_ms),
        "rate": None if key.rate is None else int(key.rate) if key.rate.is_integer() else repr(key.rate),
        "burst": key.burst,
        "series_limit": key.series_limit,
        "revoked": rfc3339(stored.revoked_ms),
    }
    fields = "".join(f"{name} = {value}\n" for name, value in values.items() if value is not None)
    return f"[keys.{key.id}]\n{fields}"


def _quoted(text: str) -> str:
    """A printable text as a TOML string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rfc3339(ms: int | None) -> str | None:
    """A time in epoch milliseconds as the file writes it: in UTC, to the second where nothing is lost by it."""
    if ms is None:
        return None
    precision = "milliseconds" if ms % 1000 else "seconds"
    return (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec=precision).replace("+00:00", "Z")
