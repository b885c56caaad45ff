"""Opening the read model's file: created whole or not at all, usable after a crash, closed to the outside."""

from __future__ import annotations

import logging
import time
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import duckdb

SCHEMA_VERSION = "1"
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
        return _configured(path)
    except duckdb.Error as error:
        if "lock" in str(error).lower():
            raise StoreError(f"{path} is in use by another process") from error
        return _without_wal(path, error)


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
        connection.execute(files("aggregates").joinpath("schema.sql").read_text())
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
