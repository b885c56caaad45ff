"""The query API: `/api/v1/query`, `/catalogue`, `/series`, `/freshness`, `/ledger`. Thin: text to `Query`, `Result` to
text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from fastapi import APIRouter, Request, Response

from aggregates.patience import Caller
from aggregates.queries import (
    Abandoned,
    OutOfMemory,
    QueryError,
    TooManyRows,
    TooSlow,
    Unanswerable,
    UnknownMetric,
)
from aggregates.query_fields import parse_query, unknown_field
from aggregates.readmodel import ReadModel
from dashboard.answers import document, freshness_document, refusal
from dashboard.formats import form_of, respond
from dashboard.ledger import ledger_document, parse_ledger
from dashboard.runner import RETRY_AFTER_S, Busy, Runner
from dashboard.series import parse_series, series_document

MAX_BODY_BYTES = 64 * 1024
MAX_WAITS = 200
"""Clients that may wait for a position at the same time."""
_MAX_WAIT_S = 10.0
_DEFAULT_WAIT_S = 2.0
_LEFT = 499
"""Of an answer that nobody takes any more; it only stands in logs."""
Clock = Callable[[], int]
Fields = Mapping[str, object]


def router(model: ReadModel, clock: Clock, runner: Runner | None = None) -> APIRouter:
    """Routes over a read model; `clock` gives epoch milliseconds."""
    routes = APIRouter(prefix="/api/v1")
    asked = Asked(model, clock, runner or Runner())

    @routes.get("/query")
    async def get_query(request: Request) -> Response:
        fields = parameters(request.query_params.multi_items())
        return refusal(400, fields) if isinstance(fields, QueryError) else await asked.query(request, fields)

    @routes.post("/query")
    async def post_query(request: Request) -> Response:
        body = await read_body(request)
        if body is None:
            message = f"a query may be {MAX_BODY_BYTES} bytes long"
            return refusal(413, QueryError("too_large", None, message))
        fields = json_object(body)
        return refusal(400, fields) if isinstance(fields, QueryError) else await asked.query(request, fields)

    @routes.get("/catalogue")
    async def get_catalogue(request: Request) -> Response:
        fields = single(request.query_params.multi_items(), ())
        if isinstance(fields, QueryError):
            return refusal(400, fields)
        return await asked.answer(request, lambda _: document({"metrics": model.catalogue()}))

    @routes.get("/series")
    async def get_series(request: Request) -> Response:
        wanted = parse_series(request.query_params.multi_items())
        if isinstance(wanted, QueryError):
            return refusal(400, wanted)
        return await asked.answer(
            request,
            lambda caller: document(
                series_document(wanted, model.series(wanted.metric, wanted.where, wanted.limit, wanted.after, caller))
            ),
        )

    @routes.get("/freshness")
    async def get_freshness(request: Request) -> Response:
        fields = single(request.query_params.multi_items(), ())
        if isinstance(fields, QueryError):
            return refusal(400, fields)
        return document(freshness_document(model.freshness(clock())))

    @routes.get("/ledger")
    async def get_ledger(request: Request) -> Response:
        wanted = parse_ledger(request.query_params.multi_items(), clock())
        if isinstance(wanted, QueryError):
            return refusal(400, wanted)
        return await asked.answer(request, lambda caller: document(ledger_document(model.ledger(wanted, caller))))

    return routes


class Asked:
    """Questions to one read model, and what is said when they cannot be answered."""

    def __init__(self, model: ReadModel, clock: Clock, runner: Runner) -> None:
        self._model, self._clock, self._runner = model, clock, runner
        self._waits = 0

    async def query(self, request: Request, fields: Fields) -> Response:
        """Parse, wait for the position if one is asked for, query, and write the answer in the wanted form."""
        query = parse_query(fields, self._clock())
        form = form_of(fields.get("format"), request.headers.get("accept", ""))
        wait = parse_wait(fields)
        for wrong in (query, form, wait):
            if isinstance(wrong, QueryError):
                return refusal(400, wrong)
        assert not isinstance(query, QueryError)
        assert not isinstance(form, QueryError)
        if isinstance(wait, tuple) and (late := await self._late(wait)) is not None:
            return late
        known = request.headers.get("if-none-match") if request.method == "GET" else None
        return await self.answer(request, lambda caller: respond(query, self._model.query(query, caller), form, known))

    async def answer(self, request: Request, work: Callable[[Caller], Response]) -> Response:
        """What `work` gives, or the refusal that says why it gave nothing."""
        counts = self._runner.counts
        try:
            found = await self._runner.run(request, work)
        except Unanswerable as refused:
            counts.refused += 1
            return refusal(400, refused.error)
        except UnknownMetric as unknown:
            counts.refused += 1
            return refusal(404, QueryError("unknown_metric", "metric", str(unknown)))
        except TooManyRows as many:
            counts.refused += 1
            field = "from" if request.url.path.endswith("/ledger") else "step"
            return refusal(400, QueryError("too_many_rows", field, str(many)))
        except TooSlow as slow:
            counts.too_slow += 1
            return refusal(504, QueryError("query_timeout", None, str(slow)))
        except OutOfMemory as full:
            counts.too_slow += 1
            return refusal(503, QueryError("out_of_memory", None, str(full)), RETRY_AFTER_S)
        except Busy as busy:
            counts.busy += 1
            return refusal(503, QueryError("busy", None, str(busy)), RETRY_AFTER_S)
        except Abandoned:
            counts.abandoned += 1
            return Response(None, _LEFT)
        counts.answered += 1
        return found

    async def _late(self, wait: Wait) -> Response | None:
        """Read your writes: None once the position is counted in, or the answer that says it is not."""
        topic, offsets, timeout_s = wait
        if not self._model.knows_topic(topic):
            message = f"the position belongs to another log: its topic id begins with {topic[:40]}"
            return refusal(400, QueryError("unknown_topic", "min_position", message))
        if self._waits >= MAX_WAITS:
            self._runner.counts.busy += 1
            message = "too many queries wait for a position; ask again"
            return refusal(503, QueryError("busy", "min_position", message), RETRY_AFTER_S)
        self._waits += 1
        try:
            if await self._model.reach(offsets, timeout_s):
                return None
        finally:
            self._waits -= 1
        message = f"not counted in within {timeout_s:g} s"
        return refusal(504, QueryError("position_not_reached", "min_position", message))


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
            return QueryError("invalid_query", name[:100], f"{name[:60]} may stand once")
        else:
            fields[name] = value
    return fields


def single(items: Sequence[tuple[str, str]], known: Sequence[str]) -> dict[str, str] | QueryError:
    """Query parameters of which each may stand once."""
    fields = parameters(items)
    wrong = fields if isinstance(fields, QueryError) else unknown_field(fields, known)
    return wrong if wrong is not None else dict(items)


def json_object(body: bytes) -> dict[str, object] | QueryError:
    """The JSON object of a request body."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return QueryError("invalid_json", None, f"the body is no JSON: {error}"[:200])
    if not isinstance(found, dict):
        return QueryError("invalid_json", None, "the body must be a JSON object")
    return found


Wait = tuple[str, dict[int, int], float]
"""Topic id prefix, partition → next offset, and how long to wait (s)."""


def parse_wait(fields: Fields) -> Wait | QueryError | None:
    """What `min_position` and `timeout` ask for; None without a position."""
    timeout = seconds(_DEFAULT_WAIT_S if fields.get("timeout") is None else fields["timeout"])
    if timeout is None:
        return QueryError("invalid_query", "timeout", f"timeout must be 0 to {_MAX_WAIT_S:g} seconds")
    if fields.get("min_position") is None:
        return None
    parsed = parse_position(fields["min_position"])
    if parsed is None:
        return QueryError("invalid_query", "min_position", "min_position must be a position as ingest gave it")
    return (*parsed, timeout)


def parse_position(text: object) -> tuple[str, dict[int, int]] | None:
    """Topic id prefix and partition → next offset of `<prefix>;<partition>:<offset>,…`; None when it is none."""
    if not isinstance(text, str) or len(text) > 4096 or ";" not in text:
        return None
    topic, _, rest = text.partition(";")
    offsets: dict[int, int] = {}
    for part in rest.split(",") if rest else []:
        partition, _, offset = part.partition(":")
        if not (is_number(partition) and is_number(offset)):
            return None
        offsets[int(partition)] = int(offset)
    return topic, offsets


def is_number(text: str) -> bool:
    """Whether a text is a whole number as offsets are."""
    return text.isascii() and text.isdigit() and len(text) < 20


def seconds(value: object) -> float | None:
    """A timeout: 0 to 10 seconds, as number or text."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number <= _MAX_WAIT_S else None
