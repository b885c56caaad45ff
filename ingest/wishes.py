"""What a write request asks for beyond being taken: `?atomic`, `?import` and `Idempotency-Key`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from ingest.problems import Problem
from ingest.verdicts import shown

MAX_IDEMPOTENCY_KEY: Final = 200
_PARAMETERS: Final = frozenset({"atomic", "import"})
_FLAGS: Final = {"true": True, "1": True, "": True, "false": False, "0": False}
_PRINTABLE: Final = re.compile(rb"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Wishes:
    """The defaults are those of a request that says nothing."""

    atomic: bool = False
    """One bad verdict rejects all."""
    history: bool = False
    """Imported history: any past time is taken, and nothing counts as late."""
    id_prefix: str | None = None
    """Events without an id get `<id_prefix>/<index>`."""


_NONE: Final = Wishes()


def wishes_of(query: bytes, headers: Mapping[bytes, bytes]) -> Wishes | Problem:
    """Read the query string and the header of a request; a wish that is not understood is refused (400), since the
    client relies on it."""
    idempotency_key = headers.get(b"idempotency-key")
    if not query and idempotency_key is None:
        return _NONE
    flags: dict[str, bool] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in _PARAMETERS:
            return _invalid(f"there is no parameter {shown(name)}; known: atomic, import")
        if name in flags or value.lower() not in _FLAGS:
            return _invalid(f"{name} is true or false, and stands once")
        flags[name] = _FLAGS[value.lower()]
    prefix = None
    if idempotency_key is not None:
        if len(idempotency_key) > MAX_IDEMPOTENCY_KEY or not _PRINTABLE.fullmatch(idempotency_key):
            detail = f"an Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters"
            return Problem(400, "invalid_idempotency_key", detail)
        prefix = idempotency_key.decode("ascii")
    return Wishes(flags.get("atomic", False), flags.get("import", False), prefix)


def _invalid(detail: str) -> Problem:
    return Problem(400, "invalid_parameter", detail)
