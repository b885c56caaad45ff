"""Counted rows of single series as rows of every table they belong to. Pure.

Every row goes into the finest level of its metric's total, of its views and of the series itself. What a bucket that
is sealed already receives is written to the coarser level at once: nothing else would carry it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregates.catalogue import Catalogue, IdArray
from aggregates.incoming import Counted
from aggregates.lateness import coarser
from aggregates.levels import DAY, LEVELS, MINUTE, QUARTER, SECOND, Kept
from aggregates.merge import BinRows, CellRows, Partials, Rows, concat, merge, merge_bins, merge_cells
from aggregates.retention import OwnKept

SKETCHES: Final = ("bins", "cells")
FIRST_LEVEL: Final = {
    (family, what): MINUTE if family == "series" and what else SECOND
    for family in ("total", "view", "series")
    for what in ("", *SKETCHES)
}
"""Family and kind of rows ('' partials) → their finest level."""
BoolArray = npt.NDArray[np.bool_]
_Merge = Callable[[Rows], Rows]


def table_of(family: str, what: str, level: str) -> str:
    """Name of the table of a family's partials (`what` ''), bins or cells at a level."""
    return f"{family}_{what}_{level}" if what else f"{family}_{level}"


def closed(kept: Kept) -> dict[str, int]:
    """Level → time up to which restatements known by then have been merged: one that comes later has to be noted."""
    minutes, quarters = kept.sealed_until[MINUTE], kept.sealed_until[QUARTER]
    return {SECOND: minutes, MINUTE: minutes, QUARTER: quarters, DAY: quarters}


@dataclass(slots=True)
class FanOut:
    """Rows by table name. `restated`: tables that got restatements of sealed buckets, with the latest `known` of
    them. `touched`: sealed buckets that got rows nothing else would merge, by level."""

    catalogue: Catalogue
    kept: Kept
    zone: tzinfo
    restated: dict[str, int] = field(default_factory=dict)
    touched: dict[str, set[int]] = field(default_factory=dict)
    own_kept: OwnKept = field(default_factory=dict)
    """What is kept of metrics that stand apart."""

    def tables(self, found: Counted) -> Iterator[tuple[str, Rows]]:
        """Every table with the rows to be appended to it."""
        sets: tuple[tuple[str, Rows, _Merge], ...] = (
            ("", found.partials, _partials),
            ("bins", found.bins, _bins),
            ("cells", found.cells, _cells),
        )
        for what, rows, merging in sets:
            if not len(rows):
                continue
            yield from self._levels("total", what, merging(rows.under(self.catalogue.total_of[rows.id])), merging)
            views = list(_by_view(rows, self.catalogue.views_of[rows.id], merging))
            if views:
                yield from self._levels("view", what, concat(views), merging)
            yield from self._levels("series", what, rows, merging)

    def _levels(self, family: str, what: str, rows: Rows, merging: _Merge) -> Iterator[tuple[str, Rows]]:
        """The rows at their finest level, and at every level at which their bucket is sealed."""
        first = FIRST_LEVEL[family, what]
        if first == MINUTE:
            rows = merging(rows.at(*coarser(MINUTE, rows.time, rows.known, self.zone)))
        sealed_minutes = self.kept.sealed_until[MINUTE]
        for level in LEVELS[LEVELS.index(first) :]:
            if level == first:
                wanted = self._kept(family, level, rows)
                found = rows if wanted.all() else rows.take(wanted)
                late = found.time < sealed_minutes
            else:
                late = rows.time < self.kept.sealed_until[level]
                if not late.any():
                    continue
                rows = rows.take(late)
                found = merging(rows.at(*coarser(level, rows.time, rows.known, self.zone)))
                found = found.take(self._kept(family, level, found))
                late = np.ones(len(found), np.bool_)
            if len(found):
                table = table_of(family, what, level)
                if late.any():
                    self._note(table, level, found.take(late))
                yield table, found

    def _kept(self, family: str, level: str, rows: Rows) -> BoolArray:
        """The rows whose bucket is kept at the level."""
        shared = self.kept.kept_from[level]
        own = {metric: levels[level] for metric, levels in self.own_kept.items() if levels[level] != shared}
        if not own or not len(rows) or rows.time.min() >= max(shared, *own.values()):
            return np.asarray(rows.time >= shared)
        ids, place = np.unique(rows.id, return_inverse=True)
        starts = [own.get(metric, shared) for metric in self.catalogue.metrics_of(family, ids.tolist())]
        return np.asarray(rows.time >= np.array(starts, np.int64)[place])

    def _note(self, table: str, level: str, late: Rows) -> None:
        again = late.known > closed(self.kept)[level]
        if again.any():
            self.restated[table] = int(late.known.max())
        if not again.all():
            self.touched.setdefault(level, set()).update(np.unique(late.time[~again]).tolist())


def _by_view(rows: Rows, groups: IdArray, merging: _Merge) -> Iterator[Rows]:
    """The rows once for each of their views; `groups` has shape (rows, views), padded with -1."""
    for column in groups.T:
        member = column >= 0
        if member.all():
            yield merging(rows.under(column))
        elif member.any():
            yield merging(rows.take(member).under(column[member]))


def _partials(rows: Rows) -> Rows:
    assert isinstance(rows, Partials)
    return merge(rows)


def _bins(rows: Rows) -> Rows:
    assert isinstance(rows, BinRows)
    return merge_bins(rows)


def _cells(rows: Rows) -> Rows:
    assert isinstance(rows, CellRows)
    return merge_cells(rows)
