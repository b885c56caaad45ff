"""How long the levels of each metric are kept, and what is due to be deleted. Pure.

A metric with a `retention` of its own in the registry stands apart: the file says for it alone, level by level, from
when on its buckets are there (`OwnKept`). All others share what the table `levels` says. A metric that loses its own
retention stays apart until it holds what the others hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from math import inf

from aggregates.levels import LEVELS, WIDTH, Kept, expired
from ingest.registry import Registry

KeepS = Mapping[str, float | None]
"""Level → how long its buckets are kept (s), None for ever."""
OwnKept = Mapping[str, Mapping[str, int]]
"""Metric that stands apart → level → its `kept_from`."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long everything is kept, but for the metrics in `own`."""

    default: KeepS
    own: Mapping[str, KeepS] = field(default_factory=dict)

    @classmethod
    def of(cls, default: KeepS, registry: Registry) -> Retention:
        """The workspace's retention with that of the metrics in the registry."""
        named = {name: metric.retention_ms for name, metric in registry.metrics.items() if metric.retention_ms}
        return cls(default, {name: settled(default, _seconds(levels)) for name, levels in named.items()})


def settled(default: KeepS, named: KeepS) -> KeepS:
    """Every level: a level that is not named is kept as by default, but gives way to those that are, so that no finer
    level outlives a coarser one."""
    found: dict[str, float | None] = {}
    for place, level in enumerate(LEVELS):
        if level in named:
            found[level] = named[level]
            continue
        least = max((_length(named[finer]) for finer in LEVELS[:place] if finer in named), default=0.0)
        most = min((_length(named[coarser]) for coarser in LEVELS[place:] if coarser in named), default=inf)
        length = min(max(_length(default[level]), least), most)
        found[level] = None if length == inf else length
    return found


def kept_at_most(registry: Registry, metrics: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Width of a level's buckets (s), and how long those of all these metrics are kept at the most (ms); for the
    levels that their own retention bounds: by itself, or because no finer level outlives a coarser one."""
    named = [registry.metrics[name].retention_ms for name in metrics if name in registry.metrics]
    found = []
    for place, level in enumerate(LEVELS):
        bounds = [ms for of_one in named for coarser in LEVELS[place:] if (ms := of_one.get(coarser)) is not None]
        if bounds:
            found.append((WIDTH[level], min(bounds)))
    return tuple(found)


def _seconds(named_ms: Mapping[str, int | None]) -> KeepS:
    return {level: None if ms is None else ms / 1000 for level, ms in named_ms.items()}


def _length(seconds: float | None) -> float:
    return inf if seconds is None else seconds


def kept_for(metrics: Iterable[str], kept: Kept, own: OwnKept) -> Kept:
    """What is kept of all of some metrics."""
    of_each = [own.get(metric, kept.kept_from) for metric in metrics] or [kept.kept_from]
    return replace(kept, kept_from={level: max(found[level] for found in of_each) for level in LEVELS})


def set_apart(metrics: Iterable[str], known: Collection[str], kept: Kept, own: OwnKept) -> OwnKept:
    """The own times with those of metrics that stand apart from now on.

    Args:
        known: metrics of which anything was ever counted; of others nothing can have been deleted.
    """
    fresh = {metric: kept.kept_from if metric in known else dict.fromkeys(LEVELS, 0) for metric in metrics}
    return {**fresh, **own}


@dataclass(frozen=True, slots=True)
class Expiry:
    """What is to be deleted, and what holds then: level → new `kept_from` of the metrics that share it; of the others
    what moved, and everything they hold."""

    shared: Mapping[str, int]
    moved: OwnKept
    own: OwnKept

    def __bool__(self) -> bool:
        return bool(self.shared or self.moved)

    def by_time(self) -> dict[tuple[str, int], list[str]]:
        """(level, new `kept_from`) → the metrics that stand apart of which older buckets go."""
        found: dict[tuple[str, int], list[str]] = {}
        for metric, levels in self.moved.items():
            for level, start in levels.items():
                found.setdefault((level, start), []).append(metric)
        return found


def due(now_s: int, retention: Retention, kept: Kept, own: OwnKept, zone: tzinfo) -> Expiry:
    """What is older than it is kept. A metric that stands apart without a retention of its own, and holds what the
    others hold, joins them."""
    shared = expired(now_s, retention.default, kept, zone)
    after = {**kept.kept_from, **shared}
    moved: dict[str, Mapping[str, int]] = {}
    left: dict[str, Mapping[str, int]] = {}
    for metric, before in own.items():
        found = expired(now_s, retention.own.get(metric, retention.default), replace(kept, kept_from=before), zone)
        if found:
            moved[metric] = found
        if metric in retention.own or {**before, **found} != after:
            left[metric] = {**before, **found}
    return Expiry(shared, moved, left)
