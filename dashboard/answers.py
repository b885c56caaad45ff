"""Answers of the API as text: JSON documents, CSV, refusals."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from fastapi import Response

from aggregates.queries import STEPS, Freshness, Query, QueryError, Result

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")
_STEP_NAMES = {seconds: name for name, seconds in STEPS.items()}


def timestamp(epoch_ms: int | None, always_ms: bool = False) -> str | None:
    """RFC 3339 in UTC, with milliseconds where there are any (or always: such texts sort by time)."""
    if epoch_ms is None:
        return None
    text = (_EPOCH + timedelta(milliseconds=epoch_ms)).isoformat(
        timespec="milliseconds" if always_ms or epoch_ms % 1000 else "seconds"
    )
    return text.replace("+00:00", "Z")


def freshness_document(freshness: Freshness) -> dict[str, object]:
    return {
        "position": freshness.position,
        "watermark": timestamp(freshness.watermark_ms),
        "lag_ms": freshness.lag_ms,
        "applied_at": timestamp(freshness.applied_at_ms),
    }


def result_document(query: Query, result: Result) -> dict[str, object]:
    """The answer's JSON object."""
    return {
        "columns": [{"name": c.name, "type": c.type, "unit": c.unit} for c in result.columns],
        "rows": [_cells(query, row) for row in result.rows],
        "freshness": freshness_document(result.freshness),
        "range": {"from": timestamp(result.start_ms), "to": timestamp(result.end_ms)},
        "step": None if result.step_s is None else _STEP_NAMES[result.step_s],
        "level": result.level,
        "view": result.view,
        "restated": result.restated,
        "error_bound": result.error_bound,
        "others": result.others,
        "took_ms": result.took_ms,
    }


def _cells(query: Query, row: Sequence[object]) -> Sequence[object]:
    if query.step_s is None:
        return row
    first = row[0]
    return [timestamp(first) if isinstance(first, int) else None, *row[1:]]


def csv_text(result: Result) -> str:
    """RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_csv_cell("string", column.name) for column in result.columns])
    for row in result.rows:
        writer.writerow([_csv_cell(column.type, cell) for column, cell in zip(result.columns, row, strict=True)])
    return out.getvalue()


def _csv_cell(kind: str, cell: object) -> object:
    if kind == "time" and isinstance(cell, int):
        return timestamp(cell)
    if kind == "histogram":
        return msgspec.json.encode(cell).decode()
    return csv_text_cell(cell)


def csv_text_cell(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return "'" + cell
    return cell


def document(content: object) -> Response:
    """A JSON answer that no cache keeps."""
    return Response(msgspec.json.encode(content), media_type="application/json", headers={"Cache-Control": "no-store"})


def refusal(status: int, error: QueryError, retry_after_s: int | None = None) -> Response:
    """An error of the API: code, field and message."""
    body = msgspec.json.encode({"code": error.code, "field": error.field, "message": error.message})
    headers = {"Cache-Control": "no-store"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Response(body, status, media_type="application/json", headers=headers)
