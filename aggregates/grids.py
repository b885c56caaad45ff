"""Merged parts of an answer as arrays, and the measures made of them. Pure.

A grid has one cell per (bucket, slot): slots are the groups of the answer. Arrays have the shape (buckets, slots).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregates.estimates import Bins, Codes, histograms, percentiles, uniques
from aggregates.measures import HISTOGRAM, UNIQUES, tenths
from aggregates.sketches import BIN_ERROR, UNIQUES_ERROR
from ingest.series import FloatArray, Int64Array

Columns = Mapping[str, npt.NDArray[Any]]
"""What a statement gave: column → values, masked where there are nulls."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Floats are NaN where nothing numeric was counted; `total` is 0 there. `seconds` is each bucket's length."""

    seconds: FloatArray
    count: Int64Array
    numbers: Int64Array
    total: FloatArray
    low: FloatArray
    high: FloatArray
    last: FloatArray
    bins: Bins | None = None
    codes: Codes | None = None
    bounds: dict[str, float] = field(default_factory=dict)
    """Measure → largest relative error, of the measures that were asked for and are not exact."""

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.seconds), self.count.shape[1]

    def measure(self, name: str) -> npt.NDArray[Any]:
        """A measure of every cell: of floats NaN where it has none, of histograms lists."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            match name:
                case "count":
                    return self.count
                case "sum" | "increase":
                    return self.total
                case "avg":
                    return np.where(self.numbers > 0, self.total / self.numbers, np.nan)
                case "rate":
                    return self.total / np.maximum(self.seconds, 1)[:, None]
                case "min":
                    return self.low
                case "max":
                    return self.high
                case "last":
                    return self.last
        return self._estimate(name)

    def _estimate(self, name: str) -> npt.NDArray[Any]:
        if name == UNIQUES:
            if self.codes is None:
                return np.zeros(self.shape, np.int64)
            found, exact = uniques(self.codes, self.count.size)
            if not exact:
                self.bounds[name] = UNIQUES_ERROR
            return found.reshape(self.shape)
        wanted = tenths(name)
        low, high = self.low.ravel(), self.high.ravel()
        if name == HISTOGRAM:
            cells = np.empty(self.count.size, object)
            cells[:] = [[] for _ in range(self.count.size)] if self.bins is None else histograms(self.bins, low, high)
            return cells.reshape(self.shape)
        if wanted is None:
            raise ValueError(f"there is no measure {name}")
        self.bounds[name] = BIN_ERROR
        if self.bins is None:
            return np.full(self.shape, np.nan)
        return percentiles(self.bins, low, high, [wanted])[wanted].reshape(self.shape)

    def with_bins(self, found: Columns) -> Grid:
        """With the columns bucket, slot, bin and n; slots are those of the grid."""
        n = found["n"].astype(np.int64)
        return replace(self, bins=Bins.of(self._cells(found), found["bin"].astype(np.int16), n))

    def with_codes(self, found: Columns) -> Grid:
        """With the columns bucket, slot and code; slots are those of the grid."""
        return replace(self, codes=Codes.of(self._cells(found), found["code"].astype(np.uint64)))

    def over(self, ranges: Sequence[tuple[int, int]], seconds: FloatArray) -> Grid:
        """The grid of ranges of buckets (first, and the one behind the last), which may overlap; buckets are in the
        order of time."""
        slots = self.shape[1]

        def each(values: npt.NDArray[Any], merged: Any) -> Any:
            return np.array([merged(values[first:last]) for first, last in ranges]).reshape(len(ranges), slots)

        def lists(cell: Int64Array) -> tuple[Int64Array, Int64Array]:
            """Rows of a list, and their cells in the new grid: the cells of the old one are sorted."""
            ends = [np.searchsorted(cell, (first * slots, last * slots)).tolist() for first, last in ranges]
            rows = np.concatenate([np.arange(first, last) for first, last in ends])
            place = np.repeat(np.arange(len(ranges)), [last - first for first, last in ends])
            return rows, place * slots + cell[rows] % slots

        bins = codes = None
        if self.bins is not None:
            rows, cells = lists(self.bins.cell)
            bins = Bins.of(cells, self.bins.code[rows], self.bins.n[rows])
        if self.codes is not None:
            rows, cells = lists(self.codes.cell)
            codes = Codes.of(cells, self.codes.code[rows])
        return Grid(
            seconds,
            each(self.count, _total),
            each(self.numbers, _total),
            each(self.total, _total),
            each(self.low, _lowest),
            each(self.high, _highest),
            each(self.last, _latest),
            bins,
            codes,
        )

    def merged(self, slots: Int64Array, size: int) -> Grid:
        """The grid of `size` other slots, each put together from those that it is given for; their `last` is NaN."""
        shape = (len(self.seconds), size)

        def each(values: npt.NDArray[Any], empty: float, merge: np.ufunc) -> npt.NDArray[Any]:
            wide = np.full(shape, empty, values.dtype)
            merge.at(wide.T, slots, values.T)
            return wide

        def cells(cell: Int64Array) -> Int64Array:
            found: Int64Array = cell // self.shape[1] * size + slots[cell % self.shape[1]]
            return found

        with np.errstate(over="ignore", invalid="ignore"):
            return Grid(
                self.seconds,
                each(self.count, 0, np.add),
                each(self.numbers, 0, np.add),
                each(self.total, 0.0, np.add),
                each(self.low, np.nan, np.fmin),
                each(self.high, np.nan, np.fmax),
                np.full(shape, np.nan),
                None if self.bins is None else Bins.of(cells(self.bins.cell), self.bins.code, self.bins.n),
                None if self.codes is None else Codes.of(cells(self.codes.cell), self.codes.code),
            )

    def _cells(self, found: Columns) -> Int64Array:
        cells: Int64Array = found["bucket"].astype(np.int64) * self.shape[1] + found["slot"]
        return cells


def _total(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        total: npt.NDArray[Any] = values.sum(axis=0)
    return total


def _lowest(values: FloatArray) -> FloatArray:
    found: FloatArray = np.fmin.reduce(values, axis=0, initial=np.nan)
    return found


def _highest(values: FloatArray) -> FloatArray:
    found: FloatArray = np.fmax.reduce(values, axis=0, initial=np.nan)
    return found


def _latest(values: FloatArray) -> FloatArray:
    """Of each column the last number."""
    newest = np.full(values.shape[1], np.nan)
    for row in values:
        newest = np.where(np.isnan(row), newest, row)
    return newest


def grid_of(found: Columns, seconds: FloatArray, slots: int) -> Grid:
    """The grid of the columns bucket, slot and parts (of `planner.MERGES`, count at least), one row per cell."""
    shape = (len(seconds), slots)
    at = found["bucket"].astype(np.int64) * slots + found["slot"]

    def integers(name: str) -> Int64Array:
        values = np.zeros(shape, np.int64)
        if name in found:
            values.ravel()[at] = found[name].astype(np.int64)
        return values

    def floats(name: str, empty: float) -> FloatArray:
        values = np.full(shape, empty, np.float64)
        if name in found:
            values.ravel()[at] = np.ma.filled(found[name].astype(np.float64), empty)
        return values

    return Grid(
        seconds.astype(np.float64),
        integers("count"),
        integers("numbers"),
        floats("sum", 0.0),
        floats("min", np.nan),
        floats("max", np.nan),
        floats("last", np.nan),
    )


def parts_of(measures: Sequence[str]) -> frozenset[str]:
    """The parts (of `planner.MERGES`) that the measures are made of."""
    needed: set[str] = {"count"}
    for name in measures:
        if tenths(name) is not None or name == HISTOGRAM:
            needed |= {"min", "max"}
        else:
            needed |= _PARTS.get(name, set())
    return frozenset(needed)


_PARTS: Mapping[str, set[str]] = {
    "sum": {"sum"},
    "increase": {"sum"},
    "rate": {"sum"},
    "avg": {"sum", "numbers"},
    "min": {"min"},
    "max": {"max"},
    "last": {"last"},
}
