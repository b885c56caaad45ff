"""Taking a JSON body apart into the texts of its events, without reading what is in them."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

WHITESPACE: Final = b" \t\r\n"
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON; the last two stand outside its own hierarchy."""
MAX_TOKENS: Final = 2_000_000
"""Most brackets and commas looked at in an array that is not JSON as a whole: bounds the time spent on garbage."""

_ELEMENTS: Final = msgspec.json.Decoder(list[Raw])
_TOKEN: Final = re.compile(rb'(?:[^"\[\]{},]++|"(?:[^"\\]++|\\.)*+")*+(["\[\]{},])', re.DOTALL)
"""The next bracket or comma outside of texts, or a quote without its partner. Possessive: never backtracks."""


def is_text(raw: bytes) -> bool:
    """Whether the bytes are UTF-8; msgspec does not look into fields it skips."""
    if raw.isascii():
        return True
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def is_array(body: bytes) -> bool:
    return body.lstrip(WHITESPACE)[:1] == b"["


def lines_of(body: bytes) -> list[bytes]:
    """The lines that are not blank."""
    return [stripped for line in body.split(b"\n") if (stripped := line.strip(WHITESPACE))]


def elements_of(array: bytes) -> list[bytes] | None:
    """The JSON texts of an array's elements; None when it cannot be taken apart.

    Where the array is not JSON, brackets and commas alone decide, so that a NaN in one event does not spoil the
    others: an element may then be anything.
    """
    try:
        return [bytes(element) for element in _ELEMENTS.decode(array)]
    except UNREADABLE:
        return _split(array)


def _split(array: bytes) -> list[bytes] | None:
    elements: list[bytes] = []
    depth, start, position = 0, 0, 0
    for _ in range(MAX_TOKENS):
        token = _TOKEN.match(array, position)
        if token is None:
            return None
        position = token.end()
        match token[1]:
            case b"[" | b"{":
                depth += 1
                if depth == 1:
                    start = position
            case b"]" | b"}":
                depth -= 1
                if depth == 0:
                    elements.append(array[start : position - 1].strip(WHITESPACE))
                    whole = token[1] == b"]" and not array[position:].strip(WHITESPACE)
                    return elements if whole and b"" not in elements else None
            case b"," if depth == 1:
                elements.append(array[start : position - 1].strip(WHITESPACE))
                start = position
            case b'"':
                return None
    return None
