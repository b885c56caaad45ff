"""What was sent, record by record, and what it comes to: one plain fold over the single events.

It knows nothing of deltas, levels or restatements. What the read model says is compared with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from aggregates.deltas import Delta
from aggregates.rollup import PartitionRollup
from aggregates.sketches import bins_of, hash_texts
from ingest.events import encode
from ingest.log import LogRecord
from tests.builders import Event, columns_of, rollup_of

DEDUPE_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it stands in the log. `place` orders events of equal time."""

    metric: str
    dimensions: dict[str, str]
    ms: int
    value: float | str
    record_ms: int
    history: bool
    duplicate: bool
    place: tuple[int, int, int]

    def known_by(self, ms: int) -> bool:
        """Whether somebody who asked at a time of the log's clock knew of it; history was always known."""
        return self.history or self.record_ms <= ms


@dataclass(slots=True)
class Answer:
    """What some events come to."""

    count: int = 0
    total: float = 0.0
    least: float | None = None
    most: float | None = None
    last: float | None = None
    bins: Counter[int] = field(default_factory=Counter)
    hashes: set[int] = field(default_factory=set)


class Recorded:
    """The log of two partitions: what stands in it, and the deltas made of it."""

    def __init__(self) -> None:
        self.events: list[Sent] = []
        self._rollups: dict[int, PartitionRollup] = {p: rollup_of(partition=p) for p in (0, 1)}
        self._offsets = {0: 0, 1: 0}
        self._seen: dict[tuple[int, str, str, str], int] = {}

    def append(self, partition: int, record_ms: int, events: list[Event], history: bool = False) -> Delta:
        """Append one record; returns its delta."""
        offset = self._offsets[partition]
        self._offsets[partition] += 1
        for index, (metric, dimensions, ms, value, event_id) in enumerate(events):
            again = self._is_duplicate(partition, record_ms, metric, dimensions, event_id)
            place = (partition, offset, index)
            self.events.append(Sent(metric, dimensions, ms, value, record_ms, history, again, place))
        columns = columns_of(events)
        columns.history = history
        (record,) = encode(columns, 1)
        delta = self._rollups[partition].add([LogRecord(offset, record_ms, record.value)])
        assert delta is not None
        return delta

    def _is_duplicate(
        self, partition: int, record_ms: int, metric: str, dimensions: dict[str, str], event_id: str | None
    ) -> bool:
        if event_id is None:
            return False
        key = (partition, metric, repr(sorted(dimensions.items())), event_id)
        before = self._seen.get(key)
        self._seen[key] = record_ms
        return before is not None and record_ms - before < DEDUPE_MS

    def ledger(self) -> dict[tuple[str, int], tuple[int, int, int]]:
        """(metric, minute of record time) → accepted, applied, duplicates."""
        found: dict[tuple[str, int], tuple[int, int, int]] = {}
        for event in self.events:
            key = (event.metric, event.record_ms // 60_000 * 60)
            accepted, applied, duplicates = found.get(key, (0, 0, 0))
            found[key] = (accepted + 1, applied + (not event.duplicate), duplicates + event.duplicate)
        return found

    def fold(self, wanted: Callable[[Sent], bool]) -> Answer:
        """What the wanted events come to, duplicates left out."""
        return fold(event for event in self.events if not event.duplicate and wanted(event))


def fold(events: Iterable[Sent]) -> Answer:
    answer = Answer()
    newest: tuple[int, tuple[int, int, int]] | None = None
    for event in events:
        answer.count += 1
        if isinstance(event.value, str):
            answer.hashes.add(int(hash_texts(pa.array([event.value]))[0]))
            continue
        answer.total += event.value
        answer.least = event.value if answer.least is None else min(answer.least, event.value)
        answer.most = event.value if answer.most is None else max(answer.most, event.value)
        answer.bins[int(bins_of(np.array([event.value]))[0])] += 1
        if newest is None or (event.ms, event.place) > newest:
            newest, answer.last = (event.ms, event.place), event.value
    return answer
