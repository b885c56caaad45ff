"""What `/docs` says about the write endpoint: its body and answers are not declared by types, for speed."""

from __future__ import annotations

from typing import Any, Final

_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["metric", "value"],
    "properties": {
        "metric": {"type": "string", "minLength": 1, "maxLength": 200},
        "value": {"oneOf": [{"type": "number"}, {"type": "string", "maxLength": 1024}]},
        "timestamp": {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]},
        "dimensions": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 32},
        "id": {"type": "string", "minLength": 1, "maxLength": 256},
    },
    "example": {
        "metric": "orders.revenue",
        "value": 12.5,
        "dimensions": {"country": "NL", "product": "p17"},
        "id": "0190f3a2",
    },
}
_RECEIPT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["request_id", "accepted", "rejected", "errors", "position"],
    "properties": {
        "request_id": {"type": "string"},
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "id", "field", "code", "message"],
                "properties": {
                    "index": {"type": "integer"},
                    "id": {"type": ["string", "null"]},
                    "field": {"type": ["string", "null"]},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
        "position": {"type": "string", "description": "`min_position` of a query that must include these events"},
    },
}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
}


def _answer(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


EVENTS_DOCUMENTATION: Final[dict[str, Any]] = {
    "status_code": 202,
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}},
                "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line"}},
            },
        }
    },
    "responses": {
        202: _answer("Every accepted event is durable", "application/json", _RECEIPT),
        422: _answer("Every event was rejected", "application/json", _RECEIPT),
        **{
            status: _answer(description, "application/problem+json", _PROBLEM)
            for status, description in {
                400: "The body is not JSON",
                403: "Sent by a page of another site",
                408: "The body did not arrive in time",
                413: "Too many bytes or events",
                415: "Content type or encoding not supported",
                421: "Unknown Host",
                503: "Try again after `Retry-After`, with the same ids",
            }.items()
        },
    },
}
