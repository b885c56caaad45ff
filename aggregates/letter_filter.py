"""Which letters: a filter and a place in their order, as conditions of SQL. Pure; values are always bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HOUR_MS = 3_600_000
ACCEPTED_ROOTS = "SELECT root FROM replays WHERE outcome = 'accepted'"
_ID = "request_id || '/' || place"


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters. Times are arrivals in epoch milliseconds, half-open. `replayed`: accepted by a replay, or not;
    `untried`: neither accepted nor rejected by one. None and empty: any."""

    reasons: tuple[str, ...] = ()
    metric: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    key: str | None = None
    request_id: str | None = None
    replayed: bool | None = None
    untried: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of letters: by time, request, and index."""

    time_ms: int
    request_id: str
    place: int


def conditions(wanted: LetterFilter, folded: bool = False) -> tuple[list[str], list[object]]:
    """Conditions on `letters`, or on `letter_counts`, with their values."""
    found: list[tuple[str, Sequence[object]]] = []
    if wanted.reasons:
        found.append((f"reason IN ({', '.join('?' * len(wanted.reasons))})", wanted.reasons))
    if wanted.metric is not None:
        found.append(("metric = ?", [wanted.metric]))
    if wanted.key is not None:
        found.append(("key = ?", [wanted.key]))
    if wanted.start_ms is not None:
        found.append((f"hour + {HOUR_MS} > ?" if folded else "time_ms >= ?", [wanted.start_ms]))
    if wanted.end_ms is not None:
        found.append(("hour < ?" if folded else "time_ms < ?", [wanted.end_ms]))
    if wanted.request_id is not None:
        found.append(("false", []) if folded else ("request_id = ?", [wanted.request_id]))
    if wanted.replayed is not None or wanted.untried:
        replayed = bool(wanted.replayed) and not wanted.untried
        inside = f"root {'' if replayed else 'NOT '}IN ({ACCEPTED_ROOTS})"
        found.append((f"replayed = {replayed}" if folded else inside, []))
    if wanted.untried and not folded:
        found.append((f"{_ID} NOT IN (SELECT letter FROM replays WHERE outcome = 'rejected')", []))
    return [condition for condition, _ in found], [value for _, values in found for value in values]


def where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def order(oldest_first: bool) -> tuple[str, str]:
    """The order of letters, and the condition that they stand behind a place (time, time, request, request, index)."""
    if oldest_first:
        return (
            "time_ms, request_id, place",
            "(time_ms > ? OR time_ms = ? AND (request_id > ? OR request_id = ? AND place > ?))",
        )
    return (
        "time_ms DESC, request_id DESC, place",
        "(time_ms < ? OR time_ms = ? AND (request_id < ? OR request_id = ? AND place > ?))",
    )


def place_of(letter_id: str) -> tuple[str, int] | None:
    request_id, _, place = letter_id.rpartition("/")
    return (request_id, int(place)) if place.isascii() and place.isdigit() and len(place) < 10 else None
