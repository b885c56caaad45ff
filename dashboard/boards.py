"""The leaderboards of an explore page: one `top` query a dimension, asked again only when it is worth it.

A view takes a budget of query time a tick: what does not fit comes with the next one, so that many dimensions, or one
with many values, never hold up the chart. The board of a dimension ignores that dimension's own filter, so that one
can switch from value to value. The order of a board stays for ten seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aggregates.queries import Filter, Metric, Query, TooManyRows, Unanswerable
from dashboard.leaders import OPEN_ROWS, ROWS, Board, Group, board_of, leaderboard, listed, marks_of, ordered
from dashboard.names import readable
from dashboard.numbers import split_unit, unit_of
from dashboard.reading import Reading
from dashboard.state import Explore

MOST = 12
"""Dimensions with a leaderboard; the others are named beneath."""
BUDGET_MS = 60.0
"""Query time of the boards of one view in one tick; one board is always asked."""
REFRESH_MS = 2_000
CALM_MS = 10_000
SLOWNESS = 20
"""A board that took long is left alone so many times as long."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A board as it was asked for, and what it lists."""

    board: Board
    asked_ms: int
    took_ms: float
    order: tuple[Group, ...]
    ordered_ms: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the boards of a view are asked for: `base` is the query of the whole with every filter, up to where all is
    known; `shift_s` how far back the comparison lies, None without one."""

    base: Query
    shift_s: int | None
    often_ms: int
    """Not asked more often than this."""


def boards(
    model: Reading,
    state: Explore,
    metric: Metric,
    wanted: Wanted,
    held: Mapping[str, Kept],
    now_ms: int,
) -> dict[str, Kept]:
    """The boards of all listed dimensions, as far as they could be asked for by now. Blocks on the read model."""
    found = {name: held[name] for name in dimensions(state, metric) if name in held}
    spent = 0.0
    for name in _due(state, metric, wanted, found, now_ms):
        board, took_ms = _asked(model, state, wanted, name)
        found[name] = _kept(board, took_ms, state, metric, found.get(name), now_ms)
        spent += took_ms
        if spent > BUDGET_MS:
            break
    return found


def shown(state: Explore, metric: Metric, kept: Mapping[str, Kept], lines: tuple[Group, ...] = ()) -> dict[str, Any]:
    """All leaderboards as the page shows them; one that was not asked for yet is only named."""
    names = dimensions(state, metric)
    return {
        "sort": state.sort,
        "open": state.open if state.open in names else None,
        "find": state.find or "",
        "list": [_board(name, state, metric, kept.get(name), lines if name == state.by else ()) for name in names],
        "more": [{"key": name, "name": readable(name, 60)} for name in metric.dimensions if name not in names],
    }


def dimensions(state: Explore, metric: Metric) -> list[str]:
    """The dimensions that have a leaderboard: in their order, those the page speaks of before any other."""
    spoken = {state.by, state.open, *(f.dimension for f in state.where)}
    first = [name for name in metric.dimensions if name in spoken]
    chosen = {*first, *[name for name in metric.dimensions if name not in spoken][: max(MOST - len(first), 0)]}
    return [name for name in metric.dimensions if name in chosen]


def _board(name: str, state: Explore, metric: Metric, kept: Kept | None, lines: tuple[Group, ...]) -> dict[str, Any]:
    if kept is None:
        return {"key": name, "dimension": readable(name, 60), "pending": True}
    return leaderboard(kept.board, kept.order, state, metric, lines)


def _due(state: Explore, metric: Metric, wanted: Wanted, found: Mapping[str, Kept], now_ms: int) -> Iterator[str]:
    """The dimensions to ask for: those never asked for first, the open one before the others, then the oldest."""
    names = dimensions(state, metric)
    yield from sorted((n for n in names if n not in found), key=lambda n: (n != state.open, n != state.by))
    for name in sorted((n for n in names if n in found), key=lambda n: found[n].asked_ms):
        one = found[name]
        if now_ms - one.asked_ms >= max(wanted.often_ms, REFRESH_MS, one.took_ms * SLOWNESS):
            yield name


def _asked(model: Reading, state: Explore, wanted: Wanted, name: str) -> tuple[Board, float]:
    """One board from the read model, and how long that took."""
    others = tuple(f for f in wanted.base.where if f.dimension != name)
    query = replace(wanted.base, by=(name,), where=others, top=OPEN_ROWS, compare=wanted.shift_s)
    compared = wanted.shift_s is not None
    try:
        if name == state.open and state.find:
            return _matching(model, query, state.find)
        result = model.query(query)
        board, took_ms = board_of(name, result, compared), result.took_ms
        known = {one.group for one in board.leaders}
        missing = tuple(v for v, mark in marks_of(state, name).items() if mark == "selected" and v not in known)
        if missing and board.others:
            # filtered for, and not among the largest
            chosen = Filter(name, tuple(v for v in missing if v is not None))
            more = model.query(replace(query, where=(*others, chosen), top=None))
            took_ms += more.took_ms
            board = _with(board, board_of(name, more, compared))
    except Unanswerable as refused:
        return Board(name, refused=f"This cannot be listed: {refused}."), 0.0
    except TooManyRows:
        return Board(name, refused="Too many values to be listed. Try a shorter range."), 0.0
    return board, took_ms


def _matching(model: Reading, query: Query, text: str) -> tuple[Board, float]:
    """The largest of the values that contain a text."""
    compared = query.compare is not None
    result = model.query(replace(query, top=None))
    found = board_of(query.by[0], result, compared)
    folded = text.casefold()
    matching = tuple(one for one in found.leaders if folded in readable(one.group, 2_000).casefold())
    return replace(found, leaders=matching[:OPEN_ROWS], others=max(len(matching) - OPEN_ROWS, 0)), result.took_ms


def _with(board: Board, more: Board) -> Board:
    """A board with values that were among its others."""
    rest = board.rest
    if rest is not None:
        values = [one.value for one in more.leaders if one.value is not None]
        befores = [one.before for one in more.leaders if one.before is not None]
        rest = replace(
            rest,
            value=None if rest.value is None else rest.value - sum(values),
            before=None if rest.before is None else rest.before - sum(befores),
        )
    return replace(board, leaders=(*board.leaders, *more.leaders), rest=rest, others=board.others - len(more.leaders))


def _kept(board: Board, took_ms: float, state: Explore, metric: Metric, before: Kept | None, now_ms: int) -> Kept:
    """A board that was asked for now; its order is that of before while all it lists is still there."""
    marks = marks_of(state, board.dimension)
    selected = [value for value, mark in marks.items() if mark == "selected"]
    most = OPEN_ROWS if state.open == board.dimension else ROWS
    unit, _ = split_unit(unit_of(state.measure or metric.measure, metric.unit))
    known = {one.group for one in board.leaders}
    if state.find and state.open == board.dimension:
        selected = [value for value in selected if value in known]
    order = listed(ordered(board, state.sort, unit), selected, most)
    calm = before is not None and now_ms - before.ordered_ms < CALM_MS and len(before.order) == len(order)
    if before is not None and calm and known.union(selected).issuperset(before.order):
        return Kept(board, now_ms, took_ms, before.order, before.ordered_ms)
    return Kept(board, now_ms, took_ms, order, now_ms)
