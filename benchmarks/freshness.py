"""Freshness at a steady 10,000 events a second: from the start of a POST to the first query answer that shows it.

A probe event of its own metric is sent beside the load every 100 ms and asked for with its `position` as
`min_position`, as a client that reads its own writes does.
"""

from __future__ import annotations

import asyncio
import time

import httpx
import uvloop

from benchmarks.sender import requests, send_all
from benchmarks.stack import Stack
from benchmarks.workload import workload

RATE = 10_000
_BATCH = 500
_PROBE_S = 0.1
_WARM_S = 3.0


def measure(stack: Stack, seconds: float) -> list[float]:
    """Delays in ms, one per probe, sorted."""
    return sorted(uvloop.run(_measure(stack, seconds)))


async def _measure(stack: Stack, seconds: float) -> list[float]:
    # Made beforehand: while it makes requests, this process could not see an answer come.
    span_ms = round(seconds * 1000)
    events = workload(round(RATE * seconds), time.time_ns() // 1_000_000 + span_ms, span_ms=span_ms)
    prepared = requests("127.0.0.1", stack.ports["ingest"], events.bodies(_BATCH))
    load = asyncio.create_task(_load(stack, prepared))
    delays: list[float] = []
    async with httpx.AsyncClient() as client:
        await asyncio.sleep(_WARM_S)
        while not load.done():
            delays.append(await _probe(client, stack, len(delays)))
            await asyncio.sleep(_PROBE_S)
    await load
    return delays


async def _probe(client: httpx.AsyncClient, stack: Stack, number: int) -> float:
    start = time.perf_counter()
    event = {"metric": "probe", "value": number, "id": f"probe-{number}-{time.time_ns()}"}
    sent = await client.post(stack.url("ingest") + "/v1/events", json=event)
    sent.raise_for_status()
    query = {"metric": "probe", "min_position": sent.json()["position"], "timeout": 10}
    while True:
        answer = await client.post(stack.url("dashboard") + "/api/v1/query", json=query)
        if answer.status_code == 200:
            return (time.perf_counter() - start) * 1000
        assert answer.status_code in (404, 504), answer.text


async def _load(stack: Stack, prepared: list[bytes]) -> None:
    """One request every `_BATCH / RATE` seconds, late ones at once."""
    start = time.monotonic()
    for number, request in enumerate(prepared):
        await asyncio.sleep(max(0.0, start + number * _BATCH / RATE - time.monotonic()))
        sent = await send_all("127.0.0.1", stack.ports["ingest"], [request], 1)
        assert sent.statuses == {202: 1}, sent.statuses
