"""The write side keeps its word: real ingest processes, a real broker, dozens of faults, every answer held against the
log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.chaos.write_side import run_round

SEED = 1
FAULTS = 50


@pytest.mark.chaos
async def test_every_answer_is_true_whatever_fails(
    tmp_path: Path, kafka_jars: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "kafka")
    seed = int(request.config.getoption("--chaos-seed", None) or SEED)
    print(f"\nseed {seed}, files in {tmp_path}")
    done = await run_round(tmp_path, kafka_jars, seed)
    print(done.summary())
    if done.wrong:
        pytest.fail(f"seed {seed}, evidence in {tmp_path}:\n" + "\n".join(done.wrong), pytrace=False)
    counts = done.evidence.history.counts()
    assert sum(done.faults().values()) >= FAULTS
    assert all(counts.values()), counts
