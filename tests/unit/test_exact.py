"""Sums that do not depend on the order of their parts."""

from __future__ import annotations

import math
import random

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aggregates.exact import exact_sum

ORDINARY = st.floats(1e-12, 9e15) | st.floats(-9e15, -1e-12) | st.just(0.0)


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def summed(database: duckdb.DuckDBPyConnection, values: list[float | None]) -> float | None:
    parts = pa.table({"part": pa.array(values, pa.float64())})
    row = database.execute("SELECT " + exact_sum("part") + " FROM parts").fetchone()  # noqa: S608
    assert parts.num_rows == len(values)
    assert row is not None
    found: float | None = row[0]
    return found


@given(st.lists(ORDINARY, min_size=1, max_size=30), st.randoms(use_true_random=False))
@example([1e15, 1.0, -1e15, 0.1], random.Random(1))
def test_any_order_gives_the_same_bytes(
    database: duckdb.DuckDBPyConnection, values: list[float], order: random.Random
) -> None:
    once = summed(database, list(values))
    order.shuffle(values)
    assert repr(summed(database, list(values))) == repr(once)


@given(st.lists(ORDINARY, min_size=1, max_size=30))
def test_it_is_the_sum(database: duckdb.DuckDBPyConnection, values: list[float]) -> None:
    found = summed(database, list(values))
    assert found == pytest.approx(math.fsum(values), rel=1e-9, abs=1e-15 * sum(map(abs, values)) + 1e-20)


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([], None),
        ([None], None),
        ([None, 2.5], 2.5),
        ([0.1] * 10, 1.0),
        ([1e308, 1e308], math.inf),
        ([5e-324], 5e-324),
        ([1e300, 1e300], 2e300),
        ([1e20, 1.0, -1e20], 1.0),
    ],
)
def test_what_is_out_of_the_ordinary_is_added_as_well(
    database: duckdb.DuckDBPyConnection, values: list[float | None], total: float | None
) -> None:
    assert summed(database, values) == total


def test_a_sum_over_several_threads_has_one_result(database: duckdb.DuckDBPyConnection) -> None:
    database.execute(
        "CREATE OR REPLACE TABLE spread AS "
        "SELECT exp((hash(i) % 1000000) / 1e5) AS part, i % 3 AS slot FROM range(400000) r(i)"
    )
    database.execute("SET preserve_insertion_order = false")
    sql = "SELECT slot, " + exact_sum("part") + " FROM spread GROUP BY slot ORDER BY slot"  # noqa: S608
    assert len({repr(database.execute(sql).fetchall()) for _ in range(8)}) == 1
