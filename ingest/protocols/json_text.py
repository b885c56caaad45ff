"""Taking a JSON body apart into the texts of its events, without reading what is in them."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

MAX_EVENT_BYTES: Final = 64 * 1024
"""Longest line or element that is read as an event."""
WHITESPACE: Final = b" \t\r\n"
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON; the last two stand outside its own hierarchy."""
MAX_TOKENS: Final = 500_000
"""Most brackets and commas looked at one by one: bounds the time spent on garbage (about 0.2 s)."""
MANY_COMMAS: Final = 100
"""Commas per event, above which an array is counted before all its elements are held in memory."""

_ELEMENTS: Final = msgspec.json.Decoder(list[Raw])
_VALUE: Final = msgspec.json.Decoder(Raw)
_TOKEN: Final = re.compile(rb'(?:[^"\[\]{},]++|"(?:[^"\\]++|\\.)*+")*+(["\[\]{},])', re.DOTALL)
"""The next bracket or comma outside of texts, or a quote without its partner. Possessive: never backtracks."""
_BETWEEN_OBJECTS: Final = re.compile(rb'\}[ \t\r\n]*,[ \t\r\n]*\{[ \t\r\n]*"\w')
"""In JSON this stands outside of texts: a quote before a letter opens a text, so what precedes it is outside."""


def is_text(raw: bytes) -> bool:
    """Whether the bytes are UTF-8; msgspec does not look into fields it skips."""
    if raw.isascii():
        return True
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def is_json(raw: bytes) -> bool:
    """Whether the bytes are one JSON value in UTF-8 (texts inside are skipped, not read)."""
    try:
        _VALUE.decode(raw)
    except UNREADABLE:
        return False
    return is_text(raw)


def is_array(body: bytes) -> bool:
    return body.lstrip(WHITESPACE)[:1] == b"["


def lines_of(body: bytes) -> list[bytes]:
    """The lines that are not blank."""
    return [stripped for line in body.split(b"\n") if (stripped := line.strip(WHITESPACE))]


def surely_short(array: bytes) -> bool:
    """Whether a few looks into a JSON array of objects prove that no element is above `MAX_EVENT_BYTES`.

    Where there is one array only, what separates two objects separates two elements; with such a place in every
    stretch of half the limit no element can be longer than the limit.
    """
    if len(array) <= MAX_EVENT_BYTES:
        return True
    if array.find(b"[", array.index(b"[") + 1) >= 0:
        return False
    half = MAX_EVENT_BYTES // 2
    stretches = range(0, len(array) - half + 1, half)
    return all(_BETWEEN_OBJECTS.search(array, start, start + half) is not None for start in stretches)


def elements_of(array: bytes, max_events: int) -> list[bytes] | None:
    """The JSON texts of an array's elements; None when it cannot be taken apart. Of an array with more than
    `max_events` elements there may be fewer than all, yet more than `max_events`.

    Where the array is not JSON, brackets and commas alone decide, so that a NaN in one event does not spoil the
    others: an element may then be anything.
    """
    if array.count(b",") > MANY_COMMAS * max_events:
        return _split(array, max_events)
    try:
        return [bytes(element) for element in _ELEMENTS.decode(array)]
    except UNREADABLE:
        return _split(array, max_events)


def known_elements(array: bytes) -> list[bytes]:
    """The JSON texts of the elements of what was decoded as an array before."""
    try:
        return [bytes(element) for element in _ELEMENTS.decode(array)]
    except RecursionError:  # so deep that it depends on the caller's depth: this way there is none
        return _split(array, len(array), len(array)) or []


def _split(array: bytes, max_events: int, max_tokens: int = MAX_TOKENS) -> list[bytes] | None:
    elements: list[bytes] = []
    depth, start, position = 0, 0, 0
    for _ in range(max_tokens):
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
                if len(elements) > max_events:
                    return elements
                start = position
            case b'"':
                return None
    return None
