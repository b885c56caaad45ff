"""What the documents say about rejected events is what the code does."""

from __future__ import annotations

import re

from aggregates.letter_store import SEGMENTS
from aggregates.letters import UNREADABLE
from aggregates.replays import FINISH_MS, LEASE_MS, Grant, Outcome
from aggregates.settings import ReadModelSettings
from dashboard import rejected, rejected_fields, replay
from ingest.deadletters import MAX_ORIGINAL_BYTES
from tests.documents import API, ROOT, rows, section

GUIDE = (ROOT / "docs" / "dead-letters.md").read_text()


def names(text: str, heading: str) -> set[str]:
    """Words in code style in the first column of the tables under a heading."""
    return {name for row in rows(section(text, heading)) for name in re.findall(r"`([a-z_]+)`", row[0])}


def source(*modules: str) -> str:
    return "\n".join((ROOT / "dashboard" / f"{name}.py").read_text() for name in modules)


def test_every_outcome_is_explained() -> None:
    code = source("outgoing", "rejected")
    told = {*Outcome, *Grant, *re.findall(r"Answered\([^,]+, \"(\w+)\"", code)} - {Grant.GRANTED}
    assert names(GUIDE, "## What becomes of a letter") == told


def test_every_field_and_code_is_listed() -> None:
    assert names(API, "### `GET /api/v1/rejected`") == set(rejected_fields._LIST)
    section_of_replay = API[API.index("### `POST /api/v1/rejected/replay`") :]
    asked = {name for row in rows(section_of_replay) for name in re.findall(r"`([a-z_]+)`", row[0])}
    assert asked == set(rejected_fields._REPLAY)
    raised = set(re.findall(r"(?:QueryError|NotReplayed)\((?:\d+, )?\"(\w+)\"", source("rejected", "replay")))
    listed = {
        code for row in rows(section_of_replay) if row[0].isdigit() for code in re.findall(r"`([a-z_]+)`", row[1])
    }
    assert listed - {"field"} == raised | {rejected_fields.CODE, "invalid_json"}


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    kept = ReadModelSettings()
    assert f"{kept.retention_rejected_days:.0f} days after Kafka" in GUIDE
    assert f"of the newest letters, {kept.rejected_mb} MB" in GUIDE
    assert f"the newest {kept.rejected_rows:,}" in GUIDE
    assert SEGMENTS == 4
    assert "a quarter of that at a time" in GUIDE
    assert (LEASE_MS, replay.SEND_WITHIN_S) == (120_000, 60.0)
    assert 24 * 3_600_000 - FINISH_MS == 600_000
    assert f"above {MAX_ORIGINAL_BYTES // 2**20} MiB is cut" in GUIDE
    assert rejected.LISTED_BYTES == 4096
    assert f"`{UNREADABLE}`" in GUIDE
    assert f"{rejected_fields.MAX_LIMIT:,}; default {rejected_fields.DEFAULT_LIMIT}" in API
    assert f"{replay.WAITING} replays wait already" in API


def test_the_journal_looks_as_documented() -> None:
    from dashboard.edits import Edits

    example = re.search(r'"edits": (\{.*\})\}', GUIDE)
    assert example
    assert set(re.findall(r'"(\w+)":', example[1])) - {"timestamp"} == set(Edits().document())
