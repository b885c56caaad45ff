"""100 million events: filled into a read model, asked while 20,000 events a second keep coming; beside it raw Parquet.

The state is that of `benchmarks.filled`, the serving process that of `benchmarks.live`. Answers are compared with those
of the raw events before anything is timed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import psutil
import uvloop

from aggregates.levels import sealable
from aggregates.readmodel import ReadModel
from aggregates.store import GRACE_S, Store
from benchmarks.filled import VIEWS, State, cached
from benchmarks.history import History
from benchmarks.live import RATE, serving
from benchmarks.questions import QUESTIONS, Question, Rows, over_http, same, timed
from ingest.registry import Registry

EVENTS = 100_000_000
ASKS = 200
_PATIENCE_S = 300
Times = list[float]


@dataclass(slots=True)
class Asked:
    """Milliseconds of each question, by name: through the read model, over HTTP, from the raw events."""

    model: dict[str, Times] = field(default_factory=dict)
    http: dict[str, Times] = field(default_factory=dict)
    raw: dict[str, Times] = field(default_factory=dict)
    rate: float = 0.0
    behind_s: Times = field(default_factory=list)
    memory_mb: float = 0.0


def main(events: int = EVENTS) -> None:
    """Print the fill, then a table for half of the history and one for all of it."""
    for state in cached(History(events)):
        filled = state.filled
        print(
            f"### {filled.events:,} events\n\n{filled.rows:,} delta rows, applied in {filled.seconds:.0f} s "
            f"({filled.events / filled.seconds:,.0f} events/s)\n\n"
            f"bytes an event: `events` {filled.record_bytes / filled.events:.1f}, "
            f"`rollups` {filled.delta_bytes / filled.events:.1f}, read model {filled.file_bytes / filled.events:.1f} "
            f"({filled.file_bytes / 1e6:,.0f} MB), Parquet {filled.raw_bytes / filled.events:.1f}\n",
            flush=True,
        )
        _print(measure(state))


def measure(state: State, asks: int = ASKS) -> Asked:
    """Check the answers, then ask. Raises `AssertionError` when one is wrong."""
    found = Asked()
    with tempfile.TemporaryDirectory(prefix="tallyboard-bench-") as folder:
        copy = Path(shutil.copy(state.model, folder))
        raw = RawEvents(state.raw)
        ranges = _check(copy, state.filled.end_s, raw)
        for question, (start, end) in zip(QUESTIONS, ranges, strict=True):
            rows = max(5, asks // 20)
            found.raw[question.name] = timed(rows, lambda q=question, s=start, e=end: raw.rows(q, s, e), 0.0)  # type: ignore[misc]
        raw.close()
        uvloop.run(_ask(found, copy, state.filled.end_s, asks))
    return found


class RawEvents:
    """The events as Parquet in DuckDB, with as many threads as there are cores."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._connection = duckdb.connect()
        names = ", ".join(f"'{file}'" for file in files)
        self._connection.execute(f"CREATE VIEW events AS FROM read_parquet([{names}])")

    def rows(self, question: Question, start_ms: int, end_ms: int) -> Rows:
        return self._connection.execute(question.sql, {"start": start_ms, "end": end_ms}).fetchall()

    def close(self) -> None:
        self._connection.close()


def _check(path: Path, end_s: int, raw: RawEvents) -> list[tuple[int, int]]:
    """Compare every answer with the raw events; returns the range of each."""
    store = Store(path, VIEWS)
    assert store.kept.sealed_until["1m"] == sealable(1000 * end_s, GRACE_S)
    model = ReadModel(store, Registry(), lambda: 1000 * end_s)
    ranges = []
    for question in QUESTIONS:
        result = model.query(question.query(1000 * end_s))
        ranges.append((result.start_ms, result.end_ms))
        same(question, result, raw.rows(question, *ranges[-1]))
    store.close()
    return ranges


async def _ask(found: Asked, path: Path, end_s: int, asks: int) -> None:
    """Every question through the read model and over HTTP, while events come."""
    async with serving(path, end_s) as running:
        await asyncio.sleep(5)
        applied, began = running.applied, running.clock()
        for question in QUESTIONS:

            def ask(question: Question = question) -> None:
                running.model.query(question.query(running.clock()))

            found.model[question.name] = await asyncio.to_thread(timed, asks, ask)
        here, there = multiprocessing.Pipe(False)
        context = multiprocessing.get_context("spawn")
        asker = context.Process(target=over_http, args=(running.url, asks // 2, there), daemon=True)
        asker.start()
        for question in QUESTIONS:
            assert await asyncio.to_thread(here.poll, _PATIENCE_S), question.name
            found.http[question.name] = here.recv()
        found.rate = 1000 * (running.applied - applied) / (running.clock() - began)
        found.behind_s = sorted(running.behind_s)
        found.memory_mb = psutil.Process().memory_info().rss / 1e6


def _print(found: Asked) -> None:
    print("| ms: p50 / p95 | read model | over HTTP | raw events as Parquet |\n|---|---|---|---|")
    for question in QUESTIONS:
        cells = (_quantiles(times[question.name]) for times in (found.model, found.http, found.raw))
        print(f"| {question.name} | {' | '.join(cells)} |")
    late = statistics.quantiles(found.behind_s, n=100)
    print(
        f"\nBeside it {found.rate:,.0f} events/s came (of {RATE:,}), visible after {1000 * late[49]:.0f} ms (p50), "
        f"{1000 * late[98]:.0f} ms (p99); memory of the process {found.memory_mb:,.0f} MB\n",
        flush=True,
    )


def _quantiles(times: Times) -> str:
    return f"{times[len(times) // 2]:.1f} / {times[min(len(times) - 1, len(times) * 95 // 100)]:.1f}"
