"""Verdicts: every reason once, and what is accepted is stored as sent."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from msgspec import Raw

from ingest.accept import MAX_DIMENSIONS, Draft, Rules, judge
from ingest.batches import Acceptor
from ingest.events import NO_START
from ingest.problems import Problem
from ingest.protocols import native
from ingest.protocols.native import Form, NativeEvent
from ingest.protocols.reader import Batch
from ingest.registry import DimensionRule, MetricDefinition, Registry
from ingest.series import Kind
from ingest.verdicts import Reason, Rejected

NOW = 1_795_428_000_000
DAY = 86_400_000
METRICS = (
    MetricDefinition("orders", Kind.COUNTER, unit="1", minimum=0, maximum=100),
    MetricDefinition("visitors", Kind.UNIQUE),
    MetricDefinition("plain"),
    MetricDefinition(
        "ruled",
        past_ms=DAY,
        future_ms=3_600_000,
        rules={
            "country": DimensionRule(frozenset({"NL", "DE"}), required=True),
            "product": DimensionRule(pattern="p[0-9]+"),
        },
    ),
)
RULES = Rules(Registry({metric.name: metric for metric in METRICS}))
STRICT = Rules(Registry({metric.name: metric for metric in METRICS}, "reject"))


def verdict(text: str | bytes, rules: Rules = RULES) -> Draft | Rejected:
    event = native.decode_one(text.encode() if isinstance(text, str) else text)
    return event if isinstance(event, Rejected) else judge(event, native.parse_dimensions, rules, NOW)


def with_field(name: str, value: str) -> str:
    fields = {"metric": '"plain"', "value": "1"} | {name: value}
    return "{" + ",".join(f'"{n}":{v}' for n, v in fields.items()) + "}"


def named(**dimensions: str) -> str:
    return with_field("dimensions", json.dumps(dimensions))


def ruled(dimensions: str, timestamp: int = NOW) -> str:
    return f'{{"metric":"ruled","value":1,"timestamp":{timestamp},"dimensions":{dimensions}}}'


REJECTED: list[tuple[str | bytes, Reason, str | None]] = [
    ("", Reason.MALFORMED, None),
    ('{"metric":"plain","value":1,}', Reason.MALFORMED, None),
    ('{"metric":"plain","value":1}{}', Reason.MALFORMED, None),
    (with_field("value", "NaN"), Reason.MALFORMED, None),
    (with_field("value", "-Infinity"), Reason.MALFORMED, None),
    (with_field("metric", '"\\ud800"'), Reason.MALFORMED, None),
    (with_field("unknown", "[" * 30_000 + "]" * 30_000), Reason.MALFORMED, None),
    (with_field("unknown", "[" * 200_000 + "]" * 200_000), Reason.TOO_LARGE, None),
    (b'{"metric":"\xff","value":1}', Reason.ENCODING, None),
    (b'{"metric":"plain","value":1,"unknown":"\xff"}', Reason.ENCODING, None),
    ("5", Reason.NOT_AN_OBJECT, None),
    ('"text"', Reason.NOT_AN_OBJECT, None),
    ("null", Reason.NOT_AN_OBJECT, None),
    ("[]", Reason.NOT_AN_OBJECT, None),
    ('{"value":1}', Reason.MISSING_FIELD, "metric"),
    ('{"metric":"plain"}', Reason.MISSING_FIELD, "value"),
    (with_field("metric", "5"), Reason.WRONG_TYPE, "metric"),
    (with_field("metric", "null"), Reason.WRONG_TYPE, "metric"),
    (with_field("value", "true"), Reason.WRONG_TYPE, "value"),
    (with_field("value", "null"), Reason.WRONG_TYPE, "value"),
    (with_field("value", "[1]"), Reason.WRONG_TYPE, "value"),
    (with_field("value", '"12.5"'), Reason.WRONG_TYPE, "value"),
    (with_field("value", '" -1e5"'), Reason.WRONG_TYPE, "value"),
    (with_field("value", '"NaN"'), Reason.WRONG_TYPE, "value"),
    (with_field("value", "1e400"), Reason.OUT_OF_RANGE, "value"),
    (with_field("value", "9" * 400), Reason.OUT_OF_RANGE, "value"),
    ('{"metric":"orders","value":-1}', Reason.OUT_OF_RANGE, "value"),
    ('{"metric":"orders","value":100.5}', Reason.OUT_OF_RANGE, "value"),
    ('{"metric":"orders","value":"x"}', Reason.KIND_MISMATCH, "value"),
    ('{"metric":"visitors","value":5}', Reason.KIND_MISMATCH, "value"),
    (with_field("metric", '""'), Reason.METRIC_NAME, "metric"),
    (with_field("metric", '"a\\u0000"'), Reason.METRIC_NAME, "metric"),
    (with_field("metric", '"' + "a" * 201 + '"'), Reason.METRIC_NAME, "metric"),
    (with_field("value", '"' + "a" * 1025 + '"'), Reason.TEXT_VALUE, "value"),
    (with_field("timestamp", '"yesterday"'), Reason.TS_INVALID, "timestamp"),
    (with_field("timestamp", '"2026-11-23T10:00:00"'), Reason.TS_INVALID, "timestamp"),
    (with_field("timestamp", '"2026-02-30T10:00:00Z"'), Reason.TS_INVALID, "timestamp"),
    (with_field("timestamp", "1795428000000.5"), Reason.TS_INVALID, "timestamp"),
    (with_field("timestamp", "true"), Reason.TS_INVALID, "timestamp"),
    (with_field("timestamp", str(NOW - 7 * DAY - 1)), Reason.TS_TOO_OLD, "timestamp"),
    (with_field("timestamp", str(NOW // 1000)), Reason.TS_TOO_OLD, "timestamp"),
    (with_field("timestamp", "-" + "9" * 30), Reason.TS_TOO_OLD, "timestamp"),
    (with_field("timestamp", str(NOW + 600_001)), Reason.TS_FUTURE, "timestamp"),
    (with_field("timestamp", str(NOW * 1000)), Reason.TS_FUTURE, "timestamp"),
    (with_field("timestamp", "9" * 30), Reason.TS_FUTURE, "timestamp"),
    (with_field("dimensions", "[]"), Reason.WRONG_TYPE, "dimensions"),
    (with_field("dimensions", '{"a":1}'), Reason.WRONG_TYPE, "dimensions.a"),
    (with_field("dimensions", '{"a":null}'), Reason.WRONG_TYPE, "dimensions.a"),
    (with_field("dimensions", '{"a":{"b":"c"}}'), Reason.WRONG_TYPE, "dimensions.a"),
    (named(**{f"d{i}": "" for i in range(MAX_DIMENSIONS + 1)}), Reason.DIMENSION_COUNT, "dimensions"),
    (named(**{"": "x"}), Reason.DIMENSION_NAME, "dimensions."),
    (named(**{"a\n": "x"}), Reason.DIMENSION_NAME, "dimensions.a\n"),
    (named(__name__="x"), Reason.DIMENSION_NAME, "dimensions.__name__"),
    (named(**{"a" * 129: "x"}), Reason.DIMENSION_NAME, "dimensions." + "a" * 128),
    (named(a="x\x7f"), Reason.DIMENSION_VALUE, "dimensions.a"),
    (named(a="\x85"), Reason.DIMENSION_VALUE, "dimensions.a"),
    (named(a="x" * 513), Reason.DIMENSION_VALUE, "dimensions.a"),
    (ruled("{}"), Reason.DIMENSION_MISSING, "dimensions.country"),
    (ruled('{"country":"BE"}'), Reason.DIMENSION_NOT_ALLOWED, "dimensions.country"),
    (ruled('{"country":""}'), Reason.DIMENSION_NOT_ALLOWED, "dimensions.country"),
    (ruled('{"country":"NL","product":"p1x"}'), Reason.DIMENSION_NOT_ALLOWED, "dimensions.product"),
    (ruled('{"country":"NL"}', NOW - DAY - 1), Reason.TS_TOO_OLD, "timestamp"),
    (ruled('{"country":"NL"}', NOW + 3_600_001), Reason.TS_FUTURE, "timestamp"),
    (with_field("id", "5"), Reason.WRONG_TYPE, "id"),
    (with_field("id", '""'), Reason.ID_INVALID, "id"),
    (with_field("id", '"a\\n"'), Reason.ID_INVALID, "id"),
    (with_field("id", '"' + "a" * 257 + '"'), Reason.ID_INVALID, "id"),
]


@pytest.mark.parametrize(("text", "reason", "field"), REJECTED, ids=range(len(REJECTED)))
def test_rejected(text: str | bytes, reason: Reason, field: str | None) -> None:
    found = verdict(text)
    assert isinstance(found, Rejected)
    assert (found.reason, found.field) == (reason, field)
    assert 0 < len(found.message) < 200


def test_unknown_metrics_are_refused_where_the_registry_says_so() -> None:
    found = verdict('{"metric":"other","value":1}', STRICT)
    assert isinstance(found, Rejected)
    assert found.reason is Reason.UNKNOWN_METRIC
    assert isinstance(verdict('{"metric":"orders","value":1}', STRICT), Draft)


def test_every_reason_has_a_case() -> None:
    elsewhere = {Reason.UNKNOWN_METRIC, Reason.CARDINALITY, Reason.SERIES_LIMIT, Reason.ATOMIC}
    assert {reason for _, reason, _ in REJECTED} | elsewhere == set(Reason)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ruled('{"country":"NL"}', NOW - DAY - 1), "more than 1 day before arrival"),
        (ruled('{"country":"NL"}', NOW + 3_600_001), "more than 1 hour ahead"),
        (with_field("timestamp", "0"), "more than 7 days before arrival"),
        (with_field("timestamp", str(NOW + DAY)), "more than 10 minutes ahead"),
        (ruled("{}"), "'ruled' needs the dimension 'country'"),
        (ruled('{"country":"NL","product":"x"}'), "'x' does not match the registry's pattern 'p[0-9]+'"),
    ],
)
def test_messages_say_what_the_rule_is(text: str, message: str) -> None:
    found = verdict(text)
    assert isinstance(found, Rejected)
    assert found.message.startswith(message)


@pytest.mark.parametrize("dimensions", ['{"country":"NL"}', '{"country":"DE","product":"p12","other":"x"}'])
def test_rules_leave_other_dimensions_free(dimensions: str) -> None:
    assert isinstance(verdict(ruled(dimensions)), Draft)
    assert isinstance(verdict(ruled(dimensions, NOW + 3_600_000)), Draft)
    assert isinstance(verdict(ruled(dimensions, NOW - DAY)), Draft)


@pytest.mark.parametrize(
    ("timestamp", "reason"), [(0, None), (-1, Reason.TS_TOO_OLD), (NOW + 600_001, Reason.TS_FUTURE)]
)
def test_history_begins_in_1970(timestamp: int, reason: Reason | None) -> None:
    event = native.decode_one(with_field("timestamp", str(timestamp)).encode())
    assert not isinstance(event, Rejected)
    found = judge(event, native.parse_dimensions, RULES, NOW, history=True)
    assert (found.reason if isinstance(found, Rejected) else None) is reason
    accepted = Acceptor(RULES, native.parse_dimensions)
    for _ in range(2):  # the second time its series is known
        found_by_column = accepted.accept([event], NOW, history=True)
        rejected = found_by_column.rejected
        assert found_by_column.columns.history
        assert [one.reason for one in rejected.values()] == ([] if reason is None else [reason])


def test_nothing_is_older_than_1970() -> None:
    rules = Rules(past_ms=NOW + DAY)
    event = native.decode_one(with_field("timestamp", "-1").encode())
    assert not isinstance(event, Rejected)
    assert isinstance(judge(event, native.parse_dimensions, rules, NOW), Rejected)


LAX = [
    ('"12.5"', Reason.WRONG_TYPE),
    ("true", Reason.WRONG_TYPE),
    ("NaN", Reason.MALFORMED),
    ("1e400", Reason.OUT_OF_RANGE),
    ("1,", Reason.MALFORMED),
    ('1,"value":true', Reason.WRONG_TYPE),
]
"""Texts behind `"value":` that fast decoders of columns take, and what they are here."""


@pytest.mark.parametrize(("value", "reason"), LAX, ids=range(len(LAX)))
@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("metric", ["orders", "plain", "new"])
def test_whole_batches_are_as_strict_as_single_events(value: str, reason: Reason, form: Form, metric: str) -> None:
    good, odd = f'{{"metric":"{metric}","value":2}}', f'{{"metric":"{metric}","value":{value}}}'
    wrong = Reason.KIND_MISMATCH if metric == "orders" and value == '"12.5"' else reason
    events = [good] * 20 + [odd] + [good] * 20
    body = "\n".join(events) if form is Form.LINES else f"[{','.join(events)}]"
    acceptor = Acceptor(RULES, native.parse_dimensions)
    for _ in range(2):
        batch = batch_of(body, form)
        accepted = acceptor.accept(batch.events, NOW)
        assert [(one.index, one.verdict.reason) for one in batch.rejected(accepted.rejected)] == [(20, wrong)]
        assert accepted.columns.values.tolist() == [2.0] * 40


@pytest.mark.parametrize("form", Form)
def test_of_two_equal_keys_the_last_counts_in_batches_too(form: Form) -> None:
    events = ['{"metric":"plain","value":1,"value":2}', '{"metric":"plain","value":true,"value":2}'] * 2
    body = "\n".join(events) if form is Form.LINES else f"[{','.join(events)}]"
    accepted = Acceptor(RULES, native.parse_dimensions).accept(batch_of(body, form).events, NOW)
    assert accepted.columns.values.tolist() == [2.0] * 4


@pytest.mark.parametrize(
    ("text", "kind", "unit"),
    [
        ('{"metric":"orders","value":1}', Kind.COUNTER, "1"),
        ('{"metric":"visitors","value":"12345"}', Kind.UNIQUE, None),
        ('{"metric":"plain","value":1}', Kind.DISTRIBUTION, None),
        ('{"metric":"plain","value":"u1"}', Kind.UNIQUE, None),
        ('{"metric":"new","value":-1.5e3}', Kind.DISTRIBUTION, None),
    ],
)
def test_kind_comes_from_the_registry_else_from_the_value(text: str, kind: Kind, unit: str | None) -> None:
    found = verdict(text)
    assert isinstance(found, Draft)
    assert (found.series.kind, found.series.unit) == (kind, unit)


@pytest.mark.parametrize(
    ("spelled", "time_ms"),
    [
        ('"2026-11-23T10:00:00.250Z"', NOW + 250),
        ('"2026-11-23T11:00:00+01:00"', NOW),
        ('"2026-11-23T10:00:00.1239Z"', NOW + 123),
        (str(NOW - 7 * DAY), NOW - 7 * DAY),
        (str(NOW + 600_000), NOW + 600_000),
        ("null", NOW),
    ],
)
def test_times(spelled: str, time_ms: int) -> None:
    found = verdict(with_field("timestamp", spelled))
    assert isinstance(found, Draft)
    assert found.time_ms == time_ms


def test_of_equal_keys_the_last_counts() -> None:
    found = verdict(
        '{"metric":5,"metric":"plain","value":true,"value":2,"dimensions":{"a":1,"a":"x"},"timestamp":"no","timestamp":null}'
    )
    assert isinstance(found, Draft)
    assert (found.metric, found.value, found.dimensions, found.time_ms) == ("plain", 2.0, (("a", "x"),), NOW)


def test_unknown_fields_and_null_options_are_taken_as_absent() -> None:
    found = verdict('{"metric":"plain","value":1,"id":null,"dimensions":null,"timestamp":null,"x":1e400,"y":[{}]}')
    assert isinstance(found, Draft)
    assert (found.dimensions, found.id, found.time_ms) == ((), None, NOW)


def batch_of(body: str | bytes, form: Form = Form.JSON, max_events: int = 10_000) -> Batch[NativeEvent]:
    batch = native.read(body.encode() if isinstance(body, str) else body, form, max_events)
    assert isinstance(batch, Batch)
    return batch


@pytest.mark.parametrize(
    ("body", "form", "status"),
    [
        (b"", Form.JSON, 400),
        (b"  ", Form.JSON, 400),
        (b"{", Form.JSON, 400),
        (b'{"metric":"a","value":1}{"metric":"a","value":1}', Form.JSON, 400),
        (b'{"metric":"a","value":NaN}', Form.JSON, 400),
        (b"\xef\xbb\xbf[]", Form.JSON, 400),
        ("[]".encode("utf-16"), Form.JSON, 400),
        (b"[1,]", Form.JSON, 400),
        (b"[", Form.JSON, 400),
        (b"[1}", Form.JSON, 400),
        (b'["', Form.JSON, 400),
        (b"[]x", Form.JSON, 400),
        (b'[{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}]", Form.JSON, 400),
        (b'[{"metric":"\xff","value":1}]', Form.JSON, 400),
        (b'["' + b'\\"' * 100_000, Form.JSON, 400),
        (b"[1,2,3,4]", Form.JSON, 413),
        (b"[{},{},NaN,{}]", Form.JSON, 413),
        (b"1\n2\n3\n4", Form.LINES, 413),
        (b"\n" * 31, Form.LINES, 413),
        (b"", Form.LINES, 400),
    ],
)
def test_whole_bodies_refused(body: bytes, form: Form, status: int) -> None:
    problem = native.read(body, form, 3)
    assert isinstance(problem, Problem)
    assert problem.status == status


@pytest.mark.parametrize(
    "bad", ["NaN", '{"metric":"a","value":NaN}', '"\\ud800"', "nul", '{"value":01}', "[1 2]", "'x'"]
)
def test_a_bad_element_does_not_spoil_the_others(bad: str) -> None:
    good = '{"metric":"a","value":1,"dimensions":{"a":"],[\\"}"}}'
    batch = batch_of(f"[ {good} , {bad} ,{good}]")
    assert (batch.size, batch.rows) == (3, [0, 2])
    (rejected,) = batch.rejected({})
    assert (rejected.index, rejected.original) == (1, bad.encode())


def test_lines() -> None:
    batch = batch_of(
        '\n{"metric":"a","value":1}\r\n \t\n{"metric":"a"}\n{"metric":"b","value":2} {"x":1}\n7', Form.LINES
    )
    assert [event.metric for event in batch.events] == ["a"]
    assert {row: rejected.reason for row, rejected in batch.undecodable.items()} == {
        1: Reason.MISSING_FIELD,
        2: Reason.MALFORMED,
        3: Reason.NOT_AN_OBJECT,
    }


def test_an_event_spread_over_two_lines_is_two_bad_lines() -> None:
    batch = batch_of('{"metric":"a"\n,"value":1}', Form.LINES)
    assert (batch.size, batch.events) == (2, [])


def test_columns_carry_what_was_sent() -> None:
    body = json.dumps(
        [
            {"metric": "orders", "value": 2, "timestamp": NOW - 5, "dimensions": {"b": "2", "a": "1"}, "id": "x"},
            {"metric": "orders", "value": 500},
            {"metric": "visitors", "value": "u1"},
            {"metric": "orders", "value": 3, "dimensions": {"a": "1", "b": "2"}},
        ]
    )
    accepted = Acceptor(RULES, native.parse_dimensions).accept(batch_of(body).events, NOW)
    columns = accepted.columns
    assert {row: rejected.reason for row, rejected in accepted.rejected.items()} == {1: Reason.OUT_OF_RANGE}
    assert columns.times.tolist() == [NOW - 5, NOW, NOW]
    assert columns.values.tolist()[::2] == [2, 3]
    assert math.isnan(columns.values[1])
    assert columns.texts == [None, "u1", None]
    assert columns.ids == ["x", None, None]
    assert columns.series[0] == columns.series[2] != columns.series[1]
    assert columns.table.keys[columns.series[0]] == verdict_key(
        '{"metric":"orders","value":1,"dimensions":{"a":"1","b":"2"}}'
    )


def test_start_times_stand_with_running_totals_alone() -> None:
    registry = Registry({"served": MetricDefinition("served", Kind.CUMULATIVE)})
    body = json.dumps(
        [
            {"metric": "served", "value": 2, "start": "2026-11-23T09:00:00Z"},
            {"metric": "other", "value": 2, "start": NOW + 1},
            {"metric": "served", "value": 3},
            {"metric": "served", "value": 4, "start": NOW},
            {"metric": "served", "value": 5, "start": NOW + 1},
            {"metric": "served", "value": 6, "start": -1},
        ]
    )
    accepted = Acceptor(Rules(registry), native.parse_dimensions).accept(batch_of(body).events, NOW)
    assert accepted.columns.starts is not None
    assert accepted.columns.starts.tolist() == [1_795_424_400_000, NO_START, NO_START, NOW]
    assert {row: (found.reason, found.field) for row, found in accepted.rejected.items()} == {
        4: (Reason.TS_INVALID, "start"),
        5: (Reason.TS_INVALID, "start"),
    }
    assert "after the timestamp" in accepted.rejected[4].message
    assert "before 1970" in accepted.rejected[5].message


def verdict_key(text: str) -> int:
    draft = verdict(text)
    assert isinstance(draft, Draft)
    return draft.series.key


def test_a_table_of_too_many_series_is_started_afresh() -> None:
    acceptor = Acceptor(Rules(), native.parse_dimensions, max_series=3)
    tables = set()
    for number in range(12):
        events = [NativeEvent("m", 1.0, dimensions=Raw(b'{"n":"%d"}' % (number * 2 + i))) for i in range(2)]
        columns = acceptor.accept(events, NOW).columns
        tables.add(id(columns.table))
        assert len(columns.table) <= 4
        assert len(columns) == 2
    assert len(tables) > 1


def test_rejected_series_leave_nothing_behind() -> None:
    acceptor = Acceptor(Rules(), native.parse_dimensions)
    for number in range(50):
        events = [NativeEvent(f"m{number}\n", 1.0), NativeEvent("m", 1.0, dimensions=Raw(b'{"a":%d}' % number))]
        assert len(acceptor.accept(events, NOW).rejected) == 2
    assert len(acceptor.accept([], NOW).columns.table) == 0


def test_the_registry_example_in_its_docstring_loads(tmp_path: Path) -> None:
    from ingest import registry

    file = tmp_path / "metrics.toml"
    file.write_text((registry.__doc__ or "").split("\n\n")[1])
    assert registry.load(file).metrics["orders.revenue"].maximum == 100_000
