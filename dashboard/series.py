"""`/api/v1/series`: parameters to a question, a page of series to a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aggregates.queries import Filter, QueryError
from aggregates.query_fields import parse_filters, unknown_field
from aggregates.series_list import SeriesPage

FIELDS: Final = ("metric", "where", "limit", "cursor")
MAX_LIMIT: Final = 1000
DEFAULT_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """A page of a metric's series, behind the one with the id `after`."""

    metric: str
    where: tuple[Filter, ...] = ()
    limit: int = DEFAULT_LIMIT
    after: int = -1


def parse_series(items: Sequence[tuple[str, str]]) -> SeriesRequest | QueryError:
    """The question in query parameters; only `where` may be repeated."""
    names = [name for name, _ in items]
    wrong = unknown_field(names, FIELDS)
    if wrong is not None:
        return wrong
    for name in names:
        if name != "where" and names.count(name) > 1:
            return QueryError("invalid_query", name, f"{name} may stand once")
    fields = {name: value for name, value in items if name != "where"}
    if not fields.get("metric"):
        return QueryError("invalid_query", "metric", "metric is required")
    where = parse_filters([value for name, value in items if name == "where"])
    if isinstance(where, QueryError):
        return where
    limit = _whole(fields.get("limit", str(DEFAULT_LIMIT)))
    if limit is None or not 1 <= limit <= MAX_LIMIT:
        return QueryError("invalid_query", "limit", f"limit must be a whole number from 1 to {MAX_LIMIT}")
    after = _whole(fields["cursor"]) if "cursor" in fields else -1
    if after is None:
        return QueryError("invalid_query", "cursor", "cursor must be the `next` of the page before")
    return SeriesRequest(fields["metric"], where, limit, after)


def series_document(wanted: SeriesRequest, page: SeriesPage) -> dict[str, object]:
    """The answer's JSON object."""
    return {
        "metric": wanted.metric,
        "series": [{"dimensions": one.dimensions, "kind": one.kind, "unit": one.unit} for one in page.series],
        "total": page.total,
        "next": None if page.next is None else str(page.next),
    }


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
