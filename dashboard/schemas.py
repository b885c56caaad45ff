"""The schemas of the dashboard's API: what is asked and what is answered. Pure."""

from __future__ import annotations

from typing import Any, Final

from aggregates.queries import MEASURES, STEPS
from aggregates.query_fields import MAX_TOP
from dashboard.formats import MEDIA_TYPES

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties}


def _text(description: str = "", **more: object) -> Schema:
    return {"type": "string", **({"description": description} if description else {}), **more}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _integer(description: str = "") -> Schema:
    return {"type": "integer", **({"description": description} if description else {})}


_TIME: Final = {
    "oneOf": [{"type": "string", "minLength": 1}, {"type": "integer"}],
    "description": "RFC 3339 with a zone, milliseconds since 1970, `now`, or relative such as `-90m`",
}
_NAMES: Final = {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 32, "uniqueItems": True}
_VALUES: Final = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_MOMENT: Final = _text("RFC 3339, UTC", format="date-time")

QUERY: Final[Schema] = {
    "metric": _text("A metric, plain or derived", minLength=1),
    "measures": {
        **_NAMES,
        "minItems": 1,
        "description": "; ".join([", ".join(MEASURES), "any other pNN and pNN.N; `ratio` of derived metrics"]),
    },
    "from": {**_TIME, "description": f"{_TIME['description']}; default `-1h`"},
    "to": {**_TIME, "description": f"{_TIME['description']}; default `now`"},
    "step": _text("Length of the buckets; none: one row a group", enum=["auto", *STEPS]),
    "by": {**_NAMES, "description": "Dimensions: a column and a row per value"},
    "where": {
        "type": "object",
        "description": "Dimension → a value, several, or `{not: …}`",
        "additionalProperties": {
            "oneOf": [*_VALUES["oneOf"], {**_object("not", **{"not": _VALUES}), "additionalProperties": False}]
        },
    },
    "top": {"type": "integer", "minimum": 1, "maximum": MAX_TOP, "description": "So many groups, and the rest as one"},
    "order": _text("The measure that says which groups are the largest"),
    "compare": _text("`previous`, or a time back", pattern=r"^(previous|-[0-9]{1,9}[smhdw])$"),
    "as_of": {**_TIME, "description": "Answers from what was known then"},
    "timezone": _text("IANA name: the zone of the days of `1d`"),
    "min_position": _text("Waits until this position, as ingest gave it, is counted in"),
    "timeout": {"type": "number", "minimum": 0, "maximum": 10, "description": "Seconds to wait; default 2"},
    "format": _text("Form of the answer", enum=[*MEDIA_TYPES]),
}
"""Field of a query → its schema."""

_ACCOUNT: Final = {
    "accepted": _integer(),
    "applied": _integer(),
    "duplicates": _integer(),
    "rejected": {"type": "object", "additionalProperties": {"type": "integer"}, "description": "By reason"},
    "exact": {"type": "boolean", "description": "accepted = applied + duplicates"},
}
_PLACE: Final = _object("topic partition offset", topic=_text(), partition=_integer(), offset=_integer())
_RANGE: Final = _object("from to", **{"from": _MOMENT, "to": _MOMENT})

SCHEMAS: Final[dict[str, Schema]] = {
    "Query": {"type": "object", "required": ["metric"], "properties": QUERY, "additionalProperties": False},
    "Answer": _object(
        "columns rows range step level view restated error_bound others freshness took_ms",
        columns=listed(ref("Column")),
        rows={"type": "array", "items": {"type": "array"}, "description": "Cells in the order of the columns"},
        range={**_RANGE, "description": "What was answered: whole buckets of what is kept"},
        step=_or_null(_text("The step answered")),
        level=_text("The coarsest level that was read", enum=["1s", "1m", "15m", "1d"]),
        view=_text("The view that was read"),
        restated={"type": "boolean", "description": "Something came later than the grace"},
        error_bound={
            "type": ["object", "null"],
            "additionalProperties": {"type": "number"},
            "description": "Largest relative error by measure",
        },
        others=_or_null(_integer("How many groups the row of the others stands for")),
        freshness=ref("Freshness"),
        took_ms={"type": "number"},
    ),
    "Column": _object(
        "name type unit",
        name=_text(),
        type=_text(enum=["time", "string", "integer", "number", "histogram"]),
        unit=_or_null(_text()),
    ),
    "Freshness": _object(
        "position watermark lag_ms applied_at",
        position=_text("How far the log is counted in"),
        watermark=_or_null(_text("Everything up to then is in the answer")),
        lag_ms=_or_null(_integer("Its age")),
        applied_at=_or_null(_text("When something was last counted in")),
    ),
    "Catalogue": _object("metrics", metrics=listed(ref("Metric"))),
    "Metric": _object(
        "name kind unit dimensions description better measure last_event_ms measures series group",
        name=_text(),
        kind=_text(),
        unit=_or_null(_text()),
        dimensions=listed(_text()),
        description=_text(),
        better=_or_null(_text()),
        measure=_text("The one its tile shows"),
        last_event_ms=_or_null(_integer()),
        measures=listed(_text()),
        series=_integer("How many there are"),
        group=_text("Where its tile stands"),
    ),
    "Series": _object(
        "metric series total next",
        metric=_text(),
        series=listed(
            _object(
                "dimensions kind unit",
                dimensions={"type": "object", "additionalProperties": {"type": "string"}},
                kind=_text(),
                unit=_or_null(_text()),
            )
        ),
        total=_integer("Of the whole filter"),
        next=_or_null(_text("`cursor` of the next page")),
    ),
    "Ledger": _object(
        "rows total exact folded undecodable lost pending range freshness",
        rows=listed(
            _object("metric time seconds", metric=_or_null(_text()), time=_MOMENT, seconds=_integer(), **_ACCOUNT)
        ),
        total=_object("accepted applied duplicates rejected exact", **_ACCOUNT),
        exact={"type": "boolean"},
        folded=_integer("Rejected events that are only in the total"),
        undecodable={"type": "object"},
        lost={"type": "array"},
        pending={"type": "object", "description": "Records that are not counted in yet"},
        range=_RANGE,
        freshness=ref("Freshness"),
    ),
    "Receipt": _object(
        "position applied applied_at lost counted duplicates record freshness",
        position=_PLACE,
        applied={"type": "boolean", "description": "Its events are counted in, duplicates left out"},
        applied_at=_or_null(_text("When, if that was lately")),
        lost={"type": "boolean", "description": "It was given up by a person"},
        counted=_or_null(_integer("Events counted, known of records applied lately")),
        duplicates=_or_null(_integer("Events not counted again")),
        record={
            "type": ["object", "null"],
            "description": "What is in it, by metric and by bucket of every level; null: no longer in the log",
        },
        freshness=ref("Freshness"),
    ),
    "Error": _object(
        "code field message",
        code=_text("Stable"),
        field=_or_null(_text("The one to change")),
        message=_text("For people"),
    ),
}
