"""Reading dead letters: pages, counts, single letters, and what the journal says about their replays.

Thread-safe; calls block briefly. An answer is of one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import duckdb

from aggregates.letter_filter import LetterFilter, Place, conditions, order, place_of, where
from aggregates.letter_store import SEGMENTS
from aggregates.readmodel import epoch_ms
from aggregates.replays import LEASE_MS, Claim, Entry, Outcome, Result, fold
from aggregates.store import Store

METRICS_COUNTED = 100
"""Metrics with a count of their own in an answer; the others are counted together."""
_COLUMNS = (
    "number, request_id, place, time_ms, record_ms, reason, field, message, metric, event_id, key, protocol, form, "
    "cut, size, root, partition, record"
)


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A letter as it is kept. `original` is None when it is no longer kept (`kept`), or larger than was asked for."""

    number: int
    request_id: str
    place: int
    time_ms: int
    record_ms: int
    reason: str
    field: str | None
    message: str
    metric: str | None
    event_id: str | None
    key: str | None
    protocol: str
    form: str
    cut: bool
    size: int
    root: str
    partition: int
    record: int
    original: str | None = None
    kept: bool = False
    replay: str | None = None
    """How its replay stands: accepted, rejected, unknown, in_progress; None: there was none."""

    @property
    def id(self) -> str:
        return f"{self.request_id}/{self.place}"

    @property
    def at(self) -> Place:
        return Place(self.time_ms, self.request_id, self.place)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many letters a filter finds. `folded` of them are counted and no longer listed."""

    total: int
    folded: int
    by_reason: Mapping[str, int]
    by_metric: Mapping[str | None, int]
    other_metrics: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters; `next` is where the next page begins, None on the last one."""

    letters: tuple[StoredLetter, ...]
    next: Place | None


@dataclass(frozen=True, slots=True)
class TopicFreshness:
    """How current a followed topic is: its position as text, the records not read yet, and the time up to which
    everything is in (epoch ms). `stopped` says why it is not read any more."""

    position: str
    lag: int
    watermark_ms: int | None
    stopped: str | None = None


class Following(Protocol):
    """What reads a topic."""

    def freshness(self) -> TopicFreshness: ...


class Letterbox:
    """Answers from one store."""

    def __init__(self, store: Store, letters: Following, clock: Callable[[], int] = epoch_ms) -> None:
        self._store = store
        self._letters = letters
        self._clock = clock

    def freshness(self) -> TopicFreshness:
        """How current the letters are."""
        return self._letters.freshness()

    def page(
        self, wanted: LetterFilter, limit: int, after: Place | None, whole_bytes: int, oldest_first: bool = False
    ) -> Page:
        """Up to `limit` letters behind a place, newest first unless told; originals up to `whole_bytes` each."""
        chosen, values = conditions(wanted)
        ordering, behind = order(oldest_first)
        if after is not None:
            chosen.append(behind)
            values += [after.time_ms, after.time_ms, after.request_id, after.request_id, after.place]
        sql = f"SELECT {_COLUMNS} FROM letters{where(chosen)} ORDER BY {ordering} LIMIT ?"
        with self._store.reader() as cursor:
            rows = [StoredLetter(*row) for row in cursor.execute(sql, [*values, limit + 1]).fetchall()]
            found = self._completed(cursor, rows[:limit], whole_bytes)
        return Page(tuple(found), found[-1].at if len(rows) > limit else None)

    def counts(self, wanted: LetterFilter) -> Counts:
        """Exact counts, those of letters that are no longer listed included. Of these, `start_ms` and `end_ms` are
        widened to whole hours, and `request_id` finds none."""
        chosen, values = conditions(wanted)
        listed = f"SELECT reason, metric, count(*) AS n, 0 AS folded FROM letters{where(chosen)} GROUP BY ALL"
        old_chosen, old_values = conditions(wanted, folded=True)
        folded = (
            "SELECT reason, metric, sum(count)::BIGINT AS n, n AS folded "
            f"FROM letter_counts{where(old_chosen)} GROUP BY reason, metric"
        )
        with self._store.reader() as cursor:
            rows = cursor.execute(f"{listed} UNION ALL {folded}", [*values, *old_values]).fetchall()
        by_reason: dict[str, int] = {}
        by_metric: dict[str | None, int] = {}
        for reason, metric, count, _ in rows:
            by_reason[reason] = by_reason.get(reason, 0) + count
            by_metric[metric] = by_metric.get(metric, 0) + count
        ordered = sorted(by_metric.items(), key=lambda found: (-found[1], found[0] or ""))
        return Counts(
            total=sum(by_reason.values()),
            folded=sum(row[3] for row in rows),
            by_reason=dict(sorted(by_reason.items(), key=lambda found: (-found[1], found[0]))),
            by_metric=dict(ordered[:METRICS_COUNTED]),
            other_metrics=sum(count for _, count in ordered[METRICS_COUNTED:]),
        )

    def letters(self, ids: Sequence[str], whole_bytes: int, total_bytes: int | None = None) -> dict[str, StoredLetter]:
        """Id → letter, of those that are kept; originals up to `whole_bytes` each, and of the first in `ids` up to
        `total_bytes` together (always one)."""
        places = [place_of(found) for found in ids]
        known = [place for place in places if place is not None]
        sql = (
            f"SELECT {_COLUMNS} FROM letters JOIN (SELECT unnest(?::VARCHAR[]) AS request_id, "
            "unnest(?::INTEGER[]) AS place) USING (request_id, place) ORDER BY number DESC"
        )
        with self._store.reader() as cursor:
            rows = cursor.execute(sql, [[r for r, _ in known], [p for _, p in known]]).fetchall()
            unique = {letter.id: letter for letter in (StoredLetter(*row) for row in rows)}
            ordered = [unique[one] for one in dict.fromkeys(ids) if one in unique]
            found = self._completed(cursor, ordered, whole_bytes, total_bytes)
        return {letter.id: letter for letter in found}

    def entries(self, roots: Iterable[str]) -> dict[str, list[Entry]]:
        """Root → what the journal says about it so far."""
        with self._store.reader() as cursor:
            return _entries(cursor, roots)

    def _completed(
        self,
        cursor: duckdb.DuckDBPyConnection,
        letters: Sequence[StoredLetter],
        whole_bytes: int,
        total_bytes: int | None = None,
    ) -> list[StoredLetter]:
        """The letters with their originals and the state of their replays."""
        numbers: list[int] = []
        size = 0
        for letter in letters:
            size += letter.size
            if letter.size <= whole_bytes and (total_bytes is None or not numbers or size <= total_bytes):
                numbers.append(letter.number)
        kept, originals = _originals(cursor, [letter.number for letter in letters], numbers)
        entries = _entries(cursor, {letter.root for letter in letters})
        now_ms = self._clock()
        return [
            replace(
                letter,
                original=originals.get(letter.number),
                kept=letter.number in kept,
                replay=standing(entries.get(letter.root, []), letter.id, now_ms),
            )
            for letter in letters
        ]


def _originals(
    cursor: duckdb.DuckDBPyConnection, numbers: Sequence[int], wanted: Sequence[int]
) -> tuple[set[int], dict[int, str]]:
    """Which letters' originals are kept, and the wanted ones of them."""
    kept: set[int] = set()
    originals: dict[int, str] = {}
    for segment in range(SEGMENTS):
        here = f"FROM originals_{segment} WHERE number IN (SELECT unnest(?::BIGINT[]))"
        kept |= {number for (number,) in cursor.execute(f"SELECT number {here}", [numbers]).fetchall()}
        originals |= dict(cursor.execute(f"SELECT number, original {here}", [wanted]).fetchall())
    return kept, originals


def standing(entries: Sequence[Entry], letter: str, now_ms: int) -> str | None:
    """How the replay of a letter stands, in one word; None without one."""
    state = fold(entries)
    if state.accepted_by is not None:
        return Outcome.ACCEPTED.value
    if state.attempt is not None:
        at_work = not state.attempt.ended and now_ms - state.attempt.last_ms < LEASE_MS
        return "in_progress" if at_work else Outcome.UNKNOWN.value
    refused = any(isinstance(e, Result) and (e.letter, e.outcome) == (letter, Outcome.REJECTED) for e in entries)
    return Outcome.REJECTED.value if refused else None


def _entries(cursor: duckdb.DuckDBPyConnection, roots: Iterable[str]) -> dict[str, list[Entry]]:
    sql = (
        "SELECT number, record_ms, replay, root, letter, edits, force, outcome FROM replays "
        "WHERE root IN (SELECT unnest(?::VARCHAR[])) ORDER BY number, rowid"
    )
    found: dict[str, list[Entry]] = {}
    for row in cursor.execute(sql, [list(roots)]).fetchall():
        number, record_ms, replay, root, letter, edits, force, outcome = row
        entry: Entry = (
            Claim(number, record_ms, replay, root, letter, edits, force)
            if outcome is None
            else Result(number, record_ms, replay, root, letter, outcome)
        )
        found.setdefault(entry.root, []).append(entry)
    return found
