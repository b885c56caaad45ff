"""The forms an answer may have: which one is wanted, its bytes, and the tag that says whether it is still the same."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from fastapi import Response

from aggregates.queries import Query, QueryError, Result
from dashboard import arrow
from dashboard.answers import csv_text, result_document, timestamp

JSON, CSV, ARROW = "json", "csv", "arrow"
MEDIA_TYPES: Final = {JSON: "application/json", CSV: "text/csv; charset=utf-8", ARROW: arrow.MEDIA_TYPE}
_ACCEPTED: Final = {"application/json": JSON, "text/csv": CSV, arrow.MEDIA_TYPE: ARROW}
CHANGING: Final = ("freshness", "took_ms")
"""Members of an answer that differ from one moment to the next although nothing was counted."""


def form_of(wanted: object, accept: str) -> str | QueryError:
    """The form named by `format`, else the one `Accept` likes best; JSON where it names none of ours."""
    if wanted in (None, ""):
        return _accepted(accept)
    if not isinstance(wanted, str) or wanted not in MEDIA_TYPES:
        return QueryError("invalid_query", "format", "format must be json, csv or arrow")
    return wanted


def _accepted(accept: str) -> str:
    best, form = 0.0, JSON
    for part in accept.split(",")[:50]:
        name, *parameters = [text.strip().lower() for text in part.split(";")]
        found = _ACCEPTED.get(name)
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        if found is not None and (q := _quality(weight)) > best:
            best, form = q, found
    return form


def _quality(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if 0.0 <= found <= 1.0 else 0.0


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether a client holds this answer already."""
    return if_none_match is not None and (
        if_none_match.strip() == "*" or etag in (tag.strip() for tag in if_none_match.split(","))
    )


def respond(query: Query, result: Result, form: str, if_none_match: str | None = None) -> Response:
    """The HTTP answer. Takes a while for many rows: not on the event loop."""
    said = result_document(query, result)
    changing = {name: said.pop(name) for name in CHANGING}
    # The tag is weak: what it stands for is everything but freshness and time taken.
    lasting = msgspec.json.encode(said)
    etag = f'W/"{hashlib.blake2b(lasting, digest_size=16).hexdigest()}-{form}"'
    freshness = result.freshness
    headers = {
        "Cache-Control": "private, no-cache",
        "Vary": "Accept",
        "ETag": etag,
        "X-Position": freshness.position,
        "X-Watermark": timestamp(freshness.watermark_ms) or "",
    }
    if matches(if_none_match, etag):
        return Response(None, 304, headers)
    if form == JSON:
        body = lasting[:-1] + b"," + msgspec.json.encode(changing)[1:]
    elif form == CSV:
        body = csv_text(result).encode()
    else:
        body = arrow.arrow_stream(result, {n: v for n, v in {**said, **changing}.items() if n != "rows"})
    return Response(body, 200, headers, MEDIA_TYPES[form])
