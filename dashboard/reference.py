"""The API described: `/api/v1/openapi.json` for tools, `/docs` for people."""

from __future__ import annotations

from fastapi import APIRouter, Response

from dashboard.answers import document
from dashboard.openapi import document as openapi_document
from ingest.reference import page

ADDRESS = "/api/v1/openapi.json"


def reference_router() -> APIRouter:
    """Both routes."""
    routes = APIRouter()

    @routes.get(ADDRESS)
    async def openapi() -> Response:
        return document(openapi_document())

    @routes.get("/docs")
    async def docs() -> Response:
        return Response(page(openapi_document(), ADDRESS), media_type="text/html; charset=utf-8")

    return routes
