"""A TCP proxy between a Kafka client and its broker that can be told to misbehave.

It knows as much of Kafka's protocol as it needs: the length of a message, the kind and number of a request, the number
of a response. So it can lose exactly the acknowledgement of records that were appended.
"""

from __future__ import annotations

import asyncio
import socket
import struct

_HOST = "127.0.0.1"
_PRODUCE = 0


class Proxy:
    """Listens on `port`, speaks to `upstream`; both on loopback. Healthy until told otherwise."""

    def __init__(self, port: int, upstream: int) -> None:
        self.port = port
        self.delay_s = 0.0
        """What every message waits before it goes on, in both directions."""
        self.acks_lost = 0
        self.resets = 0
        self._upstream = upstream
        self._whole = asyncio.Event()
        self._whole.set()
        self._lose: str | None = None
        self._lose_all = False
        self._bytes_left: int | None = None
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._link, _HOST, self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    # --- faults ---------------------------------------------------------------------------------------------------

    def lose_ack(self, then_reset: bool) -> None:
        """The next acknowledgement of records is dropped: the broker has them, the client does not know. The
        connection is reset then, or stays and is silent about it."""
        self._lose = "reset" if then_reset else "silence"

    def lose_acks(self) -> None:
        """From now on every acknowledgement of records is dropped, until `heal`."""
        self._lose_all = True

    def reset_after(self, size: int) -> None:
        """Reset the connection that carries the `size`-th byte from now on to the broker, in the midst of a request."""
        self._bytes_left = size

    def blackhole(self) -> None:
        """Nothing goes through any more, and nobody is told; until `heal`, when what was held goes on."""
        self._whole.clear()

    def heal(self) -> None:
        """End every fault that lasts or still waits for its moment."""
        self.delay_s = 0.0
        self._lose = self._bytes_left = None
        self._lose_all = False
        self._whole.set()

    # --- forwarding -----------------------------------------------------------------------------------------------

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        ends = [writer]
        try:
            broker, to_broker = await asyncio.open_connection(_HOST, self._upstream)
            ends.append(to_broker)
            produces: set[int] = set()
            ways = [
                asyncio.create_task(self._requests(reader, to_broker, produces)),
                asyncio.create_task(self._responses(broker, writer, produces)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the broker is away: so is this connection
        except asyncio.CancelledError:
            pass  # the server's own callback would print it
        finally:
            self._links.discard(task)
            for end in ends:
                _reset(end)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, produces: set[int]) -> None:
        """Client to broker; returns when the connection is to end. Remembers the numbers of produce requests."""
        while True:
            message = await _message(reader)
            await self._way()
            if self._bytes_left is not None:
                if len(message) >= self._bytes_left:
                    writer.write(message[: self._bytes_left])
                    self._bytes_left = None
                    self.resets += 1
                    await writer.drain()
                    return
                self._bytes_left -= len(message)
            kind, _, number = struct.unpack_from(">hhi", message, 4)
            if kind == _PRODUCE:
                produces.add(number)
            writer.write(message)
            await writer.drain()

    async def _responses(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, produces: set[int]) -> None:
        """Broker to client; returns when the connection is to end."""
        while True:
            message = await _message(reader)
            await self._way()
            (number,) = struct.unpack_from(">i", message, 4)
            if number in produces:
                produces.discard(number)
                if self._lose_all:
                    self.acks_lost += 1
                    continue
                if self._lose is not None:
                    way, self._lose = self._lose, None
                    self.acks_lost += 1
                    if way == "reset":
                        return
                    continue
            writer.write(message)
            await writer.drain()

    async def _way(self) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self._whole.wait()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One message with its length before it. Raises at the connection's end."""
    head = await reader.readexactly(4)
    (size,) = struct.unpack(">i", head)
    return head + await reader.readexactly(size)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    own: socket.socket | None = writer.get_extra_info("socket")
    if own is not None and own.fileno() >= 0:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
