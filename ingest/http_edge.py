"""What is read from a connection before there is a request: uvicorn's HTTP protocol, within limits.

The parser underneath (llhttp) is strict: ambiguous lengths, folded headers, control characters and wrong chunks are
errors. Here are the limits of size and number, and what the parser leaves open: encodings of the transfer, trailers,
upgrades, addresses sent whole. How a connection answers and ends is in `ingest.connection`.
"""

from __future__ import annotations

from typing import Any, Final

import httptools

from ingest.connection import BETWEEN, BODY, HEAD, MAX_DISCARDED_BYTES, Connection
from ingest.problems import Problem, unavailable

MAX_URL_BYTES: Final = 8 * 1024
MAX_HEAD_BYTES: Final = 16 * 1024
"""Of all header fields of a request, trailers included; the request line is counted apart."""
MAX_HEADERS: Final = 100
MAX_PIPELINED: Final = 64
"""Requests of one connection that wait behind the one being answered."""


class _Stop(Exception):
    """Ends the parser's run from inside a callback; the reason is in `EdgeProtocol._reason`."""


class EdgeProtocol(Connection):
    """One connection of a server, as uvicorn makes it."""

    _head_bytes = 0
    _chunked = False
    _head_again: bytes | None = None
    """Set while the parser waits to be told how the body of a request is framed whose upgrade is not taken."""
    _reason: Problem | None = None

    def data_received(self, data: bytes) -> None:
        if self._closing or self._last_words is not None:
            self._discard(len(data))
            return
        self._fed += len(data)
        try:
            while True:
                try:
                    self.parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    if self._should_upgrade():
                        self.handle_websocket_upgrade()
                        return
                    data = self._without_upgrade() + data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            self._refuse(self._reason or _not_http(error))
            return
        if self._phase is not BETWEEN:
            self._check_unfinished()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase = HEAD
        self._requests += 1
        self._head_bytes = 0
        self._chunked = False

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > MAX_URL_BYTES:
            self._stop(Problem(414, "uri_too_long", f"a request's address has at most {MAX_URL_BYTES} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            self._stop(_head_too_large())
        if self._phase is BODY:
            return  # a trailer: read, and no part of the request's headers
        name = name.lower()
        value = value.rstrip(b" \t")
        if name == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked":
                self._stop(Problem(400, "bad_request", "the only transfer encoding taken is chunked, once"))
            self._chunked = True
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version != "1.1":
            self._check_old(version)
        if self.url[:1] != b"/":
            self._take_authority()
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop(unavailable("busy", f"more than {MAX_PIPELINED} requests wait on this connection", 1))
        before = self.cycle
        super().on_headers_complete()
        self._phase = BODY
        self._fed = 0
        if self.cycle is not before:
            self.cycle.transport = self._outlet
            if self.expect_100_continue:
                self._close_unless_asked_for_the_body()
            if self.parser.should_upgrade():
                self._head_again = self._framing()

    def on_message_complete(self) -> None:
        if self._head_again is not None:
            return
        self._phase = BETWEEN
        self._fed = 0
        super().on_message_complete()

    def _stop(self, reason: Problem) -> None:
        self._reason = reason
        raise _Stop

    def _check_unfinished(self) -> None:
        """A long field reaches the callbacks when it is complete: what is kept until then is bounded here."""
        if self._phase is HEAD:
            if self._fed > MAX_URL_BYTES + MAX_HEAD_BYTES:
                self._refuse(_head_too_large())
        elif self.cycle is not None and self.cycle.response_complete and self._fed > MAX_DISCARDED_BYTES:
            self.transport.abort()

    def _check_old(self, version: str) -> None:
        if version != "1.0":
            self._stop(Problem(400, "bad_request", "HTTP/1.1 and HTTP/1.0 are spoken here"))
        if self._chunked:
            self._stop(Problem(400, "bad_request", "HTTP/1.0 has no chunks"))
        self.expect_100_continue = False

    def _take_authority(self) -> None:
        """An address may be sent whole: its host is the one that counts, and not the one in the header."""
        parsed = httptools.parse_url(self.url)
        if not parsed.host or not parsed.path or parsed.userinfo is not None:
            self._stop(Problem(400, "bad_request", "the request's address is not one of this server"))
        port = b":%d" % parsed.port if parsed.port else b""
        host = b"[%b]" % parsed.host if b":" in parsed.host else parsed.host
        self.headers[:] = [field for field in self.headers if field[0] != b"host"] + [(b"host", host + port)]

    def _framing(self) -> bytes | None:
        """A head with nothing but what frames the body of this request; None when it has no body."""
        if self._chunked:
            return b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        return b"POST / HTTP/1.1\r\nContent-Length: %b\r\n\r\n" % length if int(length) else None

    def _without_upgrade(self) -> bytes:
        """Go on as if the upgrade had not been asked for: some clients ask for HTTP/2 with every first request. The
        parser takes what follows such a head for another protocol, so a new one is told the framing of the body."""
        again, self._head_again = self._head_again, None
        if again is None:
            return b""
        self.parser = httptools.HttpRequestParser(_Resumed(self))
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return again

    def _close_unless_asked_for_the_body(self) -> None:
        """A client that was not told to go on may or may not send the body: what comes next cannot be told apart."""
        cycle = self.cycle
        receive, keep_alive = cycle.receive, cycle.keep_alive

        async def asked() -> Any:
            cycle.keep_alive = keep_alive
            return await receive()

        cycle.keep_alive = False
        cycle.receive = asked  # type: ignore[method-assign]


class _Resumed:
    """The callbacks of a parser that is told a head a second time: it passes that head over."""

    def __init__(self, edge: EdgeProtocol) -> None:
        self._edge = edge
        self._known = True
        self.on_body = edge.on_body
        self.on_message_complete = edge.on_message_complete

    def on_message_begin(self) -> None:
        if not self._known:
            self._edge.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._known:
            self._edge.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._known:
            self._edge.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._known:
            self._known = False
        else:
            self._edge.on_headers_complete()


def _not_http(error: httptools.HttpParserError) -> Problem:
    said = "" if isinstance(error, httptools.HttpParserCallbackError) else f": {error}"
    return Problem(400, "bad_request", f"this is not a request in HTTP/1.1{said}")


def _head_too_large() -> Problem:
    detail = f"a request has at most {MAX_HEADERS} headers of at most {MAX_HEAD_BYTES} bytes together"
    return Problem(431, "headers_too_large", detail)
