"""Annotations: words at a moment or a stretch of time, shown on charts, folded from the topic `journal`.

The journal alone decides, in its order, so that all replicas show the same: the first entry that adds an id has it, the
last one that edits it wins, and what was removed stays removed. The rows of the journal are the only ones that are
kept; the annotations are a few thousand at most and live in memory, folded again when the process starts.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from aggregates.store import Store

ANNOTATION: Final = "annotation"
"""The type of its entries in the journal."""
MOST: Final = 10_000
"""Annotations there can be at a time: an entry that would add one more is without effect."""
MOST_REMOVED: Final = 10_000
"""Ids of removed annotations that are remembered, the newest: they cannot be added again."""
MAX_TEXT: Final = 500
MAX_METRIC: Final = 200
EARLIEST_MS: Final = -62_104_060_800_000
"""The year 2; every time zone can show what lies from there to `LATEST_MS`, the year 9999."""
LATEST_MS: Final = 253_370_764_800_000
ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


@dataclass(frozen=True, slots=True)
class Content:
    """What somebody says."""

    at_ms: int
    end_ms: int | None
    text: str
    metric: str | None

    @property
    def is_valid(self) -> bool:
        """Whether it may be shown."""
        end_ms = self.at_ms if self.end_ms is None else self.end_ms
        named = self.metric is None or 0 < len(self.metric) <= MAX_METRIC
        return named and 0 < len(self.text) <= MAX_TEXT and EARLIEST_MS <= self.at_ms <= end_ms < LATEST_MS


@dataclass(frozen=True, slots=True)
class Annotation:
    """Times are epoch milliseconds; `end_ms` None: a moment. `metric` None: of all metrics.

    `author` and `edited_by` are ids of keys, None without. `record` is the offset of the entry that added it, `added`
    what that entry said.
    """

    id: str
    at_ms: int
    end_ms: int | None
    text: str
    metric: str | None
    author: str | None
    created_ms: int
    record: int
    added: Content
    edits: int = 0
    edited_ms: int | None = None
    edited_by: str | None = None

    @property
    def place(self) -> tuple[int, str]:
        """What annotations are ordered by."""
        return self.at_ms, self.id


class Action(StrEnum):
    """What an entry does."""

    ADD = "add"
    EDIT = "edit"
    REMOVE = "remove"


class Entry(msgspec.Struct, frozen=True):
    """An entry of the journal as it is written. One that edits holds what changes; times only together."""

    id: str
    action: Action
    author: str | None = None
    at_ms: int | UnsetType = UNSET
    end_ms: int | UnsetType | None = UNSET
    text: str | UnsetType = UNSET
    metric: str | UnsetType | None = UNSET


def read_entry(body: bytes | str) -> Entry | None:
    """An entry of the type `annotation`; None when it cannot be read."""
    try:
        return msgspec.json.decode(body, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Fold:
    """The annotations behind the entries that were taken, in the journal's order.

    For one thread at a time; what it hands out is never changed afterwards, so that others may read beside it.
    """

    def __init__(self, most: int = MOST, most_removed: int = MOST_REMOVED) -> None:
        self._most, self._most_removed = most, most_removed
        self._there: dict[str, Annotation] = {}
        self._removed: dict[str, None] = {}

    def take(self, entry: Entry, record: int, record_ms: int) -> bool:
        """Take in an entry with its offset and append time; whether anything changed. One that says something
        impossible is without effect."""
        if entry.action is Action.ADD:
            return self._add(entry, record, record_ms)
        known = self._there.get(entry.id)
        if known is None:
            return False
        if entry.action is Action.REMOVE:
            del self._there[entry.id]
            self._removed[entry.id] = None
            if len(self._removed) > self._most_removed:
                del self._removed[next(iter(self._removed))]
            return True
        return self._edit(known, entry, record_ms)

    def _add(self, entry: Entry, record: int, record_ms: int) -> bool:
        if ID.fullmatch(entry.id) is None or entry.at_ms is UNSET or entry.text is UNSET:
            return False
        if entry.id in self._there or entry.id in self._removed or len(self._there) >= self._most:
            return False
        end_ms = None if entry.end_ms is UNSET else entry.end_ms
        content = Content(entry.at_ms, end_ms, entry.text, None if entry.metric is UNSET else entry.metric)
        if not content.is_valid:
            return False
        said = (content.at_ms, content.end_ms, content.text, content.metric)
        self._there[entry.id] = Annotation(entry.id, *said, entry.author, record_ms, record, content)
        return True

    def _edit(self, known: Annotation, entry: Entry, record_ms: int) -> bool:
        content = Content(
            known.at_ms if entry.at_ms is UNSET else entry.at_ms,
            known.end_ms if entry.end_ms is UNSET else entry.end_ms,
            known.text if entry.text is UNSET else entry.text,
            known.metric if entry.metric is UNSET else entry.metric,
        )
        if not content.is_valid:
            return False
        self._there[entry.id] = replace(
            known,
            at_ms=content.at_ms,
            end_ms=content.end_ms,
            text=content.text,
            metric=content.metric,
            edits=known.edits + 1,
            edited_ms=record_ms,
            edited_by=entry.author,
        )
        return True

    @property
    def is_full(self) -> bool:
        return len(self._there) >= self._most

    def get(self, id_: str) -> Annotation | None:
        return self._there.get(id_)

    def was_removed(self, id_: str) -> bool:
        return id_ in self._removed

    def ordered(self) -> tuple[Annotation, ...]:
        """All of them, by time."""
        return tuple(sorted(self._there.values(), key=lambda one: one.place))


class Annotations:
    """The annotations of a store's journal. `catch_up` belongs to the writer's thread, the rest to everybody."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fold = Fold()
        self._reached = -1
        self.all: tuple[Annotation, ...] = ()
        """By time; another object whenever there is a change."""
        self.catch_up()

    def catch_up(self) -> None:
        """Take in the entries of the journal that are new."""
        with self._store.reader() as cursor:
            rows = cursor.execute(
                "SELECT number, record, record_ms, body FROM journal WHERE type = ? AND number > ? ORDER BY number",
                [ANNOTATION, self._reached],
            ).fetchall()
        changed = False
        for number, record, record_ms, body in rows:
            entry = read_entry(body)
            changed = (entry is not None and self._fold.take(entry, record, record_ms)) or changed
            self._reached = number
        if changed:
            self.all = self._fold.ordered()

    @property
    def is_full(self) -> bool:
        """Whether none can be added."""
        return self._fold.is_full

    def get(self, id_: str) -> Annotation | None:
        return self._fold.get(id_)

    def was_removed(self, id_: str) -> bool:
        """Whether there was one of that id."""
        return self._fold.was_removed(id_)


def touching(
    annotations: Sequence[Annotation], start_ms: int | None, end_ms: int | None, metric: str | None
) -> Iterable[Annotation]:
    """Those of a half-open range, and of a metric or of all metrics, in their order. None: whatever it is."""
    behind = len(annotations) if end_ms is None else bisect_left(annotations, (end_ms, ""), key=lambda one: one.place)
    for one in annotations[:behind]:
        last_ms = one.at_ms if one.end_ms is None else one.end_ms
        if (start_ms is None or last_ms >= start_ms) and (metric is None or one.metric in (None, metric)):
            yield one
