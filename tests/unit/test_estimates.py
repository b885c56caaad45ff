"""Percentiles, histograms and distinct counts from merged parts; grids put together in other ways."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aggregates import sketches
from aggregates.cells import cells_of, ratio, spread
from aggregates.estimates import Bins, Codes, histograms, percentiles, uniques
from aggregates.grids import Grid, grid_of
from aggregates.measures import MEASURES, has_measure, measures_of, tenths

TENTHS = [1, 500, 750, 900, 950, 990, 999]
VALUES = hnp.arrays(
    np.float64, st.integers(1, 60), elements=st.floats(-1e9, 1e9).filter(lambda v: v == 0 or abs(v) > 1e-9)
)


def bins_of(values: npt.NDArray[np.float64], cell: int = 0) -> Bins:
    codes = sketches.bins_of(values)
    return Bins.of(np.full(len(codes), cell), codes, np.ones(len(codes), np.int64))


def nearest_rank(values: npt.NDArray[np.float64], wanted: int) -> float:
    return float(np.sort(values)[max(1, math.ceil(wanted * len(values) / 1000)) - 1])


@given(VALUES)
def test_a_percentile_is_the_value_of_nearest_rank_within_one_percent(values: npt.NDArray[np.float64]) -> None:
    low, high = np.array([values.min()]), np.array([values.max()])
    found = percentiles(bins_of(values), low, high, TENTHS)
    for wanted in TENTHS:
        exact = nearest_rank(values, wanted)
        assert abs(found[wanted][0] - exact) <= sketches.BIN_ERROR * abs(exact) * (1 + 1e-9)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).lognormal(3, 2, 200_000),
        -np.random.default_rng(2).lognormal(0, 1, 50_000),
        np.random.default_rng(3).normal(0, 40, 100_000).round(),
        np.full(1000, 7.3),
        np.array([1.0] * 999 + [1e6]),
    ],
    ids=["lognormal", "negative", "both signs", "constant", "two values"],
)
def test_percentiles_of_many_values(values: npt.NDArray[np.float64]) -> None:
    found = percentiles(bins_of(values), np.array([values.min()]), np.array([values.max()]), TENTHS)
    for wanted in TENTHS:
        exact = nearest_rank(values, wanted)
        assert found[wanted][0] == pytest.approx(exact, rel=sketches.BIN_ERROR, abs=1e-12)


def test_percentiles_of_equal_values_are_that_value() -> None:
    values = np.full(1000, 7.3)
    found = percentiles(bins_of(values), values[:1], values[:1], TENTHS)
    assert {wanted: value[0] for wanted, value in found.items()} == dict.fromkeys(TENTHS, 7.3)


def test_values_beyond_the_bins_are_bounded_by_the_largest_value() -> None:
    values = np.array([1e20, 3e20, -5e18])
    found = percentiles(bins_of(values), np.array([-5e18]), np.array([3e20]), [10, 999])
    assert found[10][0] >= -5e18
    assert found[999][0] <= 3e20
    smallest, largest = histograms(bins_of(values), np.array([-5e18]), np.array([3e20]))[0]
    assert (smallest[0], smallest[2]) == (-5e18, 1)
    assert (largest[1], largest[2]) == (3e20, 2)


def test_a_cell_without_values_has_no_percentile() -> None:
    found = percentiles(bins_of(np.array([5.0]), cell=2), np.array([np.nan, np.nan, 5.0]), np.full(3, 5.0), [500])
    assert np.isnan(found[500][:2]).all()
    assert found[500][2] == 5.0


@given(VALUES)
def test_a_histogram_holds_every_value_once(values: npt.NDArray[np.float64]) -> None:
    (found,) = histograms(bins_of(values), np.array([values.min()]), np.array([values.max()]))
    assert sum(n for _, _, n in found) == len(values)
    for lower, upper, n in found:
        near = 1e-9 * max(abs(lower), abs(upper))
        assert ((values >= lower - near) & (values <= upper + near)).sum() >= n
    assert [lower for lower, _, _ in found] == sorted(lower for lower, _, _ in found)


def test_distinct_texts_are_exact_while_few_and_near_when_many() -> None:
    few = sketches.hash_texts(pa.array([f"user-{i % 300}" for i in range(1000)]))
    many = sketches.hash_texts(pa.array([f"user-{i}" for i in range(50_000)]))
    counted, exact = uniques(Codes.of(np.zeros(len(few), np.int64), few), 2)
    assert (counted.tolist(), exact) == ([300, 0], True)
    cells = np.concatenate([np.zeros(len(few), np.int64), np.ones(len(many), np.int64)])
    counted, exact = uniques(Codes.of(cells, np.concatenate([few, many])), 2)
    assert counted[0] == 300
    assert counted[1] == pytest.approx(50_000, rel=sketches.UNIQUES_ERROR)
    assert not exact


def test_measures_by_kind() -> None:
    assert set().union(*(measures_of(kind) for kind in ("counter", "gauge", "distribution", "unique"))) == set(MEASURES)
    assert [tenths(name) for name in ("p50", "p99.9", "p5", "p0.1")] == [500, 999, 50, 1]
    for name in ("p0", "p05", "p100", "p50.0", "p99.99", "p", "P50", "count", "p-1"):
        assert tenths(name) is None
    assert has_measure("distribution", "p12.5")
    assert not has_measure("counter", "p12.5")
    assert not has_measure("distribution", "increase")


# --- grids ------------------------------------------------------------------------------------------------------------


def grid(random: np.random.Generator, buckets: int, slots: int) -> Grid:
    """Random cells of a distribution, some of them empty."""
    full = np.flatnonzero(random.random(buckets * slots) < 0.7)
    columns = {
        "bucket": full // slots,
        "slot": full % slots,
        "count": random.integers(1, 9, len(full)),
        "numbers": random.integers(1, 9, len(full)),
        "sum": random.integers(-50, 50, len(full)).astype(float),
        "min": random.integers(-50, 0, len(full)).astype(float),
        "max": random.integers(0, 50, len(full)).astype(float),
        "last": random.integers(-50, 50, len(full)).astype(float),
    }
    pairs = random.integers(0, len(full), 3 * len(full))
    found = {"bucket": full[pairs] // slots, "slot": full[pairs] % slots}
    bins = {**found, "bin": random.integers(-5, 5, len(pairs)), "n": random.integers(1, 4, len(pairs))}
    codes = {**found, "code": random.integers(0, 9, len(pairs)).astype(np.uint64) | sketches.HASHED}
    return grid_of(columns, np.full(buckets, 60.0), slots).with_bins(bins).with_codes(codes)


@given(st.integers(0, 2**32))
def test_slots_and_buckets_are_put_together_in_any_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    found = grid(random, 6, 5)
    ranges = [(0, 6), (1, 4), (3, 6), (2, 3)]
    slots = np.array([0, 1, 1, 0, 1])
    seconds = np.array([60.0 * (last - first) for first, last in ranges])
    one = found.over(ranges, seconds).merged(slots, 2)
    other = found.merged(slots, 2).over(ranges, seconds)
    for name in ("count", "sum", "avg", "min", "max", "rate", "p50", "p99", "uniques", "histogram"):
        assert cells_of(one.measure(name)) == cells_of(other.measure(name)), name
    whole = found.over([(0, 6)], np.array([360.0]))
    assert whole.count.tolist() == [found.count.sum(axis=0).tolist()]
    newest = [next((v for v in column[::-1] if not math.isnan(v)), None) for column in found.last.T.tolist()]
    assert cells_of(whole.last) == newest


def test_nothing_counts_as_zero_or_as_nothing() -> None:
    empty = grid_of({"bucket": np.array([], int), "slot": np.array([], int), "count": np.array([], int)}, np.ones(1), 1)
    found = {name: cells_of(empty.measure(name))[0] for name in MEASURES}
    zeros = {"count": 0, "sum": 0.0, "rate": 0.0, "increase": 0.0, "uniques": 0, "histogram": []}
    assert found == dict.fromkeys(MEASURES) | zeros
    for name in MEASURES:
        absent = spread(name, empty.measure(name)[:, :0], [], 1)
        assert cells_of(absent) == [found[name]]


def test_a_ratio_by_nothing_is_nothing() -> None:
    assert cells_of(ratio(np.array([1.0, 0.0, 2.0, np.nan]), np.array([0, 0, 4, 1]))) == [None, None, 0.5, None]
