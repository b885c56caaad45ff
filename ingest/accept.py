"""Which events are taken: the rules, one event at a time.

`STEPS` is the authority: pure functions over one event, each returning it (perhaps completed) or why it is rejected.
`ingest.batches` gives exactly these verdicts for whole batches.

Not its job: bytes and JSON (`ingest.protocols`), sending (`ingest.commit`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from ingest.definitions import DimensionRule, MetricDefinition, Registry
from ingest.events import NO_START
from ingest.names import CONTROL, MAX_DIMENSION_NAME, dimension_fault, metric_fault, value_fault
from ingest.patterns import matches
from ingest.sent import ParseDimensions, SentEvent, epoch_ms
from ingest.series import Kind, Series
from ingest.verdicts import Reason, Rejected, shown

MAX_DIMENSIONS: Final = 32
MAX_TEXT: Final = 1024
MAX_ID: Final = 256
"""Longest id; like the longest text in characters."""

QUOTED_NUMBER: Final = re.compile(
    r"\s*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+|nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an event is judged by; times in milliseconds before and after its arrival, where the registry gives none."""

    registry: Registry = field(default_factory=Registry)
    past_ms: int = 7 * 24 * 3600 * 1000
    future_ms: int = 10 * 60 * 1000

    def span_of(self, metric: str) -> tuple[int, int]:
        """How far before and after its arrival an event of a metric may be, in milliseconds."""
        definition = self.registry.metrics.get(metric)
        if definition is None:
            return self.past_ms, self.future_ms
        past_ms = self.past_ms if definition.past_ms is None else definition.past_ms
        return past_ms, self.future_ms if definition.future_ms is None else definition.future_ms


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
    history: bool = False
    """Imported: as old as it likes, from 1970 on."""
    start_ms: int | None = None

    @property
    def definition(self) -> MetricDefinition | None:
        return self.rules.registry.metrics.get(self.metric)

    @property
    def series(self) -> Series:
        """Only after `resolve_kind`."""
        assert self.kind is not None
        return Series(self.metric, self.kind, self.dimensions, self.unit)


Step = Callable[[Draft], Draft | Rejected]


def check_metric(draft: Draft) -> Draft | Rejected:
    fault = metric_fault(draft.metric)
    return Rejected(Reason.METRIC_NAME, "metric", fault) if fault else draft


def check_dimensions(draft: Draft) -> Draft | Rejected:
    if len(draft.dimensions) > MAX_DIMENSIONS:
        message = f"{len(draft.dimensions)} dimensions, at most {MAX_DIMENSIONS} are taken"
        return Rejected(Reason.DIMENSION_COUNT, "dimensions", message)
    for name, value in draft.dimensions:
        where = f"dimensions.{name[:MAX_DIMENSION_NAME]}"
        fault = dimension_fault(name)
        if fault:
            return Rejected(Reason.DIMENSION_NAME, where, fault)
        fault = value_fault(value)
        if fault:
            return Rejected(Reason.DIMENSION_VALUE, where, fault)
    return draft


def resolve_kind(draft: Draft) -> Draft | Rejected:
    """The kind comes from the registry, else from the value: number → distribution, text → unique."""
    definition = draft.definition
    if definition is None and draft.rules.registry.unknown == "reject":
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


def check_rules(draft: Draft) -> Draft | Rejected:
    """What the registry asks of dimensions; those that it does not name are free."""
    rules = draft.definition.rules if draft.definition else None
    if not rules:
        return draft
    sent = dict(draft.dimensions)
    for name, rule in rules.items():
        if name not in sent:
            if rule.required:
                message = f"{shown(draft.metric)} needs the dimension {shown(name)}"
                return Rejected(Reason.DIMENSION_MISSING, f"dimensions.{name}", message)
            continue
        fault = _rule_fault(rule, sent[name])
        if fault:
            return Rejected(Reason.DIMENSION_NOT_ALLOWED, f"dimensions.{name}", fault)
    return draft


def _rule_fault(rule: DimensionRule, value: str) -> str | None:
    if rule.values is not None and value not in rule.values:
        return f"{shown(value)} is not among the values that the registry allows"
    if rule.pattern is not None and not matches(rule.pattern, value):
        return f"{shown(value)} does not match the registry's pattern {shown(rule.pattern)}"
    return None


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
    past_ms, future_ms = draft.rules.span_of(draft.metric)
    if draft.time_ms < oldest_ms(draft.arrival_ms, past_ms, draft.history):
        limit = "before 1970" if draft.history else f"more than {_in_words(past_ms)} before arrival"
        return Rejected(Reason.TS_TOO_OLD, "timestamp", f"{limit} (milliseconds since 1970 are expected)")
    if draft.time_ms > draft.arrival_ms + future_ms:
        message = f"more than {_in_words(future_ms)} ahead (milliseconds since 1970 are expected)"
        return Rejected(Reason.TS_FUTURE, "timestamp", message)
    return draft


def oldest_ms(arrival_ms: int, past_ms: int, history: bool) -> int:
    """The oldest accepted time: never before 1970, and of imported history 1970 itself."""
    return 0 if history else max(0, arrival_ms - past_ms)


def _in_words(span_ms: int) -> str:
    """A time span in the unit that suits it."""
    units = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000))
    unit, unit_ms = next((one for one in units if span_ms >= one[1]), units[-1])
    return f"{span_ms / unit_ms:g} {unit}{'' if span_ms == unit_ms else 's'}"


def check_start(draft: Draft) -> Draft | Rejected:
    """Only running totals have a start time; of all others it says nothing and is left out."""
    if draft.start_ms is None or draft.kind is not Kind.CUMULATIVE:
        return replace(draft, start_ms=None) if draft.start_ms is not None else draft
    if not 0 <= draft.start_ms <= draft.time_ms:
        limit = "before 1970" if draft.start_ms < 0 else "after the timestamp"
        message = f"a running total cannot start {limit} (milliseconds since 1970 are expected)"
        return Rejected(Reason.TS_INVALID, "start", message)
    return draft


def check_id(draft: Draft) -> Draft | Rejected:
    if draft.id is not None and (not 0 < len(draft.id) <= MAX_ID or CONTROL.search(draft.id)):
        message = f"an id has 1 to {MAX_ID} characters and no control characters"
        return Rejected(Reason.ID_INVALID, "id", message)
    return draft


STEPS: Final[tuple[Step, ...]] = (
    check_metric,
    check_dimensions,
    resolve_kind,
    check_rules,
    check_value,
    check_time,
    check_start,
    check_id,
)


def judge(
    event: SentEvent, parse: ParseDimensions, rules: Rules, arrival_ms: int, history: bool = False
) -> Draft | Rejected:
    """The verdict on one event: the first step that rejects it, or its completed draft.

    `ingest.fuses` has the last word: it counts what was accepted before.
    """
    dimensions = parse(bytes(event.dimensions))
    if isinstance(dimensions, Rejected):
        return dimensions
    pairs = tuple(sorted(dimensions.items()))
    time_ms = epoch_ms(event.timestamp, arrival_ms)
    start_ms = None if event.start is None else epoch_ms(event.start, NO_START)
    draft = Draft(
        rules, arrival_ms, event.metric, event.value, time_ms, pairs, event.id, history=history, start_ms=start_ms
    )
    for step in STEPS:
        outcome = step(draft)
        if isinstance(outcome, Rejected):
            return outcome
        draft = outcome
    return draft


def bounds_of(registry: Registry, metric: str) -> tuple[float, float]:
    definition = registry.metrics.get(metric)
    low = definition.minimum if definition and definition.minimum is not None else -math.inf
    high = definition.maximum if definition and definition.maximum is not None else math.inf
    return low, high
