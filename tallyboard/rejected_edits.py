"""Edits of rejected events as they stand on the command line, made into those of the API. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tallyboard.failure import Failure

_NUMBERS = ("value", "timestamp")


def edits_of(changes: Sequence[str], drop: Sequence[str], rename: Sequence[str]) -> dict[str, object]:
    """The fields `set`, `drop` and `rename`. Raises `Failure` for one that is no `path=value`."""
    found_set = {path: _value(path, text) for path, text in (_pair("--set", one) for one in changes)}
    return {"set": found_set, "drop": list(drop), "rename": dict(_pair("--rename", one) for one in rename)}


def _pair(flag: str, text: str) -> tuple[str, str]:
    path, sign, value = text.partition("=")
    if not (path and sign) or (flag == "--rename" and not value):
        expected = "PATH=VALUE" if flag == "--set" else "OLD=NEW"
        raise Failure(f"{flag} {text}: {expected} is expected, such as dimensions.country=NL.")
    return path, value


def _value(path: str, text: str) -> object:
    """A text, but a number for `value` and `timestamp` where it is one; in quotes, braces or brackets: JSON."""
    if path in _NUMBERS or text[:1] in ('"', "{", "["):
        try:
            found: object = json.loads(text, parse_constant=_no_number)
        except ValueError:
            return text
        return text if isinstance(found, bool) or found is None else found
    return text


def _no_number(text: str) -> object:
    raise ValueError(text)
