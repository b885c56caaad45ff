"""The push's websockets at the level of bytes: what a browser that does not read may cost, and how it is cut.

A message is compressed for one browser when that browser can take it, so what waits for a browser is: what the kernel
buffers, `UNSENT_BYTES` in the transport and the one message that went over it. A connection that shall end ends
within `LINGER_S`, taken or not: what is left unsent is thrown away.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

UNSENT_BYTES: Final = 64 * 1024
"""A connection with more than this unsent gets nothing further, …"""
KERNEL_BYTES: Final = 128 * 1024
"""… beside what the kernel holds: it takes twice this much for its own, and without a limit some megabytes."""
LINGER_S: Final = 2.0
PING_S: Final = 20.0
"""A browser is asked so often whether it is there, and has as long to answer: one that takes small messages off no
wire is found by this, since the kernel would hold them for minutes."""


class PushProtocol(WebSocketsSansIOProtocol):
    """One websocket, as uvicorn makes it (`ws=PushProtocol`)."""

    def connection_made(self, transport: Any) -> None:
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        super().connection_made(transport)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self._end()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._end()

    def _end(self) -> None:
        """uvicorn has closed the connection, or waits for the other side's close: neither comes to an end while the
        other side reads nothing."""
        asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)
