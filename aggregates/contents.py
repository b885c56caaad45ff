"""What the read model's file holds when it is opened: read into memory, and made to agree with the workspace."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import tzinfo

import duckdb

from aggregates.catalogue import Catalogue, GroupRow, SeriesRow
from aggregates.database import SCHEMA_VERSION, StoreError
from aggregates.families import table_of
from aggregates.levels import DAY, QUARTER, Kept
from aggregates.positions import Position
from aggregates.retention import OwnKept
from aggregates.rows import insert_groups
from aggregates.sealing import tables
from aggregates.views import revise

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """How far one partition of `events` is counted in."""

    topic_id: str
    partition: int
    next_offset: int
    crc: int
    record_ms: int
    history_from: int


def meta(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """A named text of the file. Raises `StoreError` when there is none."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", [name]).fetchone()
    if row is None:
        raise StoreError(f"the file holds no {name}")
    return str(row[0])


def check_version(connection: duckdb.DuckDBPyConnection) -> None:
    found = meta(connection, "schema_version")
    if found != SCHEMA_VERSION:
        raise StoreError(f"the file has schema version {found}, this program reads {SCHEMA_VERSION}")


def load_kept(connection: duckdb.DuckDBPyConnection) -> Kept:
    rows = connection.execute("SELECT level, sealed_until, kept_from, folded_until FROM levels").fetchall()
    if len(rows) != 4:
        raise StoreError("the file holds no levels")
    return Kept.of(rows)


def load_own_kept(connection: duckdb.DuckDBPyConnection) -> OwnKept:
    """What is kept of the metrics that stand apart."""
    found: dict[str, dict[str, int]] = {}
    for metric, level, start in connection.execute("SELECT metric, level, kept_from FROM metric_levels").fetchall():
        found.setdefault(metric, {})[level] = start
    return found


def load_sources(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, int], SourcePosition]:
    rows = connection.execute("SELECT * FROM sources ORDER BY next_offset").fetchall()
    found = [SourcePosition(*row) for row in rows]
    return {(position.topic_id, position.partition): position for position in found}


def load_inputs(connection: duckdb.DuckDBPyConnection) -> tuple[dict[int, Position], int]:
    """Positions by partition of `rollups`, and the number of the newest row."""
    rows = connection.execute("SELECT * FROM inputs ORDER BY number").fetchall()
    return {row[2]: Position(*row[1:]) for row in rows}, max((row[0] for row in rows), default=0)


def load_catalogue(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, kept: Kept) -> None:
    """Restore the catalogue; views that were declared or given up since are filled or emptied, in one transaction."""
    read = connection.execute
    series = [SeriesRow(*row) for row in read("SELECT * FROM series ORDER BY series_id").fetchall()]
    groups = [
        GroupRow(group_id, metric, kind, view, tuple(labels))
        for group_id, metric, kind, view, labels in read("SELECT * FROM groups ORDER BY group_id").fetchall()
    ]
    revision = catalogue.restore(series, groups, read("SELECT series_id, group_id FROM series_groups").fetchall())
    if revision:
        _log.info("views changed: %d groups are new, %d given up", len(revision.groups), len(revision.emptied))
        connection.execute("BEGIN")
        insert_groups(connection, revision.groups)
        revise(connection, revision, kept)
        connection.execute("COMMIT")
    filled = read("SELECT metric, view, max(seconds_from) FROM filled_views GROUP BY ALL").fetchall()
    for metric, view, seconds_from in filled:
        catalogue.metrics[metric].seconds_from[view] = seconds_from


def use_zone(connection: duckdb.DuckDBPyConnection, zone: tzinfo, kept: Kept) -> Kept:
    """Make the day level one of this time zone: while all quarters of an hour are there, days are made again from
    them. Raises `StoreError` when they are not."""
    wanted = getattr(zone, "key", "UTC")
    found = meta(connection, "timezone")
    if found == wanted:
        return kept
    if any(found[QUARTER] > 0 for found in (kept.kept_from, *load_own_kept(connection).values())):
        raise StoreError(
            f"the file's days are those of {found}, the workspace's time zone is {wanted}, and the quarters of an "
            "hour that days could be made of again are no longer kept: set the time zone back, or move the file away"
        )
    _log.info("the time zone changed from %s to %s: days are made again", found, wanted)
    connection.execute("BEGIN")
    for family, what in tables(DAY):
        connection.execute(f"DELETE FROM {table_of(family, what, DAY)}")
    connection.execute("DELETE FROM touched WHERE level = ?", [DAY])
    connection.execute("UPDATE levels SET sealed_until = 0 WHERE level = ?", [DAY])
    connection.execute("UPDATE meta SET value = ? WHERE name = 'timezone'", [wanted])
    connection.execute("COMMIT")
    return Kept({**kept.sealed_until, DAY: 0}, kept.kept_from, kept.folded_until)
