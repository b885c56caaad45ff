"""What stands before every route: it lets through what needs no key, what brings one, and nothing else, so that a route
added tomorrow is behind it. Open websockets are looked at again and again: keys are revoked while pages are open.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aggregates.queries import QueryError
from dashboard.access import CHANGE, GIVEN, READ, Access, Pass, Refused, needed
from dashboard.answers import refusal
from dashboard.edge import SAFE_METHODS

LOOK_S: Final = 0.5
"""Time between two looks at the keys of open websockets."""
SIGN_IN_AGAIN: Final = 4401
"""Code a websocket is closed with when its key or session is over."""
_CLOSE_WITHIN_S: Final = 1.0

Page = Callable[[Scope], Response]


class Gate:
    """ASGI middleware. `page` is what a browser gets in place of a page that it may not see."""

    def __init__(self, app: ASGIApp, access: Access, page: Page) -> None:
        self._app, self._access, self._page = app, access, page
        self._sockets: dict[asyncio.Task[None], Pass] = {}
        self._refused: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        socket = scope["type"] == "websocket"
        method = "GET" if socket else scope["method"]
        scopes = READ if socket else needed(method, scope["path"])
        if not scopes:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        found = self._access.judge(headers, scopes, changes=scopes == CHANGE)
        if isinstance(found, Refused):
            await self._refuse(found, headers, scope, receive, send)
            return
        scope = {**scope, GIVEN: found}
        if socket:
            await self._attend(found, scope, receive, send)
        else:
            await self._app(scope, receive, _kept_from_caches(send) if self._access.asks else send)

    async def _refuse(self, refused: Refused, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": SIGN_IN_AGAIN, "reason": refused.message})
                return
        wants_page = (
            scope["type"] == "http" and scope["method"] in SAFE_METHODS and not scope["path"].startswith("/api/")
        )
        if refused.status == 401 and wants_page and "text/html" in headers.get("accept", ""):
            answer = self._page(scope)
        else:
            answer = refusal(refused.status, QueryError(refused.code, None, refused.message))
        if answer.status_code == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"
        # of a websocket that is refused Starlette makes the answer to its handshake
        await answer(scope, receive, send)

    # --- open websockets ------------------------------------------------------------------------------------------

    async def _attend(self, found: Pass, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs a websocket until it ends, or what let it in does."""
        task = asyncio.ensure_future(_run(self._app, scope, receive, send))
        self._sockets[task] = found
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        finally:
            self._sockets.pop(task, None)
        if task in self._refused:
            self._refused.discard(task)
            with contextlib.suppress(RuntimeError, OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_WITHIN_S):
                    await send({"type": "websocket.close", "code": SIGN_IN_AGAIN, "reason": "sign in again"})
        else:
            task.result()

    async def _look(self) -> None:
        """One task for all of them, as long as there are any."""
        while self._sockets:
            await asyncio.sleep(LOOK_S)
            for task, found in list(self._sockets.items()):
                if not self._access.holds(found, READ):
                    self._refused.add(task)
                    task.cancel()


async def _run(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def _kept_from_caches(send: Send) -> Send:
    """What only some may see stays in no cache, unless its route says more precisely where."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("cache-control", "no-store")
        await send(message)

    return sent
