"""The OpenAPI document of the dashboard's API, by hand: parameters are read by code of our own. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dashboard import openapi_annotations, samples
from dashboard.formats import MEDIA_TYPES
from dashboard.samples import Sample
from dashboard.schemas import QUERY, SCHEMAS, Schema, ref
from dashboard.series import DEFAULT_LIMIT, MAX_LIMIT

_TIME: Final = {"type": "string", "minLength": 1}
_TEXT: Final = {"type": "string", "minLength": 1}
_REFUSALS: Final = {
    400: "A field is wrong, or there is none of that name; `field` and `message` say which and why",
    401: "No key, or none that is valid",
    403: "The key may not read",
    404: "No event of the metric was ever counted, or no record is at the position",
    409: "The id was removed or says something else, or there are too many",
    413: "The body is longer than 64 KiB",
    421: "The `Host` is not one of this server",
    503: "Too many queries at once, or too little memory; ask again after `Retry-After`",
    504: "The position was not reached, or the query not answered, in time",
}
_WHERE: Final = {
    "name": "where",
    "in": "query",
    "schema": {"type": "array", "items": {"type": "string", "pattern": "^!?[^:]*:"}},
    "style": "form",
    "explode": True,
    "description": "`country:NL`, repeated; `!country:DE` for all but that",
}


def _parameter(name: str, schema: Schema, description: str, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": description}


def _query_parameters() -> list[Schema]:
    found = [_WHERE]
    for name, asked in QUERY.items():
        description = asked.get("description", "")
        if asked.get("type") == "array":
            found.append(_parameter(name, _TEXT, f"Comma-separated: {description}"))
        elif "oneOf" in asked:
            found.append(_parameter(name, _TIME, description))
        elif name != "where":
            plain = {word: value for word, value in asked.items() if word != "description"}
            found.append(_parameter(name, plain, description, name == "metric"))
    return found


def _json(name: str) -> Schema:
    return {"application/json": {"schema": ref(name)}}


def _answer(name: str, description: str = "The answer") -> Schema:
    return {"description": description, "content": _json(name)}


def _refused(status: int) -> Schema:
    refused = _answer("Error", _REFUSALS[status])
    if status == 421:
        refused["content"] = {"text/plain": {"schema": {"type": "string"}}}
    if status == 503:
        refused["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}}}
    return refused


def _operation(
    operation: str,
    summary: str,
    answers: Mapping[str, Schema],
    refusals: Sequence[int],
    examples: Sequence[Sample],
    parameters: Sequence[Schema] = (),
    **more: Any,
) -> Schema:
    return {
        "operationId": operation,
        "summary": summary,
        "security": [{"key": []}, {}],
        **({"parameters": list(parameters)} if parameters else {}),
        **more,
        "responses": {**answers, **{str(status): _refused(status) for status in (401, 403, 421, *refusals)}},
        "x-codeSamples": [{"lang": "Shell", "label": one.label, "source": one.command} for one in examples],
    }


def _asked() -> dict[str, Schema]:
    texts = {form: media.partition(";")[0] for form, media in MEDIA_TYPES.items()}
    content: Schema = {
        **_json("Answer"),
        texts["csv"]: {"schema": {"type": "string", "description": "RFC 4180, a line of names first"}},
        texts["arrow"]: {"schema": {"type": "string", "format": "binary", "description": "An Arrow IPC stream"}},
    }
    headers = {
        "ETag": "Weak; the same while everything but freshness and `took_ms` is",
        "X-Position": "The position the answer includes",
        "X-Watermark": "Everything up to then is in the answer",
    }
    answer = {
        "description": "The answer, in the form that `format` or `Accept` names",
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()},
        "content": content,
    }
    return {"200": answer}


def _paths() -> Schema:
    asked, refusals = _asked(), (400, 404, 503, 504)
    unchanged = {"304": {"description": "The answer is still that of `If-None-Match`"}}
    body = {"required": True, "content": _json("Query")}
    where = {**_WHERE, "required": False}
    return {
        "/api/v1/query": {
            "get": _operation(
                "query", "Ask a metric", {**asked, **unchanged}, refusals, samples.GET_QUERY, _query_parameters()
            ),
            "post": _operation(
                "queryBody", "Ask a metric", asked, (*refusals, 413), samples.POST_QUERY, requestBody=body
            ),
        },
        "/api/v1/catalogue": {
            "get": _operation(
                "catalogue", "Every metric there is", {"200": _answer("Catalogue")}, (400, 503, 504), samples.CATALOGUE
            )
        },
        "/api/v1/series": {
            "get": _operation(
                "series",
                "The series of a metric",
                {"200": _answer("Series")},
                refusals,
                samples.SERIES,
                [
                    _parameter("metric", dict(_TEXT), "A plain metric", required=True),
                    where,
                    _parameter(
                        "limit",
                        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                        "Of a page",
                    ),
                    _parameter("cursor", {"type": "string", "pattern": "^[0-9]{1,9}$"}, "`next` of the page before"),
                ],
            )
        },
        "/api/v1/freshness": {
            "get": _operation(
                "freshness", "How current answers are", {"200": _answer("Freshness")}, (400,), samples.FRESHNESS
            )
        },
        "/api/v1/ledger": {
            "get": _operation(
                "ledger",
                "What became of every event",
                {"200": _answer("Ledger")},
                (400, 503, 504),
                samples.LEDGER,
                [
                    _parameter("metric", dict(_TEXT), "Only this one"),
                    _parameter("from", dict(_TIME), "As in a query"),
                    _parameter("to", dict(_TIME), "As in a query"),
                ],
            )
        },
        "/api/v1/receipts": {
            "get": _operation(
                "receipt",
                "What became of one record",
                {"200": _answer("Receipt")},
                (400, 404, 504),
                samples.RECEIPTS,
                [
                    _parameter(
                        "position",
                        {"type": "string", "pattern": "^([0-9a-f]+;)?[0-9]{1,19}:[0-9]{1,19}$"},
                        "Partition and offset of the record, such as `0:41`",
                        required=True,
                    )
                ],
            )
        },
    }


def _annotation_paths() -> Schema:
    path_id = {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "The annotation's id.",
        "schema": openapi_annotations.ID_SCHEMA,
    }
    listed = [_parameter(name, schema, about) for name, (schema, about) in openapi_annotations.LISTED.items()]
    changed, idempotency = _answer("AnnotationChanged"), {
        "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": "^[ -~]{1,200}$"},
        "description": "Stands for an id, of this caller",
    }  # fmt: skip

    def change(name: str, summary: str, body: str | None, examples: Sequence[Sample] = ()) -> Schema:
        sent = {} if body is None else {"requestBody": {"required": True, "content": _json(body)}}
        refusals = (400, 404, 409, 413, 503)
        return _operation(name, summary, {"200": changed}, refusals, examples, [path_id], **sent)

    return {
        "/api/v1/annotations": {
            "get": _operation(
                "annotations", "Annotations by time", {"200": _answer("Annotations")}, (400, 503, 504),
                samples.ANNOTATIONS, listed,
            ),
            "post": _operation(
                "annotate", "Add an annotation", {"200": changed, "201": changed}, (400, 409, 413, 503),
                samples.ANNOTATE, [idempotency],
                requestBody={"required": True, "content": _json("NewAnnotation")},
            ),
        },
        "/api/v1/annotations/{id}": {
            "get": _operation(
                "annotation", "One annotation", {"200": _answer("Annotation")}, (404, 409), (), [path_id]
            ),
            "patch": change("editAnnotation", "Change what is named", "AnnotationEdit"),
            "put": change("replaceAnnotation", "Change everything", "WholeAnnotation"),
            "delete": change("removeAnnotation", "Remove an annotation", None),
        },
    }  # fmt: skip


def document() -> Schema:
    """The document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallyboard queries",
            "version": "1",
            "description": "Answers from what was counted before. Rejected events: see docs/api.md.",
        },
        "paths": {**_paths(), **_annotation_paths()},
        "components": {
            "schemas": {**SCHEMAS, **openapi_annotations.SCHEMAS},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key with the scope `read`; not asked for while the workspace has no keys",
                }
            },
        },
    }
