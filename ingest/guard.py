"""Browser safety: a page of another site must not reach this server through the visitor's browser.

An unknown `Host` is refused (DNS rebinding), and so is a foreign `Origin` on anything that changes state. A `Host` that
is not a plain name or address with a port is refused whatever names are allowed: what reads it differently somewhere
else would see another host.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from ingest.problems import Problem

Refuse = Callable[[Problem, Scope, Receive, Send], Awaitable[None]]
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_AUTHORITY: Final = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9_][a-z0-9_.-]{0,252}))(?::[0-9]{0,5})?")
_MOST_KNOWN: Final = 256


class Guard:
    """ASGI middleware. `hosts` are the names a `Host` header may carry; `*` allows all."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], refuse: Refuse) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._refuse = refuse
        self._known: set[bytes] = set()
        """`Host` headers that were found to be right, as spelled."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            problem = self._problem(scope)
            if problem is not None:
                await self._refuse(problem, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        host: bytes | None = None
        origins: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"host":
                if host is not None:
                    return _bad_host("exactly one Host header is expected")
                host = value
            elif name == b"origin":
                origins.append(value)
        if host is None:
            if scope.get("http_version") != "1.0":
                return _bad_host("exactly one Host header is expected")
        elif host not in self._known and (problem := self._unknown(host)) is not None:
            return problem
        if origins and scope["method"] not in _SAFE_METHODS and not all(_is_own(origin, host) for origin in origins):
            return Problem(403, "foreign_origin", "requests of other sites' pages are refused")
        return None

    def _unknown(self, header: bytes) -> Problem | None:
        host = host_name(header.decode("latin-1"))
        if host is None:
            return _bad_host("the Host header is a name or an address, with or without a port")
        if "*" not in self._hosts and host not in self._hosts:
            return Problem(421, "unknown_host", f"this server is not {host[:80]!r}")
        if len(self._known) < _MOST_KNOWN:
            self._known.add(header)
        return None


def host_name(header: str) -> str | None:
    """The name or address in a Host header, in lower case, without port and brackets; None when there is none, or
    anything beside it (a user, a path, a second name)."""
    found = _AUTHORITY.fullmatch(header.lower())
    return None if found is None else found[1] or found[2]


def _bad_host(detail: str) -> Problem:
    return Problem(400, "host_header", detail, {"Connection": "close"})


def _is_own(origin: bytes, host: bytes | None) -> bool:
    try:
        parts = urlsplit(origin.decode("latin-1").lower())
    except ValueError:
        return False
    return host is not None and parts.scheme in ("http", "https") and parts.netloc == host.decode("latin-1").lower()
