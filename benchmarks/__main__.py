"""`python -m benchmarks [end_to_end] [freshness]`: run, check the answers, print a table."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Callable

from benchmarks import end_to_end, freshness
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
        visible = sorted(run.visible for run in runs)
        spent = {role: statistics.median(run.cpu_us[role] for run in runs) for role in runs[0].cpu_us}
        cpu = ", ".join(f"{role} {us:.2f}" for role, us in spent.items())
        print(
            f"| {connections} connections{', ids' if ids else ''} "
            f"| {visible[0]:,.0f} / **{statistics.median(visible):,.0f}** / {visible[-1]:,.0f} "
            f"| {statistics.median(run.acknowledged for run in runs):,.0f} | {cpu}; MB: {memory} |",
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


BENCHMARKS: dict[str, Callable[[], None]] = {"end_to_end": run_end_to_end, "freshness": run_freshness}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"there is no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    for name in names or BENCHMARKS:
        print(f"## {name}\n", flush=True)
        BENCHMARKS[name]()
        print()
    return 0


sys.exit(main(sys.argv[1:]))
