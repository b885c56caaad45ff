"""Verdicts: every reason once, and what is accepted is stored as sent."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from msgspec import Raw

from ingest.accept import MAX_DIMENSIONS, Draft, Rules, judge
from ingest.batches import Acceptor
from ingest.problems import Problem
from ingest.protocols import native
from ingest.protocols.native import Form, NativeEvent
from ingest.registry import MetricDefinition, Registry
from ingest.series import Kind
from ingest.verdicts import Reason, Rejected

NOW = 1_795_428_000_000
DAY = 86_400_000
METRICS = (
    MetricDefinition("orders", Kind.COUNTER, unit="1", minimum=0, maximum=100),
    MetricDefinition("visitors", Kind.UNIQUE),
    MetricDefinition("plain"),
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


REJECTED: list[tuple[str | bytes, Reason, str | None]] = [
    ("", Reason.MALFORMED, None),
    ('{"metric":"plain","value":1,}', Reason.MALFORMED, None),
    ('{"metric":"plain","value":1}{}', Reason.MALFORMED, None),
    (with_field("value", "NaN"), Reason.MALFORMED, None),
    (with_field("value", "-Infinity"), Reason.MALFORMED, None),
    (with_field("metric", '"\\ud800"'), Reason.MALFORMED, None),
    (with_field("unknown", "[" * 200_000 + "]" * 200_000), Reason.MALFORMED, None),
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
    assert {reason for _, reason, _ in REJECTED} | {Reason.UNKNOWN_METRIC} == set(Reason)


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


def batch_of(body: str | bytes, form: Form = Form.JSON, max_events: int = 10_000) -> native.Batch:
    batch = native.read(body.encode() if isinstance(body, str) else body, form, max_events)
    assert isinstance(batch, native.Batch)
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
        (b'[{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}]", Form.JSON, 400),
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


def test_content_types() -> None:
    assert native.form_of("application/json; charset=UTF-8") is Form.JSON
    assert native.form_of("Application/X-NDJSON") is Form.LINES
    assert native.form_of("application/json; charset=utf-16") is None
    assert native.form_of("text/plain") is None
    assert native.form_of("") is None


def test_the_registry_example_in_its_docstring_loads(tmp_path: Path) -> None:
    from ingest import registry

    file = tmp_path / "metrics.toml"
    file.write_text((registry.__doc__ or "").split("\n\n")[1])
    assert registry.load(file).metrics["orders.revenue"].maximum == 100_000
