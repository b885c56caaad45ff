"""Which series there are and which groups each is counted in: the read model's index, held in memory.

Every series is counted in its metric's total, in its own row ("all together"), and in one group per view that its
dimensions allow. Views are the metric's declared ones, or each dimension alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ingest.series import UInt64Array

TOTAL_VIEW, SERIES_VIEW = "", "*"
IdArray = npt.NDArray[np.int32]
Views = Mapping[str, Sequence[Sequence[str]]]
"""Metric → declared dimension sets."""
SeriesFields = tuple[int, str, str, str | None, str]
"""Key, metric, kind, unit and dimensions (JSON) of a series, as a delta spells it."""


_KINDS = ("counter", "cumulative", "gauge", "distribution", "unique")
"""Of a metric that was sent with several kinds the first of these is shown, whichever came first."""


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One row of the table `series`."""

    series_id: int
    key: int
    metric: str
    kind: str
    unit: str | None
    dimensions: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One row of the table `groups`."""

    group_id: int
    metric: str
    kind: str
    view: str
    labels: tuple[str, ...]


@dataclass(slots=True)
class Additions:
    """Rows to be stored with the batch that first needs them."""

    series: list[SeriesRow] = field(default_factory=list)
    groups: list[GroupRow] = field(default_factory=list)
    memberships: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Revision:
    """How the memberships of a file differ from the views declared now: rows to be stored, and groups to be
    emptied. `memberships` are the new ones alone."""

    groups: list[GroupRow]
    memberships: list[tuple[int, int]]
    emptied: set[int]

    def __bool__(self) -> bool:
        return bool(self.memberships or self.emptied)


@dataclass(slots=True)
class MetricEntry:
    """What is known about one metric from its series."""

    kind: str
    unit: str | None
    series: int = 0
    dimensions: set[str] = field(default_factory=set)
    covered: dict[str, int] = field(default_factory=dict)
    """View → series counted in it: a view answers for the metric when it covers all of them."""
    seconds_from: dict[str, int] = field(default_factory=dict)
    """View that was filled later → from when on it is right by the second (epoch s)."""

    def answers(self, view: str, kept_from: int) -> bool:
        """Whether a view holds all there is, when seconds are kept from `kept_from` on."""
        return self.covered.get(view, 0) == self.series and self.seconds_from.get(view, 0) <= kept_from


class Catalogue:
    """Maps series keys to ids and groups. Written by the store's writer; readers use `metrics` only."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._groups: dict[tuple[str, str, str, tuple[str, ...]], int] = {}
        self._view_of_group: list[str] = []
        self._metric_of_group: list[str] = []
        self._metric_of_series: list[str] = []
        self._keys: UInt64Array = np.empty(0, np.uint64)
        self._ids: IdArray = np.empty(0, np.int32)
        self._count = 0
        self.total_of: IdArray = np.empty(0, np.int32)
        """Group of the metric's total, by series id."""
        self.views_of: IdArray = np.empty((0, 0), np.int32)
        """Groups of the views, by series id; shape (series, most views of any series), padded with -1."""
        self.metrics: dict[str, MetricEntry] = {}

    def ids(self, keys: UInt64Array) -> IdArray:
        """Series ids of the keys; -1 where a key is not known."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.int32)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._ids[at], np.int32(-1))

    def metrics_of(self, family: str, ids: Sequence[int]) -> list[str]:
        """The metrics that ids of a family of tables belong to."""
        known = self._metric_of_series if family == "series" else self._metric_of_group
        return [known[id_] for id_ in ids]

    def add(self, found: Sequence[SeriesFields]) -> Additions:
        """Take in unknown series (key, metric, kind, unit, dimensions JSON); returns the rows to store."""
        additions = Additions()
        for key, metric, kind, unit, dimensions in found:
            row = SeriesRow(self._count + len(additions.series), key, metric, kind, unit, dimensions)
            additions.series.append(row)
            for view, labels in self._views_of(row):
                group = self._group(additions, row, view, labels)
                additions.memberships.append((row.series_id, group))
        self._index(additions.series, additions.memberships)
        return additions

    def restore(self, series: list[SeriesRow], groups: list[GroupRow], memberships: list[tuple[int, int]]) -> Revision:
        """Take over what a file holds (series and groups ascend by id), but with the views declared now. The caller
        makes the file agree."""
        for group in groups:
            self._remember(group)
        additions = Additions()
        wanted = [
            (row.series_id, self._group(additions, row, view, labels))
            for row in series
            for view, labels in self._views_of(row)
        ]
        self._index(series, wanted)
        had, has = set(memberships), set(wanted)
        left = {group for _, group in has}
        return Revision(additions.groups, sorted(has - had), {group for _, group in had} - left)

    def _views_of(self, row: SeriesRow) -> list[tuple[str, tuple[str, ...]]]:
        dimensions: dict[str, str] = json.loads(row.dimensions)
        declared = self._views.get(row.metric)
        sets = [(name,) for name in dimensions] if declared is None else [tuple(sorted(view)) for view in declared]
        # A view's name joins its dimensions' names: those that would read as another view have their series alone.
        named = {name for name in dimensions if "," not in name and name != SERIES_VIEW}
        usable = dict.fromkeys(names for names in sets if names and set(names) <= named)
        return [(TOTAL_VIEW, ())] + [(",".join(names), tuple(dimensions[n] for n in names)) for names in usable]

    def _group(self, additions: Additions, row: SeriesRow, view: str, labels: tuple[str, ...]) -> int:
        identity = (row.metric, row.kind, view, labels)
        known = self._groups.get(identity)
        if known is not None:
            return known
        group = GroupRow(len(self._groups), row.metric, row.kind, view, labels)
        self._remember(group)
        additions.groups.append(group)
        return group.group_id

    def _remember(self, group: GroupRow) -> None:
        self._groups[group.metric, group.kind, group.view, group.labels] = group.group_id
        self._view_of_group.append(group.view)
        self._metric_of_group.append(group.metric)

    def _index(self, series: list[SeriesRow], memberships: list[tuple[int, int]]) -> None:
        if not series:
            return
        groups_of: dict[int, list[int]] = {row.series_id: [] for row in series}
        for series_id, group in memberships:
            groups_of[series_id].append(group)
        totals, others = [], []
        for row in series:
            groups = groups_of[row.series_id]
            views = [self._view_of_group[group] for group in groups]
            totals.append(groups[views.index(TOTAL_VIEW)])
            others.append([group for group, view in zip(groups, views, strict=True) if view != TOTAL_VIEW])
            self._note(row, views)
        self._extend(series, totals, others)

    def _note(self, row: SeriesRow, views: list[str]) -> None:
        entry = self.metrics.get(row.metric)
        if entry is None:
            entry = self.metrics[row.metric] = MetricEntry(row.kind, row.unit)
        entry.kind = min(entry.kind, row.kind, key=_KINDS.index)
        entry.unit = row.unit or entry.unit
        entry.series += 1
        entry.dimensions |= json.loads(row.dimensions).keys()
        for view in views:
            entry.covered[view] = entry.covered.get(view, 0) + 1

    def _extend(self, series: list[SeriesRow], totals: list[int], others: list[list[int]]) -> None:
        keys = np.concatenate([self._keys, np.array([row.key for row in series], np.uint64)])
        ids = np.concatenate([self._ids, np.array([row.series_id for row in series], np.int32)])
        order = np.argsort(keys)
        self._keys, self._ids = keys[order], ids[order]
        self._metric_of_series += [row.metric for row in series]
        self.total_of = np.concatenate([self.total_of, np.array(totals, np.int32)])
        width = max([self.views_of.shape[1], *(len(groups) for groups in others)])
        grown = np.full((self._count + len(series), width), -1, np.int32)
        grown[: self._count, : self.views_of.shape[1]] = self.views_of
        for place, groups in enumerate(others, self._count):
            grown[place, : len(groups)] = groups
        self.views_of = grown
        self._count += len(series)
