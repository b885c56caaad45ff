"""The projector alone: deltas into a read model of its own, sealing and retention on the way. No Kafka.

10,000 active series, three views beside the total. Every series has one event a second, so a delta row stands for one
event: the most rows that so many events can make. Half of the series are in each record. The series are counters of
one metric, distributions of another, or a mix of both; a value of a distribution is anything from 1 to 100,000, so that
nearly every event has a bin of its own. Sums are checked in every level before a number is given.
"""

from __future__ import annotations

import statistics
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

METRICS = {Kind.COUNTER: "orders.revenue", Kind.DISTRIBUTION: "request.duration"}
MIXES = {"counters": 0, "a quarter distributions": 1, "distributions": 4}
"""Name → distributions among four series that follow each other."""
COUNTRIES, PRODUCTS, SHOPS = 10, 100, 10
SERIES = COUNTRIES * PRODUCTS * SHOPS
SETS = [["country"], ["product"], ["country", "product"]]
VIEWS = dict.fromkeys(METRICS.values(), SETS)
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


def kind_of(number: int, distributions: int) -> Kind:
    """Of the series with this number; a record has every other series."""
    return Kind.DISTRIBUTION if number // 2 % 4 < distributions else Kind.COUNTER


def series_table(distributions: int) -> SeriesTable:
    table = SeriesTable()
    for number in range(SERIES):
        kind = kind_of(number, distributions)
        country, rest = divmod(number, PRODUCTS * SHOPS)
        product, shop = divmod(rest, SHOPS)
        named = (("country", f"c{country}"), ("product", f"p{product}"), ("shop", f"s{shop}"))
        table.intern(Series(METRICS[kind], kind, named))
    return table


def records(distributions: int, seconds: int, seed: int = 1) -> Iterator[tuple[int, LogRecord, int, float]]:
    """(partition, record, events, sum of values) of `seconds` of steady load; values are whole cents."""
    table, draw = series_table(distributions), np.random.default_rng(seed)
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


def deltas(distributions: int, seconds: int) -> tuple[list[bytes], int, float]:
    """The deltas of a run, as record values; events and sum of them."""
    rollups = [PartitionRollup(Source("0" * 32, p), 0, 0, DuplicateWindow()) for p in range(PARTITIONS)]
    waiting: list[list[LogRecord]] = [[] for _ in range(PARTITIONS)]
    found: list[bytes] = []
    count, total = 0, 0.0
    for partition, record, number, value in records(distributions, seconds):
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


def measure(distributions: int, seconds: int = 240) -> Run:
    """Apply `seconds` of load, of a mix with so many distributions (`MIXES`). Raises `AssertionError` when the tables
    do not hold it."""
    found, count, total = deltas(distributions, seconds)
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
        check(store, count, total, count * distributions // 4)
        store.close()
        return Run(rows, wall, cpu, sealing, path.stat().st_size)


def check(store: Store, count: int, total: float, binned: int) -> None:
    """Every level of every family holds all events, and the bins of those that have some."""
    with store.reader() as cursor:
        for level in ("1s", "1m", "15m", "1d"):
            for family, times in (("total", 1), ("view", len(SETS)), ("series", 1)):
                sql = f"SELECT sum(count), sum(sum) FROM {family}_{level}"  # noqa: S608
                events_found, sum_found = cursor.execute(sql).fetchone() or (0, 0)
                assert events_found == times * count, (family, level, events_found, times * count)
                assert abs(sum_found - times * total) < 1e-6 * times * total, (family, level, sum_found, total)
                if (family, level) != ("series", "1s"):
                    sql = f"SELECT coalesce(sum(n), 0) FROM {family}_bins_{level}"  # noqa: S608
                    assert (cursor.execute(sql).fetchone() or (0,))[0] == times * binned, (family, level)


def main(runs: int = 3) -> None:
    """Print a table: each mix `runs` times, the median of wall time and of CPU time."""
    print("| projector alone | delta rows/s (min / median / max) | a CPU second | bytes a row |")
    print("|---|---|---|---|")
    for name, distributions in MIXES.items():
        found = sorted((measure(distributions) for _ in range(runs)), key=lambda run: run.wall_s)
        speeds = [run.rows / run.wall_s for run in reversed(found)]
        middle = found[len(found) // 2]
        print(
            f"| {name} | {speeds[0]:,.0f} / **{statistics.median(speeds):,.0f}** / {speeds[-1]:,.0f} "
            f"| {middle.rows / middle.cpu_s:,.0f} | {middle.file_bytes / middle.rows:.1f} |",
            flush=True,
        )
