"""Edits of rejected events as they stand on the command line, made into those of the API. Pure."""

from __future__ import annotations

import json
import math
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
    is_json = text[:1] in ('"', "{", "[")
    if not is_json and path not in _NUMBERS:
        return text
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        if is_json:
            raise Failure(f"--set {path}={text}: not JSON: {error}.") from error
        return text
    if isinstance(found, float) and not math.isfinite(found):
        raise Failure(f"--set {path}={text}: a finite number is expected.")
    return text if isinstance(found, bool) or found is None else found
