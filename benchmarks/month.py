"""Two months of steady load in some minutes: does the file stay level?

Time is given, not waited for: every three simulated hours are applied, sealed and cleared as a whole. A fifth of the
events is late. Retention is shortened, so that every level is full after twenty days
(days are kept for ever by default: they grow by a row a day and group, the codes of uniques beside).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aggregates.deltas import Delta
from aggregates.duplicates import DuplicateWindow
from aggregates.levels import DAY, LEVELS, MINUTE, QUARTER, SECOND, sealable
from aggregates.positions import Position
from aggregates.rollup import PartitionRollup, Source
from aggregates.store import GRACE_S, Input, Store
from ingest import events
from ingest.log import LogRecord
from ingest.series import Kind, Series, SeriesTable

DAYS, FULL_AFTER = 50, 25
START_S = 1_793_491_200
STEP_S = 10_800
STEPS_A_DAY = 86_400 // STEP_S
EVENTS_A_STEP = 4000
SERIES = 60
KEEP_S: dict[str, float | None] = {SECOND: 43_200, MINUTE: 5 * 86_400, QUARTER: 20 * 86_400, DAY: 21 * 86_400}
KINDS = (Kind.COUNTER, Kind.DISTRIBUTION, Kind.UNIQUE)


def steps(days: int) -> Iterator[tuple[int, Delta, Counter[int]]]:
    """(number of the step, delta of it, its events by day of event time)."""
    table, draw = SeriesTable(), np.random.default_rng(1)
    for number in range(SERIES):
        kind = KINDS[number % len(KINDS)]
        table.intern(Series(f"metric.{kind.value}", kind, (("shop", f"s{number // len(KINDS)}"),)))
    rollup = PartitionRollup(Source("0" * 32, 0), 0, 0, DuplicateWindow())
    for step in range(STEPS_A_DAY * days):
        at_ms = 1000 * (START_S + STEP_S * (step + 1))
        series = draw.integers(0, SERIES, EVENTS_A_STEP).astype(np.int32)
        late = np.where(draw.random(EVENTS_A_STEP) < 0.2, draw.integers(0, 86_400_000, EVENTS_A_STEP), 0)
        unique = series % len(KINDS) == KINDS.index(Kind.UNIQUE)
        times = at_ms - draw.integers(0, 1000 * STEP_S, EVENTS_A_STEP) - late
        columns = events.EventColumns(
            table,
            series,
            times,
            np.where(unique, np.nan, np.round(draw.lognormal(3, 1, EVENTS_A_STEP), 2)),
            [f"u{n}" if text else None for n, text in zip(draw.integers(0, 2000, len(series)), unique, strict=True)],
        )
        (record,) = events.encode(columns, 1)
        delta = rollup.add([LogRecord(step, at_ms, record.value)])
        assert delta is not None
        yield step, delta, Counter((times // 86_400_000 * 86_400).tolist())


def measure(days: int = DAYS) -> dict[int, tuple[int, int]]:
    """Day → bytes of the file, rows in it. Raises `AssertionError` when the days do not hold every event."""
    sizes: dict[int, tuple[int, int]] = {}
    by_day: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dashboard.duckdb"
        store = Store(path, {})
        for step, delta, events_by_day in steps(days):
            by_day.update(events_by_day)
            store.apply([Input(delta, Position("1" * 32, 0, step + 1, 0))])
            now_ms = delta.header.records[-1].timestamp_ms
            store.seal(sealable(now_ms + 1000 * GRACE_S, GRACE_S))
            store.retain(now_ms // 1000, KEEP_S)
            if step % STEPS_A_DAY == STEPS_A_DAY - 1:
                store.close()  # a checkpoint: what stands in the write-ahead log is in the file
                store = Store(path, {})
                sizes[step // STEPS_A_DAY + 1] = path.stat().st_size, _rows(store)
        _check(store, by_day)
        store.close()
    return sizes


def _check(store: Store, by_day: Counter[int]) -> None:
    """The days hold every event, the ledger agrees with itself."""
    with store.reader() as cursor:
        start, end = store.kept.kept_from[DAY], store.kept.sealed_until[DAY]
        found = cursor.execute("SELECT time, sum(count)::BIGINT FROM total_1d GROUP BY time").fetchall()
        assert dict(found) == {day: events for day, events in by_day.items() if start <= day < end}
        sums = cursor.execute("SELECT sum(accepted), sum(applied + duplicates) FROM ledger").fetchone() or (0, 1)
        assert sums[0] == sums[1]


def _rows(store: Store) -> int:
    with store.reader() as cursor:
        names = cursor.execute(
            "SELECT table_name FROM duckdb_tables() WHERE ends_with(table_name, '_' || ?) OR ends_with(table_name, ?) "
            "OR ends_with(table_name, ?) OR ends_with(table_name, ?)",
            list(LEVELS),
        ).fetchall()
        rows = [cursor.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,) for (name,) in names]  # noqa: S608
    return sum(int(count) for (count,) in rows)
