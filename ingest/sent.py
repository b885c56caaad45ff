"""Events as a protocol decoded them, and their fields as columns. Types are right, nothing else is known."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import numpy as np

from ingest.events import NO_START
from ingest.series import FloatArray, Int64Array
from ingest.verdicts import Rejected

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_FAR_MS: Final = 1 << 62
"""Stands for times a 64-bit integer cannot hold: outside every accepted range."""

Timestamp = int | datetime | None
"""As sent: epoch milliseconds, a time with zone, or None for the time of arrival."""


class SentEvent(Protocol):
    """One event."""

    @property
    def metric(self) -> str: ...
    @property
    def value(self) -> float | str: ...
    @property
    def timestamp(self) -> Timestamp: ...
    @property
    def dimensions(self) -> bytes:
        """The dimensions as spelled by the client, or anything `bytes()` takes."""

    @property
    def id(self) -> str | None: ...
    @property
    def start(self) -> Timestamp:
        """Since when the running total of a metric of kind cumulative counts."""


ParseDimensions = Callable[[bytes], Mapping[str, str] | Rejected]


def epoch_ms(timestamp: Timestamp, arrival_ms: int) -> int:
    """Epoch milliseconds, rounded down; a number beyond 62 bits becomes a time far outside every accepted range."""
    if timestamp is None:
        return arrival_ms
    if isinstance(timestamp, int):
        return max(-_FAR_MS, min(_FAR_MS, timestamp))
    return (timestamp - _EPOCH) // _MILLISECOND


def value_columns(events: Sequence[SentEvent]) -> tuple[FloatArray, list[str | None] | None]:
    """The values as numbers (NaN for a text), and as texts where there are any."""
    raw = [event.value for event in events]
    try:
        # `array` takes numbers only, where numpy would read "12.5" as 12.5.
        return np.frombuffer(array("d", raw)), None  # type: ignore[type-var]
    except TypeError:
        values = [math.nan if isinstance(value, str) else value for value in raw]
        return np.array(values, np.float64), [value if isinstance(value, str) else None for value in raw]


def time_column(events: Sequence[SentEvent], arrival_ms: int) -> Int64Array:
    """Epoch milliseconds of every event."""
    stamps = [event.timestamp for event in events]
    try:
        return np.frombuffer(array("q", stamps), np.int64)  # type: ignore[type-var]
    except (TypeError, OverflowError):
        return np.array([epoch_ms(stamp, arrival_ms) for stamp in stamps], np.int64)


def start_column(events: Sequence[SentEvent]) -> Int64Array | None:
    """Epoch milliseconds of every start time, `NO_START` where there is none; None when no event has one."""
    starts = [event.start for event in events]
    if starts.count(None) == len(starts):
        return None
    return np.array([epoch_ms(start, NO_START) for start in starts], np.int64)


def id_column(events: Sequence[SentEvent]) -> list[str | None] | None:
    """The ids, or None when no event has one."""
    ids = [event.id for event in events]
    return None if ids.count(None) == len(ids) else ids
