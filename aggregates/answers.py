"""From a query to the rows of its answer: what to read, the largest groups, the comparison with another range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregates.asking import Labels, Measured
from aggregates.cells import cells_of, ratio, spread
from aggregates.derived import Asker, aligned
from aggregates.frames import Asked, Frame, Keeping, frame, like, shifted
from aggregates.measures import HISTOGRAM, type_of, unit_of
from aggregates.queries import DAY_STEP_S, MAX_ROWS, Column, Freshness, Query, Result, TooManyRows, Unanswerable

Values = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns and rows, and what they were read from."""

    columns: tuple[Column, ...]
    rows: list[tuple[object, ...]]
    frame: Frame
    restated: bool
    error_bound: Mapping[str, float] | None
    others: int | None


@dataclass(frozen=True, slots=True)
class Replied:
    """An answer as it is remembered, with the view that was read."""

    answer: Answer
    view: str

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        given = self.answer
        cells = len(given.rows) * len(given.columns)
        texts = sum(len(cell) for row in given.rows for cell in row if isinstance(cell, str))
        bins = sum(len(cell) for row in given.rows for cell in row if isinstance(cell, list))
        return 1000 + 64 * len(given.rows) + 40 * cells + 2 * texts + 150 * bins

    def result(self, freshness: Freshness, seconds: float) -> Result:
        given = self.answer
        return Result(
            columns=given.columns,
            rows=given.rows,
            freshness=freshness,
            start_ms=given.frame.start * 1000,
            end_ms=given.frame.end * 1000,
            step_s=given.frame.step,
            level=given.frame.level,
            view=self.view,
            took_ms=round(seconds * 1000, 3),
            restated=given.restated,
            error_bound=given.error_bound,
            others=given.others,
        )


def in_whole_buckets(query: Query) -> Query:
    """The same query from and to whole buckets, as it is answered: so questions of one moment become equal."""
    width = 1000 * (query.step_s if query.step_s is not None and query.step_s != DAY_STEP_S else 1)
    return replace(query, start_ms=query.start_ms // width * width, end_ms=-(-query.end_ms // width) * width)


def answer(asker: Asker, query: Query, keeping: Keeping, unit: str | None) -> Answer:
    """Answer a query about the asker's subject. Raises `Unanswerable` or `TooManyRows`."""
    measures = asker.subject.settled(query.measures)
    order = _order(asker, query, measures)
    asked = _asked(query, asker.finest([*measures, *([order] if order else [])]))
    shift = _shift(query, asked)
    found, earlier = frames_of(query, asked, shift, keeping)
    if order is None:
        own, others = asker.measure(found, measures, MAX_ROWS), None
    else:
        asker, own, others = _ordered(asker, found, measures, order, query.top)
    labels, values, bounds = own.labels, dict(own.values), dict(own.bounds)
    if earlier is not None:
        before = asker.measure(earlier, measures, MAX_ROWS)
        labels = asker.ordered([*own.labels, *before.labels])
        values = _compared(aligned(own, labels), aligned(before, labels), len(found.starts))
        bounds |= before.bounds
    _check_size(len(found.starts) * len(labels), values)
    return Answer(
        columns=_columns(query, measures, unit, earlier is not None),
        rows=_rows(query, found, labels, values),
        frame=found,
        restated=asker.is_restated(found),
        error_bound=bounds or None,
        others=others,
    )


def _asked(query: Query, finest: str) -> Asked:
    as_of = None if query.as_of_ms is None else query.as_of_ms // 1000
    return Asked(query.start_ms // 1000, -(-query.end_ms // 1000), query.step_s, query.timezone, as_of, finest)


def _order(asker: Asker, query: Query, measures: Sequence[str]) -> str | None:
    """The measure that groups are ordered by; None: by name."""
    order = query.order
    if order is None and query.top is not None:
        order = next((name for name in measures if name != HISTOGRAM), None)
        if order is None:
            raise Unanswerable("order", "a histogram has no order: name another measure in order")
    if order is not None:
        asker.subject.check("order", order)
    return order if query.by else None


def _ordered(
    asker: Asker, found: Frame, measures: Sequence[str], order: str, top: int | None
) -> tuple[Asker, Measured, int | None]:
    """The measures of the largest groups and of the rest; and an asker for them, and how many groups the rest is."""
    # What was read to find the largest can be merged here: all but the newest value.
    once = found.step is None and not any("last" in names for names in asker.wanted(measures))
    whole = asker.read(found.whole, [*dict.fromkeys([*measures, order])] if once else [order])
    totals = asker.measured(whole, [order])
    asker = asker.top(_largest(totals, order, top))
    if once:
        own = asker.measured([part.merged(asker.chosen) for part in whole], measures)
    else:
        own = asker.measure(found, measures, MAX_ROWS)
    return asker, own, None if top is None else max(0, len(totals.labels) - top)


def _largest(totals: Measured, order: str, top: int | None) -> list[Labels]:
    """The groups of the largest measure over the whole range, the largest first; equal ones by name. None: all."""
    if not totals.labels:
        return []
    values = totals.values[order][0].astype(np.float64)
    ranked = np.argsort(np.where(np.isnan(values), np.inf, -values), kind="stable")
    return [totals.labels[place] for place in ranked[:top].tolist()]


def _shift(query: Query, asked: Asked) -> int | None:
    """How far back (s) the range to compare with lies; None without one."""
    return asked.end - asked.start if query.compare == "previous" else query.compare


def frames_of(query: Query, asked: Asked, shift: int | None, keeping: Keeping) -> tuple[Frame, Frame | None]:
    """The frame of the range, and of the one to compare with, in the same steps, or widened alike without one."""
    if shift is None:
        return frame(asked, keeping), None
    while True:
        found = frame(asked, keeping, asked.start - shift)
        by = _whole_steps(found, shift, query)
        before = shifted(asked, found, by, keeping)
        earlier = frame(before, keeping)
        # So far back less is kept: steps grow, five times at most; without a step both ranges become whole minutes,
        # then quarters, then days.
        if earlier.step != found.step:
            asked = replace(asked, step=earlier.step)
        elif found.step is None and (earlier.start < before.start or earlier.end > before.end):
            wider = like(asked, before, keeping)
            if wider == asked:
                raise Unanswerable("compare", "compare must be a multiple of the buckets that are kept of so long ago")
            asked = wider
        else:
            return found, earlier


def _whole_steps(found: Frame, shift: int, query: Query) -> int:
    """The shift between the buckets of both ranges."""
    if query.compare == "previous":
        return found.end - found.start if found.step is None else len(found.starts) * found.step
    if found.step is None:
        return shift
    if shift % found.step:
        raise Unanswerable("compare", f"compare must be a multiple of the step, which is {found.step} seconds here")
    return shift


def _check_size(cells: int, values: Values) -> None:
    """Raises `TooManyRows`; each bin of a histogram counts as a row."""
    bins = sum(len(one) for name, found in values.items() if name.startswith(HISTOGRAM) for one in found.ravel())
    if max(cells, bins) > MAX_ROWS:
        raise TooManyRows(max(cells, bins))


def _compared(own: Values, before: Values, buckets: int) -> dict[str, npt.NDArray[Any]]:
    """Each measure, what it was before, and the change as a share of that."""
    found: dict[str, npt.NDArray[Any]] = {}
    for name, values in own.items():
        # Local days that a zone left out are missing; seen sideways, buckets are slots.
        earlier = before[name][:buckets]
        earlier = spread(name, earlier.T, range(len(earlier)), buckets).T
        found[name], found[f"{name}_previous"] = values, earlier
        if name != HISTOGRAM:
            found[f"{name}_change"] = ratio(values.astype(np.float64) - earlier, np.abs(earlier))
    return found


def _columns(query: Query, measures: Sequence[str], unit: str | None, compared: bool) -> tuple[Column, ...]:
    columns = [Column("time", "time")] if query.step_s else []
    columns += [Column(name, "string") for name in query.by]
    for name in measures:
        columns.append(Column(name, type_of(name), unit_of(name, unit)))
        if compared:
            columns.append(Column(f"{name}_previous", type_of(name), unit_of(name, unit)))
            if name != HISTOGRAM:
                columns.append(Column(f"{name}_change", "number", "ratio"))
    return tuple(columns)


def _rows(query: Query, found: Frame, labels: Sequence[Labels], values: Values) -> list[tuple[object, ...]]:
    """The measures as rows, by time and then by group."""
    columns: list[Sequence[object]] = []
    if query.step_s is not None:
        columns.append(np.repeat(found.starts * 1000, len(labels)).tolist())
    columns += [[label[place] for label in labels] * len(found.starts) for place in range(len(query.by))]
    columns += [cells_of(one) for one in values.values()]
    return list(zip(*columns, strict=True))
