"""The record format of `rollups`: golden bytes, and what is no delta."""

from __future__ import annotations

from pathlib import Path

import pytest

from aggregates import deltas
from ingest.log import LogRecord
from tests.builders import TOPIC_ID, Event, record_value, rollup_of

GOLDEN = Path(__file__).parents[1] / "golden" / "rollups-v1.arrow"
EVENTS: list[Event] = [
    ("orders.revenue", {"country": "NL"}, 1_795_428_000_250, 12.5, "0190f"),
    ("orders.revenue", {"country": "NL"}, 1_795_428_000_100, 3.0, None),
    ("orders.revenue", {"country": "NL"}, 1_795_428_000_900, 99.0, "0190f"),
    ("visitors", {}, 1_795_428_001_000, "Zoë", None),
]


def golden_delta() -> deltas.Delta:
    records = [LogRecord(0, 1_795_428_000_950, record_value(EVENTS)), LogRecord(1, 1_795_428_000_960, b"junk")]
    delta = rollup_of().add(records)
    assert delta
    return delta


def test_version_1_keeps_its_bytes() -> None:
    assert deltas.encode(golden_delta()) == GOLDEN.read_bytes()


def test_version_1_is_read_for_ever() -> None:
    delta = deltas.decode(GOLDEN.read_bytes())
    header = delta.header
    assert (header.topic_id, header.partition, header.first_offset, header.next_offset) == (TOPIC_ID, 0, 0, 2)
    assert (header.state_from, header.version) == (0, 1)
    assert [(record.offset, record.timestamp_ms, record.events) for record in header.records] == [
        (0, 1_795_428_000_950, 4),
        (1, 1_795_428_000_960, 0),
    ]
    assert header.records[1].undecodable
    revenue, visitors = sorted(delta.rows.to_pylist(), key=lambda row: str(row["series"]["metric"]))
    assert [revenue[name] for name in ("count", "sum", "min", "max", "last", "duplicates")] == [
        2,
        15.5,
        3,
        12.5,
        12.5,
        1,
    ]
    assert [visitors[name] for name in ("count", "sum", "last", "duplicates")] == [1, None, None, 0]


@pytest.mark.parametrize("value", [None, b"", b"junk", GOLDEN.read_bytes()[:200], record_value(EVENTS)])
def test_what_is_no_delta_is_refused(value: bytes | None) -> None:
    with pytest.raises(deltas.DeltaError):
        deltas.decode(value)


def test_another_version_is_refused() -> None:
    value = GOLDEN.read_bytes().replace(b'"version":1', b'"version":2')
    with pytest.raises(deltas.DeltaError, match="version 2 is not known"):
        deltas.decode(value)
