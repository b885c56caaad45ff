"""Rows 22–38: bodies that are no JSON, events that are not taken, and both beside good ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ingest.settings import IngestSettings
from tests.corpus.case import EVENT, Case, body_case, lines_case, rejected_case
from tests.ingest_server import IngestServer
from tests.raw_http import Talk, chunked, request

MOST = IngestSettings().max_events
DAY_MS = 86_400_000


def event(**fields: object) -> str:
    """A good event with some fields changed; `None` stays as null."""
    return json.dumps({"metric": "orders", "value": 1} | fields)


def with_value(spelled: str) -> str:
    return f'{{"metric":"orders","value":{spelled}}}'


def with_dimensions(dimensions: dict[str, object]) -> str:
    return event(dimensions=dimensions)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def value_is(expected: float) -> Callable[[IngestServer, Talk], None]:
    """The value of the newest event in the log."""

    def check(server: IngestServer, _talk: Talk) -> None:
        assert expected in [value for batch in server.stored() for value in batch.values]

    return check


TEXTS: Mapping[str, str | bytes] = {
    "trailing-comma": '{"metric":"orders","value":1,}',
    "trailing-comma-in-array": "[1,]",
    "nan": with_value("NaN"),
    "infinity": with_value("-Infinity"),
    "bom": "\ufeff" + EVENT,
    "utf-16": EVENT.encode("utf-16"),
    "utf-16-bare": EVENT.encode("utf-16-le"),
    "utf-32": EVENT.encode("utf-32"),
    "bad-utf-8": b'{"metric":"\xff","value":1}',
    "overlong-utf-8": b'{"metric":"\xc0\xaf","value":1}',
    "bad-utf-8-in-unknown-field": b'{"metric":"orders","value":1,"x":"\xff"}',
    "lone-surrogate": '{"metric":"\\ud800","value":1}',
    "surrogate-as-bytes": b'{"metric":"\xed\xa0\x80","value":1}',
    "two-values": EVENT + EVENT,
    "lines-as-json": f"{EVENT}\n{EVENT}",
    "leading-zero": with_value("01"),
    "plus": with_value("+1"),
    "hex": with_value("0x1"),
    "half-a-number": with_value("1."),
    "single-quotes": "{'metric':'orders','value':1}",
    "bare-names": "{metric:1}",
    "comment": EVENT + "// good",
    "control-in-text": '{"metric":"or\nders","value":1}',
    "unclosed": EVENT[:-1],
    "unclosed-array": f"[{EVENT}",
    "nul-bytes": bytes(100),
    "python": "{'metric': None}",
    "html": "<html></html>",
    "random": bytes(range(128, 256)),
}
NOT_JSON = [
    body_case(22, "empty", "", 400, "empty_body"),
    lines_case(22, "empty-lines-type", "", 400, "empty_body"),
    Case(22, "chunked-empty", chunked([]), 400, "empty_body"),
    Case(22, "no-length", request(b"").replace(b"Content-Length: 0\r\n", b""), 400, "empty_body"),
    body_case(22, "spaces", "  \n ", 400, "not_json"),
    *(body_case(23, name, body, 400, "not_json") for name, body in TEXTS.items()),
    *(
        body_case(24, name, body, 400, "not_json")
        for name, body in {
            "brackets": "[" * 200_000,
            "objects": '{"a":' * 200_000,
            "in-a-field": '{"metric":"orders","value":1,"x":' + "[" * 200_000 + "]" * 200_000 + "}",
        }.items()
    ),
    body_case(24, "closed-brackets", "[" * 200_000 + "]" * 200_000, 422, rejected=1),
    body_case(24, "beside", f"[{EVENT},{'[' * 5_000}{']' * 5_000}]", 202, accepted=1, rejected=1, indices=(1,)),
    *(
        body_case(25, name, body, 422, rejected=1, reasons=("not_an_object",))
        for name, body in {
            "text": '"text"',
            "number": "5",
            "true": "true",
            "null": "null",
        }.items()
    ),
    body_case(25, "array-in-array", f"[[{EVENT}]]", 422, rejected=1, reasons=("not_an_object",)),
]


def rejected_events() -> Iterator[Case]:
    """Rows 26, 27, 31 and 32: each alone and beside a good event."""
    yield from rejected_case(26, "no-metric", '{"value":1}', "missing_field", "metric")
    yield from rejected_case(26, "no-value", '{"metric":"orders"}', "missing_field", "value")
    yield from rejected_case(26, "empty-object", "{}", "missing_field", "metric")
    yield from rejected_case(26, "true", with_value("true"), "wrong_type", "value")
    yield from rejected_case(26, "quoted-number", with_value('"1"'), "wrong_type", "value")
    yield from rejected_case(26, "null", with_value("null"), "wrong_type", "value")
    yield from rejected_case(26, "list", with_value("[1]"), "wrong_type", "value")
    yield from rejected_case(26, "metric-number", event(metric=5), "wrong_type", "metric")
    yield from rejected_case(26, "metric-null", event(metric=None), "wrong_type", "metric")
    yield from rejected_case(26, "metric-empty", event(metric=""), "metric_name", "metric")
    yield from rejected_case(26, "id-number", event(id=5), "wrong_type", "id")
    yield from rejected_case(26, "id-empty", event(id=""), "id_invalid", "id")
    yield from rejected_case(26, "id-too-long", event(id="i" * 257), "id_invalid", "id")
    yield from rejected_case(26, "dimensions-list", event(dimensions=["a"]), "wrong_type", "dimensions")
    yield from rejected_case(26, "dimension-number", with_dimensions({"a": 1}), "wrong_type", "dimensions.a")
    yield from rejected_case(26, "dimension-null", with_dimensions({"a": None}), "wrong_type", "dimensions.a")
    yield from rejected_case(26, "text-for-a-number", '{"metric":"declared","value":"x"}', "kind_mismatch", "value")
    yield from rejected_case(27, "1e400", with_value("1e400"), "out_of_range", "value")
    yield from rejected_case(27, "400-digits", with_value("9" * 400), "out_of_range", "value")
    yield from rejected_case(27, "bounds", '{"metric":"declared","value":101}', "out_of_range", "value")
    yield from rejected_case(31, "future", event(timestamp=now_ms() + DAY_MS), "ts_future", "timestamp")
    yield from rejected_case(31, "too-old", event(timestamp=now_ms() - 8 * DAY_MS), "ts_too_old", "timestamp")
    yield from rejected_case(31, "seconds", event(timestamp=now_ms() // 1000), "ts_too_old", "timestamp")
    yield from rejected_case(31, "microseconds", event(timestamp=now_ms() * 1000), "ts_future", "timestamp")
    yield from rejected_case(31, "year-9999", event(timestamp="9999-12-31T23:59:59Z"), "ts_future", "timestamp")
    yield from rejected_case(31, "beyond-64-bits", event(timestamp=10**30), "ts_future", "timestamp")
    yield from rejected_case(31, "negative", event(timestamp=-1), "ts_too_old", "timestamp")
    yield from rejected_case(31, "no-zone", event(timestamp="2026-01-01T00:00:00"), "ts_invalid", "timestamp")
    yield from rejected_case(31, "no-date", event(timestamp="yesterday"), "ts_invalid", "timestamp")
    yield from rejected_case(31, "30-february", event(timestamp="2026-02-30T00:00:00Z"), "ts_invalid", "timestamp")
    yield from rejected_case(31, "fraction", event(timestamp=1.5), "ts_invalid", "timestamp")
    many: dict[str, object] = {f"d{n}": "x" for n in range(33)}
    yield from rejected_case(32, "33-dimensions", with_dimensions(many), "dimension_count", "dimensions")
    yield from rejected_case(32, "value-too-long", with_dimensions({"a": "x" * 513}), "dimension_value", "dimensions.a")
    yield from rejected_case(32, "nul-in-value", with_dimensions({"a": "\0"}), "dimension_value", "dimensions.a")
    yield from rejected_case(32, "control-in-value", with_dimensions({"a": "\n"}), "dimension_value", "dimensions.a")
    yield from rejected_case(32, "reserved", with_dimensions({"__a": "x"}), "dimension_name", "dimensions.__a")
    yield from rejected_case(32, "no-name", with_dimensions({"": "x"}), "dimension_name", "dimensions.")
    yield from rejected_case(
        32, "name-too-long", with_dimensions({"n" * 129: "x"}), "dimension_name", "dimensions." + "n" * 128
    )
    yield from rejected_case(32, "mark-in-name", with_dimensions({"a:b": "x"}), "dimension_name", "dimensions.a:b")
    yield from rejected_case(32, "control-in-metric", event(metric="a\0"), "metric_name", "metric")
    yield from rejected_case(32, "metric-too-long", event(metric="m" * 201), "metric_name", "metric")
    yield from rejected_case(32, "text-too-long", event(metric="texts", value="x" * 1_025), "text_value", "value")


TAKEN = [
    body_case(27, "2-to-64", with_value("18446744073709551616"), 202, accepted=1, check=value_is(2.0**64)),
    body_case(28, "last-wins", '{"metric":"orders","value":1,"value":71}', 202, accepted=1, check=value_is(71)),
    body_case(
        28,
        "last-wins-over-wrong-type",
        '{"metric":"orders","value":true,"value":72}',
        202,
        accepted=1,
        check=value_is(72),
    ),
    body_case(29, "array", "[]", 202, rejected=0),
    body_case(29, "spaced", " [ \n ] ", 202, rejected=0),
    body_case(30, "array", f"[{','.join([EVENT] * (MOST + 1))}]", 413, "too_many_events"),
    body_case(30, "array-of-garbage", f"[{','.join(['x'] * (MOST + 1))}]", 413, "too_many_events"),
    lines_case(30, "lines", f"{EVENT}\n" * (MOST + 1), 413, "too_many_events"),
    body_case(30, "most", f"[{','.join([EVENT] * MOST)}]", 202, accepted=MOST),
]

_NINETY_NINE = [EVENT] * 99
_THOUSAND = [EVENT] * 999
MIXED = [
    body_case(
        34,
        "1-of-100",
        f"[{','.join([*_NINETY_NINE[:40], '5', *_NINETY_NINE[40:]])}]",
        202,
        accepted=99,
        rejected=1,
        reasons=("not_an_object",),
        indices=(40,),
    ),
    body_case(
        34,
        "nan-in-1-of-100",
        f"[{','.join([*_NINETY_NINE[:40], with_value('NaN'), *_NINETY_NINE[40:]])}]",
        202,
        accepted=99,
        rejected=1,
        reasons=("malformed",),
        indices=(40,),
    ),
    Case(
        34,
        "atomic",
        request(f"[{EVENT},5]", path="/v1/events?atomic=true"),
        422,
        rejected=2,
        reasons=("atomic", "not_an_object"),
        indices=(0, 1),
    ),
    lines_case(
        35,
        "1-of-1000",
        "\n".join([*_THOUSAND[:16], "{", *_THOUSAND[16:]]),
        202,
        accepted=999,
        rejected=1,
        reasons=("malformed",),
        indices=(16,),
    ),
    lines_case(
        35,
        "bad-utf-8",
        b'{"metric":"\xff","value":1}\n' + EVENT.encode(),
        202,
        accepted=1,
        rejected=1,
        reasons=("encoding",),
        indices=(0,),
    ),
    lines_case(36, "all", "{\n5\nnothing", 422, rejected=3, reasons=("malformed", "not_an_object", "malformed")),
    lines_case(37, "crlf", f"{EVENT}\r\n{EVENT}\r\n", 202, accepted=2),
    lines_case(37, "blank-lines", f"\n\n{EVENT}\n \n\t\n{EVENT}\n\n", 202, accepted=2),
    lines_case(37, "no-last-newline", f"{EVENT}\n{EVENT}", 202, accepted=2),
    lines_case(37, "blanks-only", "\n\n\n", 202, rejected=0),
    lines_case(
        38,
        "long-line",
        f"{EVENT}\n{event(x='x' * 70_000)}\n{EVENT}",
        202,
        accepted=2,
        rejected=1,
        reasons=("too_large",),
        indices=(1,),
    ),
    body_case(
        38,
        "long-element",
        f"[{EVENT},{event(x='x' * 70_000)}]",
        202,
        accepted=1,
        rejected=1,
        reasons=("too_large",),
        indices=(1,),
    ),
    body_case(38, "long-event", event(x="x" * 70_000), 422, rejected=1, reasons=("too_large",)),
    lines_case(38, "10-million-empty-lines", b"\n" * 10_000_000, 413, "too_many_events"),
]

BINARY = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/corpus"), ("ce-type", "orders")]
ENVELOPE: Mapping[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/corpus",
    "type": "orders",
    "data": {"value": 1},
}


def envelope(**changed: object) -> str:
    """A good CloudEvent with some attributes changed; those that become None are left out."""
    return json.dumps({name: value for name, value in ({**ENVELOPE, **changed}).items() if value is not None})


def cloud_case(row: int, name: str, body: str | bytes, status: int, code: str | None = None, **more: Any) -> Case:
    content_type = "application/cloudevents-batch+json" if body[:1] in ("[", b"[") else "application/cloudevents+json"
    return Case(row, f"cloudevents-{name}", request(body, content_type), status, code, **more)


CLOUDEVENTS = [
    cloud_case(22, "empty", "", 400, "empty_body"),
    cloud_case(23, "no-json", "{", 400, "not_json"),
    cloud_case(23, "nan", envelope().replace("1}", "NaN}"), 400, "not_json"),
    cloud_case(24, "deep", '{"data":' * 200_000, 400, "not_json"),
    cloud_case(25, "text", '"text"', 422, rejected=1, reasons=("not_an_object",)),
    cloud_case(26, "no-source", envelope(source=None), 422, rejected=1),
    cloud_case(26, "no-version", envelope(specversion=None), 422, rejected=1),
    cloud_case(26, "other-version", envelope(specversion="0.3"), 422, rejected=1),
    cloud_case(26, "no-data", envelope(data=None), 422, rejected=1),
    cloud_case(26, "data-text", envelope(data="1"), 422, rejected=1),
    cloud_case(26, "boolean", envelope(data={"value": True}), 422, rejected=1),
    cloud_case(27, "1e400", envelope().replace("1}", "1e400}"), 422, rejected=1),
    cloud_case(29, "empty-batch", "[]", 202, rejected=0),
    cloud_case(30, "batch", f"[{','.join([envelope()] * (MOST + 1))}]", 413, "too_many_events"),
    cloud_case(31, "future", envelope(time="9999-12-31T23:59:59Z"), 422, rejected=1),
    cloud_case(34, "beside", f"[{envelope()},{envelope(source=None)},5]", 202, accepted=1, rejected=2, indices=(1, 2)),
    cloud_case(38, "long", f"[{envelope()},{envelope(x='x' * 70_000)}]", 202, accepted=1, rejected=1, indices=(1,)),
    Case(26, "cloudevents-binary-alone", request('{"value":1}', headers=[("ce-id", "1")]), 422, rejected=1),
    Case(
        23,
        "cloudevents-binary-header",
        request('{"value":1}', headers=[*BINARY, ("ce-time", "%ff")]),
        400,
    ),
    Case(5, "cloudevents-binary-taken", request('{"value":1}', headers=BINARY), 202, accepted=1),
]

CASES = [*CLOUDEVENTS, *NOT_JSON, *rejected_events(), *TAKEN, *MIXED]
