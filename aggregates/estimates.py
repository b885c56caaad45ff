"""Percentiles, histograms and distinct counts from merged bins and codes. Pure.

An answer has *cells*, numbered from 0: one per bucket and group. Bins and codes come as flat columns that say which
cell they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aggregates import sketches
from ingest.series import FloatArray, Int64Array, UInt64Array

Histogram = list[tuple[float, float, int]]
"""Lower end, upper end and number of values of each bin that is not empty."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Values by cell and bin (`sketches.bins_of`), sorted by both, each pair once."""

    cell: Int64Array
    code: npt.NDArray[np.int16]
    n: Int64Array

    @classmethod
    def of(cls, cell: Int64Array, code: npt.NDArray[np.int16], n: Int64Array) -> Bins:
        """From columns in any order, a pair once or more often."""
        order = np.lexsort((code, cell))
        cell, code, n = cell[order], code[order], n[order]
        if not len(cell):
            return cls(cell, code, n)
        first = np.flatnonzero(np.append(True, (cell[1:] != cell[:-1]) | (code[1:] != code[:-1])))
        return cls(cell[first], code[first], np.add.reduceat(n, first))


@dataclass(frozen=True, slots=True)
class Codes:
    """Distinct texts by cell, as hashes and cells of a sketch (`sketches.merge_uniques`)."""

    cell: Int64Array
    code: UInt64Array

    @classmethod
    def of(cls, cell: Int64Array, code: UInt64Array) -> Codes:
        """From columns in any order, a pair once or more often."""
        return cls(*sketches.merge_uniques(cell, code))


def percentiles(bins: Bins, low: FloatArray, high: FloatArray, tenths: Sequence[int]) -> Mapping[int, FloatArray]:
    """Each wanted percentile (in tenths of a percent) of each cell; NaN where a cell has no values.

    Nearest rank, so one of the values up to `sketches.BIN_ERROR`, relatively; never outside of the smallest (`low`)
    and the largest (`high`) value of its cell, shape (cells,).
    """
    found = {wanted: np.full(len(low), np.nan) for wanted in tenths}
    if not len(bins.cell):
        return found
    starts = np.flatnonzero(np.append(True, bins.cell[1:] != bins.cell[:-1]))
    cells = bins.cell[starts]
    reached = np.cumsum(bins.n)
    totals = np.add.reduceat(bins.n, starts)
    before = reached[starts] - bins.n[starts]
    for wanted in tenths:
        rank = np.maximum(-(-wanted * totals // 1000), 1)
        at = np.searchsorted(reached, before + rank)
        value = sketches.value_of(bins.code[at])
        found[wanted][cells] = np.fmax(np.fmin(value, high[cells]), low[cells])
    return found


def histograms(bins: Bins, low: FloatArray, high: FloatArray) -> list[Histogram]:
    """The bins of each cell that hold values, in order. The outermost bins reach as far as the values do."""
    lower, upper = sketches.bounds_of(bins.code)
    lower = np.where(bins.code == -sketches.MAX_BIN, np.fmin(lower, low[bins.cell]), lower)
    upper = np.where(bins.code == sketches.MAX_BIN, np.fmax(upper, high[bins.cell]), upper)
    triples = list(zip(lower.tolist(), upper.tolist(), bins.n.tolist(), strict=True))
    ends = np.searchsorted(bins.cell, np.arange(len(low)), "right").tolist()
    return [triples[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def uniques(codes: Codes, cells: int) -> tuple[Int64Array, bool]:
    """How many distinct texts each cell has, shape (cells,), and whether all of these are exact."""
    counted = sketches.estimates(codes.cell, codes.code, cells)
    return np.rint(counted).astype(np.int64), bool((codes.code >= sketches.HASHED).all())
