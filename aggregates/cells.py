"""Values of measures as the cells of an answer: moved, divided, written. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregates.measures import HISTOGRAM, UNIQUES
from ingest.series import FloatArray

_ZEROS = frozenset({"count", "sum", "increase", "rate", UNIQUES})
"""Measures of no events that are 0; all others are none."""


def spread(name: str, values: npt.NDArray[Any], slots: Sequence[int], size: int) -> npt.NDArray[Any]:
    """The values of a measure (buckets, slots) moved to other slots of `size`; the rest is what nothing counts as."""
    wide: npt.NDArray[Any] = np.full((len(values), size), 0 if name in _ZEROS else np.nan, values.dtype)
    if name == HISTOGRAM:
        for at in np.ndindex(wide.shape):
            wide[at] = []
    wide[:, list(slots)] = values
    return wide


def ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> FloatArray:
    """The quotient; NaN where the denominator is 0 or one of both is not there."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(below == 0, np.nan, above / below)


def cells_of(values: npt.NDArray[Any]) -> list[object]:
    """Values as cells of an answer, bucket by bucket: None where there is none, or none that a double can hold."""
    flat = values.ravel()
    if flat.dtype != np.float64:
        return list(flat.tolist())
    finite = np.isfinite(flat)
    if finite.all():
        return list(flat.tolist())
    cells = flat.astype(object)
    cells[~finite] = None
    return list(cells.tolist())
