"""Rows 1–21: what is wrong before a body is looked at, and what the server cannot do at present."""

from __future__ import annotations

import gzip
from typing import Any

import zstandard

from ingest.settings import IngestSettings
from tests.corpus.case import EVENT, JSON, LINES, PRESENT, RETRY, Case
from tests.ingest_server import IngestServer
from tests.raw_http import Talk, chunked, head, request

LIMIT = IngestSettings().max_body_bytes
CHUNKED = [("Host", "localhost"), ("Content-Type", JSON), ("Transfer-Encoding", "chunked")]
PLAIN = [("Host", "localhost"), ("Content-Type", JSON)]
LENGTH = ("Content-Length", str(len(EVENT)))
CLOSE = {"connection": "close"}
ENCODINGS = {"accept-encoding": PRESENT}
TYPES = {"accept": PRESENT}


def packed(payload: bytes, encoding: str = "gzip") -> bytes:
    return request(payload, headers=[("Content-Encoding", encoding)])


def zstd(payload: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(payload)


def zstd_stream(payload: bytes) -> bytes:
    """Compressed without saying how much it will be."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(payload) + packer.flush()


def bad_request(row: int, name: str, raw: bytes, **more: Any) -> Case:
    """What no parser may guess about: 400, and the connection ends."""
    return Case(row, name, raw, 400, "bad_request", CLOSE, closes=True, **more)


def with_head(*fields: tuple[str, str]) -> bytes:
    return head([*PLAIN, *fields]) + EVENT.encode()


def twice(server: IngestServer, _talk: Talk) -> None:
    """Both are stored under one id: what reads the log counts it once."""
    assert server.ids().count("twice/0") == 2


ROUTES = [
    *(
        Case(1, method, request(method=method), 405, "method_not_allowed", {"allow": "POST"})
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS")
    ),
    Case(1, "HEAD", request(method="HEAD"), 405, headers={"allow": "POST"}),
    *(
        Case(2, name, request(EVENT, path=path), 404, "not_found")
        for name, path in {
            "unknown-path": "/nothing",
            "trailing-slash": "/v1/events/",
            "two-slashes": "//v1/events",
            "case": "/V1/EVENTS",
            "dots": "/v1/x/../events",
            "nul": "/v1/events%00",
            "long-segment": "/" + "x" * 8_000,
        }.items()
    ),
]

TYPES_AND_ENCODINGS = [
    Case(5, "no-type", request(EVENT, None), 415, "content_type", TYPES),
    Case(5, "empty-type", request(EVENT, ""), 415, "content_type", TYPES),
    Case(5, "text", request(EVENT, "text/plain"), 415, "content_type", TYPES),
    Case(5, "form", request(EVENT, "application/x-www-form-urlencoded"), 415, "content_type", TYPES),
    Case(5, "charset", request(EVENT, "application/json; charset=latin-1"), 415, "content_type", TYPES),
    Case(5, "cloudevents-avro", request(EVENT, "application/cloudevents+avro"), 415, "content_type", TYPES),
    Case(6, "zstd-gzip", request(EVENT, headers=[("Content-Encoding", "zstd, gzip")]), 415, "content_encoding"),
    Case(6, "br", request(EVENT, headers=[("Content-Encoding", "br")]), 415, "content_encoding", ENCODINGS),
    Case(6, "deflate", request(EVENT, headers=[("Content-Encoding", "deflate")]), 415, "content_encoding", ENCODINGS),
    Case(6, "gzip-gzip", request(EVENT, headers=[("Content-Encoding", "gzip, gzip")]), 415, "content_encoding"),
    Case(7, "no-gzip", packed(EVENT.encode()), 400, "not_gzip"),
    Case(7, "empty-gzip", packed(b""), 400),
    Case(7, "truncated", packed(gzip.compress(EVENT.encode())[:-4]), 400, "not_gzip"),
    Case(7, "truncated-in-header", packed(gzip.compress(EVENT.encode())[:5]), 400, "not_gzip"),
    Case(7, "wrong-checksum", packed(gzip.compress(EVENT.encode())[:-8] + bytes(8)), 400, "not_gzip"),
    Case(7, "junk-behind", packed(gzip.compress(EVENT.encode()) + b"junk"), 400, "not_gzip"),
    Case(7, "two-members", packed(gzip.compress(b"[") + gzip.compress(f"{EVENT}]".encode())), 202, accepted=1),
    *(
        Case(7, f"zstd-{name}", packed(body, "zstd"), 400, "not_zstd")
        for name, body in {
            "no-zstd": EVENT.encode(),
            "truncated": zstd(EVENT.encode())[:-4],
            "junk-behind": zstd(EVENT.encode()) + b"junk",
        }.items()
    ),
    Case(7, "zstd-two-frames", packed(zstd(b"[") + zstd(f"{EVENT}]".encode()), "zstd"), 202, accepted=1),
    Case(7, "many-members", packed(gzip.compress(b"") * 1_000), 400, "not_gzip"),
]

SIZES = [
    Case(8, "declared", request(b"", length=LIMIT + 1), 413, "body_too_large", CLOSE, closes=True),
    Case(8, "declared-far", request(b"", length=2**62), 413, "body_too_large", CLOSE, closes=True),
    Case(8, "sent-whole", request(b" " * (LIMIT + 1_000_000)), 413, "body_too_large", CLOSE, closes=True),
    Case(9, "chunked", chunked([bytes(65_536)] * (LIMIT // 65_536 + 1)), 413, "body_too_large", CLOSE, closes=True),
    Case(10, "gzip-bomb", packed(gzip.compress(bytes(50_000_000))), 413, "body_too_large"),
    Case(10, "zstd-bomb", packed(zstd(bytes(50_000_000)), "zstd"), 413, "body_too_large"),
    Case(10, "zstd-bomb-without-size", packed(zstd_stream(bytes(50_000_000)), "zstd"), 413, "body_too_large"),
    Case(10, "bomb-in-members", packed(gzip.compress(bytes(1_000_000)) * 50), 413, "body_too_large"),
    Case(11, "half-closed", request(EVENT, length=500), 400, "bad_request", CLOSE, closes=True, finish=True),
    Case(11, "stalled", request(EVENT, length=500), 408, "body_timeout", CLOSE, closes=True),
    Case(11, "chunks-stalled", head(CHUNKED) + b"5\r\n[", 408, "body_timeout", CLOSE, closes=True),
    Case(11, "chunks-half-closed", head(CHUNKED) + b"5\r\n[", 400, "bad_request", CLOSE, closes=True, finish=True),
]

FRAMING = [
    *(
        bad_request(12, name, head(CHUNKED) + chunks)
        for name, chunks in {
            "letters": b"zz\r\nx\r\n0\r\n\r\n",
            "negative": b"-1\r\nx\r\n0\r\n\r\n",
            "prefix": b"0x1\r\nx\r\n0\r\n\r\n",
            "overflow": b"fffffffffffffffff\r\nx\r\n0\r\n\r\n",
            "empty": b"\r\nx\r\n0\r\n\r\n",
            "space": b"1 \r\nx\r\n0\r\n\r\n",
            "longer-than-said": b"1\r\nxy\r\n0\r\n\r\n",
            "bare-newlines": b"1\nx\n0\n\n",
        }.items()
    ),
    *(
        bad_request(13, name, raw)
        for name, raw in {
            "length-text": with_head(("Content-Length", "abc")),
            "length-negative": with_head(("Content-Length", "-5")),
            "length-plus": with_head(("Content-Length", "+29")),
            "length-hex": with_head(("Content-Length", "0x1d")),
            "length-empty": with_head(("Content-Length", "")),
            "length-list": with_head(("Content-Length", "29, 29")),
            "length-overflow": with_head(("Content-Length", "9" * 30)),
            "lengths-differ": with_head(LENGTH, ("Content-Length", "5")),
            "lengths-agree": with_head(LENGTH, LENGTH),
            "folded": with_head(("X-Long", "a\r\n b"), LENGTH),
            "folded-tab": with_head(("X-Long", "a\r\n\tb"), LENGTH),
            "nul-in-value": with_head(("X-Nul", "a\x00b"), LENGTH),
            "nul-in-name": with_head(("X\x00Nul", "a"), LENGTH),
            "control": with_head(("X-Bell", "\x07"), LENGTH),
            "bare-return": with_head(("X-Return", "a\rb"), LENGTH),
            "space-before-colon": with_head(("Content-Length ", "29")),
            "no-colon": head(PLAIN)[:-2] + b"nothing\r\n\r\n",
            "bare-newlines": head(PLAIN).replace(b"\r\n", b"\n"),
            "tls": bytes.fromhex("1603010200010001fc0303") + bytes(64),
            "binary": bytes(range(256)),
            "transfer-gzip": head([*PLAIN, ("Transfer-Encoding", "gzip")]),
            "transfer-gzip-chunked": head([*PLAIN, ("Transfer-Encoding", "gzip, chunked")]) + b"0\r\n\r\n",
            "transfer-chunked-gzip": head([*PLAIN, ("Transfer-Encoding", "chunked, gzip")]) + b"0\r\n\r\n",
            "transfer-identity": head([*PLAIN, ("Transfer-Encoding", "identity")]),
            "transfer-unknown": head([*PLAIN, ("Transfer-Encoding", "xchunked")]) + b"0\r\n\r\n",
            "transfer-twice": head([*CHUNKED, ("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n",
            "transfer-two-lines": head([*PLAIN, ("Transfer-Encoding", "gzip"), CHUNKED[2]]) + b"0\r\n\r\n",
            "transfer-in-1.0": head(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
            "method-unknown": request(EVENT, method="SEND"),
            "method-lower": request(EVENT, method="post"),
            "version-2": request(EVENT).replace(b"HTTP/1.1", b"HTTP/2.0"),
            "version-9": request(EVENT).replace(b"HTTP/1.1", b"HTTP/9.9"),
            "preface-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "connect": b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "path-space": request(EVENT, path="/v1/ events"),
            "path-control": request(EVENT, path="/v1/\x01events"),
            "path-eight-bits": request(EVENT, path="/v1/\xe9vents"),
            "path-relative": request(EVENT, path="v1/events"),
            "path-with-user": request(EVENT, path="http://me@localhost/v1/events"),
        }.items()
    ),
    bad_request(14, "length-first", head([*PLAIN, LENGTH, CHUNKED[2]]) + b"0\r\n\r\n"),
    bad_request(14, "chunked-first", head([*CHUNKED, LENGTH]) + b"0\r\n\r\n"),
]

HOSTS = [
    Case(15, "none", head([PLAIN[1], LENGTH]) + EVENT.encode(), 400, "host_header", CLOSE, closes=True),
    Case(15, "two", with_head(("Host", "evil.example"), LENGTH), 400, "host_header", CLOSE, closes=True),
    *(
        Case(15, name, request(EVENT, host=host), 400, "host_header", CLOSE, closes=True)
        for name, host in {
            "user": "127.0.0.1:80@evil.example",
            "user-of-own": "evil.example@localhost",
            "path": "localhost/evil.example",
            "list": "localhost, evil.example",
            "empty": "",
            "port-text": "localhost:http",
            "bracket": "[::1",
            "backslash": "localhost\\evil.example",
        }.items()
    ),
    Case(15, "unknown", request(EVENT, host="evil.example"), 421, "unknown_host"),
    Case(15, "suffix", request(EVENT, host="localhost.evil.example"), 421, "unknown_host"),
    Case(15, "whole-address", request(EVENT, path="http://evil.example/v1/events"), 421, "unknown_host"),
    Case(15, "own-whole-address", request(EVENT, path="http://localhost/v1/events", host="x"), 202, accepted=1),
    Case(15, "origin", request(EVENT, headers=[("Origin", "http://evil.example")]), 403, "foreign_origin"),
    Case(15, "origin-null", request(EVENT, headers=[("Origin", "null")]), 403, "foreign_origin"),
    Case(15, "origin-of-file", request(EVENT, headers=[("Origin", "file://localhost")]), 403, "foreign_origin"),
    Case(15, "origin-own", request(EVENT, headers=[("Origin", "http://localhost")]), 202, accepted=1),
]

LENGTHS = [
    Case(16, "address-70-kB", request(EVENT, path="/" + "x" * 70_000), 414, "uri_too_long", CLOSE, closes=True),
    Case(16, "address-8-KiB", request(EVENT, path="/" + "x" * 8_192), 414, "uri_too_long", CLOSE, closes=True),
    Case(16, "endless-address", b"GET /" + b"x" * 2_000_000, 414, "uri_too_long", CLOSE, closes=True),
    *(
        Case(16, name, with_head(LENGTH, *fields), 431, "headers_too_large", CLOSE, closes=True)
        for name, fields in {
            "200-headers": [(f"X-{n}", "1") for n in range(200)],
            "500-kB-header": [("X-Long", "x" * 500_000)],
            "17-KiB-header": [("X-Long", "x" * 17_408)],
            "17-KiB-in-parts": [(f"X-{n}", "x" * 500) for n in range(34)],
            "long-name": [("x" * 20_000, "1")],
        }.items()
    ),
    Case(16, "endless-header", head(PLAIN)[:-2] + b"X: " + b"x" * 2_000_000, 431, closes=True),
    Case(16, "98-headers", with_head(LENGTH, *((f"X-{n}", "1") for n in range(97))), 202, accepted=1),
]

EXPECTING = ("Expect", "100-continue")
EXPECT = [
    Case(17, "wrong-type", request(b"", "text/plain", headers=[EXPECTING], length=50), 415, "content_type", CLOSE),
    Case(17, "too-large", request(b"", headers=[EXPECTING], length=LIMIT + 1), 413, "body_too_large", CLOSE),
    Case(17, "unknown-host", request(b"", host="evil", headers=[EXPECTING], length=50), 421, "unknown_host", CLOSE),
    Case(17, "unknown-path", request(b"", path="/no", headers=[EXPECTING], length=50), 404, "not_found", CLOSE),
    Case(
        17,
        "welcome",
        [request(b"", headers=[EXPECTING], length=len(EVENT)), EVENT.encode()],
        202,
        accepted=1,
        interim=(100,),
    ),
]

STATES = [
    Case(19, "away", request(EVENT), 503, "unavailable", RETRY, world="away"),
    Case(19, "full", request(EVENT), 503, "busy", RETRY, world="full"),
    Case(19, "draining", request(EVENT), 503, "draining", RETRY, world="draining"),
    Case(20, "no-answer-of-kafka", request(EVENT), 503, "outcome_unknown", RETRY, world="unsure"),
]

TWICE = request(f"[{EVENT}]", headers=[("Idempotency-Key", "twice")])
REPEATED = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
IDEMPOTENCY = [
    Case(21, "again", TWICE, 202, accepted=1, before=TWICE, check=twice),
    *(
        Case(21, name, request(body, content_type, headers=[("Idempotency-Key", "once")]), 202, accepted=1)
        for name, body, content_type in (
            ("first", EVENT, JSON),
            ("other-body", '{"metric":"other","value":2}', JSON),
            ("lines", EVENT, LINES),
        )
    ),
    Case(21, "two-keys", request(EVENT, headers=REPEATED), 400, "invalid_header"),
    *(
        Case(21, name, request(EVENT, headers=[("Idempotency-Key", key)]), 400, "invalid_idempotency_key")
        for name, key in {"empty": "", "too-long": "k" * 201, "not-ascii": "cl\xe9"}.items()
    ),
]

CASES = [*ROUTES, *TYPES_AND_ENCODINGS, *SIZES, *FRAMING, *HOSTS, *LENGTHS, *EXPECT, *STATES, *IDEMPOTENCY]
