"""`python -m benchmarks [name …]`: run, check the answers, print a table. Without a name: all of them.

`--events N` makes `hundred_million` smaller, such as 2,000,000 to try the benchmark itself.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Callable
from functools import partial

from benchmarks import (
    dashboard,
    end_to_end,
    freshness,
    hundred_million,
    month,
    projector_alone,
    rollup_alone,
    write_side,
)
from benchmarks.stack import running_stack

RUNS = 3
EVENTS = 2_000_000


def run_end_to_end() -> None:
    """W1 over 4 and 32 connections, without and with ids: median of three, each run in a fresh system."""
    print("| workload | events/s to visible (min / median / max) | acknowledged | CPU µs an event: by role |")
    print("|---|---|---|---|")
    for connections, ids in ((4, False), (32, False), (4, True), (32, True)):
        runs = []
        for seed in range(RUNS):
            with running_stack() as stack:
                end_to_end.measure(stack, 200_000, connections, ids=ids, seed=100 + seed)  # warm
                runs.append(end_to_end.measure(stack, EVENTS, connections, ids=ids, seed=seed))
                memory = ", ".join(f"{role} {mb:.0f}" for role, (_, mb) in stack.usage().items())
                stored = ", ".join(f"{name} {size / (EVENTS + 200_000):.1f}" for name, size in stack.stored().items())
        visible = sorted(run.visible for run in runs)
        spent = {role: statistics.median(run.cpu_us[role] for run in runs) for role in runs[0].cpu_us}
        cpu = ", ".join(f"{role} {us:.2f}" for role, us in spent.items())
        print(
            f"| {connections} connections{', ids' if ids else ''} "
            f"| {visible[0]:,.0f} / **{statistics.median(visible):,.0f}** / {visible[-1]:,.0f} "
            f"| {statistics.median(run.acknowledged for run in runs):,.0f} | {cpu}; MB: {memory}; "
            f"bytes an event: {stored} |",
            flush=True,
        )


def run_freshness() -> None:
    """The delay from POST to answer at 10,000 events a second."""
    with running_stack() as stack:
        delays = freshness.measure(stack, 30.0)
        usage = stack.usage()
    quantiles = statistics.quantiles(delays, n=100)
    print(f"at {freshness.RATE:,}/s, {len(delays)} probes: p50 {quantiles[49]:.0f} ms, p99 {quantiles[98]:.0f} ms")
    print("CPU s and MB: " + ", ".join(f"{role} {cpu:.1f} s {mb:.0f} MB" for role, (cpu, mb) in usage.items()))


def run_write_side() -> None:
    """Batches and single events into one ingest process, memory over 10 million events, and two workers."""
    print("| write side alone, ids on every event | events/s or requests/s | CPU µs of ingest | events/s a core |")
    print("|---|---|---|---|")
    with running_stack(("ingest",)) as stack:
        write_side.batches(stack, 200_000, 32, seed=99)  # warm
        total = 200_000
        for connections in (4, 32):
            runs = [write_side.batches(stack, 1_000_000, connections, seed=seed) for seed in range(RUNS)]
            total += RUNS * 1_000_000
            _print_batches(f"batches of 500, {connections} connections", runs)
        memory = runs[-1].memory_mb
        for seed in range(10):
            run = write_side.batches(stack, 1_000_000, 32, seed=10 + seed)
            total += 1_000_000
        assert (found := write_side.stored(stack)) == total, (found, total)
    print(f"\nmemory of ingest: {memory:.0f} MB, after 10 million events more {run.memory_mb:.0f} MB\n")
    for workers in (1, 2):
        with running_stack(("ingest",), TALLYBOARD_INGEST_WORKERS=str(workers)) as stack:
            write_side.singles(stack, 64, 5)  # warm
            for run_of_wrk in [write_side.singles(stack, 64, 10) for _ in range(RUNS)]:
                if run_of_wrk is None:
                    print("wrk is not installed: single events are not measured")
                    return
                speed, latency = f"{run_of_wrk.speed:,.0f} requests/s", f"p99 {run_of_wrk.p99_ms:.0f} ms"
                cpu = f"{run_of_wrk.cpu_us:.0f} µs a request"
                print(f"{workers} worker(s), 64 connections: {speed}, p50 {run_of_wrk.p50_ms:.0f} ms, {latency}, {cpu}")


def _print_batches(name: str, runs: list[write_side.Batches]) -> None:
    speeds = sorted(run.speed for run in runs)
    cpu = statistics.median(run.cpu_us for run in runs)
    middle = f"{speeds[0]:,.0f} / **{statistics.median(speeds):,.0f}** / {speeds[-1]:,.0f}"
    print(f"| {name} | {middle} | {cpu:.2f} | {1e6 / cpu:,.0f} |", flush=True)


def run_month() -> None:
    """Days of steady load: does the file stay level?"""
    for day, (size, rows) in month.measure().items():
        print(f"day {day}: {size / 1e6:.0f} MB, {rows:,} rows")


BENCHMARKS: dict[str, Callable[[], None]] = {
    "end_to_end": run_end_to_end,
    "freshness": run_freshness,
    "write_side": run_write_side,
    "rollup_alone": rollup_alone.main,
    "projector_alone": projector_alone.main,
    "month": run_month,
    "hundred_million": hundred_million.main,
    "dashboard": dashboard.main,
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks", description="; ".join(BENCHMARKS))
    parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("--events", type=int, default=hundred_million.EVENTS, help="of hundred_million")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    BENCHMARKS["hundred_million"] = partial(hundred_million.main, given.events)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    for name in given.names or BENCHMARKS:
        print(f"## {name}\n", flush=True)
        BENCHMARKS[name]()
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
