"""Who may send a dead letter again: decided by the journal alone, so that all replicas decide alike.

A replay first journals a claim on its letters, reads the journal up to that claim, and sends only what `decide` grants
it; then it journals the results. Letters that go back to one event (a replay that was rejected is a new letter) share a
root, and the state is kept by root. Pure: the times are those of the journal's records.

What this gives: an event that was accepted is never sent again, and one that may have been sent is only sent again
under the same edits while Tallyboard still knows its id, unless its claim says `force`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

CLAIM = "replay_claim"
RESULT = "replay_result"
LEASE_MS = 120_000
"""For so long after a claim nobody else takes the letter: its replay is at work."""
FINISH_MS = 24 * 3_600_000 - 600_000
"""For so long a letter that may have been sent can be sent again as it was: its id is remembered for 24 hours; the rest
is for clocks that differ and for the time sending takes."""


class Grant(StrEnum):
    """What a claim gets for a letter."""

    GRANTED = "granted"
    ALREADY_REPLAYED = "already_replayed"
    IN_PROGRESS = "in_progress"
    """Another replay has just claimed it."""
    UNKNOWN = "unknown"
    """It may have been sent, under other edits or too long ago."""


class Outcome(StrEnum):
    """How sending a letter ended."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    """Nothing of it was kept."""
    UNKNOWN = "unknown"
    """It may have been accepted."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One letter of a claim; `number` is the entry's place in the journal, `edits` a digest."""

    number: int
    record_ms: int
    replay: str
    root: str
    letter: str
    edits: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """One letter of a result."""

    number: int
    record_ms: int
    replay: str
    root: str
    letter: str
    outcome: str


Entry = Claim | Result


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claim in force whose letter may have been sent. `since_ms` is the time of the first one that may have been."""

    replay: str
    letter: str
    edits: str
    since_ms: int
    last_ms: int
    ended: bool = False
    """Its replay is over, without a certain result."""
    doubtful: bool = False
    """An earlier attempt may have been accepted: only `accepted` ends the doubt."""


@dataclass(frozen=True, slots=True)
class State:
    """What the journal says about one root."""

    accepted_by: str | None = None
    attempt: Attempt | None = None


FREE = State()


def decide(state: State, claim: Claim) -> Grant:
    """Whether a claim may send its letter, given the state before it."""
    if state.accepted_by is not None:
        return Grant.ALREADY_REPLAYED
    attempt = state.attempt
    if attempt is None:
        return Grant.GRANTED
    if not attempt.ended and claim.record_ms - attempt.last_ms < LEASE_MS:
        return Grant.IN_PROGRESS
    same = (claim.letter, claim.edits) == (attempt.letter, attempt.edits)
    if claim.force or (same and claim.record_ms - attempt.since_ms < FINISH_MS):
        return Grant.GRANTED
    return Grant.UNKNOWN


def step(state: State, entry: Entry) -> State:
    """The state behind an entry."""
    if isinstance(entry, Claim):
        if decide(state, entry) is not Grant.GRANTED:
            return state
        before = state.attempt
        since_ms = entry.record_ms if before is None else before.since_ms
        attempt = Attempt(entry.replay, entry.letter, entry.edits, since_ms, entry.record_ms)
        return State(None, replace(attempt, doubtful=before is not None))
    if entry.outcome == Outcome.ACCEPTED:
        return State(state.accepted_by or entry.replay)
    return _ended(state, entry)


def _ended(state: State, result: Result) -> State:
    """Behind a result other than `accepted`. One of a replay that lost its letter to another says nothing."""
    attempt = state.attempt
    if attempt is None or attempt.replay != result.replay or attempt.letter != result.letter:
        return state
    certain = result.outcome in (Outcome.REJECTED, Outcome.NOT_SENT)
    if certain and not attempt.doubtful:
        return FREE
    return State(None, replace(attempt, ended=True, doubtful=True))


def fold(entries: Iterable[Entry]) -> State:
    """The state behind all entries of one root, in the journal's order."""
    state = FREE
    for entry in entries:
        state = step(state, entry)
    return state


def granted(entries: Iterable[Entry], replay: str, letter: str) -> Grant | None:
    """What a replay's claim on a letter got, from the entries of its root; None when there is no such claim."""
    state = FREE
    for entry in entries:
        if isinstance(entry, Claim) and (entry.replay, entry.letter) == (replay, letter):
            return decide(state, entry)
        state = step(state, entry)
    return None


def digest(edits: object) -> str:
    """Stands for edits in comparisons: equal for equal JSON, whatever the order of names."""
    return hashlib.sha256(msgspec.json.encode(edits, order="deterministic")).hexdigest()[:32]


class _ClaimedLetter(msgspec.Struct):
    id: str
    root: str


class _ClaimBody(msgspec.Struct):
    replay: str
    letters: list[_ClaimedLetter]
    edits: dict[str, object]
    force: bool = False


class _LetterResult(msgspec.Struct):
    id: str
    root: str
    outcome: str


class _ResultBody(msgspec.Struct):
    replay: str
    letters: list[_LetterResult]


def entries_of(number: int, record_ms: int, kind: str, body: bytes) -> list[Entry]:
    """The replay entries in one entry of the journal; none for other types, and for what cannot be read."""
    try:
        if kind == CLAIM:
            claim = msgspec.json.decode(body, type=_ClaimBody)
            edits = digest(claim.edits)
            return [
                Claim(number, record_ms, claim.replay, letter.root, letter.id, edits, claim.force)
                for letter in claim.letters
            ]
        if kind == RESULT:
            result = msgspec.json.decode(body, type=_ResultBody)
            return [
                Result(number, record_ms, result.replay, letter.root, letter.id, letter.outcome)
                for letter in result.letters
            ]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return []
