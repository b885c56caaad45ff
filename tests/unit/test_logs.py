"""Log lines: one fact a line whatever a client sends, fields as fields, and counts instead of floods."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ingest.logs import one_line
from ingest.tallies import MAX_TALLIES, Tallies
from ingest.verdicts import Reason, Rejected, RejectedEvent

SCRIPT = """
import logging
from ingest.logs import configure_logging
configure_logging({form!r})
log = logging.getLogger("tallyboard.test")
log.info("taken %s", "a\\nFORGED", extra={{"key": "k1", "events": 3}})
try:
    raise ValueError("deep")
except ValueError:
    log.exception("broken")
"""


def said(form: str) -> list[str]:
    """What a process writes to stderr."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(form=form)], capture_output=True, text=True, check=True, timeout=30
    )
    return ran.stderr.splitlines()


def test_text_lines_hold_the_fields_and_no_forged_line() -> None:
    first, *rest = said("text")
    assert first.endswith("INFO tallyboard.test: taken a\\nFORGED key=k1 events=3")
    assert any("ValueError: deep" in line for line in rest)


def test_json_lines_are_objects() -> None:
    first, second = map(json.loads, said("json"))
    assert (first["event"], first["key"], first["events"]) == ("taken a\nFORGED", "k1", 3)
    assert (first["level"], first["logger"]) == ("info", "tallyboard.test")
    assert "ValueError: deep" in second["exception"]


def test_control_characters_are_written_out() -> None:
    assert one_line("a\r\n\x1b[31m\u2028b") == "a\\r\\n\\x1b[31m\\u2028b"


def event(index: int, reason: Reason) -> RejectedEvent:
    return RejectedEvent(index, None, Rejected(reason, "value", "…"), b"{}")


def test_a_report_counts_by_reason_and_key_and_starts_afresh(caplog: pytest.LogCaptureFixture) -> None:
    tallies = Tallies()
    with caplog.at_level("INFO"):
        tallies.rejected("r1", "k1", [event(0, Reason.TS_FUTURE), event(1, Reason.TS_FUTURE)])
        tallies.rejected("r2", "k2", [event(0, Reason.TS_FUTURE)])
        tallies.refused("unauthorized", "r3")
        tallies.report()
        tallies.report()
    counted = [(r.message, r.__dict__.get("events") or r.__dict__.get("requests")) for r in caplog.records]
    assert counted == [("events rejected", 2), ("events rejected", 1), ("requests refused", 1)]
    assert caplog.records[0].__dict__["request_id"] == "r1"


def test_a_report_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    tallies = Tallies()
    for number in range(MAX_TALLIES + 5):
        tallies.rejected("r", f"k{number}", [event(0, Reason.MALFORMED)])
    with caplog.at_level("INFO"):
        tallies.report()
    assert len(caplog.records) == MAX_TALLIES + 1
    assert caplog.records[-1].__dict__["count"] == 5
