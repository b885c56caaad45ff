"""Browser safety: a page of another site must not reach this server through the visitor's browser.

An unknown `Host` is refused (DNS rebinding), and so is a foreign `Origin` on anything that changes state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from ingest.problems import Problem

Refuse = Callable[[Problem, Scope, Receive, Send], Awaitable[None]]
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware. `hosts` are the names a `Host` header may carry; `*` allows all."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], refuse: Refuse) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            problem = self._problem(scope)
            if problem is not None:
                await self._refuse(problem, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1 or (not hosts and scope.get("http_version") != "1.0"):
            return Problem(400, "host_header", "exactly one Host header is expected", {"Connection": "close"})
        host = hosts[0].decode("latin-1").lower() if hosts else ""
        if hosts and "*" not in self._hosts and host_name(host) not in self._hosts:
            return Problem(421, "unknown_host", f"this server is not {host[:80]!r}")
        if scope["method"] not in _SAFE_METHODS:
            for name, value in scope["headers"]:
                if name == b"origin" and not _is_own(value.decode("latin-1").lower(), host):
                    return Problem(403, "foreign_origin", "requests of other sites' pages are refused")
        return None


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_own(origin: str, host: str) -> bool:
    try:
        return bool(host) and urlsplit(origin).netloc == host
    except ValueError:
        return False
