"""The column path gives exactly the verdicts, and keeps exactly the events, of judging every event alone."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.accept import Draft, Rules, judge
from ingest.batches import Acceptor
from ingest.problems import Problem
from ingest.protocols import native
from ingest.protocols.native import Form
from ingest.registry import MetricDefinition, Registry
from ingest.series import Kind
from ingest.verdicts import Rejected

NOW = 1_795_428_000_000
METRICS = (
    MetricDefinition("orders", Kind.COUNTER, unit="1", minimum=0, maximum=100),
    MetricDefinition("visitors", Kind.UNIQUE),
)
RULES = Rules(Registry({metric.name: metric for metric in METRICS}))

text = st.text(max_size=6) | st.sampled_from(["", "a\n", "x" * 600, "__a", "12", "1.5", "é", "\x7f"])
scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | text | st.lists(st.none(), max_size=1)
)
near = st.integers(NOW - 8 * 86_400_000, NOW + 1_200_000)
events: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(["orders", "visitors", "other"]) | scalars,
        "value": st.floats(-1, 120) | st.sampled_from(["u1", "5"]) | scalars,
    },
    optional={
        "timestamp": near | st.sampled_from(["2026-11-23T10:00:00Z", "2026-11-23", 1 << 63]) | scalars,
        "dimensions": st.dictionaries(text, text, max_size=2) | st.dictionaries(text, scalars, max_size=2) | scalars,
        "id": text | scalars,
        "unknown": scalars,
    },
)
good = st.fixed_dictionaries(
    {"metric": st.sampled_from(["orders", "a", "b"]), "value": st.floats(0, 100)},
    optional={
        "timestamp": near,
        "dimensions": st.dictionaries(text, text, max_size=2),
        "id": st.text("ab1", min_size=1),
    },
)


@st.composite
def spelled(draw: st.DrawFn) -> bytes:
    """The JSON text of an event, sometimes with a byte changed."""
    raw = bytearray(
        json.dumps(draw(events | good | good), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    )
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        position = draw(st.integers(0, len(raw) - 1))
        raw[position] = draw(st.integers(0, 255) | st.sampled_from(list(b'",:{}[]01eE.-\\')))
    return bytes(raw).replace(b"\n", b" ")


def alone(raw: bytes) -> Draft | Rejected:
    event = native.decode_one(raw)
    return event if isinstance(event, Rejected) else judge(event, native.parse_dimensions, RULES, NOW)


def stored(acceptor: Acceptor, batch: native.Batch) -> tuple[list[tuple[Any, ...]], dict[int, Rejected]]:
    """The kept events as tuples, and the verdicts by row of the request."""
    accepted = acceptor.accept(batch.events, NOW)
    columns = accepted.columns
    keys = columns.table.keys
    kept = [
        (
            int(keys[columns.series[i]]),
            int(columns.times[i]),
            None if math.isnan(columns.values[i]) else float(columns.values[i]),
            columns.texts[i] if columns.texts else None,
            columns.ids[i] if columns.ids else None,
        )
        for i in range(len(columns))
    ]
    return kept, {event.index: event.verdict for event in batch.rejected(accepted.rejected)}


def expected(raws: list[bytes]) -> tuple[list[tuple[Any, ...]], dict[int, Rejected]]:
    kept: list[tuple[Any, ...]] = []
    rejected: dict[int, Rejected] = {}
    for row, raw in enumerate(raws):
        verdict = alone(raw)
        if isinstance(verdict, Rejected):
            rejected[row] = verdict
        else:
            number = None if isinstance(verdict.value, str) else verdict.value
            told = verdict.value if isinstance(verdict.value, str) else None
            kept.append((verdict.series.key, verdict.time_ms, number, told, verdict.id))
    return kept, rejected


@settings(max_examples=400)
@given(st.lists(st.lists(spelled(), min_size=1, max_size=6), min_size=1, max_size=3))
def test_lines_get_the_verdicts_of_their_events(requests: list[list[bytes]]) -> None:
    acceptor = Acceptor(RULES, native.parse_dimensions, max_series=4)
    for raws in requests:
        lines = [raw for raw in raws if raw.strip(b" \t\r")]
        batch = native.read(b"\n".join(raws), Form.LINES, 100)
        assert isinstance(batch, native.Batch)
        assert stored(acceptor, batch) == expected([line.strip(b" \t\r") for line in lines])


@settings(max_examples=400)
@given(st.lists(st.lists(events | good | good, max_size=6), min_size=1, max_size=3), st.booleans())
def test_arrays_get_the_verdicts_of_their_events(requests: list[list[Any]], ascii_only: bool) -> None:
    acceptor = Acceptor(RULES, native.parse_dimensions, max_series=4)
    for request in requests:
        raws = [json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") for event in request]
        batch = native.read(b"[" + b" ,".join(raws) + b"]", Form.JSON, 100)
        kept, rejected = expected(raws)
        if isinstance(batch, Problem):
            assert raws
            assert not kept
            assert {verdict.reason for verdict in rejected.values()} <= {"malformed", "encoding"}
        else:
            assert stored(acceptor, batch) == (kept, rejected)


@settings(max_examples=300)
@given(
    st.binary(max_size=40) | spelled() | st.lists(spelled(), max_size=3).map(lambda raws: b"[" + b",".join(raws) + b"]")
)
def test_no_body_raises(body: bytes) -> None:
    for form in Form:
        batch = native.read(body, form, 3)
        if isinstance(batch, Problem):
            assert batch.status in (400, 413)
            continue
        accepted = Acceptor(RULES, native.parse_dimensions).accept(batch.events, NOW)
        rejected = batch.rejected(accepted.rejected)
        assert len(accepted.columns) + len(rejected) == batch.size
        for event in rejected:
            msgspec.json.encode(event.verdict.message + (event.id or "") + (event.verdict.field or ""))
