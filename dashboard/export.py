"""`/api/v1/export`: the table of an explore page as a file. The parameters are those of the page's address, and `at`
(the moment it was seen, epoch milliseconds), `line` (repeated: the values that have columns), `order` (a column's
number or `time`, "-" for the largest first) and `format` (`csv` or `xlsx`)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response

from aggregates.queries import QueryError, TooManyRows, Unanswerable, UnknownMetric
from dashboard.answers import refusal, timestamp
from dashboard.controls import settled
from dashboard.courses import LINES
from dashboard.explore import view
from dashboard.export_files import csv_file, xlsx_file
from dashboard.filters import filter_words
from dashboard.names import readable
from dashboard.ranges import Times
from dashboard.reading import Reading
from dashboard.scenes import Held
from dashboard.state import Explore, encode, parse, write
from dashboard.table import NEWEST_FIRST, Table

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
OWN = ("at", "line", "order", "format")
FURTHEST_MS = 4_102_444_800_000
_ORDER = re.compile(r"-?(time|\d{1,3})")


@dataclass(frozen=True, slots=True)
class Wish:
    """What file is asked for; `at_ms` None is now."""

    state: Explore
    at_ms: int | None
    lines: tuple[str, ...]
    order: str
    form: str


def export_router(model: Reading, times_at: Callable[[int], Times], clock: Callable[[], int]) -> APIRouter:
    """The route over a read model.

    Args:
        times_at: the times a view needs at a moment.
        clock: epoch milliseconds.
    """
    routes = APIRouter(prefix="/api/v1")

    @routes.get("/export")
    async def export(request: Request) -> Response:
        wish = parse_wish(request.url.query)
        if isinstance(wish, QueryError):
            return refusal(400, wish)
        now = clock()
        times = times_at(now if wish.at_ms is None else min(wish.at_ms, now))
        try:
            return await asyncio.to_thread(_file, model, wish, times)
        except UnknownMetric as unknown:
            return refusal(404, QueryError("unknown_metric", "metric", str(unknown)))
        except Unanswerable as refused:
            return refusal(400, refused.error)
        except TooManyRows as many:
            return refusal(400, QueryError("too_many_rows", "step", str(many)))

    return routes


def parse_wish(query: str) -> Wish | QueryError:
    """The parameters, or the one that is wrong."""
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
    own = {name: value for name, value in pairs if name in OWN}
    form, order, at = own.get("format", "csv"), own.get("order", NEWEST_FIRST), own.get("at")
    if form not in ("csv", "xlsx"):
        return QueryError("invalid_query", "format", "format must be csv or xlsx")
    if not _ORDER.fullmatch(order):
        return QueryError("invalid_query", "order", "order must be time or the number of a column, - for largest first")
    if at is not None and not (at.isascii() and at.isdigit() and int(at[:15]) < FURTHEST_MS):
        return QueryError("invalid_query", "at", "at must be epoch milliseconds")
    state, notices = parse(encode([(name, value) for name, value in pairs if name not in OWN]))
    if notices:
        return QueryError("invalid_query", None, notices[0])
    lines = tuple(value for name, value in pairs if name == "line")[:LINES]
    return Wish(state, None if at is None else int(at), lines, order, form)


def _file(model: Reading, wish: Wish, times: Times) -> Response:
    payload, held = view(model, wish.state, Held(top=wish.lines), times)
    if held.table is None:
        raise UnknownMetric(wish.state.metric or "")
    name = file_name(str(payload["metric"]), held.table, times.now)
    if wish.form == "csv":
        return _attached(csv_file(held.table, wish.order), "text/csv; charset=utf-8", f"{name}.csv")
    metric = next(m for m in model.catalogue() if wish.state.metric in (None, m.name))
    about = _about(settled(wish.state, metric)[0], payload, held.table, times)
    return _attached(xlsx_file(held.table, about, wish.order), XLSX, f"{name}.xlsx")


def _about(state: Explore, payload: dict[str, object], table: Table, times: Times) -> Sequence[tuple[str, str]]:
    """What the sheet beside the numbers says."""
    return [
        ("Metric", str(payload["metric"])),
        ("Measure", str(payload["measure"])),
        ("Unit", table.unit or "none"),
        ("Step", str(payload["step"])),
        ("Time zone", table.zone),
        ("Split by", readable(state.by, 200) if state.by else "nothing"),
        ("Filters", filter_words(state.where) or "none"),
        ("Seen at", timestamp(times.now) or ""),
        ("State", "“may change” and “so far” are rows that were not final when the file was made"),
        ("Page", f"/explore?{write(replace(state, table='open'))}"),
    ]


def file_name(metric: str, table: Table, now_ms: int) -> str:
    """A name every system takes: the metric, and up to when the table reaches."""
    last = timestamp(table.times[-1] if table.times else now_ms) or ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{metric[:80]}-{last.replace(':', '')}").strip("-.")


def _attached(content: bytes, kind: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type=kind, headers=headers)
