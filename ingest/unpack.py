"""Unpacking what was sent compressed, in steps, so that neither memory nor time run away. Pure.

A few bytes can unpack to gigabytes: output is taken in steps of `STEP_BYTES` and given up at the limit. zstd frames
may ask for a window of at most `MAX_WINDOW_BYTES`, the most that HTTP allows a sender (RFC 9659).
"""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from ingest.problems import Problem

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STEP_BYTES: Final = 256 * 1024
"""Output held beyond the limit before it is noticed."""
MAX_PARTS: Final = 64
"""Most gzip members or zstd frames of a body."""
MAX_WINDOW_BYTES: Final = 8 * 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_OPTIONS: Final = {int(zstd.DecompressionParameter.window_log_max): MAX_WINDOW_BYTES.bit_length() - 1}


class _Part(Protocol):
    """One gzip member or zstd frame. Both methods raise `zlib.error` or `ZstdError`."""

    @property
    def ended(self) -> bool: ...

    def take(self, piece: bytes) -> bytes:
        """At most a step of what a piece of input, after what was kept of those before, unpacks to."""

    @property
    def hungry(self) -> bool:
        """Whether the next `take` needs more input."""

    @property
    def left(self) -> int:
        """Bytes of the last piece that lie behind the end."""


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    def take(self, piece: bytes) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + piece, STEP_BYTES)

    @property
    def ended(self) -> bool:
        return self._stream.eof

    @property
    def hungry(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def left(self) -> int:
        return len(self._stream.unused_data)


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstd.ZstdDecompressor(options=_OPTIONS)

    def take(self, piece: bytes) -> bytes:
        return self._stream.decompress(piece, STEP_BYTES)

    @property
    def ended(self) -> bool:
        return self._stream.eof

    @property
    def hungry(self) -> bool:
        return self._stream.needs_input

    @property
    def left(self) -> int:
        return len(self._stream.unused_data)


_CODECS: Final[Mapping[str, tuple[str, Callable[[], _Part]]]] = {
    "gzip": ("gzip", _Gzip),
    "x-gzip": ("gzip", _Gzip),
    "zstd": ("zstd", _Zstd),
}
ENCODINGS: Final = frozenset({"identity", *_CODECS})


class Unpacking:
    """The unpacking of one body; not thread-safe, but any thread may do the next steps."""

    def __init__(self, packed: bytes, encoding: str, max_bytes: int) -> None:
        """`encoding` is one of `ENCODINGS`, and not `identity`."""
        self._packed = memoryview(packed)
        self._max_bytes = max_bytes
        self._name, self._codec = _CODECS[encoding]
        self._part = self._codec()
        self._parts = 1
        self._position = 0
        self._output = io.BytesIO()

    def run(self, steps: int | None = None) -> bytes | Problem | None:
        """The body, or why there is none (400, 413); None when that takes more than so many steps."""
        while steps is None or steps > 0:
            try:
                outcome = self._step()
            except (zlib.error, zstd.ZstdError) as error:
                return self._wrong(f"is not {self._name}: {error}")
            if outcome is not None:
                return outcome
            steps = None if steps is None else steps - 1
        return None

    def _step(self) -> bytes | Problem | None:
        piece, hungry = b"", self._part.hungry
        if hungry:
            piece = bytes(self._packed[self._position : self._position + _PIECE_BYTES])
            self._position += len(piece)
        part = self._part.take(piece)
        self._output.write(part)
        if self._output.tell() > self._max_bytes:
            detail = f"an unpacked body has at most {self._max_bytes} bytes"
            return Problem(413, "body_too_large", detail, {"Connection": "close"})
        if self._part.ended:
            return self._next_part()
        if hungry and not piece and not part:
            return self._wrong("is cut short")
        return None

    def _next_part(self) -> bytes | Problem | None:
        self._position -= self._part.left
        if self._position == len(self._packed):
            return self._output.getvalue()
        if self._parts == MAX_PARTS:
            return self._wrong(f"has more than {MAX_PARTS} parts")
        self._parts += 1
        self._part = self._codec()
        return None

    def _wrong(self, what: str) -> Problem:
        if self._name == "zstd":
            return Problem(400, "not_zstd", f"the body {what}")
        return Problem(400, "not_gzip", f"the body {what}")
