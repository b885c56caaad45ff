"""From the first POST until every event is in a query's answer: workload W1, batches of 500.

Before a speed is printed, the counts and sums of every (metric, country, minute) are compared with the generator's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import uvloop

from benchmarks.sender import requests, send_all
from benchmarks.stack import Stack
from benchmarks.workload import METRICS, Expected, Workload, workload

BATCH = 500
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run: events a second to the last acknowledgement and to visibility, CPU µs an event by role."""

    acknowledged: float
    visible: float
    cpu_us: Mapping[str, float]


def measure(stack: Stack, events: int, connections: int, *, ids: bool, seed: int) -> Run:
    """Send W1 once and wait until it is visible. Raises `AssertionError` when an answer is wrong."""
    load = workload(events, time.time_ns() // 1_000_000, ids=ids, seed=seed)
    prepared = requests("127.0.0.1", stack.ports["ingest"], load.bodies(BATCH))
    wanted, before = load.expected(), answers(stack, load)
    counted = _counted(stack)
    usage = stack.usage()
    start = time.perf_counter()
    sent = uvloop.run(send_all("127.0.0.1", stack.ports["ingest"], prepared, connections))
    acknowledged = time.perf_counter() - start
    assert sent.statuses.get(202) == len(prepared), sent.statuses
    _wait_visible(stack, counted + events)
    visible = time.perf_counter() - start
    check(answers(stack, load), before, wanted)
    spent = {role: (cpu - usage[role][0]) / events * 1e6 for role, (cpu, _) in stack.usage().items()}
    return Run(events / acknowledged, events / visible, spent)


def _wait_visible(stack: Stack, events: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while _counted(stack) < events:
        if time.monotonic() > deadline:
            raise AssertionError("the events did not become visible in time")
        time.sleep(0.02)


def _counted(stack: Stack) -> int:
    """Events of the workload's metrics that answers hold by now."""
    with httpx.Client(base_url=stack.url("dashboard")) as client:
        found = [_query(client, metric=metric, measures="count", **{"from": "-6h"}) for metric in METRICS]
    return sum(rows[0][0] for rows in found if rows)


def answers(stack: Stack, load: Workload) -> Expected:
    """Count and sum per (metric, country, minute) as the query API gives them."""
    first, last = int(load.times_ms[0]) // 60_000 * 60_000, int(load.times_ms[-1]) + 1
    found: Expected = {}
    with httpx.Client(base_url=stack.url("dashboard")) as client:
        for metric in METRICS:
            span = {"from": str(first), "to": str(last)}
            rows = _query(client, metric=metric, measures="count,sum", by="country", step="1m", **span)
            for time_text, country, count, total in rows:
                found[metric, country, int(_epoch(time_text))] = count, total
    return found


def _epoch(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone


def _query(client: httpx.Client, **parameters: str) -> list[Any]:
    answer = client.get("/api/v1/query", params=parameters, timeout=30)
    if answer.status_code == 404:
        return []
    answer.raise_for_status()
    rows: list[Any] = answer.json()["rows"]
    return rows


def check(after: Expected, before: Expected, wanted: Expected) -> None:
    """Every group has grown by exactly what was sent."""
    for key, (count, total) in wanted.items():
        old_count, old_total = before.get(key, (0, 0.0))
        new_count, new_total = after[key]
        assert new_count - old_count == count, (key, new_count, old_count, count)
        assert math.isclose(new_total - old_total, total, rel_tol=1e-9, abs_tol=1e-4), (key, new_total, total)
