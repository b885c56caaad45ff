"""The projector alone: deltas into a read model of its own, sealing and retention on the way. No Kafka.

10,000 active series of one metric, three views beside the total. Every series has one event a second; half of the
series are in each record. Sums are checked in every level before a number is given.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aggregates.deltas import decode, encode
from aggregates.duplicates import DuplicateWindow
from aggregates.levels import sealable
from aggregates.positions import Position
from aggregates.rollup import PartitionRollup, Source
from aggregates.settings import ReadModelSettings
from aggregates.store import GRACE_S, Input, Store
from ingest import events
from ingest.log import LogRecord
from ingest.series import Kind, Series, SeriesTable

METRIC = "orders.revenue"
COUNTRIES, PRODUCTS, SHOPS = 10, 100, 10
SERIES = COUNTRIES * PRODUCTS * SHOPS
VIEWS = {METRIC: [["country"], ["product"], ["country", "product"]]}
PARTITIONS = 4
START_S = 1_795_428_000
RECORDS_A_DELTA = 4
DELTAS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Run:
    """Delta rows a second of wall time and of CPU time, applying and sealing apart; bytes of the file a row."""

    rows: int
    wall_s: float
    cpu_s: float
    sealing_s: float
    file_bytes: int


def series_table(kind: Kind) -> SeriesTable:
    table = SeriesTable()
    for number in range(SERIES):
        country, rest = divmod(number, PRODUCTS * SHOPS)
        product, shop = divmod(rest, SHOPS)
        named = (("country", f"c{country}"), ("product", f"p{product}"), ("shop", f"s{shop}"))
        table.intern(Series(METRIC, kind, named))
    return table


def records(kind: Kind, seconds: int, seed: int = 1) -> Iterator[tuple[int, LogRecord, int, float]]:
    """(partition, record, events, sum of values) of `seconds` of steady load; values are whole cents."""
    table, draw = series_table(kind), np.random.default_rng(seed)
    offsets = [0] * PARTITIONS
    for half in range(2 * seconds):
        at_ms = 1000 * START_S + 500 * half
        cents = draw.integers(1, 100_000, SERIES // 2)
        number = len(cents)
        columns = events.EventColumns(
            table,
            np.arange(half % 2, SERIES, 2, dtype=np.int32),
            np.full(number, at_ms, np.int64) + draw.integers(0, 500, number),
            cents / 100,
        )
        for record in events.encode(columns, PARTITIONS):
            appended = LogRecord(offsets[record.partition], at_ms + 700, record.value)
            offsets[record.partition] += 1
            yield record.partition, appended, record.events, 0.0
        yield -1, LogRecord(0, at_ms, None), 0, float(cents.sum()) / 100


def deltas(kind: Kind, seconds: int) -> tuple[list[bytes], int, float]:
    """The deltas of a run, as record values; events and sum of them."""
    rollups = [PartitionRollup(Source("0" * 32, p), 0, 0, DuplicateWindow()) for p in range(PARTITIONS)]
    waiting: list[list[LogRecord]] = [[] for _ in range(PARTITIONS)]
    found: list[bytes] = []
    count, total = 0, 0.0
    for partition, record, number, value in records(kind, seconds):
        count, total = count + number, total + value
        if partition < 0:
            continue
        waiting[partition].append(record)
        if len(waiting[partition]) == RECORDS_A_DELTA:
            delta = rollups[partition].add(waiting[partition])
            assert delta is not None
            found.append(encode(delta))
            waiting[partition].clear()
    assert not any(waiting)
    return found, count, total


def measure(kind: Kind, seconds: int = 240) -> Run:
    """Apply `seconds` of load. Raises `AssertionError` when the tables do not hold it."""
    found, count, total = deltas(kind, seconds)
    keep_s = ReadModelSettings().keep_s
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dashboard.duckdb"
        store = Store(path, VIEWS)
        sealing, rows = 0.0, 0
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(found), DELTAS_AT_ONCE):
            batch = [decode(value) for value in found[start : start + DELTAS_AT_ONCE]]
            rows += sum(delta.rows.num_rows for delta in batch)
            inputs = [
                Input(delta, Position("1" * 32, delta.header.partition, start + i + 1, 0))
                for i, delta in enumerate(batch)
            ]
            store.apply(inputs)
            mark = min(delta.header.records[-1].timestamp_ms for delta in batch)
            began = time.perf_counter()
            if store.seal(sealable(mark, GRACE_S)):
                store.retain(mark // 1000, keep_s)
                sealing += time.perf_counter() - began
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        store.seal(START_S + 2 * 86_400)
        check(store, kind, count, total)
        store.close()
        return Run(rows, wall, cpu, sealing, path.stat().st_size)


def check(store: Store, kind: Kind, count: int, total: float) -> None:
    """Every level of every family holds all events."""
    with store.reader() as cursor:
        for level in ("1s", "1m", "15m", "1d"):
            for family, times in (("total", 1), ("view", len(VIEWS[METRIC])), ("series", 1)):
                sql = f"SELECT sum(count), sum(sum) FROM {family}_{level}"  # noqa: S608
                events_found, sum_found = cursor.execute(sql).fetchone() or (0, 0)
                assert events_found == times * count, (family, level, events_found, times * count)
                assert abs(sum_found - times * total) < 1e-6 * times * total, (family, level, sum_found, total)
                if kind is Kind.DISTRIBUTION and (family, level) != ("series", "1s"):
                    sql = f"SELECT sum(n) FROM {family}_bins_{level}"  # noqa: S608
                    assert (cursor.execute(sql).fetchone() or (0,))[0] == times * count, (family, level)
