"""Leaderboards as values: which values of a dimension are listed, in which order, and what each row says.

Also which values of the split dimension get a line of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aggregates.queries import Metric, Result
from dashboard.names import readable
from dashboard.numbers import format_delta, format_value, split_unit, unit_of
from dashboard.state import Explore
from dashboard.tiles import ADDITIVE
from dashboard.tokens import CATEGORIES

ROWS = 8
"""How many values a leaderboard lists."""
OPEN_ROWS = 100
"""How many an open one lists, and so how many the largest are that are sorted."""
CHALLENGE = 1.1

Group = str | None
"""A value of a dimension; None: the series does not have the dimension."""
Ranked = list[tuple[Group, float | None]]


@dataclass(frozen=True, slots=True)
class Leader:
    """A value of a dimension with its measure, now and in the range it is compared with."""

    group: Group
    value: float | None
    before: float | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """The largest values of a dimension, largest first, and all others together. `compared` says whether there is a
    range to compare with, `refused` why there is nothing."""

    dimension: str
    leaders: tuple[Leader, ...] = ()
    rest: Leader | None = None
    others: int = 0
    compared: bool = False
    refused: str = ""

    @property
    def groups(self) -> int:
        """How many values there are."""
        return len(self.leaders) + self.others


def board_of(dimension: str, result: Result, compared: bool) -> Board:
    """The board in an answer to a query by one dimension with one measure, with or without `top` and `compare`."""
    found = [
        Leader(group_of(row[0]), number_of(row[1]), number_of(row[2]) if compared else None) for row in result.rows
    ]
    rest = found.pop() if result.others and found else None
    found.sort(key=lambda one: (one.value is None, -(one.value or 0.0), one.group or ""))
    return Board(dimension, tuple(found), rest, result.others or 0, compared)


def ordered(board: Board, sort: str, unit: str | None) -> list[Group]:
    """The values of a board by the measure, by how much it grew (largest growth first), or by name."""
    found = list(board.leaders)
    if sort == "change":
        found.sort(key=lambda one: -_growth(one, unit))
    elif sort == "name":
        found.sort(key=lambda one: (readable(one.group).casefold(), one.group or ""))
    return [one.group for one in found]


def listed(order: Sequence[Group], selected: Sequence[Group], most: int) -> tuple[Group, ...]:
    """What a board lists: the selected values first, then the others in their order, `most` of them in all."""
    first = [group for group in order if group in selected] + [group for group in selected if group not in order]
    others = [group for group in order if group not in selected]
    return (*first, *others[: max(most - len(first), 0)])


def leaderboard(
    board: Board, shown: Sequence[Group], state: Explore, metric: Metric, lines: Sequence[Group] = ()
) -> dict[str, Any]:
    """A board as the page shows it: rows with bar, share and change, and what the rest is.

    Args:
        shown: the values listed, in their order.
        lines: the values that have a line in the chart, in the order of their colours.
    """
    measure = state.measure or metric.measure
    (unit, _), additive = split_unit(unit_of(measure, metric.unit)), measure in ADDITIVE
    found = {one.group: one for one in board.leaders}
    rows = [found.get(group) or Leader(group, None) for group in shown]
    hidden = [one for one in board.leaders if one.group not in shown] + ([board.rest] if board.rest else [])
    total = math.fsum(one.value for one in [*rows, *hidden] if one.value is not None) if additive else 0.0
    largest = max((abs(one.value) for one in rows if one.value is not None), default=0.0) or 1.0
    marks = marks_of(state, board.dimension)
    count = max(board.groups - len([group for group in shown if group in found]), 0)
    return {
        "key": board.dimension,
        "dimension": readable(board.dimension, 60),
        "groups": board.groups,
        "shares": additive,
        "compared": board.compared,
        "filtered": "selected" in marks.values(),
        "split": state.by == board.dimension,
        "rows": [
            {
                "value": one.group,
                "name": readable(one.group, 80),
                **_numbers(one, unit, metric, total),
                "width": round(abs(one.value or 0.0) / largest, 4),
                "negative": (one.value or 0.0) < 0,
                "colour": CATEGORIES[lines.index(one.group) % len(CATEGORIES)] if one.group in lines else None,
                "state": marks.get(one.group, ""),
            }
            for one in rows
        ],
        "other": {"count": count, **_numbers(_together(hidden, additive), unit, metric, total)} if count else None,
        "refused": board.refused,
    }


def marks_of(state: Explore, dimension: str) -> dict[Group, str]:
    """Value → "selected" or "excluded", of those a dimension is filtered by."""
    own = [f for f in state.where if f.dimension == dimension]
    return {value: "excluded" if f.negate else "selected" for f in own for value in f.values}


def _numbers(one: Leader, unit: str | None, metric: Metric, total: float) -> dict[str, str]:
    """Value, share and change of a row as text."""
    delta = format_delta(one.value, one.before, unit, metric.better)
    return {
        "text": format_value(one.value, unit) if one.value is not None else "",
        "share": format_value(one.value / total, "ratio") if total > 0 and one.value is not None else "",
        "delta": delta.text,
        "tone": delta.tone,
        "was": delta.was,
    }


def _together(hidden: Sequence[Leader], additive: bool) -> Leader:
    """Several values as one; only sums can be added up."""
    if not additive:
        return Leader(None, None)
    befores = [one.before for one in hidden if one.before is not None]
    values = [one.value for one in hidden if one.value is not None]
    return Leader(None, math.fsum(values) if values else None, math.fsum(befores) if befores else None)


def _growth(one: Leader, unit: str | None) -> float:
    """What the change of a row is sorted by; without one last."""
    if one.value is None or one.before is None:
        return -math.inf
    if unit in ("ratio", "percent", "%"):
        return one.value - one.before
    if one.before == 0:
        return math.inf if one.value > 0 else -math.inf if one.value < 0 else 0.0
    return (one.value - one.before) / abs(one.before)


def groups(result: Result) -> dict[Group, float | None]:
    """A result of one dimension and one measure without steps, as group → value."""
    return {group_of(row[0]): number_of(row[1]) for row in result.rows}


def rank(values: Mapping[Group, float | None]) -> Ranked:
    """Largest first, groups without a value last, equal ones by name."""
    return sorted(values.items(), key=lambda p: (p[1] is None, -(p[1] or 0.0), p[0] or ""))


def steady_top(held: Sequence[Group], ranked: Ranked, most: int) -> tuple[Group, ...]:
    """The groups that get a line, each in the place (so in the colour) it had.

    A group in the list stays until one outside is clearly larger: no flicker between two of about the same size.
    """
    values = dict(ranked)
    kept = [g for g in held[:most] if g in values]
    outside = [g for g, _ in ranked if g not in kept]
    for place in range(most):
        # whoever left makes room in its own place
        left = place < len(held) and held[place] not in values
        if outside and len(kept) < most and (left or place >= len(kept)):
            kept.insert(place, outside.pop(0))
    for challenger in outside[:most]:
        weakest = min(kept, key=lambda g: _size(values[g]))
        if _size(values[challenger]) <= _size(values[weakest]) * CHALLENGE:
            break
        kept[kept.index(weakest)] = challenger
    return tuple(kept)


def group_of(cell: object) -> Group:
    return None if cell is None else str(cell)


def number_of(cell: object) -> float | None:
    return float(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) and cell == cell else None


def _size(value: float | None) -> float:
    return float("-inf") if value is None else value
