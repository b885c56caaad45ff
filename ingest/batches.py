"""The rules of `ingest.accept` for whole batches, by column.

The verdicts are exactly those of judging each event alone, only faster: a series spelled before is looked up instead
of judged again; what differs from event to event (time, value, id) is checked by column; and only rows that look
wrong there are judged one by one. Fuses count in the order of the rows: an event whose series is new, to the process
or to a sender with a limit, is judged whole before it counts, and all others have nothing to count.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.accept import MAX_ID, MAX_TEXT, QUOTED_NUMBER, Rules, bounds_of, judge, oldest_ms
from ingest.events import NO_START, EventColumns
from ingest.fuses import ANYONE, Fuses, Sender
from ingest.names import CONTROL
from ingest.sent import ParseDimensions, SentEvent, id_column, start_column, time_column, value_columns
from ingest.series import FloatArray, Int32Array, Int64Array, Kind, Series, SeriesTable
from ingest.verdicts import Rejected

__all__ = ["ANYONE", "Accepted", "Acceptor", "Fuses", "Sender"]

MAX_SERIES: Final = 1_000_000
MAX_SPELLINGS_BYTES: Final = 256 * 1024 * 1024
_OVERHEAD: Final = 250
"""Rough memory of a spelling besides its text, in bytes."""

Spellings = defaultdict[str, dict[bytes, int]]
"""Metric → dimensions as the client spelled them → number in the series table."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The accepted events as columns, in their order, and the verdicts on the others by row."""

    columns: EventColumns
    rejected: dict[int, Rejected]


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What is the same for all events of a batch."""

    ms: int
    sender: Sender
    history: bool


class Acceptor:
    """Judges batches of one protocol. Keeps the series it has seen; starts afresh when they are too many.

    `fuses` are kept even then, and may be shared by the acceptors of a process. Not thread-safe.
    """

    def __init__(
        self,
        rules: Rules,
        parse: ParseDimensions,
        max_series: int = MAX_SERIES,
        max_spellings_bytes: int = MAX_SPELLINGS_BYTES,
        fuses: Fuses | None = None,
    ) -> None:
        self._parse = parse
        self._max_series = max_series
        self._max_bytes = max_spellings_bytes
        self._fuses = fuses or Fuses()
        self.use(rules)

    def use(self, rules: Rules) -> None:
        """Judge by these rules from now on. Every series is met anew, since it may not be right any more."""
        self._rules = rules
        metrics = rules.registry.metrics.values()
        self._bounded = any(m.minimum is not None or m.maximum is not None for m in metrics)
        spans = [rules.span_of(m.name) for m in metrics] + [(rules.past_ms, rules.future_ms)]
        self._skewed = len(set(spans)) > 1
        self._least_past, self._least_future = (min(span) for span in zip(*spans, strict=True))
        self._fuses.keep(rules.registry)
        self._start()

    def _start(self) -> None:
        self._table = SeriesTable()
        self._numeric: Spellings = defaultdict(dict)
        self._textual: Spellings = defaultdict(dict)
        self._bytes = 0
        self._low, self._high = array("d"), array("d")
        self._past, self._future = array("q"), array("q")
        self._total = bytearray()
        """By series: 1 for running totals."""
        self._sent_by: defaultdict[str, set[int]] = defaultdict(set)
        """Sender with a series limit → numbers of series it was let through with."""

    @property
    def series(self) -> int:
        """Series known at present."""
        return len(self._table)

    def accept(
        self, events: Sequence[SentEvent], arrival_ms: int, sender: Sender = ANYONE, history: bool = False
    ) -> Accepted:
        """Judge a batch that arrived at `arrival_ms` (epoch milliseconds); `history`: as old as it likes."""
        if len(self._table) > self._max_series or self._bytes > self._max_bytes:
            self._start()
        arrival = _Arrival(arrival_ms, sender, history)
        rejected: dict[int, Rejected] = {}
        values, texts = value_columns(events)
        series = self._series(events, texts is None, arrival, rejected)
        times = time_column(events, arrival_ms)
        ids = id_column(events)
        starts = self._starts(events, series)
        suspects = self._suspects(series, values, texts, ids)
        if starts is not None:
            suspects.update(np.flatnonzero((starts != NO_START) & ((starts < 0) | (starts > times))).tolist())
        for row in suspects.union(self._suspect_times(series, times, arrival)):
            if row not in rejected:
                verdict = judge(events[row], self._parse, self._rules, arrival_ms, history)
                if isinstance(verdict, Rejected):
                    rejected[row] = verdict
        columns = EventColumns(self._table, series, times, values, texts, ids, history, starts)
        return Accepted(_without(columns, rejected) if rejected else columns, rejected)

    def _series(
        self, events: Sequence[SentEvent], numeric: bool, arrival: _Arrival, rejected: dict[int, Rejected]
    ) -> Int32Array:
        """Series number of every row (0 for a row it rejects)."""
        known = self._numeric
        mine = None if arrival.sender.series_limit is None else self._sent_by[arrival.sender.key_id]
        if numeric:
            try:
                # The hot path: every spelling of the batch is known.
                found = [known[e.metric][bytes(e.dimensions)] for e in events]
            except KeyError:
                pass
            else:
                if mine is None or mine.issuperset(found):
                    return np.array(found, np.int32)
        numbers = np.zeros(len(events), np.int32)
        for row, event in enumerate(events):
            spellings = self._textual if isinstance(event.value, str) else known
            number = spellings[event.metric].get(bytes(event.dimensions))
            if number is None or (mine is not None and number not in mine):
                outcome = self._meet(event, spellings, arrival)
                if isinstance(outcome, Rejected):
                    rejected[row] = outcome
                    continue
                number = outcome
            numbers[row] = number
        return numbers

    def _meet(self, event: SentEvent, spellings: Spellings, arrival: _Arrival) -> int | Rejected:
        """Judge an event whose series is spelled for the first time, or is new to its sender; only what passed every
        step is remembered."""
        draft = judge(event, self._parse, self._rules, arrival.ms, arrival.history)
        verdict = draft if isinstance(draft, Rejected) else self._fuses.admit(draft, arrival.sender)
        if isinstance(draft, Rejected) or verdict is not None:
            if not spellings[event.metric]:
                del spellings[event.metric]
            assert isinstance(verdict, Rejected)
            return verdict
        number = self._table.intern(draft.series)
        if number == len(self._low):
            self._note_limits(draft.series)
        if arrival.sender.series_limit is not None:
            self._sent_by[arrival.sender.key_id].add(number)
        spelled = bytes(event.dimensions)
        if spelled not in spellings[event.metric]:
            spellings[event.metric][spelled] = number
            self._bytes += len(spelled) + _OVERHEAD
        return number

    def _note_limits(self, series: Series) -> None:
        """What the next series of the table is checked by, by column."""
        low, high = bounds_of(self._rules.registry, series.metric)
        past_ms, future_ms = self._rules.span_of(series.metric)
        self._total.append(series.kind is Kind.CUMULATIVE)
        self._low.append(low)
        self._high.append(high)
        self._past.append(past_ms)
        self._future.append(future_ms)

    def _starts(self, events: Sequence[SentEvent], series: Int32Array) -> Int64Array | None:
        """Start times of running totals: of every other kind they say nothing and are left out."""
        starts = start_column(events)
        if starts is None or 1 not in self._total:
            return None
        totals = np.frombuffer(self._total, np.bool_)[series]
        return np.where(totals, starts, NO_START)

    def _suspects(
        self, series: Int32Array, values: FloatArray, texts: list[str | None] | None, ids: list[str | None] | None
    ) -> set[int]:
        """Rows whose value or id a step might reject; the value and id of a row left out here are right."""
        suspects: set[int] = set()
        if not np.isfinite(values).all():
            odd = np.flatnonzero(~np.isfinite(values)).tolist()
            suspects.update(row for row in odd if texts is None or texts[row] is None)
        if self._bounded and self._low:
            low, high = np.frombuffer(self._low)[series], np.frombuffer(self._high)[series]
            suspects.update(np.flatnonzero((values < low) | (values > high)).tolist())
        if texts is not None:
            suspects.update(row for row, text in enumerate(texts) if text is not None and _suspect_text(text))
        if ids is not None:
            suspects.update(_suspect_ids(ids))
        return suspects

    def _suspect_times(self, series: Int32Array, times: Int64Array, arrival: _Arrival) -> Iterable[int]:
        """Rows whose time a step might reject."""
        if not len(times):
            return ()
        oldest = oldest_ms(arrival.ms, self._least_past, arrival.history)
        newest = arrival.ms + self._least_future
        if times.min() >= oldest and times.max() <= newest:
            return ()
        wrong = (times < oldest) | (times > newest)
        if self._skewed and self._past:
            # What the strictest metric refuses may be right for another.
            future = np.frombuffer(self._future, np.int64)[series]
            wrong = times > arrival.ms + future
            if arrival.history:
                wrong |= times < oldest
            else:
                past = np.frombuffer(self._past, np.int64)[series]
                wrong |= times < np.maximum(arrival.ms - past, 0)
        found: list[int] = np.flatnonzero(wrong).tolist()
        return found


def _suspect_text(text: str) -> bool:
    return len(text) > MAX_TEXT or QUOTED_NUMBER.fullmatch(text) is not None


def _suspect_ids(ids: list[str | None]) -> Iterable[int]:
    given = [id_ for id_ in ids if id_ is not None]
    together = "".join(given)
    lengths = [len(id_) for id_ in given]
    # Printable ASCII holds no control characters, and is quicker to find out.
    plain = together.isascii() and together.isprintable()
    if min(lengths) > 0 and max(lengths) <= MAX_ID and (plain or not CONTROL.search(together)):
        return ()
    return (row for row, id_ in enumerate(ids) if id_ is not None)


def _without(columns: EventColumns, rejected: dict[int, Rejected]) -> EventColumns:
    kept = np.ones(len(columns), np.bool_)
    kept[list(rejected)] = False
    rows = np.flatnonzero(kept).tolist()
    texts = None if columns.texts is None else [columns.texts[row] for row in rows]
    ids = None if columns.ids is None else [columns.ids[row] for row in rows]
    starts = None if columns.starts is None else columns.starts[kept]
    series, times, values = columns.series[kept], columns.times[kept], columns.values[kept]
    return EventColumns(columns.table, series, times, values, texts, ids, columns.history, starts)
