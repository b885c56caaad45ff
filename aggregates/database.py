"""Opening the read model's file: created whole or not at all, usable after a crash, closed to the outside; and what an
error of the database means."""

from __future__ import annotations

import logging
import re
import time
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import duckdb

from aggregates.checkpoints import wal_of
from aggregates.levels import LEVELS

SCHEMA_VERSION = "4"
_MEBIBYTES = {"KiB": 2.0**-10, "MiB": 1.0, "GiB": 2.0**10, "TiB": 2.0**20}
_NO_ROOM = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_LOCKED = "could not set lock on file"
_UNREADABLE_WAL = "replaying wal"
_ANY_HALF = "[0-9a-f]" * 32
_log = logging.getLogger(__name__)


class StoreError(Exception):
    """The file cannot be used; the message is for the operator."""


class NoRoom(StoreError):
    """The disk is full. Nothing was changed, and the same can be tried again."""


def sentence(path: Path, error: duckdb.Error) -> StoreError | None:
    """An error of the disk, or of a database that has given up, as a sentence; None for any other, which is a mistake
    of the program."""
    if isinstance(error, duckdb.FatalException):  # of whatever cause: nothing works until it is opened anew
        return StoreError(f"{path} could not be written ({_first_line(error)}): it has to be opened anew")
    if _NO_ROOM.search(str(error)):
        return NoRoom(f"no room is left in {path.parent}")
    if isinstance(error, duckdb.IOException | duckdb.TransactionException):
        return StoreError(f"{path} could not be read or written ({_first_line(error)})")
    return None


def _first_line(error: Exception) -> str:
    """What DuckDB says, without the name of the error's class."""
    return str(error).splitlines()[0].partition("Error: ")[2] or str(error).splitlines()[0]


def open_file(path: Path, memory_mb: int | None = None) -> duckdb.DuckDBPyConnection:
    """Open or create the file. It is created under another name and renamed when complete; a write-ahead log that
    cannot be read is set aside, the log of events fills the gap. So is a file of another schema version: a new one
    fills from the log.

    Args:
        memory_mb: what the database may take, where its own limit (four fifths of the machine's) is not lower.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _opened(path, memory_mb)
    found = _version(connection)
    if found == SCHEMA_VERSION:
        return connection
    connection.close()
    _set_aside(path, found)
    return _opened(path, memory_mb)


def _opened(path: Path, memory_mb: int | None) -> duckdb.DuckDBPyConnection:
    try:
        if not path.exists():
            _create(path)
        connection = _configured(path, memory_mb)
    except duckdb.Error as error:
        if _LOCKED in str(error).lower():
            raise StoreError(f"{path} is in use by another process") from error
        if _UNREADABLE_WAL not in str(error).lower():
            raise sentence(path, error) or StoreError(f"{path} cannot be opened: {error}") from error
        connection = _without_wal(path, memory_mb, error)
    for half in path.parent.glob(f"{path.name}.{_ANY_HALF}.new*"):  # the lock is ours: nobody is creating the file
        half.unlink(missing_ok=True)
    return connection


def _version(connection: duckdb.DuckDBPyConnection) -> str:
    try:
        row = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    except duckdb.CatalogException as error:
        raise StoreError("the file is no read model") from error
    except duckdb.Error as error:
        raise StoreError(
            f"the file is damaged ({_first_line(error)}): move it away, it is made again from the log"
        ) from error
    return str(row[0]) if row else "none"


def _set_aside(path: Path, version: str) -> None:
    """Rename a file of another version, and what is left of its write-ahead log: first the log, so that a process that
    is killed in between leaves a whole file behind."""
    aside = path.with_name(f"{path.stem}.schema-{version}-{int(time.time())}{path.suffix}")
    wal = wal_of(path)
    if wal.exists():
        wal.replace(wal_of(aside))
    path.replace(aside)
    _log.warning(
        "the read model has schema version %s, this program reads %s: it is set aside as %s and made again from the "
        "log; delete it when you do not need it any more",
        version,
        SCHEMA_VERSION,
        aside.name,
    )


def _sql(name: str) -> str:
    return files("aggregates").joinpath(name).read_text()


def _without_wal(path: Path, memory_mb: int | None, error: Exception) -> duckdb.DuckDBPyConnection:
    wal = wal_of(path)
    aside = wal.with_name(f"{wal.name}.corrupt-{int(time.time())}")
    wal.replace(aside)
    _log.error(
        "the write-ahead log could not be read and was set aside as %s; what it held is counted again from the log of "
        "deltas: %s",
        aside.name,
        _first_line(error),
    )
    try:
        return _configured(path, memory_mb)
    except duckdb.Error as second:
        raise sentence(path, second) or StoreError(f"{path} cannot be opened: {second}") from second


def _create(path: Path) -> None:
    """Under another name, in one transaction; what a killed process leaves of it is no file yet."""
    half = path.with_name(f"{path.name}.{uuid4().hex}.new")
    with duckdb.connect(str(half)) as connection:
        connection.execute("BEGIN")
        for name in ("schema.sql", "letters.sql"):
            connection.execute(_sql(name))
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [
                ["schema_version", SCHEMA_VERSION],
                ["consumer_group", f"tallyboard-dashboard-{uuid4().hex[:12]}"],
                ["timezone", "UTC"],
            ],
        )
        connection.executemany("INSERT INTO levels VALUES (?, 0, 0, 0)", [[level] for level in LEVELS])
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")
    half.replace(path)


def _configured(path: Path, memory_mb: int | None) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path))
    if memory_mb is not None:
        _limit_memory(connection, memory_mb)
    connection.execute("SET checkpoint_threshold = '1TB'")  # never within a commit: `aggregates.checkpoints`
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _limit_memory(connection: duckdb.DuckDBPyConnection, memory_mb: int) -> None:
    row = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    number, _, unit = str(row[0] if row else "").partition(" ")
    own_mb = float(number) * _MEBIBYTES.get(unit, 1.0)
    connection.execute(f"SET memory_limit = '{min(memory_mb, int(own_mb)):d}MiB'")
