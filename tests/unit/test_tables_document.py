"""`docs/tables.md` lists the tables of the read model with their columns, and those of the records, as they are."""

from __future__ import annotations

import re
from importlib.resources import files

import duckdb
import numpy as np
import pyarrow as pa

from aggregates.deltas import ROWS
from aggregates.families import FIRST_LEVEL, table_of
from aggregates.levels import LEVELS
from ingest.events import EventColumns, encode
from ingest.series import Kind, Series, SeriesTable
from tests.documents import ROOT, rows, section

PAGE = (ROOT / "docs" / "tables.md").read_text()
Columns = list[tuple[str, str]]
BUCKETS = {"### Buckets": "", "### Bins": "bins", "### Cells": "cells"}


def held() -> dict[str, Columns]:
    """Table → columns and types, of a new file."""
    with duckdb.connect() as connection:
        for name in ("schema.sql", "letters.sql"):
            connection.execute(files("aggregates").joinpath(name).read_text())
        found: dict[str, Columns] = {}
        for table, column, kind in connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY table_name, column_index"
        ).fetchall():
            found.setdefault(table, []).append((column, kind))
    return found


def columns_under(heading: str) -> Columns:
    found = [row for row in rows(section(PAGE, heading)) if row[0].startswith("`")]
    assert all(len(row) == 4 for row in found), heading
    return [(row[0].strip("`"), row[1]) for row in found]


def listed() -> dict[str, Columns]:
    found: dict[str, Columns] = {}
    for heading in re.findall(r"^### .*`.*$", PAGE, re.MULTILINE):
        names = re.findall(r"`(\w+)`", heading)
        if " to " in heading:
            stem = names[0].rstrip("0123456789")
            names = [f"{stem}{number}" for number in range(4)]
        found |= dict.fromkeys(names, columns_under(heading))
    for heading, what in BUCKETS.items():
        for (family, kind), first in FIRST_LEVEL.items():
            if kind == what:
                tables = [table_of(family, what, level) for level in LEVELS[LEVELS.index(first) :]]
                found |= dict.fromkeys(tables, columns_under(heading))
    return found


def test_every_table_is_listed_with_its_columns() -> None:
    assert listed() == held()


def test_every_time_and_count_has_a_unit() -> None:
    for line in PAGE.splitlines():
        for row in rows(line):
            if (
                re.search(r"_ms`|^`time`|offset|^`n`|count`|BIGINT|DOUBLE", " ".join(row[:2]))
                and row[0] != "`last_place`"
            ):
                assert row[2], line


def test_the_columns_of_records_are_listed() -> None:
    table = SeriesTable()
    series = [table.intern(Series("a", kind)) for kind in (Kind.UNIQUE, Kind.CUMULATIVE)]
    columns = EventColumns(
        table, np.array(series, np.int32), np.zeros(2, np.int64), np.ones(2), ["x", None], ["1", None],
        starts=np.zeros(2, np.int64),
    )  # fmt: skip
    (record,) = encode(columns, 1)
    with pa.ipc.open_stream(record.value) as reader:
        names = [*reader.schema.names, *ROWS.names]
    told = section(PAGE, "## Records")
    assert [name for row in rows(told) for name in re.findall(r"`(\w+)`", row[0])] == names
