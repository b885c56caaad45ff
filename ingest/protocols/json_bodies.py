"""Bodies of JSON events: one object, an array, or one object a line.

A body is decoded at once when all of it is right, else event by event. What an event looks like is the protocol's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from ingest.problems import Problem
from ingest.protocols.json_text import (
    MAX_EVENT_BYTES,
    UNREADABLE,
    elements_of,
    is_array,
    is_json,
    is_text,
    known_elements,
    lines_of,
    surely_short,
)
from ingest.protocols.reader import Batch
from ingest.sent import SentEvent
from ingest.verdicts import Reason, Rejected

TOO_DEEP: Final = "nested too deep"
_NO_JSON: Final = frozenset({Reason.MALFORMED, Reason.ENCODING})
Event = TypeVar("Event", bound=SentEvent)


@dataclass(frozen=True, slots=True)
class Spelling(Generic[Event]):
    """How one protocol spells an event in JSON. The first two raise one of `UNREADABLE` for anything not quite right;
    what they take, `judge` takes in the same way."""

    decode: Callable[[bytes], Event]
    decode_array: Callable[[bytes], Sequence[Event]]
    judge: Callable[[bytes], Event | Rejected]
    """An event from UTF-8 within the size limit, or what is wrong with it."""
    id_of: Callable[[bytes], str | None]
    placed: Callable[[Rejected, bytes], Rejected] | None = None

    def one(self, raw: bytes) -> Event | Rejected:
        """One event from its JSON text, whatever that is."""
        if len(raw) > MAX_EVENT_BYTES:
            return Rejected(Reason.TOO_LARGE, None, f"an event has at most {MAX_EVENT_BYTES} bytes")
        if not is_text(raw):
            return Rejected(Reason.ENCODING, None, "not UTF-8")
        try:
            return self.decode(raw)
        except UNREADABLE:
            return self.judge(raw)

    def all_right(self, events: Sequence[Event], originals: Callable[[], Sequence[bytes]]) -> Batch[Event]:
        return self._batch(len(events), events, originals)

    def one_by_one(self, texts: Sequence[bytes]) -> Batch[Event]:
        events: list[Event] = []
        rows: list[int] = []
        undecodable: dict[int, Rejected] = {}
        for row, text in enumerate(texts):
            outcome = self.one(text)
            if isinstance(outcome, Rejected):
                undecodable[row] = outcome
            else:
                events.append(outcome)
                rows.append(row)
        return self._batch(len(texts), events, lambda: texts, rows, undecodable)

    def _batch(
        self,
        size: int,
        events: Sequence[Event],
        originals: Callable[[], Sequence[bytes]],
        rows: list[int] | None = None,
        undecodable: dict[int, Rejected] | None = None,
    ) -> Batch[Event]:
        batch = Batch(size, events, originals, self.id_of, rows, undecodable or {})
        return batch if self.placed is None else replace(batch, placed=self.placed)


def read_one(spelling: Spelling[Event], body: bytes) -> Batch[Event] | Problem:
    """A body that is one event."""
    batch = spelling.one_by_one([body])
    verdict = batch.undecodable.get(0)
    if verdict is not None and verdict.reason in _NO_JSON:
        return Problem(400, "not_json", f"the body is not JSON: {verdict.message}")
    if verdict is not None and verdict.reason is Reason.TOO_LARGE and not is_json(body):
        return Problem(400, "not_json", "the body is not JSON")
    return batch


def read_array(spelling: Spelling[Event], body: bytes, max_events: int) -> Batch[Event] | Problem:
    """A body that is an array of events."""
    if not is_array(body):
        return Problem(400, "not_json", "the body is not a JSON array")
    if is_text(body):
        try:
            events = spelling.decode_array(body)
        except UNREADABLE:
            pass
        else:
            return _decoded(spelling, events, body, max_events)
    elements = elements_of(body, max_events)
    if elements is None:
        return Problem(400, "not_json", "the body is not a JSON array")
    if len(elements) > max_events:
        return too_many(max_events)
    batch = spelling.one_by_one(elements)
    if elements and all(verdict.reason in _NO_JSON for verdict in batch.undecodable.values()) and not batch.events:
        return Problem(400, "not_json", f"nothing in the array is JSON: {batch.undecodable[0].message}")
    return batch


def _decoded(
    spelling: Spelling[Event], events: Sequence[Event], array: bytes, max_events: int
) -> Batch[Event] | Problem:
    """An array that was decoded at once: only its lengths are still to be looked at."""
    if len(events) > max_events:
        return too_many(max_events)
    if not surely_short(array):
        texts = known_elements(array)
        if max(map(len, texts), default=0) > MAX_EVENT_BYTES:
            return spelling.one_by_one(texts)
    return spelling.all_right(events, lambda: known_elements(array))


def read_lines(spelling: Spelling[Event], body: bytes, max_events: int) -> Batch[Event] | Problem:
    """A body with an event a line; blank lines are none."""
    if body.count(b"\n") > 10 * max_events:  # before a list of empty lines is made
        return too_many(max_events)
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if len(lines) <= max_events and is_text(body) and max(map(len, lines), default=0) <= MAX_EVENT_BYTES:
        decode = spelling.decode
        try:
            return spelling.all_right([decode(line) for line in lines], lambda: lines_of(body))
        except UNREADABLE:
            pass
    lines = lines_of(body)
    return too_many(max_events) if len(lines) > max_events else spelling.one_by_one(lines)


def too_many(max_events: int) -> Problem:
    return Problem(413, "too_many_events", f"at most {max_events} events are taken in one request")
