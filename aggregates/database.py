"""Opening the read model's file: created whole or not at all, usable after a crash, closed to the outside."""

from __future__ import annotations

import logging
import time
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import duckdb

from aggregates.levels import LEVELS

SCHEMA_VERSION = "3"
_log = logging.getLogger(__name__)


class StoreError(Exception):
    """The file cannot be used."""


def open_file(path: Path) -> duckdb.DuckDBPyConnection:
    """Open or create the file. It is created under another name and renamed when complete; a write-ahead log that
    cannot be read is set aside, the log of events fills the gap. So is a file of another schema version: a new one
    fills from the log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _opened(path)
    found = _version(connection)
    if found == SCHEMA_VERSION:
        return connection
    connection.close()
    _set_aside(path, found)
    return _opened(path)


def _opened(path: Path) -> duckdb.DuckDBPyConnection:
    if not path.exists():
        _create(path)
    try:
        return _configured(path)
    except duckdb.Error as error:
        if "lock" in str(error).lower():
            raise StoreError(f"{path} is in use by another process") from error
        return _without_wal(path, error)


def _version(connection: duckdb.DuckDBPyConnection) -> str:
    try:
        row = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    except duckdb.CatalogException as error:
        raise StoreError("the file is no read model") from error
    return str(row[0]) if row else "none"


def _set_aside(path: Path, version: str) -> None:
    """Rename a file of another version, and what is left of its write-ahead log: first the log, so that a process that
    is killed in between leaves a whole file behind."""
    aside = path.with_name(f"{path.stem}.schema-{version}-{int(time.time())}{path.suffix}")
    wal = path.with_name(path.name + ".wal")
    if wal.exists():
        wal.replace(aside.with_name(aside.name + ".wal"))
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


def _without_wal(path: Path, error: Exception) -> duckdb.DuckDBPyConnection:
    wal = path.with_name(path.name + ".wal")
    if not wal.exists():
        raise StoreError(f"{path} cannot be opened: {error}") from error
    aside = wal.with_name(f"{wal.name}.corrupt-{int(time.time())}")
    wal.replace(aside)
    _log.error("the write-ahead log could not be read and was set aside as %s: %s", aside.name, error)
    try:
        return _configured(path)
    except duckdb.Error as second:
        raise StoreError(f"{path} cannot be opened: {second}") from second


def _create(path: Path) -> None:
    half = path.with_name(f"{path.name}.{uuid4().hex}.new")
    with duckdb.connect(str(half)) as connection:
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
        connection.execute("CHECKPOINT")
    half.replace(path)


def _configured(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path))
    connection.execute("SET checkpoint_threshold = '256MB'")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
