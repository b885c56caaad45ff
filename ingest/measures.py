"""Which measures a metric of a kind has: what a query may ask for, a tile may show, and a ratio may be made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ingest.series import Kind

PERCENTILES: Final = ("p50", "p75", "p90", "p95", "p99", "p99.9")
"""Those that are listed; every other pNN and pNN.N is a measure too."""
HISTOGRAM: Final = "histogram"
UNIQUES: Final = "uniques"
_NUMERIC: Final = ("count", "sum", "avg", "min", "max", "last", "rate")
_COUNTER: Final = (*_NUMERIC, "increase")
_PERCENTILE: Final = re.compile(r"p(0|[1-9]\d?)(?:\.([1-9]))?")

MEASURES: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        Kind.COUNTER: _COUNTER,
        Kind.CUMULATIVE: _COUNTER,
        Kind.GAUGE: _NUMERIC,
        Kind.DISTRIBUTION: (*_NUMERIC, *PERCENTILES, HISTOGRAM),
        Kind.UNIQUE: ("count", UNIQUES),
    }
)
"""Kind → measures, as they are listed."""
ALL: Final = (*_COUNTER, UNIQUES, *PERCENTILES, HISTOGRAM)


def measures_of(kind: Kind | None) -> tuple[str, ...]:
    """The measures that metrics of a kind have, as they are listed; those of any kind where it is not said."""
    return ALL if kind is None else MEASURES[kind]


def has_measure(kind: Kind | None, name: str) -> bool:
    """Whether metrics of the kind have the measure; of a kind that is not said, whether any could."""
    return name in measures_of(kind) or (kind in (None, Kind.DISTRIBUTION) and tenths(name) is not None)


def tenths(name: str) -> int | None:
    """A percentile in tenths of a percent: 999 for p99.9. None for any other measure."""
    found = _PERCENTILE.fullmatch(name)
    wanted = int(found[1]) * 10 + int(found[2] or 0) if found else 0
    return wanted or None
