"""Sends the rows of a file, batch by batch, and keeps count of the verdicts."""

from __future__ import annotations

import dataclasses
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from ingest.client.answers import Refusal
from ingest.client.courier import Courier
from ingest.client.delivery import Patience, Pause, Post, Settled, Target
from ingest.client.wire import OutgoingEvent
from tallyboard.failure import Failure
from tallyboard.sending.columns import Columns, Mapper, NotSent
from tallyboard.sending.resume import Identity, State, StateFile, Tally, digest_of
from tallyboard.sending.rows import Format, LineRows, Place, Rows, format_of, open_rows

BATCH_BYTES: Final = 4 * 1024 * 1024
LONGEST_OUTAGE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to send, and how. `path` None is standard input; `rate` in events a second, 0: as fast as taken."""

    path: Path | None
    url: str
    columns: Columns = field(default_factory=Columns)
    form: Format | None = None
    delimiter: str | None = None
    key: str | None = None
    history: bool = False
    atomic: bool = False
    batch: int = 2_000
    rate: float = 0.0
    restart: bool = False
    patience: Patience = field(default_factory=lambda: Patience(denied_s=0.0, give_up_s=LONGEST_OUTAGE_S))

    @property
    def target(self) -> Target:
        """Raises `Failure` for an address or a key that cannot be."""
        asked = [name for name, on in (("import=true", self.history), ("atomic=true", self.atomic)) if on]
        try:
            return Target(self.url, self.key, "&".join(asked))
        except ValueError as error:
            raise Failure(f"{error}.") from error

    @property
    def mapping(self) -> str:
        """What makes events of the rows, as a text: part of their ids."""
        return msgspec.json.encode([dataclasses.asdict(self.columns), self.delimiter]).decode()


@dataclass(slots=True)
class _Batch:
    events: list[OutgoingEvent] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    not_sent: list[tuple[int, NotSent]] = field(default_factory=list)
    size: int = 0
    end: Place = field(default_factory=Place)


class Shipment:
    """One file on its way; `state` is always what was answered for, and may be asked at any time."""

    def __init__(self, wanted: Wanted, folder: Path, say: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._say = say
        self._file: StateFile | None = None
        self._away = False
        target = wanted.target
        self.rows = self._open()
        try:
            wanted.columns.fitted(self.rows.columns)  # a wrong column is told before all of the file is read
            if wanted.path is None:
                self.state = State(Identity(0, 0, ""), uuid.uuid4().hex[:16])
            else:
                self._file = StateFile(folder, wanted.path, f"{target.address}\n{wanted.mapping}")
                self.state = self._begin(self._file, wanted.path)
        except Failure:
            self.rows.close()
            raise
        self._mapper = Mapper(wanted.columns, self.rows.columns, self.state.digest)
        self._courier = Courier(target, wanted.patience, timeout_s=30.0)

    def _open(self) -> Rows:
        wanted = self._wanted
        if wanted.path is not None:
            return open_rows(wanted.path, wanted.form or format_of(wanted.path), wanted.delimiter)
        if wanted.form not in (None, Format.ndjson):
            raise Failure("Standard input is read as NDJSON.")
        return LineRows(sys.stdin.buffer, None)

    def _begin(self, file: StateFile, path: Path) -> State:
        identity = Identity.of(path)
        state = file.load(identity)
        if state is None or self._wanted.restart:
            return State(identity, state.digest if state else digest_of(path, self._wanted.mapping))
        if state.place.row and not state.finished:
            self._say(f"going on behind row {state.place.row:,}, where the last call ended")
        return state

    def preview(self, count: int) -> Iterator[str]:
        """The first events as they would be sent."""
        for row in self.rows.read(Place()):
            event = self._mapper.event(row, _now_ms())
            if isinstance(event, NotSent):
                text = f"not sent: {event.code}: {event.message}"
            else:
                text = event.text.decode("utf-8", "replace")
            yield f"row {row.after.row}: {text}"
            count -= 1
            if not count:
                return

    def send(self, progressed: Callable[[int], None]) -> Tally:
        """Send what is not answered for yet; `progressed` is told how far the file is. Raises `Failure` when ingest
        stays away, or refuses the requests; what was done by then is kept."""
        begin, sent = time.monotonic(), 0
        for batch in self._batches():
            if self._wanted.rate:
                time.sleep(max(begin + sent / self._wanted.rate - time.monotonic(), 0.0))
            self._ship(batch)
            sent += len(batch.events)
            progressed(self.rows.progress(batch.end))
        self.state.finished = True
        self._save()
        return self.state.tally

    def close(self) -> None:
        self._courier.close()
        self.rows.close()

    def _batches(self) -> Iterator[_Batch]:
        batch = _Batch()
        for row in self.rows.read(self.state.place):
            event = self._mapper.event(row, _now_ms())
            if isinstance(event, NotSent):
                batch.not_sent.append((row.after.row, event))
            else:
                batch.events.append(event)
                batch.rows.append(row.after.row)
                batch.size += len(event.text)
            batch.end = row.after
            full = len(batch.events) == self._wanted.batch or batch.size >= BATCH_BYTES
            if full or len(batch.not_sent) >= self._wanted.batch:
                yield batch
                batch = _Batch()
        if batch.end.row:
            yield batch

    def _ship(self, batch: _Batch) -> None:
        """Deliver a batch; the state moves behind it once all of it has its verdict."""
        outcomes: list[Settled] = []
        self._courier.carry(batch.events, lambda step: self._told(step, outcomes))
        tally = self.state.tally
        for row, why in batch.not_sent:
            tally.refuse(why.code, row, why.message)
        start = 0
        for settled in outcomes:
            rows = batch.rows[start : start + len(settled.events)]
            start += len(rows)
            if isinstance(settled.outcome, Refusal):
                tally.refuse(settled.outcome.code, rows[0], settled.outcome.detail)
                continue
            tally.accepted += settled.outcome.accepted
            for rejection in settled.outcome.rejected:
                tally.refuse(rejection.code, rows[rejection.index], rejection.message)
        self.state.place = batch.end
        self._save()

    def _told(self, step: Post | Pause | Settled, outcomes: list[Settled]) -> None:
        if isinstance(step, Pause):
            if not self._away:
                self._say(f"{step.reason}; sending the same events again until they are taken")
            self._away = True
        elif isinstance(step, Settled):
            self._away = False
            if isinstance(step.outcome, Refusal) and not (step.outcome.status == 413 and len(step.events) == 1):
                address = self._wanted.target.address
                raise Failure(f"{address} refused the events behind row {self.state.place.row:,}: {step.outcome}.")
            outcomes.append(step)

    def _save(self) -> None:
        if self._file is not None:
            self._file.save(self.state)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
