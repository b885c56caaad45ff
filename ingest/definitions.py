"""What a registry says, as values: metrics, the rules for their dimensions, derived metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ingest.series import Kind

Better = Literal["up", "down"]
Unknown = Literal["register", "reject"]
Part = tuple[str, str]
"""A metric and one of its measures."""


@dataclass(frozen=True, slots=True)
class DimensionRule:
    """What the values of one dimension must be; None means: anything."""

    values: frozenset[str] | None = None
    pattern: str | None = None
    """The whole value matches; see `ingest.patterns`."""
    limit: int | None = None
    """Most different values: a fuse, per process (`ingest.fuses`)."""
    required: bool = False


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What the registry says about one metric; None means: not said."""

    name: str
    kind: Kind | None = None
    unit: str | None = None
    description: str = ""
    better: Better | None = None
    measure: str | None = None
    """Headline measure of a tile, such as `sum`."""
    dimensions: tuple[str, ...] = ()
    """The declared ones. Events may have others."""
    views: tuple[tuple[str, ...], ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    rules: Mapping[str, DimensionRule] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Dimension → rule; a dimension that is not in here has none."""
    past_ms: int | None = None
    """How much older than its arrival an event may be."""
    future_ms: int | None = None
    """How far ahead of its arrival an event may be."""
    group: str | None = None
    """Where it stands on the overview."""
    retention_ms: Mapping[str, int | None] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Level of buckets → how long it is kept, None for ever; a level that is not in here is not said."""


@dataclass(frozen=True, slots=True)
class DerivedMetric:
    """A ratio of two measures, to be computed from merged parts."""

    name: str
    numerator: Part
    denominator: Part
    unit: str | None = None
    description: str = ""
    better: Better | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """Every known metric by name, and what happens to the others."""

    metrics: Mapping[str, MetricDefinition] = field(default_factory=lambda: MappingProxyType({}))
    unknown: Unknown = "register"
    derived: Mapping[str, DerivedMetric] = field(default_factory=lambda: MappingProxyType({}))
