"""The rollup worker's fold on one core: records as ingest writes them in, deltas as bytes out, no Kafka in between.

Half of the events have ids. The deltas are added up and compared with the generator's sums before any figure counts.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from aggregates import deltas
from aggregates.duplicates import DuplicateWindow
from aggregates.rollup import PartitionRollup, Source
from aggregates.worker import runs
from benchmarks.workload import COUNTRIES, METRICS, Expected, Workload, workload
from ingest.events import EventColumns, encode
from ingest.log import LogRecord
from ingest.series import Kind, Series, SeriesTable

PARTITIONS = 4
_END_MS = 1_795_428_000_000


@dataclass(frozen=True, slots=True)
class Fold:
    """Events, CPU seconds of one thread, delta rows, bytes of records and of deltas, bytes of state."""

    events: int
    seconds: float
    rows: int
    bytes_in: int
    bytes_out: int
    state_bytes: int

    @property
    def speed(self) -> float:
        return self.events / self.seconds


def records_of(load: Workload, flush: int) -> list[list[LogRecord]]:
    """Per partition the records of the workload, `flush` events committed at a time; every other event has an id."""
    table = SeriesTable()
    distinct, series = np.unique(
        (load.metric * len(COUNTRIES) + load.country) * 1000 + load.product, return_inverse=True
    )
    for code in distinct.tolist():
        rest, product = divmod(code, 1000)
        metric, country = divmod(rest, len(COUNTRIES))
        labels = (("country", COUNTRIES[country]), ("product", f"p{product}"))
        table.intern(Series(METRICS[metric], Kind.DISTRIBUTION, labels))
    found: list[list[LogRecord]] = [[] for _ in range(PARTITIONS)]
    for start in range(0, len(load), flush):
        part = slice(start, start + flush)
        numbers = range(start, min(start + flush, len(load)))
        ids = [f"{load.seed:08x}-{n:016x}" if n % 2 else None for n in numbers]
        columns = EventColumns(
            table, series[part].astype(np.int32), load.times_ms[part], load.cents[part] / 100, ids=ids
        )
        for record in encode(columns, PARTITIONS):
            mine = found[record.partition]
            mine.append(LogRecord(len(mine), int(load.times_ms[numbers[-1]]), record.value))
    return found


def measure(events: int, flush: int, *, seed: int = 1, span_ms: int = 600_000) -> Fold:
    """Fold `events` events. Raises `AssertionError` when the deltas do not hold what was generated."""
    load = workload(events, _END_MS, ids=True, seed=seed, span_ms=span_ms)
    records = records_of(load, flush)
    written: list[bytes] = []
    rollups = [PartitionRollup(Source("0" * 32, p), 0, 0, DuplicateWindow()) for p in range(PARTITIONS)]
    start = time.thread_time()
    for rollup, mine in zip(rollups, records, strict=True):
        for run in runs(mine):
            delta = rollup.add(run)
            assert delta is not None
            written.append(deltas.encode(delta))
    seconds = time.thread_time() - start
    rows = check(written, load.expected(), events)
    bytes_in = sum(len(record.value or b"") for mine in records for record in mine)
    return Fold(
        events, seconds, rows, bytes_in, sum(map(len, written)), sum(r.ids_bytes + r.totals_bytes for r in rollups)
    )


def check(written: list[bytes], expected: Expected, events: int) -> int:
    """Hold the deltas against the generator's sums; returns their rows."""
    sums: dict[tuple[str, str, int], list[float]] = defaultdict(lambda: [0, 0.0])
    rows = accepted = binned = 0
    for value in written:
        delta = deltas.decode(value)
        accepted += sum(count for record in delta.header.records for _, count in record.accepted)
        binned += int(delta.rows.column("bin_counts").flatten().to_numpy().sum())
        assert not delta.rows.column("duplicates").to_numpy().any()
        rows += delta.rows.num_rows
        _add_up(delta, sums)
    assert (accepted, binned) == (events, events), (accepted, binned)
    assert sums.keys() == expected.keys()
    for key, (count, total) in expected.items():
        assert sums[key][0] == count, (key, sums[key], count)
        assert abs(sums[key][1] - total) < 1e-6 * total, (key, sums[key], total)
    return rows


def _add_up(delta: deltas.Delta, sums: dict[tuple[str, str, int], list[float]]) -> None:
    series = delta.rows.column("series")
    names = [(s["metric"], s["dimensions"].split('"')[3]) for s in series.dictionary.to_pylist()]
    minutes = delta.rows.column("second").to_numpy().astype("datetime64[m]").astype(np.int64) * 60
    groups, inverse = np.unique(np.stack([series.indices.to_numpy(), minutes]), axis=1, return_inverse=True)
    counts = np.bincount(inverse, delta.rows.column("count").to_numpy())
    totals = np.bincount(inverse, delta.rows.column("sum").to_numpy())
    for (number, minute), count, total in zip(groups.T.tolist(), counts.tolist(), totals.tolist(), strict=True):
        found = sums[(*names[number], minute)]
        found[0] += count
        found[1] += total


def main() -> None:
    """Print a table; the best of three runs each, since anything else on the machine only makes them slower."""
    print("| rollup worker alone, half of the events with ids | events/s on one core | µs an event | bytes in / out |")
    print("|---|---|---|---|")
    for flush in (2_000, 8_000, 40_000):
        fold = max((measure(1_000_000, flush, seed=seed) for seed in range(3)), key=lambda run: run.speed)
        print(
            f"| {flush // PARTITIONS:,} events a record, {fold.rows:,} rows "
            f"| **{fold.speed:,.0f}** | {1e6 / fold.speed:.2f} "
            f"| {fold.bytes_in / fold.events:.1f} / {fold.bytes_out / fold.events:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
