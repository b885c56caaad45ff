"""Sending dead letters again, so that an event is never counted twice: claim, look, send, record.

`aggregates.replays` says which claims may send; `docs/dead-letters.md` says what that guarantees. What happens to each
letter is a value; nothing is sent before the claim is in the journal and the journal is read up to it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aggregates.journal import Journal
from aggregates.letterbox import Letterbox, StoredLetter
from aggregates.replays import CLAIM, LEASE_MS, RESULT, Grant, granted
from dashboard.edits import Edits
from dashboard.outgoing import Answered, Outgoing, answer_of, batches, lost, prepare, result_of
from dashboard.resend import Ingest
from ingest.log import LogError

SEND_WITHIN_S: Final = LEASE_MS / 1000 / 2
"""Nothing is sent later than this after the claim: others may take the letters when its lease is over."""
READ_WITHIN_S: Final = 10.0
WAITING: Final = 8
"""Replays that may wait for the one at work."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replay that was carried out. `recorded`: its results are in the journal. `positions` are those ingest gave."""

    replay: str | None
    letters: tuple[Answered, ...]
    recorded: bool = True
    positions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotReplayed:
    """Nothing was sent."""

    status: int
    code: str
    message: str


class Replayer:
    """Carries out one replay at a time."""

    def __init__(
        self, letters: Letterbox, journal: Journal, ingest: Ingest, clock: Callable[[], int], new_id: Callable[[], str]
    ) -> None:
        self._letters = letters
        self._journal = journal
        self._ingest = ingest
        self._clock = clock
        self._new_id = new_id
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def replay(
        self, letters: Sequence[StoredLetter], edits: Edits, force: bool, authorization: str | None
    ) -> Replayed | NotReplayed:
        """Send the letters, with the edits, to ingest. `authorization` is the caller's own header."""
        if self._waiting > WAITING:
            return NotReplayed(503, "busy", "other replays are at work: try again in a moment")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._replay(letters, edits, force, authorization)
        finally:
            self._waiting -= 1

    async def _replay(
        self, letters: Sequence[StoredLetter], edits: Edits, force: bool, authorization: str | None
    ) -> Replayed | NotReplayed:
        answered, work = await asyncio.to_thread(prepare, letters, edits)
        if not work:
            return Replayed(None, tuple(answered))
        replay = self._new_id()
        deadline_s = time.monotonic() + SEND_WITHIN_S
        refused = await self._claim(replay, work, edits, force)
        if refused is not None:
            return refused
        mine, others = await self._granted(replay, work)
        positions = await self._send(mine, edits.history, authorization, deadline_s)
        recorded = not mine or await self._record(replay, mine)
        answered += others + [answer_of(one) for one in mine]
        order = {letter.id: number for number, letter in enumerate(letters)}
        answered.sort(key=lambda one: order[one.id])
        return Replayed(replay, tuple(answered), recorded, positions)

    async def _claim(self, replay: str, work: Sequence[Outgoing], edits: Edits, force: bool) -> NotReplayed | None:
        """Journal the claim and wait until this replica has read it; None when both are done."""
        claim = {
            "replay": replay,
            "time": self._clock(),
            "letters": [{"id": one.letter.id, "root": one.letter.root, "event_id": one.event.event_id} for one in work],
            "edits": edits.document(),
            "force": force,
        }
        try:
            offset = await self._journal.append(CLAIM, claim)
        except LogError as error:
            return NotReplayed(503, "journal_unavailable", f"nothing was sent: {error}")
        if await self._journal.has_read(offset, READ_WITHIN_S):
            return None
        await self._record(replay, work)  # nothing was sent, and nothing will be: the letters are free again
        message = f"nothing was sent: this replica did not read the journal within {READ_WITHIN_S:g} s"
        return NotReplayed(503, "journal_behind", message)

    async def _granted(self, replay: str, work: Sequence[Outgoing]) -> tuple[list[Outgoing], list[Answered]]:
        """What of the claim may be sent, and the answers for the rest."""
        entries = await asyncio.to_thread(self._letters.entries, {one.letter.root for one in work})
        mine: list[Outgoing] = []
        others: list[Answered] = []
        for one in work:
            grant = granted(entries.get(one.letter.root, ()), replay, one.letter.id)
            if grant is Grant.GRANTED:
                mine.append(one)
            else:
                others.append(lost(one, grant or Grant.UNKNOWN))
        return mine, others

    async def _send(
        self, work: Sequence[Outgoing], history: bool, authorization: str | None, deadline_s: float
    ) -> tuple[str, ...]:
        """Send batch after batch until the deadline, or until ingest refuses one as a whole."""
        positions: list[str] = []
        for batch in batches(work):
            if time.monotonic() > deadline_s:
                break
            answer = await self._ingest.send([one.event for one in batch], history, authorization)
            for one, sent in zip(batch, answer.events, strict=True):
                one.sent = sent
            if answer.position:
                positions.append(answer.position)
            if answer.refused is not None:
                for one in work:
                    if one.sent.code == "late":
                        one.sent = answer.refused
                break
        return tuple(positions)

    async def _record(self, replay: str, work: Sequence[Outgoing]) -> bool:
        """Journal the results; whether that is done."""
        result = {"replay": replay, "time": self._clock(), "letters": [result_of(one) for one in work]}
        try:
            offset = await self._journal.append(RESULT, result)
        except LogError:
            return False
        await self._journal.has_read(offset, READ_WITHIN_S)
        return True


def new_replay_id() -> str:
    return uuid.uuid4().hex
