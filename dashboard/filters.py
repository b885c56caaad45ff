"""The filters of the explore page as chips: one for the values a dimension has to have, one for those it must not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aggregates.queries import Filter
from dashboard.names import readable
from dashboard.state import Explore, address

NAMED = 3
"""So many values are named, the others counted."""


def chips(state: Explore) -> list[dict[str, Any]]:
    """A chip for each filter: `key` is the dimension as it came, `without` the address without the filter."""
    return [
        {
            "key": one.dimension,
            "negate": one.negate,
            "text": f"{readable(one.dimension, 40)}: {'not ' if one.negate else ''}{_values(one, 40, NAMED)}",
            "title": _values(one, 200, 20),
            "without": address(replace(state, where=tuple(f for f in state.where if f != one))),
        }
        for one in state.where
    ]


def filter_words(where: tuple[Filter, ...]) -> str:
    """All filters as a sentence; empty without any."""
    return "; ".join(
        f"{readable(f.dimension, 200)}: {'not ' if f.negate else ''}{_values(f, 200, len(f.values))}" for f in where
    )


def _values(one: Filter, letters: int, named: int) -> str:
    texts = [readable(value, letters) for value in one.values]
    more = len(texts) - named
    return ", ".join(texts) if more <= 0 else f"{', '.join(texts[:named])} and {more} more"
