"""From tables of `metrics.toml` to definitions: one metric, the rules for a dimension, one derived metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, cast

from ingest.definitions import Better, DerivedMetric, DimensionRule, MetricDefinition, Part
from ingest.measures import HISTOGRAM, has_measure, measures_of
from ingest.names import dimension_fault, metric_fault, value_fault
from ingest.patterns import matches, pattern_fault
from ingest.series import Kind
from ingest.toml_tables import Table, did_you_mean, shortened

METRIC_FIELDS: Final = frozenset(
    {
        "kind",
        "unit",
        "description",
        "better",
        "measure",
        "min",
        "max",
        "views",
        "dimensions",
        "skew",
        "retention",
        "group",
    }
)
DIMENSION_FIELDS: Final = frozenset({"values", "pattern", "limit", "required"})
DERIVED_FIELDS: Final = frozenset({"numerator", "denominator", "unit", "description", "better", "group"})
SKEW_FIELDS: Final = frozenset({"past", "future"})
RETENTION_FIELDS: Final = ("1s", "1m", "15m", "1d")
"""Levels of buckets, from fine to coarse."""
FOREVER: Final = "forever"
_LEAST: Final = {"1s": ("1m", 60_000), "1m": ("15m", 900_000), "15m": ("1d", 86_400_000), "1d": ("1d", 86_400_000)}
"""The shortest time that a level can be kept, and in ms: a bucket of the next one."""
MAX_LIMIT: Final = 1_000_000
"""Largest `limit` of a dimension: its values are kept in memory to be counted."""

_DIMENSIONS_FORM: Final = "expected a table by name, or a list of different names"
_VIEWS_FORM: Final = 'expected a list of lists of dimensions, such as [["country"], ["country", "product"]]'


def metric(name: str, table: Table) -> MetricDefinition:
    """The definition that a table `metrics.<name>` gives; what is wrong in it is noted and left out."""
    table.only(METRIC_FIELDS)
    fault = metric_fault(name)
    if fault:
        table.mistake(fault)
    kind = _kind(table)
    rules = _rules(table)
    minimum, maximum = _bounds(table, kind)
    past_ms, future_ms = _skew(table)
    return MetricDefinition(
        name=name,
        kind=kind,
        unit=table.text("unit"),
        description=table.text("description", empty=True) or "",
        better=_better(table),
        measure=_headline(table, kind),
        dimensions=tuple(rules),
        views=_views(table, rules),
        minimum=minimum,
        maximum=maximum,
        rules=MappingProxyType(rules),
        past_ms=past_ms,
        future_ms=future_ms,
        group=table.text("group"),
        retention_ms=MappingProxyType(_retention(table)),
    )


def derived(name: str, table: Table) -> DerivedMetric | None:
    """The derived metric of a table `derived.<name>`; None without a usable numerator and denominator."""
    table.only(DERIVED_FIELDS)
    fault = metric_fault(name)
    if fault:
        table.mistake(fault)
    numerator, denominator = _part(table, "numerator"), _part(table, "denominator")
    unit, description = table.text("unit"), table.text("description", empty=True) or ""
    better = _better(table)
    if numerator is None or denominator is None:
        return None
    return DerivedMetric(name, numerator, denominator, unit, description, better, table.text("group"))


def _kind(table: Table) -> Kind | None:
    given = table.choice("kind", Kind)
    return None if given is None else Kind(given)


def _better(table: Table) -> Better | None:
    return cast("Better | None", table.choice("better", ("up", "down")))


def _headline(table: Table, kind: Kind | None) -> str | None:
    given = table.text("measure")
    known = tuple(name for name in measures_of(kind) if name != HISTOGRAM)
    if given is None or (has_measure(kind, given) and given != HISTOGRAM):
        return given
    of = f"kind {kind}" if kind else "a metric"
    message = f"{of} has no measure {shortened(given)}{did_you_mean(given, known)}; it has: {', '.join(known)}"
    table.mistake(message, "measure")
    return None


def _bounds(table: Table, kind: Kind | None) -> tuple[float | None, float | None]:
    minimum, maximum = table.number("min"), table.number("max")
    if minimum is not None and maximum is not None and minimum > maximum:
        table.mistake(f"{maximum:g} is below min, {minimum:g}", "max")
    if kind is Kind.UNIQUE:
        for name in ("min", "max"):
            if name in table.values:
                table.mistake("values of kind unique are texts, which have no bounds", name)
        return None, None
    return minimum, maximum


def _skew(table: Table) -> tuple[int | None, int | None]:
    skew = table.table("skew")
    if skew is None:
        return None, None
    skew.only(SKEW_FIELDS)
    return skew.duration_ms("past"), skew.duration_ms("future")


def _retention(table: Table) -> dict[str, int | None]:
    given = table.table("retention")
    if given is None:
        return {}
    given.only(RETENTION_FIELDS)
    return retention(given)


def retention(given: Table) -> dict[str, int | None]:
    """The levels that a table names → how long they are kept (ms), None for ever."""
    found: dict[str, int | None] = {}
    longest, longest_of = 0.0, ""
    for level in RETENTION_FIELDS:
        if level not in given.values:
            continue
        forever = given.values[level] == FOREVER
        kept_ms = None if forever else given.duration_ms(level, f', or "{FOREVER}"')
        if kept_ms is None and not forever:
            continue
        length = math.inf if kept_ms is None else kept_ms
        least, least_ms = _LEAST[level]
        if length < least_ms:
            given.mistake(f'at least "{least}" is expected, found {shortened(given.values[level])}', level)
        elif length < longest:
            finer = given.values[longest_of]
            message = f"{shortened(given.values[level])} is less than {longest_of} is kept, {shortened(finer)}"
            given.mistake(f"{message}: a finer level cannot outlive a coarser one", level)
        else:
            found[level] = kept_ms
            longest, longest_of = length, level
    return found


def _rules(table: Table) -> dict[str, DimensionRule]:
    given = table.values.get("dimensions", {})
    if isinstance(given, list) and all(isinstance(name, str) for name in given) and len(set(given)) == len(given):
        for position, name in enumerate(given):
            _check_name(table, name, "dimensions", position)
        return {name: DimensionRule() for name in given}
    if not isinstance(given, dict):
        table.mistake(_DIMENSIONS_FORM, "dimensions")
        return {}
    rules: dict[str, DimensionRule] = {}
    for name, inner in table.tables("dimensions"):
        _check_name(table, name, "dimensions", name)
        rules[name] = _rule(inner)
    return rules


def _check_name(table: Table, name: str, *path: str | int) -> None:
    fault = dimension_fault(name)
    if fault:
        table.mistake(fault, *path)


def _rule(table: Table) -> DimensionRule:
    table.only(DIMENSION_FIELDS)
    pattern = table.text("pattern")
    fault = None if pattern is None else pattern_fault(pattern)
    if fault:
        table.mistake(fault, "pattern")
        pattern = None
    values = _values(table, pattern)
    return DimensionRule(values, pattern, table.whole("limit", 1, MAX_LIMIT), table.flag("required"))


def _values(table: Table, pattern: str | None) -> frozenset[str] | None:
    given = table.values.get("values")
    if given is None:
        return None
    if not isinstance(given, list) or not given:
        table.mistake(f"expected a list of texts with at least one, found {shortened(given)}", "values")
        return None
    seen: set[str] = set()
    for position, value in enumerate(given):
        fault = _value_fault(value, pattern, seen)
        if fault:
            table.mistake(fault, "values", position)
        else:
            seen.add(value)
    return frozenset(seen)


def _value_fault(value: object, pattern: str | None, seen: set[str]) -> str | None:
    if not isinstance(value, str):
        return f"expected a text, found {shortened(value)}"
    if value in seen:
        return f"{shortened(value)} stands there twice"
    if pattern is not None and not matches(pattern, value):
        return f"{shortened(value)} does not match the pattern"
    return value_fault(value)


def _views(table: Table, rules: Mapping[str, DimensionRule]) -> tuple[tuple[str, ...], ...] | None:
    given = table.values.get("views")
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(view, list) for view in given):
        table.mistake(_VIEWS_FORM, "views")
        return None
    views: list[tuple[str, ...]] = []
    for position, view in enumerate(given):
        fault = _view_fault(view, rules, views)
        if fault:
            table.mistake(fault, "views", position)
        else:
            views.append(tuple(view))
    return tuple(views)


def _view_fault(view: list[object], rules: Mapping[str, DimensionRule], before: list[tuple[str, ...]]) -> str | None:
    if not all(isinstance(name, str) and name for name in view) or len(set(view)) != len(view):
        return f"expected different names of dimensions, found {shortened(view)}"
    names = cast("list[str]", view)
    for name in names:
        fault = dimension_fault(name)
        if fault is None and rules and name not in rules:
            fault = f"the metric has no dimension {name}{did_you_mean(name, rules)}; declared: {', '.join(rules)}"
        if fault:
            return fault
    if any(set(names) == set(other) for other in before):
        return f"the same view twice: {shortened(view)}"
    return None


def _part(table: Table, name: str) -> Part | None:
    given = table.text(name)
    if given is None:
        if name not in table.values:
            table.mistake(f'{name} is missing: "metric:measure" is expected')
        return None
    metric_name, colon, measure = given.rpartition(":")
    if not colon or metric_fault(metric_name):
        table.mistake(f'expected "metric:measure", found {shortened(given)}', name)
        return None
    return metric_name, measure
