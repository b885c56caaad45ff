"""The part of the OpenAPI document that is about annotations. Pure."""

from __future__ import annotations

from typing import Any, Final

from aggregates.annotations import ID, MAX_METRIC, MAX_TEXT
from dashboard.annotation_fields import DEFAULT_LIMIT, MAX_LIMIT

Schema = dict[str, Any]
_TIME: Final = {"oneOf": [{"type": "string", "minLength": 1}, {"type": "integer"}], "description": "As in a query"}
_METRIC: Final = {"type": ["string", "null"], "maxLength": MAX_METRIC, "description": "Null: all metrics"}
CONTENT: Final[Schema] = {
    "text": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
    "at": _TIME,
    "end": {"oneOf": [*_TIME["oneOf"], {"type": "null"}], "description": "Null: a moment"},
    "metric": _METRIC,
}
ID_SCHEMA: Final = {"type": "string", "pattern": f"^{ID.pattern}$"}
_WHEN: Final = {"type": "string", "format": "date-time"}
_WHEN_OR_NULL: Final = {"type": ["string", "null"]}


def _object(required: list[str], properties: Schema, **more: Any) -> Schema:
    return {"type": "object", "required": required, "properties": properties, **more}


SCHEMAS: Final[dict[str, Schema]] = {
    "Annotation": _object(
        ["id", "at", "end", "text", "metric", "author", "created_at", "edits", "edited_at", "edited_by"],
        {
            "id": ID_SCHEMA, "at": _WHEN, "end": _WHEN_OR_NULL, "text": {"type": "string"}, "metric": _METRIC,
            "author": {"type": ["string", "null"], "description": "Id of the key it was added with"},
            "created_at": _WHEN, "edits": {"type": "integer"}, "edited_at": _WHEN_OR_NULL,
            "edited_by": {"type": ["string", "null"]},
        },
    ),
    "Annotations": _object(
        ["annotations", "next", "freshness"],
        {
            "annotations": {"type": "array", "items": {"$ref": "#/components/schemas/Annotation"}},
            "next": {"type": ["string", "null"], "description": "`cursor` of the next page"},
            "freshness": {"type": "object", "description": "How far this replica has read the journal"},
        },
    ),
    "AnnotationChanged": _object(
        ["annotation", "position"],
        {
            "annotation": {"oneOf": [{"$ref": "#/components/schemas/Annotation"}, {"type": "null"}]},
            "position": {"type": "string", "description": "`min_position` for lists that hold the change"},
        },
    ),
    "NewAnnotation": _object(["text"], {"id": ID_SCHEMA, **CONTENT}, additionalProperties=False),
    "WholeAnnotation": _object(["text", "at"], CONTENT, additionalProperties=False),
    "AnnotationEdit": _object([], CONTENT, additionalProperties=False, minProperties=1),
}  # fmt: skip
LISTED: Final[dict[str, tuple[Schema, str]]] = {
    "from": ({"type": "string", "minLength": 1}, "As in a query; default: all"),
    "to": ({"type": "string", "minLength": 1}, "As in a query; default: all"),
    "metric": ({"type": "string", "minLength": 1}, "Those of this metric and those of all"),
    "limit": ({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}, "Of a page"),
    "cursor": ({"type": "string", "pattern": f"^-?[0-9]{{1,15}}/{ID.pattern}$"}, "`next` of the page before"),
    "min_position": ({"type": "string", "minLength": 1}, "Waits until this position of the journal is read"),
    "timeout": ({"type": "number", "minimum": 0, "maximum": 10}, "Seconds to wait; default 2"),
}
"""Parameter of a list → its schema and what it means."""
