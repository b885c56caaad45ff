"""What every protocol gives to the rest of the write side: a `Reader`, which turns a body into a `Batch`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from ingest.problems import Problem
from ingest.sent import ParseDimensions, SentEvent
from ingest.verdicts import Rejected, RejectedEvent

Event_co = TypeVar("Event_co", bound=SentEvent, covariant=True)


def _as_it_is(verdict: Rejected, _original: bytes) -> Rejected:
    return verdict


@dataclass(frozen=True, slots=True)
class Batch(Generic[Event_co]):
    """The events of a body. `events` are the decodable ones; `rows[i]` is the place of `events[i]` in the request,
    and None stands for "all are decodable"."""

    size: int
    events: Sequence[Event_co]
    originals: Callable[[], Sequence[bytes]]
    """What was sent as each event, by row; asked for only when something was rejected."""
    id_of: Callable[[bytes], str | None]
    """The id in an original that could not be decoded."""
    rows: list[int] | None = None
    undecodable: Mapping[int, Rejected] = field(default_factory=dict)
    id_prefix: str | None = None
    """Events without an id have `<id_prefix>/<row>`."""
    placed: Callable[[Rejected, bytes], Rejected] = _as_it_is
    """A verdict with its field as the original spells the way to it."""

    def rejected(self, verdicts: Mapping[int, Rejected]) -> list[RejectedEvent]:
        """Every rejected event in order, given the verdicts on `events` by position."""
        if not verdicts and not self.undecodable:
            return []
        originals = self.originals()
        found = [
            RejectedEvent(row, self._id_at(row, originals[row]), verdict, originals[row])
            for row, verdict in self.undecodable.items()
        ]
        for position, verdict in verdicts.items():
            row = position if self.rows is None else self.rows[position]
            placed = self.placed(verdict, originals[row])
            found.append(RejectedEvent(row, self.events[position].id, placed, originals[row]))
        return sorted(found, key=lambda event: event.index)

    def _id_at(self, row: int, original: bytes) -> str | None:
        found = self.id_of(original)
        return f"{self.id_prefix}/{row}" if found is None and self.id_prefix is not None else found


class Reader(Protocol):
    """One protocol, as one request speaks it."""

    @property
    def name(self) -> str:
        """`native`, `cloudevents`, …: what dead letters are marked with."""

    @property
    def parse_dimensions(self) -> ParseDimensions:
        """How the events' dimensions are spelled. Readers with the same one can share an acceptor."""

    def read(self, body: bytes, max_events: int, id_prefix: str | None = None) -> Batch[SentEvent] | Problem:
        """The events of a body, or why it is refused as a whole (400, 413).

        Events without an id get `<id_prefix>/<row>`.
        """
