"""Signing in and out: `/sign-in`, `/sign-out`, and what a browser gets in place of a page it may not see yet.

The form is answered with a cookie and a way back to the page that was wanted, which is one of ours whatever it says.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable, Container
from typing import Final
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope as Asked

from dashboard.access import Access, Pass
from dashboard.answers import document, timestamp
from dashboard.api import read_body
from dashboard.edge import from_own_page
from dashboard.pages.sign_in import POLICY, Frame
from ingest.keys import Scope
from ingest.limits import TokenBucket

TRIES: Final = 10
"""Wrong keys an address may try at once, …"""
TRIES_A_MINUTE: Final = 10
"""… and a minute after that."""
MAX_ADDRESSES: Final = 10_000
"""Addresses whose tries are remembered; the one heard of longest ago is forgotten first."""
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_QUERY_LETTERS: Final = "!$&'()*+,;=:@/?-._~%"


class Tries:
    """How often wrong keys came from where. Not against guessing, which 160 bits prevent: against noise and load."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic_s
        self._buckets: dict[str, TokenBucket] = {}

    def wait_s(self, client: str) -> int:
        """0: it may try. Else the seconds until it may."""
        bucket = self._buckets.get(_neighbourhood(client))
        missing = 0.0 if bucket is None else 1 - bucket.tokens(self._now())
        return math.ceil(missing / (TRIES_A_MINUTE / 60)) if missing > 1e-9 else 0

    def failed(self, client: str) -> None:
        """Counts a wrong key."""
        place = _neighbourhood(client)
        bucket = self._buckets.pop(place, None) or TokenBucket(TRIES_A_MINUTE / 60, TRIES)
        if len(self._buckets) >= MAX_ADDRESSES:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[place] = bucket
        bucket.take(1, self._now())


def _neighbourhood(client: str) -> str:
    """An address as one is given out: of version 6 everybody has 2^64."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:100]
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else client


class SignIn:
    """The answers; `pages` are the addresses a browser may be led to."""

    def __init__(self, access: Access, frame: Frame, pages: Container[str], tries: Tries) -> None:
        self._access, self._frame, self._pages, self._tries = access, frame, pages, tries

    def instead(self, scope: Asked) -> Response:
        """In place of a page, at its own address: the form, with the page to go on to in it.

        A browser that comes from another site keeps its cookie to itself, signed in or not. It gets a page that leads
        back to where it is, this time from here.
        """
        following = self.own(f"{scope['path']}?{quote(scope['query_string'], safe=_QUERY_LETTERS)}")
        headers = Headers(scope=scope)
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") == "navigate":
            return _html(self._frame.again(following))
        return _html(self._frame.form(following), 401)

    def own(self, wanted: str) -> str:
        """An address of a page of ours: the wanted one if it is one, else the overview."""
        path, _, query = wanted.partition("?")
        if path not in self._pages:
            return "/"
        return f"{path}?{quote(query, safe=_QUERY_LETTERS)}" if query else path

    def form(self, found: Pass | None, wanted: str) -> Response:
        if not self._access.asks:
            return self._onward("/")
        if found is not None and found.key is not None:
            return _html(self._frame.signed_in(found.key.name, found.key.id))
        return _html(self._frame.form(self.own(wanted)))

    def sign_in(self, request: Request, body: bytes) -> Response:
        """Checks a key; the right one becomes a session."""
        fields = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True, errors="replace", max_num_fields=20))
        following = self.own(fields.get("next", "/"))
        ring, now_ms = self._access.keys.ring, self._access.clock()
        if ring is None:
            return self._onward(following)
        client = request.client.host if request.client else ""
        if wait_s := self._tries.wait_s(client):
            answer = _html(self._frame.form(following, f"Too many wrong keys. Try again in {wait_s} s."), 429)
            answer.headers["Retry-After"] = str(wait_s)
            return answer
        key = ring.authenticate(b"Bearer " + fields.get("key", "").strip().encode("utf-8", "replace"), now_ms)
        if key is None:
            self._tries.failed(client)
            return _html(self._frame.form(following, "This is no valid key: unknown, expired or revoked."), 401)
        if not key.may(Scope.READ):
            return _html(self._frame.form(following, "This key may not read: it lacks the scope read."), 403)
        issued = self._access.sessions.issue(ring.keys[key.id], now_ms)
        answer = self._onward(following)
        self._set_cookie(answer, request, issued.value, (issued.session.expires_ms - now_ms) // 1000)
        return answer

    def sign_out(self, request: Request) -> Response:
        found = self._access.known(request.headers)
        if found is not None and found.session is not None:
            self._access.sessions.end(found.session, self._access.clock())
        answer = self._onward("/sign-in")
        self._set_cookie(answer, request, "", 0)
        return answer

    def _set_cookie(self, answer: Response, request: Request, value: str, age_s: int) -> None:
        # A proxy that speaks TLS and says nothing of it: the browser does, in the origin of its page.
        secure = request.scope["scheme"] == "https" or request.headers.get("origin", "").lower().startswith("https://")
        answer.set_cookie(
            self._access.sessions.cookie_name,
            value,
            max_age=age_s,
            path=self._frame.base or "/",
            secure=secure,
            httponly=True,
            samesite="strict",
        )

    def _onward(self, following: str) -> Response:
        return Response(None, 303, {"Location": self._frame.base + following, "Cache-Control": "no-store"})


def sign_in_router(access: Access, answers: SignIn) -> APIRouter:
    """The routes; nobody needs a key for them."""
    routes = APIRouter()

    @routes.get("/sign-in")
    async def form(request: Request) -> Response:
        return answers.form(access.known(request.headers), request.query_params.get("next", "/"))

    @routes.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        if not from_own_page(request.headers):
            return _plain("Sign in from the page of this server.", 403)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
            return _plain("A form is expected.", 415)
        body = await read_body(request)
        if body is None:
            return _plain("The form is too long.", 413)
        try:
            return answers.sign_in(request, body)
        except ValueError:  # too many fields
            return _plain("The form has fields that it should not have.", 400)

    @routes.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        if not from_own_page(request.headers):
            return _plain("Sign out from the page of this server.", 403)
        return answers.sign_out(request)

    @routes.get("/session")
    async def session(request: Request) -> Response:
        return document(session_document(access.asks, access.known(request.headers)))

    return routes


def session_document(asks: bool, found: Pass | None) -> dict[str, object]:
    """Who the browser is, for the page: `key` null is nobody."""
    key = None if found is None else found.key
    if key is None:
        return {"asks": asks, "key": None}
    expires_ms = found.session.expires_ms if found is not None and found.session else key.expires_ms
    shown = {"id": key.id, "name": key.name, "changes": key.may(Scope.WRITE), "expires": timestamp(expires_ms)}
    return {"asks": asks, "key": shown}


def _html(text: str, status: int = 200) -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return Response(text, status, headers, "text/html; charset=utf-8")


def _plain(text: str, status: int) -> Response:
    return Response(text + "\n", status, {"Cache-Control": "no-store"}, "text/plain; charset=utf-8")
