"""The query API: `/api/v1/query`, `/catalogue`, `/freshness`, `/ledger`. Thin: text to `Query`, `Result` to text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
from fastapi import APIRouter, Request, Response

from aggregates.queries import QueryError, TooManyRows, Unanswerable, UnknownMetric
from aggregates.query_fields import parse_query
from aggregates.readmodel import ReadModel
from dashboard.answers import csv_text, document, freshness_document, refusal, result_document
from dashboard.ledger import ledger_document, parse_ledger

MAX_BODY_BYTES = 64 * 1024
_MAX_WAIT_S = 10.0
_DEFAULT_WAIT_S = 2.0
Fields = Mapping[str, object]


def router(model: ReadModel, clock: Callable[[], int]) -> APIRouter:
    """Routes over a read model; `clock` gives epoch milliseconds."""
    routes = APIRouter(prefix="/api/v1")

    @routes.get("/query")
    async def get_query(request: Request) -> Response:
        fields = parameters(request.query_params.multi_items())
        if isinstance(fields, QueryError):
            return refusal(400, fields)
        return await answer(model, fields, request.headers.get("accept", ""), clock())

    @routes.post("/query")
    async def post_query(request: Request) -> Response:
        body = await read_body(request)
        if body is None:
            message = f"a query may be {MAX_BODY_BYTES} bytes long"
            return refusal(413, QueryError("too_large", None, message))
        fields = json_object(body)
        if isinstance(fields, QueryError):
            return refusal(400, fields)
        return await answer(model, fields, request.headers.get("accept", ""), clock())

    @routes.get("/catalogue")
    async def get_catalogue() -> Response:
        metrics = await asyncio.to_thread(model.catalogue)
        return document({"metrics": metrics})

    @routes.get("/freshness")
    async def get_freshness() -> Response:
        return document(freshness_document(model.freshness(clock())))

    @routes.get("/ledger")
    async def get_ledger(request: Request) -> Response:
        wanted = parse_ledger(request.query_params.multi_items(), clock())
        if isinstance(wanted, QueryError):
            return refusal(400, wanted)
        try:
            found = await asyncio.to_thread(model.ledger, wanted)
        except TooManyRows as many:
            return refusal(400, QueryError("too_many_rows", "from", str(many)))
        return document(ledger_document(found))

    return routes


async def read_body(request: Request) -> bytes | None:
    """The body; None when it is longer than a query may be."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return body


def parameters(items: Sequence[tuple[str, str]]) -> dict[str, object] | QueryError:
    """Query parameters as fields; only `where` may be repeated."""
    fields: dict[str, object] = {}
    for name, value in items:
        if name == "where":
            fields.setdefault("where", [])
            found = fields["where"]
            assert isinstance(found, list)
            found.append(value)
        elif name in fields:
            return QueryError("invalid_query", name, f"{name[:60]} may stand once")
        else:
            fields[name] = value
    return fields


def json_object(body: bytes) -> dict[str, object] | QueryError:
    """The JSON object of a request body."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return QueryError("invalid_json", None, f"the body is no JSON: {error}"[:200])
    if not isinstance(found, dict):
        return QueryError("invalid_json", None, "the body must be a JSON object")
    return found


async def answer(model: ReadModel, fields: Fields, accept: str, now_ms: int) -> Response:
    """Parse, wait for the position if one is asked for, query, and write the answer in the wanted format."""
    query = parse_query(fields, now_ms)
    if isinstance(query, QueryError):
        return refusal(400, query)
    form = fields.get("format") or ("csv" if "text/csv" in accept else "json")
    if form not in ("json", "csv"):
        return refusal(400, QueryError("invalid_query", "format", "format must be json or csv"))
    late = await wait_for_position(model, fields)
    if late is not None:
        return late
    try:
        result = await asyncio.to_thread(model.query, query)
    except Unanswerable as refused:
        return refusal(400, refused.error)
    except UnknownMetric as unknown:
        return refusal(404, QueryError("unknown_metric", "metric", str(unknown)))
    except TooManyRows as many:
        return refusal(400, QueryError("too_many_rows", "step", str(many)))
    if form == "csv":
        return Response(csv_text(result), media_type="text/csv; charset=utf-8", headers={"Cache-Control": "no-store"})
    return document(result_document(query, result))


async def wait_for_position(model: ReadModel, fields: Fields) -> Response | None:
    """Read your writes: None once `min_position` is counted in, or the answer that says it is not."""
    wanted = fields.get("min_position")
    if wanted is None:
        return None
    parsed = parse_position(wanted)
    timeout = seconds(fields.get("timeout", _DEFAULT_WAIT_S))
    if parsed is None or timeout is None:
        field = "min_position" if parsed is None else "timeout"
        message = "min_position must be a position as ingest gave it; timeout 0 to 10 seconds"
        return refusal(400, QueryError("invalid_query", field, message))
    topic, offsets = parsed
    if not model.knows_topic(topic):
        message = f"the position belongs to another log: its topic id begins with {topic}"
        return refusal(400, QueryError("unknown_topic", "min_position", message))
    if await model.reach(offsets, timeout):
        return None
    return refusal(504, QueryError("position_not_reached", "min_position", f"not counted in within {timeout:g} s"))


def parse_position(text: object) -> tuple[str, dict[int, int]] | None:
    """Topic id prefix and partition → next offset of `<prefix>;<partition>:<offset>,…`; None when it is none."""
    if not isinstance(text, str) or len(text) > 4096 or ";" not in text:
        return None
    topic, _, rest = text.partition(";")
    offsets: dict[int, int] = {}
    for part in rest.split(",") if rest else []:
        partition, _, offset = part.partition(":")
        if not (partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
            return None
        offsets[int(partition)] = int(offset)
    return topic, offsets


def seconds(value: object) -> float | None:
    """A timeout: 0 to 10 seconds, as number or text."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except ValueError:
        return None
    return number if 0 <= number <= _MAX_WAIT_S else None
