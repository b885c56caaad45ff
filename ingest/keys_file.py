"""The file `keys.toml`: one table per key, hashes only.

    [keys.k7x2m4qa]
    name = "shop"
    hash = "sha256:9f86d0…"
    scopes = ["write"]                    # write read admin
    created = 2026-11-23T10:00:00Z
    expires = 2027-02-21T10:00:00Z        # this and the following are optional
    rate = 5000                           # events/s
    burst = 20000
    series_limit = 10000
    revoked = 2026-12-01T08:00:00Z        # the key opens nothing; it stays, so that its id is known

No message shows a value: what was pasted into the wrong place may be a secret. Writing: `ingest.keys_edit`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ingest.keys import ID, MAX_KEYS, Key, KeyRing, KeysError, Scope, StoredKey
from ingest.toml_lines import Place, line_of, lines_of

FILE_NAME: Final = "keys.toml"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_NAME: Final = 100
MAX_TIME_MS: Final = 253_402_214_400_000
"""The beginning of 9999-12-31: in every zone a time that a calendar has."""
MAX_RATE: Final = 1e9
MAX_COUNT: Final = 10**12
"""Largest rate, and largest burst and series limit: beyond it a number is a slip."""
_FIELDS: Final = ("name", "hash", "scopes", "created", "expires", "rate", "burst", "series_limit", "revoked")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")


class _Invalid(Exception):
    """A wrong field of one key; the reader adds file and line."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


def load(path: Path) -> KeyRing | None:
    """The keys of the file; None when there is no file. Raises `KeysError` for the first mistake."""
    found, wrong = _read(path)
    if wrong:
        raise wrong[0]
    return found


def mistakes(path: Path) -> list[KeysError]:
    """Everything that is wrong with the file, in its order; a missing file is not."""
    return _read(path)[1]


def warnings(path: Path) -> list[str]:
    """What is no mistake but should be looked at, as sentences."""
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        return []
    if not mode & 0o077:
        return []
    return [f"{path}: others may read or change the file (mode {mode:04o}); chmod 600 keeps it to its owner."]


# --- reading ------------------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[KeyRing | None, list[KeysError]]:
    file = str(path)
    try:
        text = path.read_bytes().decode("utf-8")
        document = tomllib.loads(text)
    except FileNotFoundError:
        return None, []
    except OSError as error:
        return None, [KeysError(file, None, "", f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError:
        return None, [KeysError(file, None, "", "not UTF-8")]
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a plain ValueError
        place = re.search(r"at line (\d+)", str(error))
        return None, [KeysError(file, int(place[1]) if place else None, "", f"not TOML: {error}")]
    lines = lines_of(text)
    unknown = (name for name in document if name != "keys")
    wrong = [KeysError(file, line_of(lines, (name,)), _shown(name), "unknown field; known: keys") for name in unknown]
    tables = document.get("keys", {})
    if not isinstance(tables, dict):
        return None, [*wrong, KeysError(file, line_of(lines, ("keys",)), "keys", "expected tables [keys.<id>]")]
    if len(tables) > MAX_KEYS:
        wrong.append(KeysError(file, None, "keys", f"at most {MAX_KEYS} keys are kept; remove revoked ones"))
    keys: dict[str, StoredKey] = {}
    for key_id, table in tables.items():
        stored, invalid = _key(key_id, table)
        wrong += [_in_key(file, lines, key_id, one) for one in invalid]
        if stored is not None:
            keys[key_id] = stored
    return KeyRing(MappingProxyType(keys)), wrong


def _in_key(file: str, lines: Mapping[Place, int], key_id: str, invalid: _Invalid) -> KeysError:
    field = f"keys.{_shown(key_id)}" + (f".{_shown(invalid.field)}" if invalid.field else "")
    return KeysError(file, line_of(lines, ("keys", key_id, invalid.field)), field, invalid.message)


def _key(key_id: str, table: object) -> tuple[StoredKey | None, list[_Invalid]]:
    """A key, or everything that is wrong with it."""
    if not isinstance(table, dict):
        return None, [_Invalid("", "expected a table")]
    wrong = [_Invalid(name, f"unknown field; known: {', '.join(_FIELDS)}") for name in table if name not in _FIELDS]
    if not ID.fullmatch(key_id):
        wrong.append(_Invalid("", "expected an id of 8 characters a-z, 2-7"))
    values: dict[str, Any] = {}
    for name, read in _READERS.items():
        try:
            if name in table:
                values[name] = read(name, table[name])
            elif name in _REQUIRED:
                raise _Invalid(name, "missing")
        except _Invalid as invalid:
            wrong.append(invalid)
    if "burst" in table and "rate" not in table:
        wrong.append(_Invalid("burst", "has no meaning without rate"))
    if wrong:
        return None, wrong
    key = Key(
        id=key_id,
        name=values["name"],
        scopes=values["scopes"],
        expires_ms=values.get("expires"),
        rate=values.get("rate"),
        burst=values.get("burst"),
        series_limit=values.get("series_limit"),
    )
    return StoredKey(key, values["hash"], values["created"], values.get("revoked")), []


def _shown(name: str) -> str:
    """A name found in the file; not one that could be a whole key, or does not fit into a line."""
    return name if _PLAIN.fullmatch(name) else "…"


def is_name(text: str) -> bool:
    """Whether a key may be called so: it must be fit to stand in a line."""
    return 0 < len(text) <= MAX_NAME and text.isprintable() and text.strip() == text


def _name(field: str, given: object) -> str:
    if not isinstance(given, str) or not is_name(given):
        raise _Invalid(field, f"expected 1 to {MAX_NAME} printable characters")
    return given


def _hash(field: str, given: object) -> bytes:
    match = _HASH.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        raise _Invalid(field, "expected sha256: and 64 hexadecimal digits")
    return bytes.fromhex(match[1])


def _scopes(field: str, given: object) -> frozenset[Scope]:
    known = set(Scope)
    if not isinstance(given, list) or not given or not all(isinstance(one, str) and one in known for one in given):
        raise _Invalid(field, f"expected a list of {', '.join(Scope)}")
    return frozenset(map(Scope, given))


def _time(field: str, given: object) -> int:
    """Epoch milliseconds of a TOML time with zone, or of the same as a text."""
    found = given
    if isinstance(given, str):
        try:
            found = datetime.fromisoformat(given)
        except ValueError:
            found = None
    if not isinstance(found, datetime) or found.tzinfo is None:
        raise _Invalid(field, "expected a time with zone, such as 2027-02-21T10:00:00Z")
    ms = (found - EPOCH) // timedelta(milliseconds=1)
    if not 0 <= ms <= MAX_TIME_MS:
        raise _Invalid(field, "expected a time between the years 1970 and 9999")
    return ms


def _rate(field: str, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= MAX_RATE:
        raise _Invalid(field, f"expected events a second, above 0 and at most {MAX_RATE:g}")
    return float(given)


def _count(field: str, given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_COUNT:
        raise _Invalid(field, f"expected a whole number from 1 to {MAX_COUNT}")
    return given


_READERS: Final[dict[str, Callable[[str, object], object]]] = {
    "name": _name,
    "hash": _hash,
    "scopes": _scopes,
    "created": _time,
    "expires": _time,
    "rate": _rate,
    "burst": _count,
    "series_limit": _count,
    "revoked": _time,
}
_REQUIRED: Final = frozenset({"name", "hash", "scopes", "created"})
