"""Sets of codes that have become large: hashes to cells. Inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from aggregates.sketches import EXACT_UNIQUES, HASHED, merge_uniques

_AT_ONCE: Final = 1_000_000
"""Codes that are settled in one go, unless a single set has more."""
Bucket = tuple[int, int, int]
"""Id, time and known of a set."""


def merge_gathered(connection: duckdb.DuckDBPyConnection, target: str) -> None:
    """Append the rows of the temporary table `gathered` (id, time, known, code; each once) to a table of uniques;
    sets of more than `EXACT_UNIQUES` hashes become cells, and of every cell the highest rank stays."""
    found = connection.execute(
        "SELECT id, time, known, count(*) FROM gathered GROUP BY ALL "
        f"HAVING count(*) > {EXACT_UNIQUES} OR min(code) < {HASHED} ORDER BY ALL"
    ).fetchall()
    if not found:
        connection.execute(f"INSERT INTO {target} BY NAME FROM gathered")
        return
    for number, buckets in enumerate(_chunks(found)):
        columns = np.array(buckets, np.int64).T
        connection.register("chosen", pa.table([*columns], names=["id", "time", "known"]))
        connection.execute("CREATE OR REPLACE TEMP TABLE chunk AS SELECT *, row_number() OVER () - 1 AS g FROM chosen")
        connection.unregister("chosen")
        connection.execute("CREATE TEMP TABLE large AS FROM chunk" if not number else "INSERT INTO large FROM chunk")
        codes = connection.execute("SELECT g, code FROM gathered JOIN chunk USING (id, time, known)").fetchnumpy()
        ordered = np.array(connection.execute("SELECT id, time, known FROM chunk ORDER BY g").fetchall(), np.int64)
        _append_settled(connection, target, ordered, np.asarray(codes["g"], np.int64), np.asarray(codes["code"]))
    connection.execute(f"INSERT INTO {target} BY NAME FROM gathered ANTI JOIN large USING (id, time, known)")
    connection.execute("DROP TABLE large")


def _chunks(found: list[tuple[int, int, int, int]]) -> Iterator[list[Bucket]]:
    chunk: list[Bucket] = []
    codes = 0
    for *bucket, size in found:
        if chunk and codes + size > _AT_ONCE:
            yield chunk
            chunk, codes = [], 0
        chunk.append((bucket[0], bucket[1], bucket[2]))
        codes += size
    yield chunk


def _append_settled(
    connection: duckdb.DuckDBPyConnection,
    target: str,
    buckets: np.ndarray,
    groups: np.ndarray,
    codes: np.ndarray,
) -> None:
    """Append the sets of the buckets (shape (n, 3)), given as (group, code) pairs, in their smallest form."""
    groups, settled = merge_uniques(groups, codes.astype(np.uint64))
    rows = pa.table([*buckets[groups].T, settled], names=["id", "time", "known", "code"])
    connection.register("settled", rows)
    connection.execute(f"INSERT INTO {target} BY NAME FROM settled")
    connection.unregister("settled")
