"""The measures: their names, which kind of metric has which, and what they are made of. Pure.

A percentile pNN or pNN.N is the value of nearest rank: of n values in order the one at place ⌈NN/100 · n⌉, at least
the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest import measures
from ingest.measures import HISTOGRAM, UNIQUES, tenths
from ingest.series import Kind

__all__ = ["HISTOGRAM", "MEASURES", "UNIQUES", "has_measure", "measures_of", "tenths"]

MEASURES: Final = measures.ALL
"""Those that are listed; every other pNN and pNN.N of a distribution is answered too."""
RATIO: Final = "ratio"
"""The one measure of a derived metric."""
DERIVED: Final = "derived"
"""What stands for the kind of a derived metric."""
HEADLINES: Final = {
    "counter": "sum", "cumulative": "increase", "gauge": "avg", "distribution": "avg", "unique": UNIQUES,
    DERIVED: RATIO,
}  # fmt: skip
"""Kind → the measure its tile shows when the registry names none."""


def measures_of(kind: str) -> tuple[str, ...]:
    """The measures of a kind, or of a derived metric, as they are listed."""
    return (RATIO,) if kind == DERIVED else measures.measures_of(Kind(kind))


def is_measure(name: str) -> bool:
    """Whether any metric could have the measure."""
    return name in MEASURES or name == RATIO or tenths(name) is not None


def has_measure(kind: str, name: str) -> bool:
    """Whether metrics of the kind have the measure."""
    return name == RATIO if kind == DERIVED else measures.has_measure(Kind(kind), name)


def needs_bins(names: Iterable[str]) -> bool:
    """Whether one of the measures is made of bins."""
    return any(name == HISTOGRAM or tenths(name) is not None for name in names)


def needs_codes(names: Iterable[str]) -> bool:
    """Whether one of the measures is made of sets of hashes and cells."""
    return UNIQUES in names


def type_of(measure: str) -> str:
    """The type of a column: integer, number or histogram."""
    if measure in ("count", UNIQUES):
        return "integer"
    return HISTOGRAM if measure == HISTOGRAM else "number"


def unit_of(measure: str, unit: str | None) -> str | None:
    """The unit of a column of a metric with this unit."""
    if measure == "count":
        return "events"
    return f"{unit or ''}/s" if measure == "rate" else unit
