"""Appending rows to the read model's tables. Inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from aggregates.catalogue import Additions, GroupRow
from aggregates.positions import Position

_SERIES: Final = pa.schema(
    [
        ("series_id", pa.int32()),
        ("key", pa.uint64()),
        ("metric", pa.utf8()),
        ("kind", pa.utf8()),
        ("unit", pa.utf8()),
        ("dimensions", pa.utf8()),
    ]
)
_GROUPS: Final = pa.schema(
    [
        ("group_id", pa.int32()),
        ("metric", pa.utf8()),
        ("kind", pa.utf8()),
        ("view", pa.utf8()),
        ("labels", pa.list_(pa.utf8())),
    ]
)


def insert(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Append a table of equal columns."""
    connection.register("incoming", rows)
    connection.execute(f"INSERT INTO {name} SELECT * FROM incoming")
    connection.unregister("incoming")


def insert_values(connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Sequence[object]]) -> None:
    """Append some rows of plain values."""
    if rows:
        values = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
        connection.execute(f"INSERT INTO {name} VALUES {values}", [cell for row in rows for cell in row])


def insert_series(connection: duckdb.DuckDBPyConnection, added: Additions) -> None:
    """Store new series with the groups they are the first of."""
    insert(connection, "series", _table(added.series, _SERIES))
    insert_groups(connection, added.groups)
    members = np.array(added.memberships, np.int32)
    insert(connection, "series_groups", pa.table({"series_id": members[:, 0], "group_id": members[:, 1]}))


def insert_groups(connection: duckdb.DuckDBPyConnection, groups: Sequence[GroupRow]) -> None:
    if groups:
        insert(connection, "groups", _table(groups, _GROUPS))


def _table(rows: Sequence[object], schema: pa.Schema) -> pa.Table:
    """Objects as a table: a column per attribute that the schema names."""
    return pa.table({name: [getattr(row, name) for row in rows] for name in schema.names}, schema=schema)


def insert_touched(connection: duckdb.DuckDBPyConnection, touched: Mapping[str, Iterable[int]], noted: int) -> None:
    """Note sealed buckets that have to be merged again."""
    rows = [(level, time) for level, times in touched.items() for time in times]
    if rows:
        levels, times = zip(*rows, strict=True)
        insert(connection, "touched", pa.table({"level": levels, "time": times, "noted": [noted] * len(rows)}))


def insert_inputs(connection: duckdb.DuckDBPyConnection, number: int, read: Mapping[int, Position]) -> None:
    """Store positions in `rollups` under the number of the transaction."""
    insert_values(connection, "inputs", [(number, *astuple(position)) for position in read.values()])
