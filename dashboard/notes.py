"""Annotations as charts show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from aggregates.annotations import Annotation
from dashboard.lines import Note

Notes = Callable[[], Sequence[Note]]


class Kept(Protocol):
    """What keeps the annotations: another tuple whenever there is a change."""

    @property
    def all(self) -> tuple[Annotation, ...]: ...


def notes_of(kept: Kept) -> Notes:
    """A way to ask for the notes of the moment, made anew only when the annotations change."""
    seen: tuple[Annotation, ...] = ()
    made: tuple[Note, ...] = ()

    def notes() -> Sequence[Note]:
        nonlocal seen, made
        newest = kept.all
        if newest is not seen:
            made = tuple(note_of(one) for one in newest)
            seen = newest
        return made

    return notes


def note_of(one: Annotation) -> Note:
    """An annotation as a chart shows it."""
    return Note(one.id, one.at_ms, one.end_ms, one.text, one.author or "", one.metric)
