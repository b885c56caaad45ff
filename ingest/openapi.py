"""The OpenAPI document of the write side, by hand: writes go past the framework that could derive it. Pure."""

from __future__ import annotations

from typing import Any, Final

from ingest.accept import MAX_DIMENSIONS, MAX_ID, MAX_TEXT
from ingest.examples import CLOUDEVENT, EVENT, LINES, OTHER, SAMPLES
from ingest.names import MAX_DIMENSION_NAME, MAX_DIMENSION_VALUE, MAX_METRIC
from ingest.problems import MEDIA_TYPE
from ingest.protocols.cloudevents import BATCHED, STRUCTURED
from ingest.protocols.native import CONTENT_TYPES, Form
from ingest.verdicts import Reason

Schema = dict[str, Any]

REFUSALS: Final[dict[int, str]] = {
    400: "The request cannot be read: not HTTP, not JSON, not compressed as it says, a parameter that is not known",
    401: "No key, or none that is valid",
    403: "The key may not write, or the request comes from a page of another site",
    408: "The request did not arrive in time",
    413: "Too many bytes or events; split it",
    414: "The address is too long",
    415: "Content type or encoding not supported; `Accept` and `Accept-Encoding` name those that are",
    421: "The `Host` is not one of this server",
    429: "The key's rate is used up; send the same again after `Retry-After`",
    431: "The headers are too large",
    503: "Nothing is wrong with the request; send the same events with the same ids again after `Retry-After`",
}
"""Every status of a request that is refused as a whole, but 500."""

_TEXT: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_DIMENSION: Final = r"^(?!__|!)[^\u0000-\u001f\u007f-\u009f,:*]+$"
_HEADERS: Final[dict[int, dict[str, str]]] = {
    401: {"WWW-Authenticate": "Bearer"},
    415: {"Accept": "Content types that are taken", "Accept-Encoding": "Content encodings that are taken"},
    429: {"Retry-After": "Seconds until the rate allows the request"},
    503: {"Retry-After": "Seconds"},
}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties}


def _text(longest: int | None = None, shortest: int = 0, pattern: str | None = _TEXT) -> Schema:
    schema: Schema = {"type": "string"}
    if longest is not None:
        schema["maxLength"] = longest
    if shortest:
        schema["minLength"] = shortest
    return schema if pattern is None else schema | {"pattern": pattern}


_TIME_FORMS: Final[list[Schema]] = [
    {"type": "string", "format": "date-time"},
    {"type": "integer", "description": "Milliseconds since 1970"},
    {"type": "null"},
]
_FIELDS: Final[Schema] = {
    "metric": _text(MAX_METRIC, 1),
    "value": {
        "oneOf": [{"type": "number"}, _text(MAX_TEXT, pattern=None)],
        "description": "A number, or a text for metrics of kind `unique`",
    },
    "timestamp": {
        "oneOf": _TIME_FORMS,
        "description": "Default: arrival",
    },
    "dimensions": {
        "type": ["object", "null"],
        "maxProperties": MAX_DIMENSIONS,
        "propertyNames": _text(MAX_DIMENSION_NAME, 1, _DIMENSION),
        "additionalProperties": _text(MAX_DIMENSION_VALUE),
    },
    "id": {
        "oneOf": [_text(MAX_ID, 1), {"type": "null"}],
        "description": "Of one series, the same id counts once",
    },
    "start": {
        "oneOf": _TIME_FORMS,
        "description": "Of kind `cumulative`: since when the total counts, at or before the timestamp",
    },
}
_SCHEMAS: Final[dict[str, Schema]] = {
    "Event": {"type": "object", "required": ["metric", "value"], "properties": _FIELDS},
    "Events": {"type": "array", "items": _ref("Event"), "maxItems": 10_000},
    "CloudEvent": _object(
        "specversion id source type data",
        specversion={"const": "1.0"},
        id=_text(shortest=1),
        source=_text(shortest=1),
        type=_text(MAX_METRIC, 1) | {"description": "The metric, where `data` name none"},
        time={"type": "string", "format": "date-time", "description": "The timestamp, where `data` have none"},
        data={
            "type": "object",
            "required": ["value"],
            "properties": _FIELDS,
            "description": "An event; its id is `<source>/<id>` where it has none",
        },
    ),
    "CloudEvents": {"type": "array", "items": _ref("CloudEvent"), "maxItems": 10_000},
    "Verdict": _object(
        "index id field code message",
        index={"type": "integer", "description": "Place of the event in the request, from 0"},
        id={"type": ["string", "null"]},
        field={"type": ["string", "null"], "description": "What is wrong, as a path such as `dimensions.country`"},
        code={"enum": [reason.value for reason in Reason]},
        message={"type": "string"},
    ),
    "Receipt": _object(
        "request_id accepted rejected errors position",
        request_id={"type": "string"},
        accepted={"type": "integer"},
        rejected={"type": "integer"},
        errors={"type": "array", "items": _ref("Verdict")},
        position={"type": "string", "description": "`min_position` of a query that must include these events"},
    ),
    "Problem": _object(
        "type title status code detail request_id",
        type={"type": "string"},
        title={"type": "string"},
        status={"type": "integer"},
        code={"type": "string", "description": "Stable"},
        detail={"type": "string", "description": "For people"},
        request_id={"type": "string"},
    ),
    "Live": _object("role live", role={"const": "ingest"}, live={"const": True}),
    "Ready": _object(
        "role ready reasons notices",
        role={"const": "ingest"},
        ready={"type": "boolean"},
        reasons={"type": "array", "items": {"type": "string"}, "description": "Why not"},
        notices={
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Files of the workspace whose newest content is not in force, and why",
        },
    ),
}


def _content(media_type: str, schema: Schema, **examples: object) -> Schema:
    content: Schema = {"schema": schema}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {media_type: content}


def _answer(description: str, content: Schema, headers: dict[str, str] | None = None) -> Schema:
    answer: Schema = {"description": description, "content": content}
    if headers:
        answer["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
        }
    return answer


def _refused(status: int) -> Schema:
    return _answer(REFUSALS[status], _content(MEDIA_TYPE, _ref("Problem")), _HEADERS.get(status))


def _parameter(name: str, place: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": place, "required": False, "schema": schema, "description": description}


def _parameters() -> list[Schema]:
    flag = {"type": "boolean", "default": False}
    encodings = {"type": "string", "enum": ["gzip", "zstd", "identity"]}
    key = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"}
    attribute = {"type": "string", "minLength": 1, "pattern": "^[!#$&-~]+$"}
    return [
        _parameter("atomic", "query", flag, "One bad event rejects all"),
        _parameter("import", "query", flag, "History: events of any past time are taken"),
        _parameter("Idempotency-Key", "header", key, "Events without an id get the ids `<key>/<index>`"),
        _parameter("Content-Encoding", "header", encodings, "How the body is compressed"),
        *(
            _parameter(f"ce-{name}", "header", attribute, "CloudEvents in binary mode, where the body is `data`")
            for name in ("specversion", "id", "source", "type", "time")
        ),
    ]


def _body() -> Schema:
    single = {"oneOf": [_ref("Event"), _ref("Events")]}
    lines = {"type": "string", "description": "An `Event` a line"}
    content = _content("application/json", single, one=EVENT, several=[EVENT, OTHER])
    for media_type, form in CONTENT_TYPES.items():
        if form is Form.LINES:
            content |= _content(media_type, lines, lines=LINES)
    content |= _content(STRUCTURED, _ref("CloudEvent"), one=CLOUDEVENT)
    content |= _content(BATCHED, _ref("CloudEvents"), several=[CLOUDEVENT])
    return {"required": True, "content": content}


def _events() -> Schema:
    receipt = _content("application/json", _ref("Receipt"))
    return {
        "summary": "Send events",
        "description": "Answers when the accepted events, and the rejected ones as dead letters, are durable.",
        "operationId": "sendEvents",
        "security": [{"key": []}, {}],
        "parameters": _parameters(),
        "requestBody": _body(),
        "responses": {
            "202": _answer("Every accepted event is durable; `errors` names the others", receipt),
            "422": _answer("Every event was rejected", receipt),
            **{str(status): _refused(status) for status in REFUSALS},
        },
        "x-codeSamples": [{"lang": "Shell", "label": s.label, "source": s.command} for s in SAMPLES],
    }


def _get(operation: str, summary: str, answers: Schema) -> Schema:
    answers["400"], answers["421"] = _refused(400), _refused(421)
    return {"get": {"operationId": operation, "summary": summary, "security": [], "responses": answers}}


def document() -> Schema:
    """The document, OpenAPI 3.1."""
    ready = _content("application/json", _ref("Ready"))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallyboard ingest",
            "version": "1",
            "description": "Takes metric events and answers when they are durable.",
        },
        "paths": {
            "/v1/events": {"post": _events()},
            "/health/live": _get(
                "live", "The process runs", {"200": _answer("Yes", _content("application/json", _ref("Live")))}
            ),
            "/health/ready": _get(
                "ready",
                "Events can be taken: Kafka answers and the topics are there",
                {"200": _answer("Ready", ready), "503": _answer("Not ready", ready)},
            ),
            "/metrics": _get(
                "metrics",
                "Prometheus metrics",
                {"200": _answer("In Prometheus' text format", _content("text/plain", {"type": "string"}))},
            ),
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key with the scope `write`; not asked for while the workspace has no keys",
                }
            },
        },
    }
