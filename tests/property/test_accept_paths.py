"""The column path gives exactly the verdicts, and keeps exactly the events, of judging every event alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.accept import Draft, Rules, judge
from ingest.batches import ANYONE, Acceptor, Sender
from ingest.events import NO_START
from ingest.problems import Problem
from ingest.protocols import native
from ingest.protocols.native import Form
from ingest.registry import DimensionRule, MetricDefinition, Registry
from ingest.series import Kind, Series
from ingest.verdicts import Reason, Rejected
from tests.bad_events import BAD_EVENTS, BadEvent

NOW = 1_795_428_000_000
HOUR, DAY = 3_600_000, 86_400_000
GEO: Final = {
    "country": DimensionRule(frozenset({"NL", "DE"}), required=True),
    "product": DimensionRule(pattern="p[0-9]+", limit=2),
    "free": DimensionRule(),
}
METRICS = (
    MetricDefinition("orders", Kind.COUNTER, unit="1", minimum=0, maximum=100),
    MetricDefinition("visitors", Kind.UNIQUE, past_ms=DAY, rules={"page": DimensionRule(limit=1)}),
    MetricDefinition("paid", Kind.DISTRIBUTION, maximum=50, rules=GEO, past_ms=30 * DAY, future_ms=HOUR),
    MetricDefinition("strict", future_ms=0, past_ms=0),
    MetricDefinition("served", Kind.CUMULATIVE),
)


def rules_of(*metrics: MetricDefinition, unknown: Any = "register") -> Rules:
    return Rules(Registry({metric.name: metric for metric in metrics}, unknown))


PLAIN = rules_of(*METRICS[:1])
FULL = rules_of(*METRICS)
TIGHTER = rules_of(
    *METRICS[:2],
    replace(METRICS[2], rules=GEO | {"product": DimensionRule(limit=1), "free": DimensionRule(limit=1)}),
    unknown="reject",
)

text = st.text(max_size=6) | st.sampled_from(["", "a\n", "x" * 600, "__a", "12", "1.5", "é", "\x7f"])
scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | text | st.lists(st.none(), max_size=1)
)
near = st.sampled_from([0, -HOUR, -2 * DAY, -8 * DAY, -31 * DAY, 300_000, 1_200_000, 2 * HOUR]).flatmap(
    lambda about: st.integers(NOW + about - 2, NOW + about + 2)
)
labels = st.fixed_dictionaries(
    {},
    optional={
        "country": st.sampled_from(["NL", "NL", "DE", "BE"]),
        "product": st.sampled_from(["p1", "p2", "p3", "x"]),
        "page": st.sampled_from(["/", "/a"]),
        "free": st.sampled_from(["1", "2"]),
    },
)
events: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(["orders", "visitors", "paid", "strict", "served", "other"]) | scalars,
        "value": st.floats(-1, 120) | st.sampled_from(["u1", "5"]) | scalars,
    },
    optional={
        "timestamp": near | st.sampled_from(["2026-11-23T10:00:00Z", "2026-11-23", 1 << 63, -1, 0]) | scalars,
        "dimensions": labels | st.dictionaries(text, text, max_size=2) | st.dictionaries(text, scalars, max_size=2),
        "id": text | scalars,
        "start": near | st.sampled_from(["2026-11-23T09:00:00Z", 1 << 63, -1, 0]) | scalars,
        "unknown": scalars,
    },
)
good = st.fixed_dictionaries(
    {"metric": st.sampled_from(["orders", "paid", "a", "b"]), "value": st.integers(0, 55)},
    optional={"timestamp": near, "dimensions": labels, "id": st.text("ab1", min_size=1)},
)
totals = st.fixed_dictionaries(
    {"metric": st.sampled_from(["served", "served", "paid"]), "value": st.integers(0, 55)},
    optional={"timestamp": near, "dimensions": labels, "start": near | st.none()},
)
visits = st.fixed_dictionaries(
    {"metric": st.just("visitors"), "value": st.sampled_from(["u1", "u2"])},
    optional={"timestamp": near, "dimensions": labels},
)
EDGES = (0, -DAY, -7 * DAY, -30 * DAY, -NOW, 600_000, HOUR)
timed = st.builds(
    lambda known, edge, beside: {**known, "timestamp": NOW + edge + beside},
    st.sampled_from(
        [
            {"metric": "plain", "value": 1},
            {"metric": "paid", "value": 1, "dimensions": {"country": "NL"}},
            {"metric": "strict", "value": 1},
            {"metric": "visitors", "value": "u1", "dimensions": {"page": "/"}},
        ]
    ),
    st.sampled_from(EDGES),
    st.integers(-1, 1),
)
"""Few series, so that they are soon known, at the edges of what any metric takes."""
senders = st.sampled_from([ANYONE, ANYONE, Sender("k1", 1), Sender("k1", 2), Sender("k3", 3), Sender("k0", 0)])


@st.composite
def spelled(draw: st.DrawFn) -> bytes:
    """The JSON text of an event, sometimes with a byte changed."""
    raw = bytearray(
        json.dumps(draw(events | good | good | visits | totals), ensure_ascii=draw(st.booleans())).encode(
            "utf-8", "surrogatepass"
        )
    )
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        position = draw(st.integers(0, len(raw) - 1))
        raw[position] = draw(st.integers(0, 255) | st.sampled_from(list(b'",:{}[]01eE.-\\')))
    return bytes(raw).replace(b"\n", b" ")


Judged = tuple[list[tuple[Any, ...]], dict[int, tuple[Any, ...]]]
"""The kept events as tuples, and the verdicts by row of the request."""


def told(verdict: Rejected) -> tuple[Any, ...]:
    """A verdict; of a fuse without its words."""
    fused = verdict.reason in (Reason.CARDINALITY, Reason.SERIES_LIMIT)
    return (verdict.reason, verdict.field, "" if fused else verdict.message)


class OneByOne:
    """The strict path: every event alone, and fuses by the book."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.values: dict[tuple[str, str], set[str]] = {}
        self.series: dict[str, set[Series]] = {}

    def use(self, rules: Rules) -> None:
        self.rules = rules
        for metric, name in list(self.values):
            definition = rules.registry.metrics.get(metric)
            if definition is None or definition.rules.get(name, DimensionRule()).limit is None:
                del self.values[metric, name]

    def verdict(self, raw: bytes, sender: Sender, history: bool) -> Draft | Rejected:
        event = native.decode_one(raw)
        if isinstance(event, Rejected):
            return event
        found = judge(event, native.parse_dimensions, self.rules, NOW, history)
        return found if isinstance(found, Rejected) else self.counted(found, sender) or found

    def counted(self, draft: Draft, sender: Sender) -> Rejected | None:
        definition = self.rules.registry.metrics.get(draft.metric)
        added = []
        for name, value in draft.dimensions:
            limit = definition.rules[name].limit if definition and name in definition.rules else None
            values = self.values.setdefault((draft.metric, name), set())
            if limit is not None and value not in values:
                if len(values) >= limit:
                    return Rejected(Reason.CARDINALITY, f"dimensions.{name}", "")
                added.append((values, value))
        mine = self.series.setdefault(sender.key_id, set())
        if sender.series_limit is not None and draft.series not in mine:
            if len(mine) >= sender.series_limit:
                return Rejected(Reason.SERIES_LIMIT, None, "")
            mine.add(draft.series)
        for values, value in added:
            values.add(value)
        return None

    def judged(self, raws: list[bytes], sender: Sender = ANYONE, history: bool = False) -> Judged:
        kept: list[tuple[Any, ...]] = []
        rejected: dict[int, tuple[Any, ...]] = {}
        for row, raw in enumerate(raws):
            verdict = self.verdict(raw, sender, history)
            if isinstance(verdict, Rejected):
                rejected[row] = told(verdict)
            else:
                is_text = isinstance(verdict.value, str)
                number, words = (None, verdict.value) if is_text else (verdict.value, None)
                kept.append((verdict.series.key, verdict.time_ms, number, words, verdict.id, verdict.start_ms))
        return kept, rejected


def stored(acceptor: Acceptor, batch: Any, sender: Sender = ANYONE, history: bool = False) -> Judged:
    """What the column path keeps and refuses."""
    accepted = acceptor.accept(batch.events, NOW, sender, history)
    columns = accepted.columns
    keys = columns.table.keys
    kept = [
        (
            int(keys[columns.series[i]]),
            int(columns.times[i]),
            None if math.isnan(columns.values[i]) else float(columns.values[i]),
            columns.texts[i] if columns.texts else None,
            columns.ids[i] if columns.ids else None,
            None if columns.starts is None or columns.starts[i] == NO_START else int(columns.starts[i]),
        )
        for i in range(len(columns))
    ]
    return kept, {event.index: told(event.verdict) for event in batch.rejected(accepted.rejected)}


class Request(NamedTuple):
    raws: list[bytes]
    sender: Sender
    history: bool
    rules: Rules | None
    """A changed registry before the request."""


def requests_of(raws: st.SearchStrategy[bytes], most: int) -> st.SearchStrategy[list[Request]]:
    changed = st.sampled_from([None, None, None, FULL, TIGHTER, PLAIN])
    request = st.builds(Request, st.lists(raws, min_size=1, max_size=most), senders, st.booleans(), changed)
    return st.lists(request, min_size=1, max_size=5)


def check_lines(requests: list[Request]) -> None:
    acceptor = Acceptor(FULL, native.parse_dimensions, max_series=4)
    strict = OneByOne(FULL)
    for raws, sender, history, rules in requests:
        if rules is not None:
            acceptor.use(rules)
            strict.use(rules)
        lines = [line for raw in raws if (line := raw.strip(b" \t\r"))]
        batch = native.read(b"\n".join(raws), Form.LINES, 100)
        assert not isinstance(batch, Problem)
        assert stored(acceptor, batch, sender, history) == strict.judged(lines, sender, history)


@settings(max_examples=400)
@given(requests_of(spelled(), 6))
def test_lines_get_the_verdicts_of_their_events(requests: list[Request]) -> None:
    check_lines(requests)


@settings(max_examples=200)
@given(requests_of((good | visits | totals).map(lambda event: json.dumps(event).encode()), 10))
def test_fuses_blow_at_the_same_event(requests: list[Request]) -> None:
    check_lines(requests)


@settings(max_examples=200)
@given(requests_of(timed.map(lambda event: json.dumps(event).encode()), 6))
def test_every_metric_keeps_its_own_times(requests: list[Request]) -> None:
    check_lines([request._replace(sender=ANYONE, rules=None) for request in requests])


@settings(max_examples=200)
@given(requests_of(spelled() | st.sampled_from([bad.text for bad in BAD_EVENTS]), 6))
def test_bad_events_get_the_verdicts_of_their_own(requests: list[Request]) -> None:
    check_lines(requests)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.lists(events | good | good | totals, max_size=6), senders, st.booleans()), min_size=1, max_size=3
    ),
    st.booleans(),
)
def test_arrays_get_the_verdicts_of_their_events(
    requests: list[tuple[list[Any], Sender, bool]], ascii_only: bool
) -> None:
    acceptor = Acceptor(FULL, native.parse_dimensions, max_series=4)
    strict = OneByOne(FULL)
    for request, sender, history in requests:
        raws = [json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") for event in request]
        batch = native.read(b"[" + b" ,".join(raws) + b"]", Form.JSON, 100)
        kept, rejected = strict.judged(raws, sender, history)
        if isinstance(batch, Problem):
            assert raws
            assert not kept
            assert {reason for reason, _, _ in rejected.values()} <= {"malformed", "encoding"}
        else:
            assert stored(acceptor, batch, sender, history) == (kept, rejected)


GOOD: Final = b'{"metric":"plain","value":1,"dimensions":{"a":"],[\\"}"}}'


ONE_BY_ONE: Final = [(bad, form) for bad in BAD_EVENTS for form in Form if bad.is_element or form is Form.LINES]


@pytest.mark.parametrize(("bad", "form"), ONE_BY_ONE, ids=[f"{bad.name}-{form.value}" for bad, form in ONE_BY_ONE])
def test_a_bad_event_gets_its_verdict_and_spoils_no_other(bad: BadEvent, form: Form) -> None:
    raws = [GOOD, bad.text, GOOD]
    body = b"\n".join(raws) if form is Form.LINES else b"[" + b",".join(raws) + b"]"
    batch = native.read(body, form, 100)
    assert not isinstance(batch, Problem)
    found = stored(Acceptor(FULL, native.parse_dimensions), batch)
    assert found == OneByOne(FULL).judged(raws)
    kept, rejected = found
    if bad.reason is None:
        assert not rejected
    else:
        assert len(kept) == 2
        assert rejected[1][:2] == (bad.reason, bad.field)


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
        accepted = Acceptor(FULL, native.parse_dimensions).accept(batch.events, NOW)
        rejected = batch.rejected(accepted.rejected)
        assert len(accepted.columns) + len(rejected) == batch.size
        for event in rejected:
            msgspec.json.encode(event.verdict.message + (event.id or "") + (event.verdict.field or ""))
