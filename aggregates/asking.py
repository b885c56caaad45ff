"""Asking the read model's tables, inside one transaction: the groups that answer, and their merged measures."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, cast

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aggregates import planner
from aggregates.catalogue import TOTAL_VIEW, MetricEntry
from aggregates.frames import Frame
from aggregates.grids import Columns, Grid, grid_of, parts_of
from aggregates.measures import needs_bins, needs_codes
from aggregates.planner import Statement, choose_view, family_of
from aggregates.queries import MAX_ROWS, OTHER, Filter, TooManyRows
from ingest.series import Int64Array

_CACHED = 16
_MAX_ESTIMATED = 8_000_000
"""Bins, or codes, that are read for one answer at most."""
Labels = tuple[str | None, ...]
"""Values of the dimensions asked for; of all groups that are not among the top one more than there are dimensions."""
Cursor = duckdb.DuckDBPyConnection


class GroupCache:
    """The groups found last. They depend on which series there are alone, and series are only ever added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[object, ...], Groups] = OrderedDict()

    def get(self, key: tuple[object, ...], find: Callable[[], Groups]) -> Groups:
        """The groups of a key, looked for where they are not known."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        found = find()
        with self._lock:
            self._found[key] = found
            while len(self._found) > _CACHED:
                self._found.popitem(last=False)
        return found


class Session:
    """One transaction's cursor, and the groups that statements read at the moment."""

    def __init__(self, cursor: Cursor, cache: GroupCache) -> None:
        self.cursor = cursor
        self._cache = cache
        self._used: Groups | None = None
        ((self._series,),) = cursor.execute("SELECT count(*) FROM series").fetchall()

    def groups(self, metric: str, view: str, by: Sequence[str], where: Sequence[Filter]) -> Groups:
        """The groups that answer for a metric, in the transaction."""
        key = (self._series, metric, view, tuple(by), tuple(where))
        return self._cache.get(key, lambda: _groups(self.cursor, metric, view, by, where))

    def use(self, groups: Groups) -> None:
        """Make statements read these groups."""
        if groups.few is None and groups is not self._used:
            slots = pa.array(groups.numbers.astype(np.int32))
            self.cursor.register(planner.WANTED, pa.table({"id": groups.ids, "slot": slots}))
            self._used = groups

    def fetch(self, wanted: Statement) -> Columns:
        """The columns of a statement's rows, all of them numbers, masked where there are nulls."""
        return columns_of(self.cursor, wanted.sql, wanted.parameters)


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups that answer for a metric: ids of a family's tables, the number of the group that each belongs to, and
    the labels of the groups by number."""

    view: str
    ids: pa.Array
    numbers: Int64Array
    labels: Sequence[Labels]

    @property
    def family(self) -> str:
        return family_of(self.view)

    @property
    def few(self) -> Sequence[int] | None:
        """The ids, where there are only few, all of one group."""
        few = 0 < len(self.ids) <= planner.FEW_IDS and len(self.labels) == 1
        return [int(one) for one in self.ids.to_pylist()] if few else None

    def merged(self, chosen: Sequence[Labels]) -> Groups:
        """These groups in their order; the last one takes in all others."""
        slots = _slots(self.labels, chosen)
        return replace(self, numbers=slots[self.numbers] if len(slots) else self.numbers, labels=chosen)


@dataclass(frozen=True, slots=True)
class Found:
    """Merged parts of some groups: the slots of the grid are the labels."""

    labels: Sequence[Labels]
    grid: Grid

    def merged(self, chosen: Sequence[Labels]) -> Found:
        """As `Groups.merged`; of a group put together from several nobody knows the `last` value."""
        present, slots = _places(_slots(self.labels, chosen), len(chosen))
        return Found([chosen[place] for place in present.tolist()], self.grid.merged(slots, len(present)))

    def measured(self, measures: Sequence[str]) -> Measured:
        return Measured(self.labels, {name: self.grid.measure(name) for name in measures}, self.grid.bounds)


@dataclass(frozen=True, slots=True)
class Measured:
    """Measures of some groups: name → values, shape (buckets, groups)."""

    labels: Sequence[Labels]
    values: Mapping[str, npt.NDArray[Any]]
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Measure → largest relative error, of those that are not exact."""


def find_groups(
    session: Session,
    metric: str,
    entry: MetricEntry | None,
    by: Sequence[str],
    where: Sequence[Filter],
    kept_from: int = 0,
) -> Groups:
    """The groups of a metric, from the smallest view that tells them apart; none of a metric that never was. Seconds
    are kept from `kept_from` on."""
    if entry is None:
        return Groups(TOTAL_VIEW, pa.array([], pa.int32()), np.empty(0, np.int64), [()] if not by else [])
    view = choose_view(entry, frozenset({*by, *(found.dimension for found in where)}), kept_from)
    return session.groups(metric, view, by, where)


def _groups(cursor: Cursor, metric: str, view: str, by: Sequence[str], where: Sequence[Filter]) -> Groups:
    wanted = planner.groups(metric, view, by, where)
    found: pa.Table = cursor.sql(wanted.sql, params=wanted.parameters).to_arrow_table()
    ids, numbers = found.column("id"), found.column("slot").to_numpy().astype(np.int64)
    if not by:
        return Groups(view, ids, numbers, [()])
    _, first = np.unique(numbers, return_index=True)
    columns = [found.column(f"l{place}").take(pa.array(first)).to_pylist() for place in range(len(by))]
    return Groups(view, ids, numbers, list(zip(*columns, strict=True)))


def read(session: Session, frame: Frame, groups: Groups, measures: Sequence[str], limit: int | None) -> Found:
    """What the measures are made of, of all groups that have events in the frame (of the one group, if it is all there
    is).

    Args:
        limit: the most cells; raises `TooManyRows` above it.
    """
    session.use(groups)
    most = None if limit is None else limit + 1
    found = session.fetch(planner.rows(frame, groups.family, groups.few, parts_of(measures), most))
    if groups.labels != [()]:
        present, places = _places(found["slot"], len(groups.labels))
    else:
        present, places = np.zeros(1, np.int64), np.zeros(len(found["slot"]), np.int64)
    if limit is not None and max(len(frame.starts) * len(present), len(found["slot"])) > limit:
        raise TooManyRows(max(len(frame.starts) * len(present), len(found["slot"])))
    grid = _estimated(session, frame, groups, measures, _grid(frame, found, places, len(present)), present)
    if len(present) == len(groups.labels):
        return Found(groups.labels, grid)
    return Found([groups.labels[number] for number in present.tolist()], grid)


def is_restated(session: Session, frame: Frame, groups: Groups) -> bool:
    """Whether an event of these groups came later than the grace after its bucket's end."""
    session.use(groups)
    judged = planner.restated(frame, groups.family, groups.few)
    return bool(session.cursor.execute(judged.sql, judged.parameters).fetchall())


def rest_of(by: Sequence[str]) -> Labels:
    """The labels of all groups that are not among the top: like no group's, whatever its labels are."""
    return (*[OTHER] * len(by), None)


def columns_of(cursor: Cursor, sql: str, parameters: list[object]) -> Columns:
    """The columns of a statement's rows, all of them numbers, masked where there are nulls."""
    return cast("Columns", cursor.execute(sql, parameters).fetchnumpy())


def _slots(labels: Sequence[Labels], chosen: Sequence[Labels]) -> Int64Array:
    """The place among the chosen of each of the labels; of those that are not chosen the last."""
    places = {label: place for place, label in enumerate(chosen)}
    return np.fromiter(map(places.get, labels, repeat(len(chosen) - 1)), np.int64, len(labels))


def _places(slots: npt.NDArray[np.integer[Any]], size: int) -> tuple[Int64Array, Int64Array]:
    """The slots below `size` that occur, ascending, and the place of each among them."""
    there = np.bincount(slots, minlength=size) > 0
    return np.flatnonzero(there), (np.cumsum(there) - 1)[slots]


def _grid(frame: Frame, found: Columns, places: Int64Array, size: int) -> Grid:
    seconds = (frame.ends - frame.starts).astype(np.float64)
    return grid_of({**found, "slot": places}, seconds, size)


def _estimated(
    session: Session, frame: Frame, groups: Groups, measures: Sequence[str], grid: Grid, present: Int64Array
) -> Grid:
    """The grid with bins and codes, where the measures need them."""
    if needs_bins(measures):
        found = _bounded(session, planner.bins(frame, groups.family, groups.few, _MAX_ESTIMATED))
        grid = grid.with_bins({**found, "slot": np.searchsorted(present, found["slot"])})
    if needs_codes(measures):
        found = _bounded(session, planner.codes(frame, groups.family, groups.few, _MAX_ESTIMATED))
        grid = grid.with_codes({**found, "slot": np.searchsorted(present, found["slot"])})
    return grid


def _bounded(session: Session, wanted: Statement) -> Columns:
    found = session.fetch(wanted)
    if len(found["slot"]) >= _MAX_ESTIMATED:
        raise TooManyRows(MAX_ROWS)
    return found
