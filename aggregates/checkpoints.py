"""When the write-ahead log becomes part of the read model's file: by its size and its age, where there is room for it.

DuckDB would do it inside a commit, where a full disk makes the database unusable although the commit holds, and again
after every restart. The age bounds what has to be counted again when a log cannot be read (`aggregates.database`).
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

_LOG_BYTES = 256_000_000
_LOG_AGE_S = 300.0
_AFTER_FAILURE_S = 10.0
_SPARE_BYTES = 64_000_000
_log = logging.getLogger(__name__)


def wal_of(path: Path) -> Path:
    """The write-ahead log of a file."""
    return path.with_name(path.name + ".wal")


class Checkpoints:
    """Of one open file; to be asked after every commit."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._wal = wal_of(path)
        self._clock = clock
        self._done_s = clock()
        self._not_before_s = 0.0
        self._short_of_room = False

    def after_commit(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take a checkpoint if one is due. Raises `duckdb.FatalException` when the database is lost over it; what was
        committed holds nevertheless."""
        now_s = self._clock()
        size = self._wal.stat().st_size if self._wal.exists() else 0
        if now_s < self._not_before_s or (size < _LOG_BYTES and now_s - self._done_s < _LOG_AGE_S):
            return
        if size and not self._has_room(size):
            self._not_before_s = now_s + _AFTER_FAILURE_S
            return
        try:
            connection.execute("CHECKPOINT")
        except duckdb.FatalException:
            raise
        except duckdb.Error as error:
            self._not_before_s = now_s + _AFTER_FAILURE_S
            _log.warning("the write-ahead log could not be taken into the file: %s", error)
        else:
            self._done_s = self._clock()

    def _has_room(self, size: int) -> bool:
        """A checkpoint writes what the log holds, and what shares blocks with it, before it frees anything."""
        short = shutil.disk_usage(self._wal.parent).free < 2 * size + _SPARE_BYTES
        if short and not self._short_of_room:
            _log.warning("little room is left in %s: the write-ahead log grows on", self._wal.parent)
        self._short_of_room = short
        return not short
