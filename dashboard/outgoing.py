"""Dead letters on their way out: edited, in batches, and what became of each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from aggregates.letterbox import StoredLetter
from aggregates.replays import Grant, Outcome
from dashboard.edits import Edits, NotWhole, Original, Sendable, edited
from dashboard.resend import Sent

MAX_BYTES: Final = 32 * 1024 * 1024
"""Originals read for one replay."""
BATCH_EVENTS: Final = 500
BATCH_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one letter. `code` and `message` say why it was not accepted; `became` is the letter it is now;
    `event` is what was, or in a dry run would be, sent."""

    id: str
    outcome: str
    code: str | None = None
    message: str | None = None
    event_id: str | None = None
    became: str | None = None
    event: bytes | None = None


@dataclass(slots=True)
class Outgoing:
    """A letter on its way."""

    letter: StoredLetter
    event: Sendable
    sent: Sent = field(default_factory=lambda: Sent(Outcome.NOT_SENT, "late", "not sent within the time of its claim"))


def prepare(letters: Sequence[StoredLetter], edits: Edits) -> tuple[list[Answered], list[Outgoing]]:
    """Edit every letter: the answers for those that make no event, and the others ready to be sent."""
    answered: list[Answered] = []
    work: list[Outgoing] = []
    for letter in letters:
        if not letter.kept:
            answered.append(Answered(letter.id, "not_kept", message="what was sent is no longer kept"))
            continue
        if letter.original is None:
            message = "too many bytes for one replay: send it in the next one"
            answered.append(Answered(letter.id, Outcome.NOT_SENT, "too_many_bytes", message))
            continue
        original = Original(letter.protocol, letter.form, letter.cut, letter.original, letter.event_id)
        event = edited(original, edits, letter.root)
        if isinstance(event, NotWhole):
            answered.append(Answered(letter.id, "not_whole", message=event.message))
        else:
            work.append(Outgoing(letter, event))
    return answered, work


def preview(letters: Sequence[StoredLetter], edits: Edits) -> tuple[Answered, ...]:
    """What a replay would send: the events, edited, and why some would not be sent."""
    unsent, work = prepare([letter for letter in letters if letter.replay != Outcome.ACCEPTED], edits)
    found = {one.id: one for one in unsent}
    for one in work:
        answer = Answered(one.letter.id, "would_send", event_id=one.event.event_id, event=one.event.body)
        found[one.letter.id] = answer
        if one.letter.replay in (Grant.UNKNOWN, Grant.IN_PROGRESS):
            found[one.letter.id] = replace(answer, message=f"its last replay is {one.letter.replay}")
    done = Answered("", Grant.ALREADY_REPLAYED, message=_LOST[Grant.ALREADY_REPLAYED])
    return tuple(found.get(letter.id) or replace(done, id=letter.id) for letter in letters)


def batches(work: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """At most so many events and bytes each, CloudEvents by themselves."""
    for cloudevents in (False, True):
        batch: list[Outgoing] = []
        size = 0
        for one in work:
            if one.event.cloudevent is not cloudevents:
                continue
            length = len(one.event.body) + 1
            if batch and (len(batch) == BATCH_EVENTS or size + length > BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(one)
            size += length
        if batch:
            yield batch


_LOST: Final = {
    Grant.ALREADY_REPLAYED: "a replay of it was accepted before: it is never sent again",
    Grant.IN_PROGRESS: "another replay has just claimed it",
    Grant.UNKNOWN: "an earlier replay may have been accepted; the same letter with the same edits within 24 hours is "
    "safe, anything else may count it twice and needs force",
}


def lost(work: Outgoing, grant: Grant) -> Answered:
    return Answered(work.letter.id, grant.value, message=_LOST.get(grant), event_id=work.event.event_id)


def answer_of(work: Outgoing) -> Answered:
    sent = work.sent
    return Answered(work.letter.id, sent.outcome, sent.code, sent.message, work.event.event_id, sent.became)


def result_of(work: Outgoing) -> dict[str, object]:
    sent = work.sent
    return {
        "id": work.letter.id,
        "root": work.letter.root,
        "outcome": sent.outcome,
        "code": sent.code,
        "became": sent.became,
    }
