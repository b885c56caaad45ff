"""Compressed bodies: whole or refused, within bounds of memory."""

from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from ingest.body import BodyReader
from ingest.problems import Problem
from ingest.unpack import MAX_PARTS, MAX_WINDOW_BYTES, STEP_BYTES, Unpacking

LIMIT = 1 << 20
PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
NOISE = random.Random(4).randbytes(LIMIT)


def unpack(packed: bytes, encoding: str, limit: int = LIMIT) -> Any:
    return Unpacking(packed, encoding, limit).run()


def code(outcome: Any) -> tuple[int, str]:
    assert isinstance(outcome, Problem)
    return outcome.status, outcome.code


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("data", [b"", b"a", NOISE[:65_536], bytes(LIMIT), NOISE], ids=len)
def test_what_was_packed_comes_back(encoding: str, data: bytes) -> None:
    packed = PACK[encoding](data)
    assert unpack(packed, encoding) == data
    half = len(data) // 2
    parts = PACK[encoding](data[:half]) + PACK[encoding](b"") + PACK[encoding](data[half:])
    assert unpack(parts, encoding) == data


@pytest.mark.parametrize("encoding", PACK)
def test_what_is_not_whole_is_refused(encoding: str) -> None:
    packed = PACK[encoding](NOISE[:300_000])
    wrong = (400, f"not_{encoding}")
    for cut in (0, 1, 3, 10, 1_000, 65_536, 131_072, len(packed) - 8, len(packed) - 4, len(packed) - 1):
        assert code(unpack(packed[:cut], encoding)) == wrong, cut
    for junk in (b"x", b"\0", b"junk" * 1_000, b"\x1f\x8b", b"\x28\xb5\x2f\xfd"):
        assert code(unpack(packed + junk, encoding)) == wrong, junk
    flipped = bytearray(packed)
    flipped[200_000] ^= 1
    assert encoding == "zstd" or code(unpack(bytes(flipped), encoding)) == wrong
    assert code(unpack(PACK[encoding](b"") * (MAX_PARTS + 1), encoding)) == wrong
    assert unpack(PACK[encoding](b"") * MAX_PARTS, encoding) == b""


@given(st.binary(max_size=200), st.sampled_from(sorted(PACK)), st.integers(0, 300), st.binary(max_size=3))
def test_damaged_bodies_never_raise(data: bytes, encoding: str, place: int, by: bytes) -> None:
    packed = PACK[encoding](data)
    damaged = packed[:place] + by + packed[place + 1 :]
    outcome = unpack(damaged, encoding)
    assert isinstance(outcome, bytes) or code(outcome) in ((400, f"not_{encoding}"), (413, "body_too_large"))


@pytest.mark.parametrize("encoding", PACK)
def test_a_bomb_is_given_up_at_the_limit(encoding: str) -> None:
    packed = PACK[encoding](bytes(64 * LIMIT))
    tracemalloc.start()
    try:
        assert code(unpack(packed, encoding)) == (413, "body_too_large")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * LIMIT + 2 * STEP_BYTES
    assert code(unpack(PACK[encoding](bytes(LIMIT + 1)), encoding)) == (413, "body_too_large")


@pytest.mark.parametrize("log", [MAX_WINDOW_BYTES.bit_length() - 1, MAX_WINDOW_BYTES.bit_length(), 30])
def test_a_frame_may_not_ask_for_a_large_window(log: int) -> None:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    packed = packer.compress(b"small") + packer.flush()  # its size is not told, so that the window is
    if 1 << log <= MAX_WINDOW_BYTES:
        assert unpack(packed, "zstd") == b"small"
    else:
        assert code(unpack(packed, "zstd")) == (400, "not_zstd")


def test_frames_that_are_skipped_are_no_output() -> None:
    skipped = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    assert unpack(skipped + zstd.compress(b"a") + skipped, "zstd") == b"a"


@pytest.mark.parametrize("encoding", PACK)
def test_stepwise(encoding: str) -> None:
    unpacking = Unpacking(PACK[encoding](bytes(LIMIT)), encoding, LIMIT)
    assert unpacking.run(1) is None
    assert unpacking.run() == bytes(LIMIT)


async def test_large_bodies_are_unpacked_beside_the_loop() -> None:
    reader = BodyReader(8 * LIMIT, 5.0)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def read(data: bytes) -> bytes | Problem:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": gzip.compress(data)}

        return await reader.read({b"content-encoding": b"GZIP "}, receive)

    waiting = asyncio.create_task(others())
    assert await read(NOISE[:100_000]) == NOISE[:100_000]
    assert turns == 0  # small bodies pay for no thread
    bodies = await asyncio.gather(*[read(bytes(size * LIMIT)) for size in (1, 2, 4, 8)])
    assert [len(body) for body in bodies if isinstance(body, bytes)] == [size * LIMIT for size in (1, 2, 4, 8)]
    assert turns > 1
    waiting.cancel()
