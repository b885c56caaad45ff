"""Fuses: how many values a dimension and how many series a key may have, counted by this process since its start.

They keep one wrong sender from filling the memory of everything behind. Nothing outside the process is asked, so
several processes together let through as many times more. What was refused is a dead letter and can be sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ingest.accept import Draft
from ingest.definitions import Registry
from ingest.verdicts import Reason, Rejected, shown


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, as far as fuses care."""

    key_id: str
    series_limit: int | None = None
    """Most different series its events may have; None: any number."""


ANYONE: Final = Sender("")


class Fuses:
    """Remembers values of limited dimensions and series of limited senders, never more of them than their limits.

    What was let through once always is. Not thread-safe.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], set[str]] = {}
        self._series: dict[str, set[int]] = {}

    def admit(self, draft: Draft, sender: Sender) -> Rejected | None:
        """The last step for an event that passed all others: None counts it, a rejection counts nothing."""
        new: list[tuple[set[str], str]] = []
        for name, limit, value in _limited(draft):
            values = self._values.setdefault((draft.metric, name), set())
            if value not in values:
                if len(values) >= limit:
                    message = f"{shown(value)} is new, and the registry allows {limit} different values"
                    return Rejected(Reason.CARDINALITY, f"dimensions.{name}", message)
                new.append((values, value))
        if sender.series_limit is not None:
            known = self._series.setdefault(sender.key_id, set())
            key = draft.series.key
            if key not in known:
                if len(known) >= sender.series_limit:
                    message = f"the series is new, and the key may have {sender.series_limit} of them"
                    return Rejected(Reason.SERIES_LIMIT, None, message)
                known.add(key)
        for values, value in new:
            values.add(value)
        return None

    def keep(self, registry: Registry) -> None:
        """Forget the values of dimensions that have no limit in this registry."""
        metrics = registry.metrics
        self._values = {
            (metric, name): values
            for (metric, name), values in self._values.items()
            if metric in metrics and name in metrics[metric].rules and metrics[metric].rules[name].limit is not None
        }


def _limited(draft: Draft) -> list[tuple[str, int, str]]:
    """The event's dimensions that have a limit: name, limit, value."""
    rules = draft.definition.rules if draft.definition else None
    if not rules:
        return []
    found = ((name, rules[name].limit, value) for name, value in draft.dimensions if name in rules)
    return [(name, limit, value) for name, limit, value in found if limit is not None]
