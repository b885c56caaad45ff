"""`/api/v1/annotations`: listed, added, edited, removed. Changes are journalled, and the journal's order decides."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from aggregates.annotations import Annotations
from aggregates.queries import QueryError
from dashboard.access import pass_of
from dashboard.annotation_desk import Clock, Desk, Writing, annotation_document
from dashboard.annotation_fields import CONTENT, Addition, id_of, parse_addition, parse_edit, parse_list
from dashboard.answers import document, refusal
from dashboard.api import json_object, read_body, single

Author = Callable[[Request], str | None]
"""The id of the key a request comes with."""


def key_of(request: Request) -> str | None:
    """The id of the key that let the request in; None while the workspace has none."""
    key = pass_of(request).key
    return None if key is None else key.id


def annotations_router(annotations: Annotations, journal: Writing, clock: Clock, author: Author = key_of) -> APIRouter:
    """The routes. `clock` gives epoch milliseconds."""
    routes = APIRouter(prefix="/api/v1/annotations")
    desk = Desk(annotations, journal, clock)

    @routes.get("")
    async def list_annotations(request: Request) -> Response:
        wanted = parse_list(request.query_params.multi_items(), clock())
        return refusal(400, wanted) if isinstance(wanted, QueryError) else await desk.listed(wanted)

    @routes.post("")
    async def add_annotation(request: Request) -> Response:
        fields = await _body(request)
        wanted = fields if isinstance(fields, Response) else parse_addition(fields, clock())
        keyed = id_of(request.headers.get("idempotency-key"), author(request))
        for wrong in (wanted, keyed):
            if isinstance(wrong, QueryError):
                return refusal(400, wrong)
        if isinstance(wanted, Response):
            return wanted
        assert isinstance(wanted, Addition)
        assert not isinstance(keyed, QueryError)
        return await desk.add(wanted, keyed, author(request))

    @routes.get("/{id_}")
    async def show_annotation(id_: str) -> Response:
        known = desk.known(id_)
        return known if isinstance(known, Response) else document(annotation_document(known))

    async def edit(request: Request, id_: str) -> Response:
        fields = await _body(request)
        if isinstance(fields, Response):
            return fields
        known = desk.known(id_)
        if isinstance(known, Response):
            return known
        whole = request.method == "PUT"
        wanted = parse_edit(fields, clock(), known, whole)
        if isinstance(wanted, QueryError):
            return refusal(400, wanted)
        return await desk.edit(known, wanted, CONTENT if whole else fields, author(request))

    routes.add_api_route("/{id_}", edit, methods=["PUT", "PATCH"])

    @routes.delete("/{id_}")
    async def remove_annotation(request: Request, id_: str) -> Response:
        wrong = single(request.query_params.multi_items(), ())
        return refusal(400, wrong) if isinstance(wrong, QueryError) else await desk.remove(id_, author(request))

    return routes


async def _body(request: Request) -> dict[str, object] | Response:
    """The JSON object of a change, or what to say without one."""
    parameters = single(request.query_params.multi_items(), ())
    body = await read_body(request)
    if body is None:
        return refusal(413, QueryError("too_large", None, "the request is too long"))
    fields = json_object(body)
    for wrong in (parameters, fields):
        if isinstance(wrong, QueryError):
            return refusal(400, wrong)
    assert isinstance(fields, dict)
    return fields
