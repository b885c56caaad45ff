"""The registry `metrics.toml`: what is known about a metric before its first event.

    unknown = "register"                  # or "reject": events of metrics that are not listed are refused
    [metrics."orders.revenue"]
    kind = "distribution"                 # counter gauge distribution unique cumulative
    unit = "EUR"
    description = "Paid amount of an order"
    better = "up"                         # or "down"
    measure = "sum"                       # shown first
    min = 0
    max = 100000
    skew = { past = "30d", future = "1h" }
    views = [["country"], ["country", "product"]]
    retention = { "1s" = "30m", "1m" = "3d", "15m" = "1y", "1d" = "forever" }
    dimensions.country = { values = ["NL", "DE", "FR"] }
    dimensions.product = { pattern = "p[0-9]+", limit = 10000, required = true }
    [metrics."orders.refunds"]
    [derived.refund_rate]
    numerator = "orders.refunds:count"
    denominator = "orders.revenue:count"

Everything is optional. A registry never changes what was already written: what a delta needs stands in its record.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from ingest import metric_tables, toml_files
from ingest.definitions import DerivedMetric, DimensionRule, MetricDefinition, Registry, Unknown
from ingest.measures import HISTOGRAM, has_measure, measures_of
from ingest.toml_files import TomlFile, TomlMistake
from ingest.toml_tables import did_you_mean, shortened

__all__ = [
    "DerivedMetric", "DimensionRule", "MetricDefinition", "Registry", "RegistryError", "load", "mistakes",
]  # fmt: skip

TOP_FIELDS: Final = frozenset({"unknown", "metrics", "derived"})


RegistryError = TomlMistake
"""A registry file that cannot be used."""


def load(*paths: Path) -> Registry:
    """Read the files in order: a later one adds to, and redefines metrics of, the earlier ones.

    A file that does not exist counts as empty. Raises `RegistryError` for the first thing that is wrong.
    """
    reading = _Reading(paths)
    if reading.mistakes:
        raise reading.mistakes[0]
    return reading.registry


def mistakes(*paths: Path) -> list[RegistryError]:
    """Everything that is wrong in the files, in their order and by line; `load` raises the first of it."""
    return _Reading(paths).mistakes


class _Reading:
    """The files read one after the other, and what is wrong with them."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.mistakes: list[RegistryError] = []
        self._metrics: dict[str, MetricDefinition] = {}
        self._derived: dict[str, DerivedMetric] = {}
        self._unknown: Unknown = "register"
        self._derived_in: dict[str, TomlFile] = {}
        whole = True
        for path in paths:
            try:
                file = toml_files.read(path)
            except RegistryError as error:
                self.mistakes.append(error)
                whole = False
            else:
                self._read(file)
        if whole:  # metrics of a file that cannot be read would be missed in every reference
            self._check_derived()
        order = {path: number for number, path in enumerate(paths)}
        self.mistakes.sort(key=lambda mistake: (order[mistake.file], mistake.line or 0))

    @property
    def registry(self) -> Registry:
        return Registry(MappingProxyType(self._metrics), self._unknown, MappingProxyType(self._derived))

    def _read(self, file: TomlFile) -> None:
        top = file.top(lambda place, message: self.mistakes.append(file.mistake(place, message)))
        top.only(TOP_FIELDS)
        self._unknown = cast("Unknown | None", top.choice("unknown", ("register", "reject"))) or self._unknown
        for name, table in top.tables("metrics"):
            self._metrics[name] = metric_tables.metric(name, table)
        for name, table in top.tables("derived"):
            found = metric_tables.derived(name, table)
            if found is not None:
                self._derived[name] = found
                self._derived_in[name] = file

    def _check_derived(self) -> None:
        for name, derived in self._derived.items():
            file = self._derived_in[name]
            if name in self._metrics:
                self.mistakes.append(file.mistake(("derived", name), "a metric has this name already"))
            for field, (metric, measure) in (("numerator", derived.numerator), ("denominator", derived.denominator)):
                fault = self._part_fault(metric, measure)
                if fault:
                    self.mistakes.append(file.mistake(("derived", name, field), fault))

    def _part_fault(self, metric: str, measure: str) -> str | None:
        definition = self._metrics.get(metric)
        if definition is None and (metric in self._derived or self._unknown == "reject"):
            what = "is a derived metric itself" if metric in self._derived else "is not listed, and so gets no events"
            return f"{shortened(metric)} {what}{did_you_mean(metric, self._metrics)}"
        kind = definition.kind if definition else None
        known = tuple(name for name in measures_of(kind) if name != HISTOGRAM)
        if measure == HISTOGRAM or not has_measure(kind, measure):
            hint = did_you_mean(measure, known)
            return f"{shortened(metric)} has no measure {shortened(measure)}{hint}; it has: {', '.join(known)}"
        return None
