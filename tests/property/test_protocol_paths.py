"""Decoding at once takes what decoding field by field takes, in the same way, and nothing else is lost or raised."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.problems import Problem
from ingest.protocols import cloudevents, native
from ingest.protocols.cloudevents import BinaryReader, StructuredReader
from ingest.protocols.json_text import UNREADABLE, is_text
from ingest.protocols.native import NativeEvent
from ingest.verdicts import Rejected

scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
times = st.sampled_from(["2026-11-23T10:00:00Z", "2026-11-23T10:00:00+01:00", "2026-11-23", 5]) | scalars
data = st.fixed_dictionaries(
    {"value": st.floats(-1, 120) | scalars},
    optional={
        "metric": scalars,
        "timestamp": times,
        "dimensions": st.dictionaries(st.text(max_size=3), scalars, max_size=2) | scalars,
        "id": scalars,
        "metric2": scalars,
    },
)
right = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "id": st.just("1"), "source": st.just("/a"), "type": st.just("t"), "data": data},
    optional={"time": times},
)
wrong = st.fixed_dictionaries(
    {"specversion": st.sampled_from(["1.0", "0.3", ""])},
    optional={
        "id": scalars,
        "source": scalars,
        "type": scalars,
        "time": times,
        "data": data | scalars,
        "data_base64": st.sampled_from(["eyJ2YWx1ZSI6MX0=", "!"]) | scalars,
    },
)


@st.composite
def spelled(draw: st.DrawFn, events: st.SearchStrategy[Any]) -> bytes:
    """JSON, sometimes with a byte changed."""
    raw = bytearray(json.dumps(draw(events), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255) | st.sampled_from(list(b'",:{}[]01eE.-\\')))
    return bytes(raw)


@settings(max_examples=400)
@given(spelled(right | wrong | data), st.sampled_from([native.SPELLING, cloudevents.SPELLING]))
def test_both_ways_to_decode_an_event_agree(raw: bytes, spelling: Any) -> None:
    try:
        at_once = spelling.decode(raw)
    except UNREADABLE:
        at_once = None
    by_field = spelling.judge(raw)
    if at_once is None:
        # Of equal keys only the last one counts, which the first way does not see.
        assert isinstance(by_field, Rejected | NativeEvent)
    elif is_text(raw):
        assert by_field == at_once


@settings(max_examples=300)
@given(st.lists(spelled(right | wrong), min_size=1, max_size=4))
def test_a_batch_gets_the_verdicts_of_its_events(raws: list[bytes]) -> None:
    alone = [cloudevents.SPELLING.one(raw) for raw in raws]
    batch = StructuredReader(True).read(b"[" + b" ,".join(raws) + b"]", 10)
    if isinstance(batch, Problem):
        assert batch.status == 400
        return
    if batch.size == len(raws):  # a changed byte may join or part events
        assert [event for event in alone if not isinstance(event, Rejected)] == list(batch.events)
        assert {row: verdict for row, verdict in enumerate(alone) if isinstance(verdict, Rejected)} == batch.undecodable
    originals = [event.original for event in batch.rejected({})]
    assert len(originals) == batch.size - len(batch.events)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from([b"ce-id", b"ce-source", b"ce-type", b"ce-specversion", b"ce-time", b"ce-x"]),
        st.sampled_from([b"1.0", b"/a", b"2026-11-23T10:00:00Z", b'"a b"', b"%41"]) | st.binary(max_size=6),
    ),
    spelled(data) | st.binary(max_size=20),
)
def test_a_binary_event_is_judged_like_the_structured_one_it_is_kept_as(
    headers: dict[bytes, bytes], body: bytes
) -> None:
    batch = BinaryReader(headers).read(body, 1)
    if isinstance(batch, Problem):
        assert batch.status == 400
        return
    (original,) = batch.originals()
    again = StructuredReader(False).read(original, 1)
    assert not isinstance(again, Problem)
    assert (list(again.events), again.undecodable) == (list(batch.events), batch.undecodable)
