"""Kafka hangs and goes away while clients push: a bounded queue, honest refusals, and recovery without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.back_pressure import EVENTS, outage

QUEUE_EVENTS = 10 * EVENTS
GROWTH_MB = 150.0
"""Far above what is measured (docs/reliability.md) and far below what an unbounded queue takes."""


@pytest.mark.chaos
async def test_kafka_away_under_load(tmp_path: Path, kafka_jars: Path) -> None:
    seen = await outage(tmp_path, kafka_jars, away_s=12.0, around_s=1.5, queue_events=QUEUE_EVENTS)
    for phase in seen.phases:
        print(phase)
    before, frozen, gone, after = seen.phases
    assert before.answers["202"]
    assert after.answers["202"]
    assert seen.same_process
    refused = {"503 busy", "503 unavailable", "503 outcome_unknown"}
    assert gone.answers.keys() | frozen.answers.keys() <= {"202", *refused}
    assert frozen.answers["503 busy"], "the queue was never full: nothing was shown"
    assert gone.answers["503 unavailable"]
    assert not any(phase.without_retry_after for phase in seen.phases)
    assert all(phase.queued <= QUEUE_EVENTS for phase in seen.phases)
    assert seen.growth_mb < GROWTH_MB
