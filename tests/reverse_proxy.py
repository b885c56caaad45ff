"""A reverse proxy in this process: HTTP and websockets under a path of its own, as nginx or Caddy do it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import Final

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.site import wait_until

_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "content-length", "host",
     "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"}
)  # fmt: skip


class ReverseProxy:
    """Passes on what is asked for under `base`: with the path as it is, or without `base` when it `strips`.

    `keeps_host`: the `Host` is passed on; else it is that of the site, as many proxies do unless told otherwise.
    `says`: headers it adds, in place of the same ones of the client.
    """

    def __init__(
        self, site: int, base: str = "", *, strips: bool = False, keeps_host: bool = True, says: Mapping[str, str] = {}
    ) -> None:
        self._site, self._base, self._strips, self._keeps_host, self._says = site, base, strips, keeps_host, dict(says)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        routes = [Route("/{path:path}", self._http, methods=methods), WebSocketRoute("/{path:path}", self._websocket)]
        config = uvicorn.Config(
            Starlette(routes=routes),
            host="127.0.0.1",
            port=self.port,
            log_config=None,
            timeout_graceful_shutdown=1,
            ws="websockets-sansio",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=asyncio.run, args=(self._server.serve(),), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._base}"

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self._server.started, "the proxy listens")

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def _target(self, asked: HTTPConnection) -> str | None:
        """Path and query for the site; None for what is not under the path of the proxy."""
        path = asked.scope["raw_path"].decode()
        if self._base and not (path == self._base or path.startswith(self._base + "/")):
            return None
        if self._strips:
            path = path[len(self._base) :] or "/"
        query = asked.scope["query_string"].decode()
        return f"{path}?{query}" if query else path

    def _headers(self, asked: HTTPConnection) -> list[tuple[str, str]]:
        own = {name.lower() for name in self._says}
        found = [(name, value) for name, value in asked.headers.items() if name not in _HOP and name not in own]
        host = asked.headers["host"] if self._keeps_host else f"127.0.0.1:{self._site}"
        return [*found, *self._says.items(), ("host", host)]

    async def _http(self, request: Request) -> Response:
        target = self._target(request)
        if target is None:
            return PlainTextResponse("another application", 418)
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            answer = await client.request(
                request.method,
                f"http://127.0.0.1:{self._site}{target}",
                headers=self._headers(request),
                content=await request.body(),
            )
        passed = Response(answer.content, answer.status_code)
        kept = [(n, v) for n, v in answer.headers.multi_items() if n not in _HOP and n != "content-encoding"]
        passed.raw_headers = [(n.encode(), v.encode("latin-1")) for n, v in kept]
        passed.raw_headers.append((b"content-length", str(len(answer.content)).encode()))
        return passed

    async def _websocket(self, browser: WebSocket) -> None:
        target = self._target(browser)
        headers = self._headers(browser)
        if target is None:
            await browser.close()
            return
        host = dict(headers)["host"]
        others = [(name, value) for name, value in headers if name != "host"]
        try:
            # the address to connect to is the site's, the Host is what the headers say
            async with connect(
                f"ws://{host}{target}", host="127.0.0.1", port=self._site, additional_headers=others, proxy=None
            ) as site:
                await browser.accept()
                await _both_ways(browser, site)
        except InvalidStatus as refused:
            await browser.send_denial_response(PlainTextResponse("", refused.response.status_code))


async def _both_ways(browser: WebSocket, site: ClientConnection) -> None:
    async def out() -> None:
        with contextlib.suppress(WebSocketDisconnect, ConnectionClosed):
            while True:
                await site.send(await browser.receive_text())
        await site.close()

    sending = asyncio.create_task(out())
    try:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            async for message in site:
                await browser.send_text(str(message))
            await browser.close(site.close_code or 1000, site.close_reason)
    finally:
        sending.cancel()
