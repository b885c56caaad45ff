"""The registry `metrics.toml`: what is known about a metric before its first event.

    unknown = "register"                  # or "reject": events of metrics that are not listed are refused
    [metrics."orders.revenue"]
    kind = "distribution"                 # counter gauge distribution unique cumulative
    unit = "EUR"
    better = "up"                         # or "down"
    measure = "sum"                       # shown first
    min = 0
    max = 100000
    views = [["country"], ["country", "product"]]
    dimensions.country = {}

Everything is optional. A registry never changes what was already written: what a delta needs stands in its record.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from ingest.series import Kind

_METRIC_FIELDS: Final = frozenset(
    {"kind", "unit", "description", "better", "measure", "min", "max", "views", "dimensions", "skew"}
)
_TOP_FIELDS: Final = frozenset({"unknown", "metrics", "derived"})


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What the registry says about one metric; None means: not said."""

    name: str
    kind: Kind | None = None
    unit: str | None = None
    description: str = ""
    better: Literal["up", "down"] | None = None
    measure: str | None = None
    """Headline measure of a tile, such as `sum`."""
    dimensions: tuple[str, ...] = ()
    views: tuple[tuple[str, ...], ...] | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """Every known metric by name, and what happens to the others."""

    metrics: Mapping[str, MetricDefinition] = field(default_factory=lambda: MappingProxyType({}))
    unknown: Literal["register", "reject"] = "register"


class RegistryError(Exception):
    """A registry file that cannot be used: names the file, where possible the line, and the field."""

    def __init__(self, file: Path, line: int | None, field: str, message: str) -> None:
        self.file, self.line, self.field, self.message = file, line, field, message
        where = f"{file}:{line}" if line else str(file)
        super().__init__(f"{where}: {field}: {message}" if field else f"{where}: {message}")


class _Invalid(Exception):
    """A wrong field inside one metric; the reader adds file and line."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


def load(*paths: Path) -> Registry:
    """Read the files in order: a later one adds to, and redefines metrics of, the earlier ones.

    A file that does not exist counts as empty. Raises `RegistryError` for the first thing that is wrong.
    """
    metrics: dict[str, MetricDefinition] = {}
    unknown: Literal["register", "reject"] = "register"
    for path in paths:
        text = _read(path)
        document = _parse(path, text)
        unknown = _unknown_rule(path, text, document, unknown)
        tables = document.get("metrics", {})
        if not isinstance(tables, dict):
            raise RegistryError(path, _line_of(text, "metrics"), "metrics", "expected a table of metrics")
        for name, table in tables.items():
            try:
                metrics[name] = _definition(name, table)
            except _Invalid as error:
                line = _line_of(text, error.field, metric=name)
                raise RegistryError(path, line, f"metrics.{name}.{error.field}".rstrip("."), error.message) from None
    return Registry(MappingProxyType(metrics), unknown)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise RegistryError(path, None, "", f"not UTF-8: {error}") from None
    except OSError as error:
        raise RegistryError(path, None, "", f"cannot be read: {error.strerror}") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines())
        raise RegistryError(path, line, "", f"not TOML: {error}") from None


def _unknown_rule(
    path: Path, text: str, document: dict[str, Any], before: Literal["register", "reject"]
) -> Literal["register", "reject"]:
    for name in document:
        if name not in _TOP_FIELDS:
            raise RegistryError(path, _line_of(text, name), name, f"unknown field; known: {_listed(_TOP_FIELDS)}")
    match document.get("unknown", before):
        case "register":
            return "register"
        case "reject":
            return "reject"
        case other:
            message = f'expected "register" or "reject", found {other!r}'
            raise RegistryError(path, _line_of(text, "unknown"), "unknown", message)


def _definition(name: str, table: object) -> MetricDefinition:
    if not isinstance(table, dict):
        raise _Invalid("", "expected a table")
    if not name:
        raise _Invalid("", "a metric needs a name")
    for given in table:
        if given not in _METRIC_FIELDS:
            raise _Invalid(given, f"unknown field; known: {_listed(_METRIC_FIELDS)}")
    minimum, maximum = _number(table, "min"), _number(table, "max")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise _Invalid("max", f"{maximum:g} is below min, {minimum:g}")
    return MetricDefinition(
        name=name,
        kind=_kind(table),
        unit=_text(table, "unit"),
        description=_text(table, "description") or "",
        better=_better(table),
        measure=_text(table, "measure"),
        dimensions=_dimensions(table),
        views=_views(table),
        minimum=minimum,
        maximum=maximum,
    )


def _kind(table: dict[str, Any]) -> Kind | None:
    given = _text(table, "kind")
    if given is None:
        return None
    try:
        return Kind(given)
    except ValueError:
        raise _Invalid("kind", f"expected one of {_listed(Kind)}, found {given!r}") from None


def _better(table: dict[str, Any]) -> Literal["up", "down"] | None:
    match table.get("better"):
        case None:
            return None
        case "up":
            return "up"
        case "down":
            return "down"
        case other:
            raise _Invalid("better", f'expected "up" or "down", found {other!r}')


def _text(table: dict[str, Any], name: str) -> str | None:
    given = table.get(name)
    if given is not None and (not isinstance(given, str) or (not given and name != "description")):
        raise _Invalid(name, f"expected a text, found {given!r}")
    return given


def _number(table: dict[str, Any], name: str) -> float | None:
    given = table.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given:
        raise _Invalid(name, f"expected a number, found {given!r}")
    return float(given)


def _dimensions(table: dict[str, Any]) -> tuple[str, ...]:
    given = table.get("dimensions", ())
    if not isinstance(given, dict | list | tuple) or not all(isinstance(name, str) and name for name in given):
        raise _Invalid("dimensions", "expected a list of names, or a table by name")
    return tuple(given)


def _views(table: dict[str, Any]) -> tuple[tuple[str, ...], ...] | None:
    given = table.get("views")
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(view, list) for view in given):
        raise _Invalid("views", 'expected a list of lists of dimensions, such as [["country"], ["country", "product"]]')
    for view in given:
        if not all(isinstance(name, str) and name for name in view) or len(set(view)) != len(view):
            raise _Invalid("views", f"expected different dimension names, found {view!r}")
    return tuple(tuple(view) for view in given)


def _listed(names: object) -> str:
    return ", ".join(sorted(str(name) for name in names))  # type: ignore[attr-defined]


def _line_of(text: str, field: str, metric: str | None = None) -> int | None:
    """Line (from 1) of a field, found by its text, since tomllib keeps no positions; None when it is not found."""
    lines = text.splitlines()
    start = 0
    if metric is not None:
        header = re.compile(r"\s*\[\s*metrics\s*\.\s*[\"']?" + re.escape(metric) + r"[\"']?\s*[\].]")
        start = next((i for i, line in enumerate(lines) if header.match(line)), -1)
        if start < 0:
            return None
    wanted = re.compile(r"\s*[\"']?" + re.escape(field) + r"[\"']?\s*[=.]")
    for number in range(start + bool(metric), len(lines)):
        if metric is not None and lines[number].lstrip().startswith("["):
            break
        if field and wanted.match(lines[number]):
            return number + 1
    return start + 1 if metric is not None else None
