"""What is kept of values to answer percentiles, and of texts to count distinct ones: integers that merge. Pure.

**Bins.** A number falls into one of a fixed set of bins, numbered by an int16 code; codes are ordered as values are.
With γ = 1.01/0.99 and i = ⌈ln v / ln γ⌉, v > 0 has the code i − `_FIRST` + 1, where the powers i cover 1e-12 to 1e15;
what is larger shares the last bin, |v| < 1e-12 has the code 0, and v < 0 has the negative code of |v|. `value_of` is
within 1 % of every value of the bin. Bins of many rows merge by adding up counts, in any order.

**Uniques.** A text is kept as its hash, 63 bits and the top bit set. Up to `EXACT_UNIQUES` distinct hashes are counted
exactly. More of them become cells (HyperLogLog, 2^15 of them): code = cell · 64 + rank, below 2^21, so that codes of
both sorts stand in one column. Sets merge by union; of a cell the highest rank counts. The estimate is Ertl's
("New cardinality estimation algorithms for HyperLogLog sketches", 2017), standard error 0.6 %: it depends on the set
of hashes alone, never on when they became cells.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aggregates import hashing
from ingest.series import FloatArray, Int64Array, UInt64Array

Int16Array = npt.NDArray[np.int16]

GAMMA = 1.01 / 0.99
BIN_ERROR = 0.01
"""Relative error of `value_of`, for values between 1e-12 and 1e15 in size."""
UNIQUES_ERROR = 0.02
"""What `estimates` stays within (3.5 standard errors) once a set is no longer counted exactly."""
_LOG_GAMMA = math.log(GAMMA)
_SMALLEST, _LARGEST = 1e-12, 1e15
_FIRST = math.ceil(math.log(_SMALLEST) / _LOG_GAMMA)
MAX_BIN = math.ceil(math.log(_LARGEST) / _LOG_GAMMA) - _FIRST + 1
"""Codes run from −MAX_BIN to MAX_BIN."""

EXACT_UNIQUES = 4096
HASHED = np.uint64(1 << 63)
"""The bit that tells a hash from a cell."""
_P = 15
_RANK_BITS = np.uint64(6)
_RANKS = 63 - _P
"""Bits of a hash that give the rank: ranks run from 1 to _RANKS + 1."""
_TEXT = hashing.Mix(np.uint64(0x8C1F35A96B20D7E5), np.uint64(0xD6E8FEB86659FD93))


# --- bins -------------------------------------------------------------------------------------------------------------


def bins_of(values: FloatArray) -> Int16Array:
    """The code of each value's bin; infinite values fall into the outermost bins, NaN into that of zero."""
    size = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.ceil(np.log(size) / _LOG_GAMMA)
    code = np.clip(power - (_FIRST - 1), 1, MAX_BIN)
    code = np.copysign(np.where(size >= _SMALLEST, code, 0.0), values)
    return code.astype(np.int16)


def value_of(codes: npt.NDArray[np.integer]) -> FloatArray:
    """The value that stands for each bin: the point equally far, relatively, from both of its ends; 0 for code 0."""
    size = np.abs(codes).astype(np.float64)
    value = np.exp((size + (_FIRST - 1)) * _LOG_GAMMA) * (2 / (GAMMA + 1))
    return np.where(size == 0, 0.0, np.copysign(value, codes))


def bounds_of(codes: npt.NDArray[np.integer]) -> tuple[FloatArray, FloatArray]:
    """Lower and upper end of each bin. The outermost bins also hold what lies beyond them."""
    size = np.abs(codes).astype(np.float64)
    far = np.where(size == 0, _SMALLEST, np.exp((size + (_FIRST - 1)) * _LOG_GAMMA))
    near = np.where(size == 0, -_SMALLEST, np.exp((size + (_FIRST - 2)) * _LOG_GAMMA))
    return np.where(codes < 0, -far, near), np.where(codes < 0, -near, far)


# --- uniques ----------------------------------------------------------------------------------------------------------


def hash_texts(texts: pa.StringArray) -> UInt64Array:
    """The hash of each text (no nulls), top bit set: uint64, shape (n,). The same for ever, held by a golden test."""
    (hashes,) = hashing.hash_texts(texts, (_TEXT,))
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (hashes ^ (hashes >> np.uint64(31))) | HASHED


def cells_of(hashes: UInt64Array) -> UInt64Array:
    """The cell code (< 2^21) of each hash: the low 15 bits are the cell, the rank counts leading zeros above them."""
    rest = (hashes & ~HASHED) >> np.uint64(_P)
    _, length = np.frexp(rest.astype(np.float64))  # below 2^48, so exact
    rank = (_RANKS + 1 - length).astype(np.uint64)
    return ((hashes & np.uint64((1 << _P) - 1)) << _RANK_BITS) | rank


def merge_uniques(groups: Int64Array, codes: UInt64Array) -> tuple[Int64Array, UInt64Array]:
    """The sets of several groups, given as (group, code) pairs in any order and number, in their smallest form,
    sorted by group and code: hashes while at most `EXACT_UNIQUES` and none is a cell yet, else one code per cell."""
    groups, codes = _distinct(groups, codes)
    _, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    if not len(first):
        return groups, codes
    hashed = codes >= HASHED
    large = (sizes > EXACT_UNIQUES) | (np.minimum.reduceat(codes, first) < HASHED)
    settle = np.repeat(large, sizes)
    if not settle.any():
        return groups, codes
    turned = np.where(settle & hashed, cells_of(codes), codes)
    groups, codes = _distinct(groups, turned)
    cell = codes >> _RANK_BITS
    highest = np.ones(len(codes), np.bool_)
    highest[:-1] = (groups[1:] != groups[:-1]) | (cell[1:] != cell[:-1]) | (codes[1:] >= HASHED)
    return groups[highest], codes[highest]


def _distinct(groups: Int64Array, codes: UInt64Array) -> tuple[Int64Array, UInt64Array]:
    order = np.lexsort((codes, groups))
    groups, codes = groups[order], codes[order]
    kept = np.ones(len(codes), np.bool_)
    kept[1:] = (groups[1:] != groups[:-1]) | (codes[1:] != codes[:-1])
    return groups[kept], codes[kept]


def estimates(groups: Int64Array, codes: UInt64Array, size: int) -> FloatArray:
    """How many distinct texts each of the groups 0 … size − 1 has, given as (group, code) pairs: float64, shape
    (size,). A whole number while exact."""
    groups, codes = merge_uniques(groups, codes)
    found = np.bincount(groups, minlength=size).astype(np.float64)
    in_cells = codes < HASHED
    if not in_cells.any():
        return found
    ranks = (codes[in_cells] & np.uint64(63)).astype(np.int64)
    sketched, member = np.unique(groups[in_cells], return_inverse=True)
    width = _RANKS + 2
    histograms = np.bincount(member * width + ranks, minlength=len(sketched) * width).reshape(-1, width)
    for group, histogram in zip(sketched.tolist(), histograms.tolist(), strict=True):
        found[group] = _ertl(histogram)
    return found


def is_exact(codes: UInt64Array) -> bool:
    """Whether a merged set (`merge_uniques`) is counted exactly."""
    return not len(codes) or bool(codes.min() >= HASHED)


def estimate(codes: UInt64Array) -> float:
    """How many distinct texts one set has, given as codes in any order."""
    return float(estimates(np.zeros(len(codes), np.int64), codes, 1)[0])


def _ertl(ranks: list[int]) -> float:
    """The estimate from the number of cells of each rank; `ranks[0]` is filled in: cells nobody met."""
    cells = 1 << _P
    ranks = [cells - sum(ranks[1:]), *ranks[1:]]
    total = cells * _tau(1 - ranks[-1] / cells)
    for count in reversed(ranks[1:-1]):
        total = 0.5 * (total + count)
    total += cells * _sigma(ranks[0] / cells)
    return cells * cells / (2 * math.log(2) * total)


def _sigma(x: float) -> float:
    """x + Σ x^(2^k) 2^(k−1): what empty cells add."""
    if x == 1.0:
        return math.inf
    result, scale = x, 1.0
    while True:
        x *= x
        step = x * scale
        if result + step == result:
            return result
        result, scale = result + step, scale * 2


def _tau(x: float) -> float:
    """(1 − x − Σ (1 − x^(2^−k))² 2^−k) / 3: what full cells take away."""
    if x in (0.0, 1.0):
        return 0.0
    result, scale = 1 - x, 1.0
    while True:
        x, scale = math.sqrt(x), scale / 2
        step = (1 - x) ** 2 * scale
        if result - step == result:
            return result / 3
        result -= step
