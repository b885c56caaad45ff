"""Opening the read model's file: created whole or not at all, usable after a crash, closed to the outside."""

from __future__ import annotations

import logging
import time
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import duckdb

SCHEMA_VERSION = "2"
_ADDED = {"1": ("letters.sql",)}
"""Files of older versions that only miss tables, which then fill from the log: version → what is added."""
_log = logging.getLogger(__name__)


class StoreError(Exception):
    """The file cannot be used."""


def open_file(path: Path) -> duckdb.DuckDBPyConnection:
    """Open or create the file. It is created under another name and renamed when complete; a write-ahead log that
    cannot be read is set aside, the log of events fills the gap."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _create(path)
    try:
        connection = _configured(path)
    except duckdb.Error as error:
        if "lock" in str(error).lower():
            raise StoreError(f"{path} is in use by another process") from error
        connection = _without_wal(path, error)
    _add_missing(connection)
    return connection


def _add_missing(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring a file of an older version up to date, where that only takes further tables: in one transaction, and out
    of the write-ahead log at once. Any other version is left as it is, for the store to refuse."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    added = _ADDED.get(str(row[0])) if row else None
    if added is None:
        return
    connection.execute("BEGIN")
    for name in added:
        connection.execute(_sql(name))
    connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", [SCHEMA_VERSION])
    connection.execute("COMMIT")
    connection.execute("CHECKPOINT")
    _log.info("the file was brought from schema version %s to %s", row[0] if row else None, SCHEMA_VERSION)


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
            [["schema_version", SCHEMA_VERSION], ["consumer_group", f"tallyboard-dashboard-{uuid4().hex[:12]}"]],
        )
        connection.execute("INSERT INTO levels VALUES (0, 0)")
        connection.execute("CHECKPOINT")
    half.replace(path)


def _configured(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path))
    connection.execute("SET checkpoint_threshold = '256MB'")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
