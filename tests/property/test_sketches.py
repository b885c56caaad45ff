"""Bins and uniques within their stated bounds, on made and on real data; golden codes and hashes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates import hashing
from aggregates.sketches import (
    BIN_ERROR,
    EXACT_UNIQUES,
    HASHED,
    MAX_BIN,
    UNIQUES_ERROR,
    bins_of,
    bounds_of,
    cells_of,
    estimate,
    estimates,
    hash_texts,
    is_exact,
    merge_uniques,
    value_of,
)
from ingest.series import FloatArray, UInt64Array
from tallyboard.demo.flights import read_flights

SIZES = st.floats(1e-12, 1e15)
LEVELS = (0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


def floats(*values: float) -> FloatArray:
    return np.array(values, np.float64)


# --- bins -------------------------------------------------------------------------------------------------------------


@given(SIZES, st.sampled_from([1.0, -1.0]))
def test_a_bin_stands_for_its_values_within_one_percent(size: float, sign: float) -> None:
    (code,) = bins_of(floats(sign * size))
    (value,) = value_of(np.array([code]))
    assert abs(value - sign * size) <= size * (BIN_ERROR + 1e-9)
    low, high = bounds_of(np.array([code]))
    assert low[0] * (1 - 1e-9 * sign) <= sign * size <= high[0] * (1 + 1e-9 * sign)


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=50))
def test_codes_are_ordered_as_values_are(values: list[float]) -> None:
    codes = bins_of(floats(*sorted(values)))
    assert (np.diff(codes.astype(int)) >= 0).all()
    assert (np.abs(codes.astype(int)) <= MAX_BIN).all()


def test_every_code_finds_its_way_back() -> None:
    codes = np.arange(-MAX_BIN + 1, MAX_BIN).astype(np.int16)
    assert np.array_equal(bins_of(value_of(codes)), codes)
    low, high = bounds_of(codes)
    assert np.allclose(high[:-1], low[1:], rtol=1e-12)


def test_codes_stay_what_they_are() -> None:
    values = floats(0.0, -0.0, 5e-324, 9e-13, 1e-12, 1.0, 1.01, 12.5, -12.5, 1e15, 1e300, math.inf, -math.inf)
    assert bins_of(values).tolist() == [0, 0, 0, 0, 1, 1382, 1383, 1509, -1509, 3109, 3109, 3109, -3109]


def quantile_by_bins(values: FloatArray, level: float) -> float:
    codes, counts = np.unique(bins_of(values), return_counts=True)
    rank = math.ceil(level * len(values))
    return float(value_of(codes)[np.searchsorted(np.cumsum(counts), rank)])


def assert_quantiles(values: FloatArray) -> None:
    ordered = np.sort(values)
    for level in LEVELS:
        exact = float(ordered[math.ceil(level * len(values)) - 1])
        assert abs(quantile_by_bins(values, level) - exact) <= abs(exact) * (BIN_ERROR + 1e-9), level


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_of_made_data(seed: int) -> None:
    draw = np.random.default_rng(seed)
    assert_quantiles(draw.lognormal(3, 2, 50_000))
    assert_quantiles(-draw.lognormal(0, 3, 50_000))
    assert_quantiles(draw.normal(0, 100, 50_000))
    assert_quantiles(np.full(1000, 17.3))
    assert_quantiles(draw.choice([0.002, 5e6], 1000))
    assert_quantiles(np.zeros(10))


def test_quantiles_of_the_flights() -> None:
    flights = read_flights(100_000)
    for values in (flights.departure_delay, flights.arrival_delay, flights.distance):
        assert_quantiles(values[~np.isnan(values)])


# --- uniques ----------------------------------------------------------------------------------------------------------


def made_hashes(count: int, seed: int) -> UInt64Array:
    return hash_texts(pa.array([f"user-{seed}-{n}" for n in range(count)], pa.utf8()))


GOLDEN_HASHES = [
    "f0bd05579cf4a613",
    "c71320b49acf22a2",
    "f4605887bdbe5dbc",
    "80e8eecc5d1cb2c1",
    "a6148cbe97731a8f",
    "b2152ad6f37f7316",
    "8764adceb2cbdb1d",
]


def test_hashes_stay_what_they_are() -> None:
    texts = pa.array(["", "a", "Zoë", "0190f8a2-7c1e-7f3a-b1de-6f2a4c5d9e01", "x" * 512, "x" * 513, "x" * 600])
    assert [f"{h:016x}" for h in hash_texts(texts).tolist()] == GOLDEN_HASHES


def test_a_slice_hashes_as_its_texts_do() -> None:
    texts = pa.array(["abc", "", "defghijklm", "n" * 40, "o"])
    assert np.array_equal(hash_texts(texts.slice(2, 2)), hash_texts(texts)[2:4])


@pytest.mark.parametrize("count", [0, 1, 100, 4095, 4096])
def test_few_uniques_are_counted_exactly(count: int) -> None:
    hashes = made_hashes(count, 1)
    assert estimate(np.concatenate([hashes, hashes])) == count
    assert is_exact(hashes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [4097, 6000, 20_000, 60_000, 200_000])
def test_many_uniques_are_estimated(count: int, seed: int) -> None:
    found = estimate(made_hashes(count, seed))
    assert abs(found - count) <= UNIQUES_ERROR * count


@pytest.mark.parametrize("seed", range(6))
def test_uniques_of_random_hashes_up_to_a_million(seed: int) -> None:
    """The estimate alone, on hashes that are as good as hashes can be."""
    hashes = np.random.default_rng(seed).integers(0, 2**63, 1_000_000).astype(np.uint64) | HASHED
    cells = merge_uniques(np.zeros(len(hashes), np.int64), hashes)[1]
    assert len(cells) <= 2**15
    assert abs(estimate(cells) - 1_000_000) <= UNIQUES_ERROR * 1_000_000


def test_a_million_numbered_texts() -> None:
    texts = pa.array([str(n) for n in range(1_000_000)])
    assert abs(estimate(hash_texts(texts)) - 1_000_000) <= UNIQUES_ERROR * 1_000_000


@settings(max_examples=30)
@given(st.integers(1, 12_000), st.integers(1, 6), st.randoms(use_true_random=False))
def test_uniques_do_not_depend_on_order_and_on_when_they_were_merged(count: int, parts: int, random: object) -> None:
    draw = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    hashes = made_hashes(count, 0)
    merged: list[UInt64Array] = []
    for part in range(parts):
        chosen = hashes[draw.random(count) < 0.5] if part else hashes
        codes = merge_uniques(np.zeros(len(chosen), np.int64), chosen)[1]
        merged.append(cells_of(codes) if part % 2 and is_exact(codes) and count > EXACT_UNIQUES else codes)
        if len(merged) == 2:
            both = np.concatenate([merged[1], merged[0]])
            merged = [merge_uniques(np.zeros(len(both), np.int64), both)[1]]
    assert estimate(np.concatenate(merged)) == estimate(hashes)
    if count <= EXACT_UNIQUES:
        assert estimate(np.concatenate(merged)) == count


def test_a_few_hashes_join_a_set_that_became_cells() -> None:
    """Cells and hashes together are fewer than the limit: they are no exact count all the same."""
    hashes = made_hashes(EXACT_UNIQUES + 51, 0)
    cells = np.unique(cells_of(hashes[:-50]))
    codes = np.concatenate([hashes[-50:], cells])
    assert len(codes) < EXACT_UNIQUES
    assert estimate(codes) == estimate(hashes)


def test_groups_are_merged_side_by_side() -> None:
    sets = [made_hashes(count, seed) for seed, count in enumerate((0, 3, 5000, 4096, 40_000))]
    groups = np.concatenate([np.full(len(found), group) for group, found in enumerate(sets)])
    codes = np.concatenate(sets)
    order = np.random.default_rng(5).permutation(len(codes))
    together = estimates(groups[order], codes[order], 6)
    assert together.tolist() == [*(estimate(found) for found in sets), 0.0]
    merged_groups, merged = merge_uniques(groups[order], codes[order])
    assert np.array_equal(estimates(merged_groups, merged, 6), together)
    assert len(merged) < len(codes)
    assert (merged[merged < HASHED] < 2**21).all()


def test_a_cell_holds_its_rank() -> None:
    hashes = np.array([0, 1, (1 << 62) | 7, (1 << 15) | 3], np.uint64) | HASHED
    cells = cells_of(hashes)
    assert [(int(c) >> 6, int(c) & 63) for c in cells] == [(0, 49), (1, 49), (7, 1), (3, 48)]


# --- grouping by hash -------------------------------------------------------------------------------------------------

NEAR = st.lists(st.one_of(st.integers(0, 5), st.integers(2**64 - 4, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=60)


@given(NEAR)
def test_order_and_distinct_are_those_of_a_stable_sort(values: list[int]) -> None:
    """Values that differ in their lowest bits alone included: no sender may break it by a choice of keys."""
    array: npt.NDArray[np.uint64] = np.array(values, np.uint64)
    assert np.array_equal(hashing.order_by(array), np.argsort(array, kind="stable"))
    first, inverse = hashing.distinct(array)
    expected = np.unique(array, return_index=True, return_inverse=True)
    assert np.array_equal(first, expected[1])
    assert np.array_equal(inverse, expected[2])
