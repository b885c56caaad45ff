"""Events that are wrong in one way each, and the verdict they get. `plain` is a metric that no registry lists.

The first number of a name is the row of the list of bad inputs it belongs to.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from ingest.verdicts import Reason


class BadEvent(NamedTuple):
    """`reason` None: odd, but right."""

    name: str
    text: bytes
    reason: Reason | None
    field: str | None = None
    is_element: bool = True
    """Whether an array around it can still be taken apart."""


def _event(**fields: str) -> bytes:
    """An event from the JSON texts of its fields."""
    spelled = {"metric": '"plain"', "value": "1"} | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in spelled.items()) + "}").encode()


def _named(**dimensions: str) -> bytes:
    return _event(dimensions=json.dumps(dimensions))


BAD_EVENTS: Final[tuple[BadEvent, ...]] = (
    BadEvent("23-trailing-comma", b'{"metric":"plain","value":1,}', Reason.MALFORMED),
    BadEvent("23-nan", _event(value="NaN"), Reason.MALFORMED),
    BadEvent("23-infinity", _event(value="-Infinity"), Reason.MALFORMED),
    BadEvent("23-byte-order-mark", b"\xef\xbb\xbf" + _event(), Reason.MALFORMED),
    BadEvent("23-utf-16", _event().decode().encode("utf-16-le"), Reason.MALFORMED),
    BadEvent("23-no-utf-8", b'{"metric":"plain\xff","value":1}', Reason.ENCODING),
    BadEvent("23-no-utf-8-in-a-field-nobody-reads", b'{"metric":"plain","value":1,"x":"\xff"}', Reason.ENCODING),
    BadEvent("23-lone-surrogate", _event(metric='"\\ud800"'), Reason.MALFORMED),
    BadEvent("23-surrogate-as-bytes", b'{"metric":"\xed\xa0\x80","value":1}', Reason.ENCODING),
    BadEvent("23-two-values", _event() + _event(), Reason.MALFORMED),
    BadEvent("23-half-a-value", b'{"metric":"plain","value":', Reason.MALFORMED, None, False),
    BadEvent("23-single-quotes", b"{'metric':'plain','value':1}", Reason.MALFORMED),
    BadEvent("23-comment", b'{"metric":"plain","value":1} // x', Reason.MALFORMED),
    BadEvent("23-leading-zero", _event(value="01"), Reason.MALFORMED),
    BadEvent("23-hexadecimal", _event(value="0x1"), Reason.MALFORMED),
    BadEvent("23-plus", _event(value="+1"), Reason.MALFORMED),
    BadEvent("24-deep", _event(x="[" * 20_000 + "]" * 20_000), Reason.MALFORMED),
    BadEvent("24-deep-dimensions", _event(dimensions='{"a":' + "[" * 20_000 + "]" * 20_000 + "}"), Reason.MALFORMED),
    BadEvent("24-too-deep-to-be-read", _event(x="[" * 200_000 + "]" * 200_000), Reason.TOO_LARGE),
    BadEvent("25-text", b'"text"', Reason.NOT_AN_OBJECT),
    BadEvent("25-number", b"5", Reason.NOT_AN_OBJECT),
    BadEvent("25-null", b"null", Reason.NOT_AN_OBJECT),
    BadEvent("25-array", b"[]", Reason.NOT_AN_OBJECT),
    BadEvent("26-no-metric", b'{"value":1}', Reason.MISSING_FIELD, "metric"),
    BadEvent("26-no-value", b'{"metric":"plain"}', Reason.MISSING_FIELD, "value"),
    BadEvent("26-empty", b"{}", Reason.MISSING_FIELD, "metric"),
    BadEvent("26-true", _event(value="true"), Reason.WRONG_TYPE, "value"),
    BadEvent("26-quoted-number", _event(value='"12.5"'), Reason.WRONG_TYPE, "value"),
    BadEvent("26-quoted-nan", _event(value='"NaN"'), Reason.WRONG_TYPE, "value"),
    BadEvent("26-null", _event(value="null"), Reason.WRONG_TYPE, "value"),
    BadEvent("26-array", _event(value="[1]"), Reason.WRONG_TYPE, "value"),
    BadEvent("26-metric-is-a-number", _event(metric="5"), Reason.WRONG_TYPE, "metric"),
    BadEvent("26-id-is-a-number", _event(id="5"), Reason.WRONG_TYPE, "id"),
    BadEvent("26-dimensions-are-an-array", _event(dimensions="[]"), Reason.WRONG_TYPE, "dimensions"),
    BadEvent("26-dimension-is-a-number", _event(dimensions='{"a":1}'), Reason.WRONG_TYPE, "dimensions.a"),
    BadEvent("26-dimension-is-null", _event(dimensions='{"a":null}'), Reason.WRONG_TYPE, "dimensions.a"),
    BadEvent("27-1e400", _event(value="1e400"), Reason.OUT_OF_RANGE, "value"),
    BadEvent("27-400-digits", _event(value="9" * 400), Reason.OUT_OF_RANGE, "value"),
    BadEvent("27-2-to-the-64", _event(value=str(1 << 64)), None),
    BadEvent("28-equal-keys", b'{"metric":5,"metric":"plain","value":true,"value":2}', None),
    BadEvent("28-equal-keys-the-last-wrong", b'{"metric":"plain","value":2,"value":true}', Reason.WRONG_TYPE, "value"),
    BadEvent("28-equal-dimensions", _event(dimensions='{"a":1,"a":"x"}'), None),
    BadEvent("31-future", _event(timestamp='"2026-11-23T10:10:00.001Z"'), Reason.TS_FUTURE, "timestamp"),
    BadEvent("31-old", _event(timestamp='"2026-11-16T09:59:59.999Z"'), Reason.TS_TOO_OLD, "timestamp"),
    BadEvent("31-seconds", _event(timestamp="1795428000"), Reason.TS_TOO_OLD, "timestamp"),
    BadEvent("31-microseconds", _event(timestamp="1795428000000000"), Reason.TS_FUTURE, "timestamp"),
    BadEvent("31-beyond-64-bits", _event(timestamp="9" * 30), Reason.TS_FUTURE, "timestamp"),
    BadEvent("31-before-everything", _event(timestamp="-" + "9" * 30), Reason.TS_TOO_OLD, "timestamp"),
    BadEvent("31-fraction", _event(timestamp="1795428000000.5"), Reason.TS_INVALID, "timestamp"),
    BadEvent("31-no-zone", _event(timestamp='"2026-11-23T10:00:00"'), Reason.TS_INVALID, "timestamp"),
    BadEvent("31-no-such-day", _event(timestamp='"2026-02-30T10:00:00Z"'), Reason.TS_INVALID, "timestamp"),
    BadEvent("31-true", _event(timestamp="true"), Reason.TS_INVALID, "timestamp"),
    BadEvent("31-start-without-zone", _event(start='"2026-11-23T09:00:00"'), Reason.TS_INVALID, "start"),
    BadEvent("31-start-is-a-fraction", _event(start="1795428000000.5"), Reason.TS_INVALID, "start"),
    BadEvent("31-start-is-true", _event(start="true"), Reason.TS_INVALID, "start"),
    BadEvent("31-start-of-no-running-total", _event(start="1795428000001"), None),
    BadEvent("32-33-dimensions", _named(**{f"d{i}": "" for i in range(33)}), Reason.DIMENSION_COUNT, "dimensions"),
    BadEvent("32-no-name", _named(**{"": "x"}), Reason.DIMENSION_NAME, "dimensions."),
    BadEvent("32-long-name", _named(**{"a" * 129: "x"}), Reason.DIMENSION_NAME, "dimensions." + "a" * 128),
    BadEvent("32-reserved-name", _named(__name__="x"), Reason.DIMENSION_NAME, "dimensions.__name__"),
    BadEvent("32-nul-in-a-name", _named(**{"a\0": "x"}), Reason.DIMENSION_NAME, "dimensions.a\0"),
    BadEvent("32-query-mark-in-a-name", _named(**{"a:b": "x"}), Reason.DIMENSION_NAME, "dimensions.a:b"),
    BadEvent("32-long-value", _named(a="x" * 513), Reason.DIMENSION_VALUE, "dimensions.a"),
    BadEvent("32-control-character", _named(a="\x85"), Reason.DIMENSION_VALUE, "dimensions.a"),
    BadEvent("32-metric-name", _event(metric='"a\\u0000"'), Reason.METRIC_NAME, "metric"),
    BadEvent("32-long-metric-name", _event(metric='"' + "a" * 201 + '"'), Reason.METRIC_NAME, "metric"),
    BadEvent("32-long-text", _event(value='"' + "a" * 1025 + '"'), Reason.TEXT_VALUE, "value"),
    BadEvent("32-long-id", _event(id='"' + "a" * 257 + '"'), Reason.ID_INVALID, "id"),
)
"""For an event that arrives at 2026-11-23T10:00Z."""
