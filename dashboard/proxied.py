"""Standing behind a proxy: under a path of its own, and asked on behalf of others.

The path in front (`/tally`) is taken off before anything else sees it, and a proxy may have taken it off already: both
work. Addresses inside the program never have it; it is put in front where a browser gets one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.settings import networks

_AUTHORITY: Final = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,300}")
_MOST_PROXIES: Final = 20

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def below(base: str, path: str) -> str:
    """A path without the one in front; one that does not begin with it stays as it is."""
    if base and (path == base or path.startswith(base + "/")):
        return path[len(base) :] or "/"
    return path


class Prefix:
    """ASGI middleware: takes the path in front off."""

    def __init__(self, app: ASGIApp, base: str) -> None:
        self._app, self._base = app, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (path := below(self._base, scope["path"])) != scope["path"]:
            scope = {**scope, "path": path, "raw_path": quote(path).encode()}
        await self._app(scope, receive, send)


class Forwarded:
    """ASGI middleware: what named proxies say of the request they pass on holds: its scheme, its host, its client.

    `X-Forwarded-…` of anybody else is no more than text: whoever sends it could claim anything.
    """

    def __init__(self, app: ASGIApp, proxies: Iterable[str]) -> None:
        self._app = app
        self._proxies = networks(proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            self._proxies
            and scope["type"] in ("http", "websocket")
            and self._trusted((scope.get("client") or ("",))[0])
        ):
            scope = self._as_asked(scope)
        await self._app(scope, receive, send)

    def _as_asked(self, scope: Scope) -> Scope:
        headers = Headers(scope=scope)
        found = {**scope, "headers": list(scope["headers"])}
        scheme = _last(headers, "x-forwarded-proto").lower()
        if scheme in ("http", "https", "ws", "wss"):
            safe = scheme in ("https", "wss")
            found["scheme"] = {"http": ("http", "https"), "websocket": ("ws", "wss")}[scope["type"]][safe]
        host = _last(headers, "x-forwarded-host")
        if _AUTHORITY.fullmatch(host):
            MutableHeaders(raw=found["headers"])["host"] = host
        if client := self._client(headers):
            found["client"] = (client, 0)
        return found

    def _client(self, headers: Headers) -> str | None:
        """The nearest address that is no trusted proxy: what stands before it, its sender may have made up."""
        for text in _values(headers, "x-forwarded-for"):
            if _address(text) is None:
                return None
            if not self._trusted(text):
                return text
        return None

    def _trusted(self, client: str) -> bool:
        address = _address(client)
        return address is not None and any(address in network for network in self._proxies)


def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _values(headers: Headers, name: str) -> Iterator[str]:
    """The values of a header that each proxy adds to, the nearest proxy's first."""
    parts = ",".join(headers.getlist(name)).rsplit(",", _MOST_PROXIES)
    return (part.strip() for part in reversed(parts[-_MOST_PROXIES:]))


def _last(headers: Headers, name: str) -> str:
    return next(_values(headers, name), "")
