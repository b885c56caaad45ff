"""The leaderboard of a dimension, and which of its values get a line of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aggregates.queries import Metric, Result
from dashboard.names import readable
from dashboard.numbers import format_delta, format_value, split_unit, unit_of
from dashboard.state import Explore, address, toggled
from dashboard.tiles import ADDITIVE
from dashboard.tokens import CATEGORIES

ROWS = 8
CHALLENGE = 1.1

Group = str | None
"""A value of a dimension; None: the series does not have the dimension."""
Ranked = list[tuple[Group, float | None]]


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


def leaderboard(
    ranked: Ranked, state: Explore, metric: Metric, top: Sequence[Group], before: Mapping[Group, float | None]
) -> dict[str, Any]:
    """The largest groups with their share and change, and what the rest is; without the dimension's own filter."""
    measure = state.measure or metric.measure
    (unit, _), additive = split_unit(unit_of(measure, metric.unit)), measure in ADDITIVE
    largest = max((abs(v) for _, v in ranked if v is not None), default=0.0) or 1.0
    total = sum(v for _, v in ranked if v is not None)
    selected = {v for f in state.where if f.dimension == state.by and not f.negate for v in f.values}
    listed = [p for p in ranked if p[0] in selected] + [p for p in ranked if p[0] not in selected]
    rows = []
    for group, value in listed[: max(ROWS, len(selected))]:
        delta = format_delta(value, before.get(group), unit, metric.better)
        rows.append({
            "value": group,
            "name": readable(group, 80),
            "text": format_value(value, unit),
            "width": round(abs(value or 0.0) / largest, 4),
            "negative": (value or 0.0) < 0,
            "share": format_value(value / total, "ratio") if additive and value is not None and total > 0 else "",
            "delta": delta.text,
            "tone": delta.tone,
            "was": delta.was,
            "colour": CATEGORIES[top.index(group)] if group in top else None,
            "selected": group in selected,
            "href": _toggle(state, group),
        })  # fmt: skip
    rest = [v for g, v in listed[len(rows) :] if v is not None]
    other = {"count": len(listed) - len(rows), "text": format_value(sum(rest), unit) if additive else ""}
    return {
        "dimension": readable(state.by, 60),
        "groups": len(ranked),
        "shares": additive,
        "filtered": bool(selected),
        "rows": rows,
        "other": other if other["count"] else None,
    }


def _toggle(state: Explore, group: Group) -> str:
    """The address with a group of the split dimension filtered for, or no longer; a missing value has none."""
    if group is None or state.by is None:
        return ""
    return address(replace(state, where=toggled(state.where, state.by, group)))


def group_of(cell: object) -> Group:
    return None if cell is None else str(cell)


def number_of(cell: object) -> float | None:
    return float(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) and cell == cell else None


def _size(value: float | None) -> float:
    return float("-inf") if value is None else value
