"""Views that were declared or given up since the file was written: filled from "all together", or emptied.

Inside the caller's transaction. Every level is filled as far as the single series reach in it. Bins and codes of single
series begin with minutes: in the 1-second tables of a new view those of a minute stand at the minute's first second.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from aggregates.catalogue import Revision
from aggregates.families import FIRST_LEVEL, SKETCHES, table_of
from aggregates.levels import LEVELS, MINUTE, SECOND, Kept
from aggregates.sealing import append_merged, merge_table


def revise(connection: duckdb.DuckDBPyConnection, revision: Revision, kept: Kept) -> None:
    """Make the tables agree with the views declared now; the groups themselves are stored already."""
    if revision.emptied:
        _empty(connection, sorted(revision.emptied))
    if not revision.memberships:
        return
    members = np.array(revision.memberships, np.int64)
    connection.register("joined", pa.table({"series_id": members[:, 0], "group_id": members[:, 1]}))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE joining AS SELECT j.*, coalesce(m.kept_from, ?) AS seconds_from FROM joined j "
        "JOIN series USING (series_id) LEFT JOIN metric_levels m ON m.metric = series.metric AND m.level = ?",
        [kept.kept_from[SECOND], SECOND],
    )
    connection.unregister("joined")
    connection.execute("INSERT INTO series_groups BY NAME SELECT series_id, group_id FROM joining")
    for level in LEVELS:
        _fill(connection, "", level, level, "1 = 1")
        for what in SKETCHES:
            if level == SECOND:
                _fill(connection, what, MINUTE, SECOND, "s.time >= j.seconds_from")
            else:  # what is not sealed yet comes with the seconds
                _fill(connection, what, level, level, f"s.time < {kept.sealed_until[level]}")
    _note_filled(connection)
    _merge_reopened(connection, revision)


def _note_filled(connection: duckdb.DuckDBPyConnection) -> None:
    """Remember until when bins and codes of a filled view stand by whole minutes."""
    connection.execute(
        "INSERT INTO filled_views BY NAME SELECT g.metric, g.view, max(s.time) + 60 AS seconds_from FROM joining j "
        "JOIN groups g USING (group_id) JOIN (SELECT id, time FROM series_bins_1m UNION ALL "
        "SELECT id, time FROM series_cells_1m) s ON s.id = j.series_id GROUP BY ALL"
    )


def _fill(connection: duckdb.DuckDBPyConnection, what: str, source: str, level: str, where: str) -> None:
    rows = (
        f"SELECT s.* REPLACE (j.group_id::INTEGER AS id) FROM {table_of('series', what, source)} s "
        f"JOIN joining j ON s.id = j.series_id WHERE {where}"
    )
    append_merged(connection, rows, [], what, table_of("view", what, level))


def _empty(connection: duckdb.DuckDBPyConnection, groups: list[int]) -> None:
    for what in ("", *SKETCHES):
        for level in LEVELS[LEVELS.index(FIRST_LEVEL["view", what]) :]:
            connection.execute(f"DELETE FROM {table_of('view', what, level)} WHERE list_contains(?, id)", [groups])
    connection.execute("DELETE FROM series_groups WHERE list_contains(?, group_id)", [groups])


def _merge_reopened(connection: duckdb.DuckDBPyConnection, revision: Revision) -> None:
    """Groups that had other members already have two rows a bucket now."""
    made = {group.group_id for group in revision.groups}
    reopened = sorted({group for _, group in revision.memberships} - made)
    if reopened:
        for what in ("", *SKETCHES):
            for level in LEVELS:
                merge_table(connection, "view", what, level, ("list_contains(?, id)", [reopened]))
