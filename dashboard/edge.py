"""What stands before every request: which hosts and origins are served, security headers, compression.

Pure ASGI, so that it sees websockets as well as requests.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.guard import host_name

LOOPBACK = ("localhost", "127.0.0.1", "::1")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FINGERPRINT = re.compile(r"\.v[0-9_a-z]+m\d+\.")
CACHED_BYTES = 32 * 2**20
SMALLEST = 1024
IN_THREAD = 64 * 1024
COMPRESSIBLE = ("text/", "application/json", "application/javascript", "image/svg+xml", "application/problem+json")
YEAR = "public, max-age=31536000, immutable"

Policy = Callable[[], str]


def content_policy(script_hashes: Iterable[str]) -> str:
    """The content security policy: own scripts and nothing from elsewhere.

    Styles inside the page stay allowed: Dash's renderer, its components and plotly each add their own.
    """
    return (
        f"default-src 'none'; script-src 'self' {' '.join(script_hashes)}; "
        "style-src-elem 'self' 'unsafe-inline'; style-src-attr 'none'; img-src 'self' data: blob:; font-src 'self'; "
        "connect-src 'self'; worker-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    )


def from_own_page(headers: Headers) -> bool:
    """Whether a browser says that one of our own pages asks; programs and old browsers say nothing. A foreign `Origin`
    never comes this far: `Guard` stands before."""
    return "origin" in headers or headers.get("sec-fetch-site") == "same-origin"


class Guard:
    """Unknown hosts are 421; state-changing requests and websockets need an own or absent Origin."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], policy: Policy) -> None:
        self._app, self._policy = app, policy
        self._hosts = frozenset(h.lower() for h in (*LOOPBACK, *hosts) if h)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4003, "reason": refusal[1]})
            return
        secured = _with_headers(send, self._policy) if scope["type"] == "http" else send
        if refusal is not None:
            await PlainTextResponse(refusal[1] + "\n", refusal[0])(scope, receive, secured)
            return
        await self._app(scope, receive, secured)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if host_name(host) not in self._hosts:
            return 421, "This server does not answer for that host."
        origin = headers.get("origin")
        if origin is None or (scope["type"] == "http" and scope["method"] in SAFE_METHODS):
            return None
        if origin.partition("://")[2].lower() != host.lower():
            return 403, "Requests from other sites are not taken."
        return None


def _with_headers(send: Send, policy: Policy) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if "content-security-policy" not in headers:  # the page to sign in has a stricter one
                headers["content-security-policy"] = policy()
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "same-origin"
            headers["cross-origin-opener-policy"] = "same-origin"
            headers["permissions-policy"] = "camera=(), geolocation=(), microphone=()"
        await send(message)

    return secured


@dataclass(frozen=True, slots=True)
class _Stored:
    start: Message
    body: bytes


class Compressor:
    """Gzips text; fingerprinted assets once, kept in memory and cacheable for a year.

    Answers that come in pieces pass as they are, so that a long export streams.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._stored: OrderedDict[str, _Stored] = OrderedDict()
        self._size = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not _takes_gzip(scope):
            await self._app(scope, receive, send)
            return
        # a file answer must come as a body here, not as a path for the server to send
        scope = {**scope, "extensions": {}}
        key = scope["path"]
        versioned = key.startswith(("/assets/", "/_dash-component-suites/")) and scope["query_string"].startswith(b"m=")
        lasting = versioned or bool(FINGERPRINT.search(key))
        if lasting and (kept := self._stored.get(key)) is not None:
            self._stored.move_to_end(key)
            await send({**kept.start, "headers": list(kept.start["headers"])})
            await send({"type": "http.response.body", "body": kept.body})
            return
        await self._app(scope, receive, _Gathering(send, lasting, lambda stored: self._keep(key, stored)))

    def _keep(self, key: str, stored: _Stored) -> None:
        if key in self._stored or len(stored.body) > CACHED_BYTES // 4:
            return
        self._stored[key] = stored
        self._size += len(stored.body)
        while self._size > CACHED_BYTES:
            _, dropped = self._stored.popitem(last=False)
            self._size -= len(dropped.body)


class _Gathering:
    """Sends an answer on: in one piece and compressed if it is text and complete, as it comes otherwise."""

    def __init__(self, send: Send, lasting: bool, keep: Callable[[_Stored], None]) -> None:
        self._send, self._lasting, self._keep = send, lasting, keep
        self._start: Message | None = None
        self._pieces: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._pieces.append(message.get("body", b""))
        limit = CACHED_BYTES if self._lasting else SMALLEST
        if message.get("more_body") and sum(map(len, self._pieces)) <= limit:
            return
        start, body, self._start = self._start, b"".join(self._pieces), None
        complete = not message.get("more_body")
        if complete:
            # the largest script takes half a second: not on the loop that serves everybody
            if len(body) > IN_THREAD:
                start, body = await asyncio.to_thread(self._finished, start, body)
            else:
                start, body = self._finished(start, body)
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": not complete})

    def _finished(self, start: Message, body: bytes) -> tuple[Message, bytes]:
        headers = MutableHeaders(raw=list(start["headers"]))
        text = headers.get("content-type", "").startswith(COMPRESSIBLE)
        good = start["status"] == 200
        if good and text and len(body) >= SMALLEST and "content-encoding" not in headers:
            body = gzip.compress(body, 9 if self._lasting else 5, mtime=0)
            headers["content-encoding"] = "gzip"
            headers["content-length"] = str(len(body))
            headers.add_vary_header("accept-encoding")
        if good and self._lasting:
            headers["cache-control"] = YEAR
        start = {**start, "headers": headers.raw}
        if good and self._lasting:
            self._keep(_Stored(start, body))
        return start, body


def _takes_gzip(scope: Scope) -> bool:
    return "gzip" in Headers(scope=scope).get("accept-encoding", "")
