"""The rules of `ingest.accept` for whole batches, by column.

The verdicts are exactly those of judging each event alone, only faster: a series spelled before is looked up instead
of judged again; what differs from event to event (time, value, id) is checked by column; and only rows that look
wrong there are judged one by one.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.accept import (
    CONTROL,
    MAX_ID,
    MAX_TEXT,
    QUOTED_NUMBER,
    ParseDimensions,
    Rules,
    SentEvent,
    bounds_of,
    epoch_ms,
    judge,
)
from ingest.events import EventColumns
from ingest.series import FloatArray, Int32Array, Int64Array, SeriesTable
from ingest.verdicts import Rejected

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


class Acceptor:
    """Judges batches of one protocol. Keeps the series it has seen; starts afresh when they are too many.

    Not thread-safe. A changed registry needs a new acceptor.
    """

    def __init__(
        self,
        rules: Rules,
        parse: ParseDimensions,
        max_series: int = MAX_SERIES,
        max_spellings_bytes: int = MAX_SPELLINGS_BYTES,
    ) -> None:
        self._rules = rules
        self._parse = parse
        self._max_series = max_series
        self._max_bytes = max_spellings_bytes
        metrics = rules.registry.metrics.values()
        self._bounded = any(m.minimum is not None or m.maximum is not None for m in metrics)
        self._start()

    def _start(self) -> None:
        self._table = SeriesTable()
        self._numeric: Spellings = defaultdict(dict)
        self._textual: Spellings = defaultdict(dict)
        self._bytes = 0
        self._low = array("d")
        self._high = array("d")

    def accept(self, events: Sequence[SentEvent], arrival_ms: int) -> Accepted:
        """Judge a batch that arrived at `arrival_ms` (epoch milliseconds)."""
        if len(self._table) > self._max_series or self._bytes > self._max_bytes:
            self._start()
        rejected: dict[int, Rejected] = {}
        raw_values = [event.value for event in events]
        values, texts = _value_columns(raw_values)
        series = self._series(events, texts is None, arrival_ms, rejected)
        times = _times(events, arrival_ms)
        ids = _ids(events)
        suspects = self._suspects(series, times, values, texts, ids, arrival_ms)
        for row in suspects:
            if row not in rejected:
                verdict = judge(events[row], self._parse, self._rules, arrival_ms)
                if isinstance(verdict, Rejected):
                    rejected[row] = verdict
        columns = EventColumns(self._table, series, times, values, texts, ids)
        return Accepted(_without(columns, rejected) if rejected else columns, rejected)

    def _series(
        self, events: Sequence[SentEvent], numeric: bool, arrival_ms: int, rejected: dict[int, Rejected]
    ) -> Int32Array:
        """Series number of every row (0 for a row it rejects)."""
        known = self._numeric
        if numeric:
            try:
                # The hot path: every spelling of the batch is known.
                return np.array([known[e.metric][bytes(e.dimensions)] for e in events], np.int32)
            except KeyError:
                pass
        numbers = np.zeros(len(events), np.int32)
        for row, event in enumerate(events):
            spellings = self._textual if isinstance(event.value, str) else known
            number = spellings[event.metric].get(bytes(event.dimensions))
            if number is None:
                outcome = self._meet(event, spellings, arrival_ms)
                if isinstance(outcome, Rejected):
                    rejected[row] = outcome
                    continue
                number = outcome
            numbers[row] = number
        return numbers

    def _meet(self, event: SentEvent, spellings: Spellings, arrival_ms: int) -> int | Rejected:
        """Judge an event whose series is spelled for the first time; only what passed every step is remembered."""
        verdict = judge(event, self._parse, self._rules, arrival_ms)
        if isinstance(verdict, Rejected):
            if not spellings[event.metric]:
                del spellings[event.metric]
            return verdict
        number = self._table.intern(verdict.series)
        if number == len(self._low):
            low, high = bounds_of(self._rules.registry, event.metric)
            self._low.append(low)
            self._high.append(high)
        spelled = bytes(event.dimensions)
        spellings[event.metric][spelled] = number
        self._bytes += len(spelled) + _OVERHEAD
        return number

    def _suspects(
        self,
        series: Int32Array,
        times: Int64Array,
        values: FloatArray,
        texts: list[str | None] | None,
        ids: list[str | None] | None,
        arrival_ms: int,
    ) -> Iterable[int]:
        """Rows that a step might reject; a row left out here is right in everything that is not its series."""
        if not len(series):
            return ()
        suspects: set[int] = set()
        oldest, newest = arrival_ms - self._rules.past_ms, arrival_ms + self._rules.future_ms
        if times.min() < oldest or times.max() > newest:
            suspects.update(np.flatnonzero((times < oldest) | (times > newest)).tolist())
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


def _value_columns(raw: list[float | str]) -> tuple[FloatArray, list[str | None] | None]:
    try:
        # `array` takes numbers only, where numpy would read "12.5" as 12.5.
        return np.frombuffer(array("d", raw)), None  # type: ignore[type-var]
    except TypeError:
        values = [math.nan if isinstance(value, str) else value for value in raw]
        return np.array(values, np.float64), [value if isinstance(value, str) else None for value in raw]


def _times(events: Sequence[SentEvent], arrival_ms: int) -> Int64Array:
    stamps = [event.timestamp for event in events]
    try:
        return np.frombuffer(array("q", stamps), np.int64)  # type: ignore[type-var]
    except (TypeError, OverflowError):
        return np.array([epoch_ms(stamp, arrival_ms) for stamp in stamps], np.int64)


def _ids(events: Sequence[SentEvent]) -> list[str | None] | None:
    ids = [event.id for event in events]
    return None if ids.count(None) == len(ids) else ids


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
    return EventColumns(columns.table, columns.series[kept], columns.times[kept], columns.values[kept], texts, ids)
