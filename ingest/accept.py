"""Which events are taken: the rules, one event at a time.

`STEPS` is the authority: pure functions over one event, each returning it (perhaps completed) or why it is rejected.
`ingest.batches` gives exactly these verdicts for whole batches.

Not its job: bytes and JSON (`ingest.protocols`), sending (`ingest.commit`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from ingest.registry import Registry
from ingest.series import Kind, Series
from ingest.verdicts import Reason, Rejected, shown

MAX_METRIC: Final = 200
MAX_DIMENSIONS: Final = 32
MAX_DIMENSION_NAME: Final = 128
MAX_DIMENSION_VALUE: Final = 512
MAX_TEXT: Final = 1024
MAX_ID: Final = 256
"""Longest id; like the limits above in characters."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
QUERY_MARKS: Final = re.compile(r"[,:*]|^!")
"""What separates names and values in the address of a query."""
QUOTED_NUMBER: Final = re.compile(
    r"\s*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+|nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_FAR_MS: Final = 1 << 62
"""Stands for times a 64-bit integer cannot hold: outside every accepted range."""

Timestamp = int | datetime | None
"""As sent: epoch milliseconds, a time with zone, or None for the time of arrival."""


class SentEvent(Protocol):
    """An event as a protocol decoded it: types are right, nothing else is known."""

    @property
    def metric(self) -> str: ...
    @property
    def value(self) -> float | str: ...
    @property
    def timestamp(self) -> Timestamp: ...
    @property
    def dimensions(self) -> bytes:
        """The dimensions as spelled by the client, or anything `bytes()` takes."""

    @property
    def id(self) -> str | None: ...


ParseDimensions = Callable[[bytes], Mapping[str, str] | Rejected]


@dataclass(frozen=True, slots=True)
class Rules:
    """What an event is judged by; times in milliseconds before and after its arrival."""

    registry: Registry = field(default_factory=Registry)
    past_ms: int = 7 * 24 * 3600 * 1000
    future_ms: int = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Draft:
    """One event on its way through the steps, with what it is judged by."""

    rules: Rules
    arrival_ms: int
    metric: str
    value: float | str
    time_ms: int
    dimensions: tuple[tuple[str, str], ...] = ()
    id: str | None = None
    kind: Kind | None = None
    unit: str | None = None

    @property
    def series(self) -> Series:
        """Only after `resolve_kind`."""
        assert self.kind is not None
        return Series(self.metric, self.kind, self.dimensions, self.unit)


Step = Callable[[Draft], Draft | Rejected]


def check_metric(draft: Draft) -> Draft | Rejected:
    if not 0 < len(draft.metric) <= MAX_METRIC:
        return Rejected(Reason.METRIC_NAME, "metric", f"a metric name has 1 to {MAX_METRIC} characters")
    if CONTROL.search(draft.metric):
        return Rejected(Reason.METRIC_NAME, "metric", "a metric name has no control characters")
    return draft


def check_dimensions(draft: Draft) -> Draft | Rejected:
    if len(draft.dimensions) > MAX_DIMENSIONS:
        message = f"{len(draft.dimensions)} dimensions, at most {MAX_DIMENSIONS} are taken"
        return Rejected(Reason.DIMENSION_COUNT, "dimensions", message)
    for name, value in draft.dimensions:
        where = f"dimensions.{name[:MAX_DIMENSION_NAME]}"
        if not 0 < len(name) <= MAX_DIMENSION_NAME:
            message = f"a dimension's name has 1 to {MAX_DIMENSION_NAME} characters"
            return Rejected(Reason.DIMENSION_NAME, where, message)
        if CONTROL.search(name) or name.startswith("__"):
            message = "a dimension's name has no control characters and does not start with two underscores"
            return Rejected(Reason.DIMENSION_NAME, where, message)
        if QUERY_MARKS.search(name):
            message = "a dimension's name has no comma, colon or asterisk and does not start with an exclamation mark"
            return Rejected(Reason.DIMENSION_NAME, where, message)
        if len(value) > MAX_DIMENSION_VALUE:
            message = f"a dimension's value has at most {MAX_DIMENSION_VALUE} characters"
            return Rejected(Reason.DIMENSION_VALUE, where, message)
        if CONTROL.search(value):
            return Rejected(Reason.DIMENSION_VALUE, where, "a dimension's value has no control characters")
    return draft


def resolve_kind(draft: Draft) -> Draft | Rejected:
    """The kind comes from the registry, else from the value: number → distribution, text → unique."""
    registry = draft.rules.registry
    definition = registry.metrics.get(draft.metric)
    if definition is None and registry.unknown == "reject":
        return Rejected(Reason.UNKNOWN_METRIC, "metric", f"the registry does not list {shown(draft.metric)}")
    is_text = isinstance(draft.value, str)
    kind = definition.kind if definition else None
    if kind is None:
        if isinstance(draft.value, str) and QUOTED_NUMBER.fullmatch(draft.value):
            message = 'a number in quotes: send a number, or give the metric kind = "unique" in metrics.toml'
            return Rejected(Reason.WRONG_TYPE, "value", message)
        kind = Kind.UNIQUE if is_text else Kind.DISTRIBUTION
    if is_text != (kind is Kind.UNIQUE):
        expected = "a text" if kind is Kind.UNIQUE else "a number"
        message = f"the registry gives {shown(draft.metric)} the kind {kind}: its values are {expected}"
        return Rejected(Reason.KIND_MISMATCH, "value", message)
    return replace(draft, kind=kind, unit=definition.unit if definition else None)


def check_value(draft: Draft) -> Draft | Rejected:
    if isinstance(draft.value, str):
        if len(draft.value) > MAX_TEXT:
            return Rejected(Reason.TEXT_VALUE, "value", f"a text value has at most {MAX_TEXT} characters")
        return draft
    if not math.isfinite(draft.value):
        return Rejected(Reason.OUT_OF_RANGE, "value", "a value is a finite number")
    low, high = bounds_of(draft.rules.registry, draft.metric)
    if not low <= draft.value <= high:
        message = f"{draft.value:g} is outside the registry's bounds, {low:g} to {high:g}"
        return Rejected(Reason.OUT_OF_RANGE, "value", message)
    return draft


def check_time(draft: Draft) -> Draft | Rejected:
    age_ms = draft.arrival_ms - draft.time_ms
    if age_ms > draft.rules.past_ms:
        message = (
            f"more than {draft.rules.past_ms / 86_400_000:g} days before arrival (milliseconds since 1970 are expected)"
        )
        return Rejected(Reason.TS_TOO_OLD, "timestamp", message)
    if -age_ms > draft.rules.future_ms:
        message = f"more than {draft.rules.future_ms / 60_000:g} minutes ahead (milliseconds since 1970 are expected)"
        return Rejected(Reason.TS_FUTURE, "timestamp", message)
    return draft


def check_id(draft: Draft) -> Draft | Rejected:
    if draft.id is not None and (not 0 < len(draft.id) <= MAX_ID or CONTROL.search(draft.id)):
        message = f"an id has 1 to {MAX_ID} characters and no control characters"
        return Rejected(Reason.ID_INVALID, "id", message)
    return draft


STEPS: Final[tuple[Step, ...]] = (check_metric, check_dimensions, resolve_kind, check_value, check_time, check_id)


def judge(event: SentEvent, parse: ParseDimensions, rules: Rules, arrival_ms: int) -> Draft | Rejected:
    """The verdict on one event: the first step that rejects it, or its completed draft."""
    dimensions = parse(bytes(event.dimensions))
    if isinstance(dimensions, Rejected):
        return dimensions
    pairs = tuple(sorted(dimensions.items()))
    time_ms = epoch_ms(event.timestamp, arrival_ms)
    draft = Draft(rules, arrival_ms, event.metric, event.value, time_ms, pairs, event.id)
    for step in STEPS:
        outcome = step(draft)
        if isinstance(outcome, Rejected):
            return outcome
        draft = outcome
    return draft


def epoch_ms(timestamp: Timestamp, arrival_ms: int) -> int:
    """Epoch milliseconds, rounded down; a number beyond 62 bits becomes a time far outside every accepted range."""
    if timestamp is None:
        return arrival_ms
    if isinstance(timestamp, int):
        return max(-_FAR_MS, min(_FAR_MS, timestamp))
    return (timestamp - _EPOCH) // _MILLISECOND


def bounds_of(registry: Registry, metric: str) -> tuple[float, float]:
    definition = registry.metrics.get(metric)
    low = definition.minimum if definition and definition.minimum is not None else -math.inf
    high = definition.maximum if definition and definition.maximum is not None else math.inf
    return low, high
