"""The record format of `rollups`: golden bytes, and what is no delta."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from aggregates import deltas
from aggregates.sketches import hash_texts
from ingest.events import EventColumns
from ingest.events import encode as encode_events
from ingest.log import LogRecord
from ingest.series import Kind, Series, SeriesTable
from tests.builders import TOPIC_ID, Event, record_value, rollup_of

GOLDEN = Path(__file__).parents[1] / "golden"
GOLDEN_1, GOLDEN_2 = GOLDEN / "rollups-v1.arrow", GOLDEN / "rollups-v2.arrow"
EVENTS: list[Event] = [
    ("orders.revenue", {"country": "NL"}, 1_795_428_000_250, 12.5, "0190f"),
    ("orders.revenue", {"country": "NL"}, 1_795_428_000_100, 3.0, None),
    ("orders.revenue", {"country": "NL"}, 1_795_428_000_900, 99.0, "0190f"),
    ("visitors", {}, 1_795_428_001_000, "Zoë", None),
]
REQUESTS = Series("requests", Kind.CUMULATIVE, (("pod", "a"),))


def golden_delta() -> deltas.Delta:
    """What version 1 holds as well, and behind it a record of running totals, imported."""
    table = SeriesTable()
    columns = EventColumns(
        table,
        np.full(3, table.intern(REQUESTS), np.int32),
        np.array([1_795_428_000_000, 1_795_428_000_500, 1_795_428_000_500]),
        np.array([40.0, 42.5, 42.5]),
        history=True,
    )
    (totals,) = encode_events(columns, 1)
    records = [
        LogRecord(0, 1_795_428_000_950, record_value([*EVENTS, ("visitors", {}, 1_795_428_001_000, "Ann", None)])),
        LogRecord(1, 1_795_428_000_960, b"junk"),
        LogRecord(2, 1_795_428_000_970, totals.value),
    ]
    delta = rollup_of().add(records)
    assert delta
    return delta


def test_version_2_keeps_its_bytes() -> None:
    assert deltas.encode(golden_delta()) == GOLDEN_2.read_bytes()


def by_metric(delta: deltas.Delta) -> dict[str, dict[str, object]]:
    return {str(row["series"]["metric"]): row for row in delta.rows.to_pylist()}


MEASURES = ("count", "sum", "min", "max", "last", "duplicates")


def test_version_2_is_read_for_ever() -> None:
    delta = deltas.decode(GOLDEN_2.read_bytes())
    header = delta.header
    assert (header.topic_id, header.partition, header.first_offset, header.next_offset) == (TOPIC_ID, 0, 0, 3)
    assert (header.state_from, header.totals_from, header.version) == (0, 2, 2)
    assert header.metrics == ["orders.revenue", "visitors", "requests"]
    assert [(r.offset, r.events, r.history, r.accepted) for r in header.records] == [
        (0, 5, False, [(0, 3), (1, 2)]),
        (1, 0, False, []),
        (2, 3, True, [(2, 3)]),
    ]
    rows = by_metric(delta)
    assert [rows["orders.revenue"][name] for name in MEASURES] == [2, 15.5, 3, 12.5, 12.5, 1]
    assert (rows["orders.revenue"]["bins"], rows["orders.revenue"]["bin_counts"]) == ([1437, 1509], [1, 1])
    assert rows["orders.revenue"]["hashes"] is None
    assert [rows["visitors"][name] for name in MEASURES] == [2, None, None, None, None, 0]
    assert rows["visitors"]["hashes"] == sorted(hash_texts(pa.array(["Zoë", "Ann"])).tolist())
    assert rows["visitors"]["bins"] is rows["visitors"]["bin_counts"] is None
    assert [rows["requests"][name] for name in MEASURES] == [2, 2.5, 0, 2.5, 2.5, 1]
    assert rows["requests"]["bins"] is rows["requests"]["hashes"] is None


def test_version_1_is_read_for_ever() -> None:
    """In the shape of version 2, with nothing where it says nothing."""
    delta = deltas.decode(GOLDEN_1.read_bytes())
    header = delta.header
    assert (header.topic_id, header.partition, header.first_offset, header.next_offset) == (TOPIC_ID, 0, 0, 2)
    assert (header.state_from, header.totals_from, header.version, header.metrics) == (0, None, 1, [])
    assert [(record.offset, record.timestamp_ms, record.events) for record in header.records] == [
        (0, 1_795_428_000_950, 4),
        (1, 1_795_428_000_960, 0),
    ]
    assert header.records[1].undecodable
    assert all(not record.accepted and not record.history for record in header.records)
    assert delta.rows.schema.equals(deltas.ROWS)
    rows = by_metric(delta)
    assert [rows["orders.revenue"][name] for name in MEASURES] == [2, 15.5, 3, 12.5, 12.5, 1]
    assert [rows["visitors"][name] for name in ("count", "sum", "last", "duplicates")] == [1, None, None, 0]
    assert all(rows[metric][name] is None for metric in rows for name in ("bins", "bin_counts", "hashes"))


@pytest.mark.parametrize("value", [None, b"", b"junk", GOLDEN_2.read_bytes()[:200], record_value(EVENTS)])
def test_what_is_no_delta_is_refused(value: bytes | None) -> None:
    with pytest.raises(deltas.DeltaError):
        deltas.decode(value)


def test_another_version_is_refused() -> None:
    value = GOLDEN_2.read_bytes().replace(b'"version":2', b'"version":3')
    with pytest.raises(deltas.DeltaError, match="version 3 is not known"):
        deltas.decode(value)


def test_the_columns_of_one_version_are_not_those_of_another() -> None:
    for golden, version in ((GOLDEN_1, 2), (GOLDEN_2, 1)):
        value = golden.read_bytes().replace(b'"version":%d' % (3 - version), b'"version":%d' % version)
        with pytest.raises(deltas.DeltaError, match="columns"):
            deltas.decode(value)
