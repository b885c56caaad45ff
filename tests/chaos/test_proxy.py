"""The proxy does to a connection what it says, so that a fault of the chaos tests is the fault it is called."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.proxied_kafka import quiet_port
from tests.chaos.proxy import Proxy

PRODUCE, METADATA = 0, 3


class Peer:
    """Answers every message with its number, as a broker does, and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                message = await reader.readexactly(size)
                self.got.append(message)
                writer.write(struct.pack(">i", 8) + message[4:8] + b"done")
        except (EOFError, OSError):
            writer.transport.abort()


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, Peer]]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", quiet_port())
    proxy = Proxy(quiet_port(), server.sockets[0].getsockname()[1])
    await proxy.start()
    try:
        yield proxy, peer
    finally:
        await proxy.close()
        server.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, kind: int, number: int, body: bytes = b"") -> None:
        message = struct.pack(">hhi", kind, 0, number) + body
        self.writer.write(struct.pack(">i", len(message)) + message)

    async def answer(self) -> int:
        """Number of the next answer."""
        message = await asyncio.wait_for(self.reader.readexactly(12), 10)
        return int(struct.unpack(">ii4s", message)[1])


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
    try:
        yield client
    finally:
        client.writer.transport.abort()


async def test_a_healthy_link_passes_everything_on() -> None:
    async with proxied() as (proxy, peer), connected(proxy) as client:
        for number in range(3):
            client.send(PRODUCE, number, bytes(100_000))
            assert await client.answer() == number
        assert [len(message) for message in peer.got] == [100_008] * 3


async def test_only_the_acknowledgement_of_records_is_lost() -> None:
    async with proxied() as (proxy, peer):
        proxy.lose_ack(then_reset=True)
        async with connected(proxy) as client:
            client.send(METADATA, 1)
            assert await client.answer() == 1
            client.send(PRODUCE, 2)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await client.answer()
        assert len(peer.got) == 2  # the broker has it
        assert proxy.acks_lost == 1
        async with connected(proxy) as client:
            client.send(PRODUCE, 3)
            assert await client.answer() == 3


async def test_a_silent_loss_keeps_the_connection() -> None:
    async with proxied() as (proxy, peer), connected(proxy) as client:
        proxy.lose_ack(then_reset=False)
        client.send(PRODUCE, 1)
        client.send(METADATA, 2)
        assert await client.answer() == 2
        assert len(peer.got) == 2


async def test_every_acknowledgement_is_lost_until_it_heals() -> None:
    async with proxied() as (proxy, peer), connected(proxy) as client:
        proxy.lose_acks()
        client.send(PRODUCE, 1)
        client.send(PRODUCE, 2)
        client.send(METADATA, 3)
        assert await client.answer() == 3
        proxy.heal()
        client.send(PRODUCE, 4)
        assert await client.answer() == 4
        assert len(peer.got) == 4


async def test_a_reset_cuts_a_request_in_its_midst() -> None:
    async with proxied() as (proxy, peer), connected(proxy) as client:
        proxy.reset_after(30)
        client.send(PRODUCE, 1, bytes(8))
        assert await client.answer() == 1
        client.send(PRODUCE, 2, bytes(100))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.answer()
        assert len(peer.got) == 1
        assert proxy.resets == 1


async def test_a_silent_link_holds_everything_and_lets_it_go_on() -> None:
    async with proxied() as (proxy, peer), connected(proxy) as client:
        proxy.blackhole()
        client.send(PRODUCE, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.answer(), 0.2)
        assert not peer.got
    async with proxied() as (proxy, peer), connected(proxy) as client:
        proxy.blackhole()
        client.send(PRODUCE, 1)
        proxy.heal()
        assert await client.answer() == 1


async def test_without_a_broker_the_connection_ends() -> None:
    proxy = Proxy(quiet_port(), quiet_port())
    await proxy.start()
    try:
        async with connected(proxy) as client:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await client.answer()
    finally:
        await proxy.close()
