"""The ledger: events by metric and minute of record time. Inside the caller's transaction.

What records say they hold is counted apart from what was applied, so that accepted = applied + duplicates can fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import duckdb

from aggregates.incoming import Fresh, Tally, accepted, tallied

_QUARTER_S = 900
Entry = tuple[str, int, int, int, int]
"""Metric, minute, accepted, applied, duplicates."""


def entries(found: Sequence[Fresh]) -> list[Entry]:
    """What some deltas add to the ledger."""
    said: Tally = Counter()
    applied: Tally = Counter()
    duplicates: Tally = Counter()
    for fresh in found:
        said.update(accepted(fresh))
        counts, repeated = tallied(fresh)
        applied.update(counts)
        duplicates.update(repeated)
    keys = sorted({*said, *applied, *duplicates})
    return [(*key, said[key], applied[key], duplicates[key]) for key in keys]


def note(connection: duckdb.DuckDBPyConnection, rows: Sequence[Entry]) -> None:
    """Append entries."""
    if rows:
        values = ", ".join(["(?, ?, ?, ?, ?)"] * len(rows))
        connection.execute(f"INSERT INTO ledger VALUES {values}", [cell for row in rows for cell in row])


def merge(connection: duckdb.DuckDBPyConnection, start: int, until: int) -> None:
    """One row per metric and minute, for minutes in [start, until)."""
    _rewrite(connection, "minute", "minute >= ? AND minute < ?", [start, until])


def retain(connection: duckdb.DuckDBPyConnection, before: int, minutes_from: int, quarters_from: int) -> None:
    """Add the minutes in [before, minutes_from) up to quarters of an hour, delete those before `quarters_from`."""
    connection.execute("DELETE FROM ledger WHERE minute < ?", [quarters_from])
    quarter = f"minute // {_QUARTER_S} * {_QUARTER_S}"
    _rewrite(connection, quarter, "minute >= ? AND minute < ?", [before, minutes_from])


def _rewrite(connection: duckdb.DuckDBPyConnection, minute: str, where: str, bounds: list[object]) -> None:
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE ledger_once AS SELECT metric, {minute} AS minute, "
        "sum(accepted)::BIGINT AS accepted, sum(applied)::BIGINT AS applied, sum(duplicates)::BIGINT AS duplicates "
        f"FROM ledger WHERE {where} GROUP BY ALL",
        bounds,
    )
    connection.execute(f"DELETE FROM ledger WHERE {where}", bounds)
    connection.execute("INSERT INTO ledger BY NAME FROM ledger_once")
