"""What a metric is made of: itself, or the two parts of a ratio. The parts are merged first, then divided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from aggregates.asking import Found, Groups, Labels, Measured, Session, find_groups, is_restated, read, rest_of
from aggregates.catalogue import MetricEntry
from aggregates.cells import ratio, spread
from aggregates.frames import Frame
from aggregates.levels import MINUTE, SECOND
from aggregates.measures import DERIVED, RATIO, has_measure, measures_of, needs_bins, needs_codes
from aggregates.queries import Filter, Unanswerable, UnknownMetric
from ingest.registry import DerivedMetric


@dataclass(frozen=True, slots=True)
class Subject:
    """A metric that can be asked: its entry, or what it is derived from and the entries of both parts."""

    name: str
    entry: MetricEntry | None
    derived: DerivedMetric | None = None
    above: MetricEntry | None = None
    below: MetricEntry | None = None

    @property
    def kind(self) -> str:
        return self.entry.kind if self.entry else DERIVED

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics whose rows are read, and whose events the answer is made of."""
        said = self.derived
        return (self.name,) if said is None else (said.numerator[0], said.denominator[0])

    def settled(self, measures: Sequence[str]) -> tuple[str, ...]:
        """The measures asked for, or the metric's default; raises `Unanswerable` for one that it does not have."""
        wanted = tuple(measures) or (RATIO if self.derived else "count",)
        for name in wanted:
            self.check("measures", name)
        return wanted

    def check(self, field: str, name: str) -> None:
        """Raises `Unanswerable` for a measure that the metric does not have."""
        if not has_measure(self.kind, name):
            has = ", ".join(measures_of(self.kind))
            raise Unanswerable(field, f"{self.name[:100]} is of kind {self.kind}: it has no {name}; it has {has}")


def subject(name: str, known: Mapping[str, MetricEntry], derived: Mapping[str, DerivedMetric]) -> Subject:
    """The metric of a name; raises `UnknownMetric` when nothing of it was ever counted."""
    if name in known:
        return Subject(name, known[name])
    said = derived.get(name)
    if said is None:
        raise UnknownMetric(name)
    above, below = known.get(said.numerator[0]), known.get(said.denominator[0])
    if above is None and below is None:
        raise UnknownMetric(name)
    for entry, (metric, wanted) in ((above, said.numerator), (below, said.denominator)):
        if entry is not None and not has_measure(entry.kind, wanted):
            raise Unanswerable("metric", f"{name[:100]} is derived from {wanted} of {metric[:100]}, which has none")
    return Subject(name, None, said, above, below)


@dataclass(frozen=True, slots=True)
class Asker:
    """Measures of a subject, for some groups, read through one cursor."""

    session: Session
    subject: Subject
    by: tuple[str, ...]
    parts: tuple[Groups, ...]
    chosen: tuple[Labels, ...] = ()
    """The top groups and behind them the rest; empty: all groups, by name."""

    @classmethod
    def of(
        cls, session: Session, found: Subject, by: tuple[str, ...], where: Sequence[Filter], kept_from: int = 0
    ) -> Asker:
        """Seconds are kept from `kept_from` on (epoch s)."""
        said = found.derived
        if said is None:
            return cls(session, found, by, (find_groups(session, found.name, found.entry, by, where, kept_from),))
        above = find_groups(session, said.numerator[0], found.above, by, where, kept_from)
        below = find_groups(session, said.denominator[0], found.below, by, where, kept_from)
        return cls(session, found, by, (above, below))

    @property
    def view(self) -> str:
        """The view that answers; of a ratio the numerator's and the denominator's where they differ."""
        return " / ".join(dict.fromkeys(groups.view for groups in self.parts))

    def finest(self, measures: Sequence[str]) -> str:
        """The finest level that keeps what the measures are made of: bins and codes of single series begin with
        minutes."""
        pairs = zip(self.parts, self.wanted(measures), strict=True)
        coarse = any(groups.family == "series" and (needs_bins(m) or needs_codes(m)) for groups, m in pairs)
        return MINUTE if coarse else SECOND

    def top(self, labels: Sequence[Labels]) -> Asker:
        """The same for some groups in their order, and the rest as one."""
        return replace(self, chosen=(*labels, rest_of(self.by)))

    def measure(self, frame: Frame, measures: Sequence[str], limit: int | None = None) -> Measured:
        """The measures of all groups that have events in the frame; raises `TooManyRows` above `limit` cells."""
        return self.measured(self.read(frame, measures, limit), measures)

    def read(self, frame: Frame, measures: Sequence[str], limit: int | None = None) -> list[Found]:
        """What the measures are made of, by part."""
        parts = [groups.merged(self.chosen) for groups in self.parts] if self.chosen else self.parts
        wanted = zip(parts, self.wanted(measures), strict=True)
        return [read(self.session, frame, groups, names, limit) for groups, names in wanted]

    def wanted(self, measures: Sequence[str]) -> list[Sequence[str]]:
        """The measures of each part."""
        said = self.subject.derived
        return [measures] if said is None else [[said.numerator[1]], [said.denominator[1]]]

    def measured(self, found: Sequence[Found], measures: Sequence[str]) -> Measured:
        """The measures, made of what was read."""
        said = self.subject.derived
        if said is None:
            return found[0].measured(measures)
        above, below = (one.measured(names) for one, names in zip(found, self.wanted(measures), strict=True))
        labels = self.ordered([*above.labels, *below.labels])
        numerator, denominator = aligned(above, labels)[said.numerator[1]], aligned(below, labels)[said.denominator[1]]
        bound = sum([*above.bounds.values(), *below.bounds.values()])
        return Measured(labels, {RATIO: ratio(numerator, denominator)}, {RATIO: bound} if bound else {})

    def ordered(self, labels: Iterable[Labels]) -> list[Labels]:
        """Each of the labels once: the top ones in their order, else by name, none behind all others."""
        known = set(labels)
        return [label for label in self.chosen if label in known] if self.chosen else sorted(known, key=_by_name)

    def is_restated(self, frame: Frame) -> bool:
        return any(is_restated(self.session, frame, groups) for groups in self.parts)


def aligned(found: Measured, labels: Sequence[Labels]) -> dict[str, npt.NDArray[Any]]:
    """The measures of the given groups, in their order, which hold all groups that were found."""
    if list(found.labels) == list(labels):
        return dict(found.values)
    places = {label: place for place, label in enumerate(labels)}
    slots = [places[label] for label in found.labels]
    return {name: spread(name, values, slots, len(labels)) for name, values in found.values.items()}


def _by_name(labels: Labels) -> list[tuple[bool, str]]:
    return [(label is None, label or "") for label in labels]
