"""What can be wrong with an event: a closed set of reasons, and the verdict as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why an event was refused. The text is the `code` of the answer, and a label of the metrics."""

    MALFORMED = "malformed"
    """The line or element is no JSON (NaN, a lone surrogate and too deep nesting count as this)."""
    ENCODING = "encoding"
    """The line or element is not UTF-8."""
    TOO_LARGE = "too_large"
    """The line or element is longer than an event may be."""
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    """A number that a 64-bit float cannot hold, or outside the bounds of the registry."""
    METRIC_NAME = "metric_name"
    UNKNOWN_METRIC = "unknown_metric"
    """The registry says `unknown = "reject"` and does not list the metric."""
    KIND_MISMATCH = "kind_mismatch"
    """A text for a numeric metric, or a number for one of kind `unique`."""
    TEXT_VALUE = "text_value"
    TS_INVALID = "ts_invalid"
    TS_TOO_OLD = "ts_too_old"
    TS_FUTURE = "ts_future"
    DIMENSION_COUNT = "dimension_count"
    DIMENSION_NAME = "dimension_name"
    DIMENSION_VALUE = "dimension_value"
    DIMENSION_MISSING = "dimension_missing"
    """The registry requires the dimension."""
    DIMENSION_NOT_ALLOWED = "dimension_not_allowed"
    """The value is not among the registry's values, or does not match its pattern."""
    CARDINALITY = "cardinality"
    """The dimension has as many values as the registry allows: a fuse, per process."""
    SERIES_LIMIT = "series_limit"
    """The key may not make more series: a fuse, per process."""
    ID_INVALID = "id_invalid"
    ATOMIC = "atomic"
    """Nothing is wrong with it, but another event of its atomic request was rejected."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The verdict on an event that is not taken. `field` is its path, such as `dimensions.country`."""

    reason: Reason
    field: str | None
    message: str


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """A rejected event with its place in the request (from 0) and everything the client sent."""

    index: int
    id: str | None
    verdict: Rejected
    original: bytes


def shown(value: object) -> str:
    """A value of a client, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
