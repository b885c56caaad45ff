"""API keys: who sends, what they may do, and how much of it.

A key is the text `tb_<id>_<secret>`: the id is public and stands in logs and dead letters, the secret is random and
stands nowhere. What is kept of a key is the SHA-256 of its text; a fast hash is enough, since nobody guesses 160 bits.

Not its job: the file they are kept in (`ingest.keys_file`), what a request without one is told (`ingest.access`).
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Literal

ID_BYTES: Final = 5
SECRET_BYTES: Final = 20
"""Random bytes of an id and of a secret; eight bits each, five to a character."""
MAX_KEYS: Final = 10_000
"""Most keys of a ring, revoked ones included."""

ID: Final = re.compile(r"[a-z2-7]{8}")
_AUTHORIZATION: Final = re.compile(rb"(?i:bearer|token) +(tb_([a-z2-7]{8})_[a-z2-7]{32})")
_NOBODY: Final = bytes(sha256().digest_size)
"""Compared with when the id is unknown. No text is known whose hash this is."""

State = Literal["active", "expired", "revoked"]


class Scope(StrEnum):
    """What a key may be used for."""

    WRITE = "write"
    READ = "read"
    ADMIN = "admin"
    """Everything the others allow."""


@dataclass(frozen=True, slots=True)
class Key:
    """Who a request comes from. None means: without limit."""

    id: str
    name: str
    scopes: frozenset[Scope]
    expires_ms: int | None = None
    """From this time on (epoch milliseconds) it opens nothing."""
    rate: float | None = None
    """Events a second, per process."""
    burst: int | None = None
    """Events at once; without it, those of one second."""
    series_limit: int | None = None
    """Series it may make, per process."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is kept: everything but its secret."""

    key: Key
    digest: bytes
    """SHA-256 of the whole text of the key."""
    created_ms: int
    revoked_ms: int | None = None

    def state(self, now_ms: int) -> State:
        if self.revoked_ms is not None:
            return "revoked"
        expires_ms = self.key.expires_ms
        return "expired" if expires_ms is not None and now_ms >= expires_ms else "active"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys by id, the revoked ones too. An empty ring opens nothing."""

    keys: Mapping[str, StoredKey] = field(default_factory=lambda: MappingProxyType({}))

    def authenticate(self, authorization: bytes | None, now_ms: int) -> Key | None:
        """The key that an `Authorization` header (`Bearer` or `Token`) proves; None, without a reason, if none.

        An unknown id takes the same steps as a wrong secret, so that time tells nothing about ids.
        """
        match = _AUTHORIZATION.fullmatch((authorization or b"").strip())
        if match is None:
            return None
        stored = self.keys.get(match[2].decode())
        proven = hmac.compare_digest(sha256(match[1]).digest(), _NOBODY if stored is None else stored.digest)
        return stored.key if proven and stored is not None and stored.state(now_ms) == "active" else None

    def active(self, now_ms: int) -> list[Key]:
        """The keys that open something now."""
        return [stored.key for stored in self.keys.values() if stored.state(now_ms) == "active"]

    def including(self, stored: StoredKey) -> KeyRing:
        """This ring with one key more, or with another version of a key."""
        return KeyRing(MappingProxyType({**self.keys, stored.key.id: stored}))

    def revoking(self, key_id: str, now_ms: int) -> KeyRing:
        """This ring with the key revoked; a key that was revoked before keeps its date. Raises `KeyError`."""
        stored = self.keys[key_id]
        return self if stored.revoked_ms is not None else self.including(replace(stored, revoked_ms=now_ms))

    def summary(self, now_ms: int) -> str:
        """How many keys are in which state, for a log line."""
        states = [stored.state(now_ms) for stored in self.keys.values()]
        others = [f", {states.count(state)} {state}" for state in ("expired", "revoked") if state in states]
        return f"{states.count('active')} active" + "".join(others)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key with its secret, which exists nowhere else."""

    stored: StoredKey
    text: str = field(repr=False)


def mint(ring: KeyRing, wanted: Key, now_ms: int, random: Callable[[int], bytes]) -> NewKey:
    """A key like `wanted`, whose id is not looked at, with an id that is new to the ring.

    `random` gives that many unpredictable bytes: `secrets.token_bytes`.
    """
    drawn = (_base32(random(ID_BYTES)) for _ in range(100))  # at most MAX_KEYS of 2^40 are taken
    key_id = next(one for one in drawn if one not in ring.keys)
    text = f"tb_{key_id}_{_base32(random(SECRET_BYTES))}"
    return NewKey(StoredKey(replace(wanted, id=key_id), sha256(text.encode()).digest(), now_ms), text)


def _base32(random: bytes) -> str:
    return base64.b32encode(random).decode().lower()


class KeysError(Exception):
    """A mistake in a keys file: names the file, where possible the line, and the field; never shows a value, as it
    could be a secret."""

    def __init__(self, file: str, line: int | None, field: str, message: str) -> None:
        self.file, self.line, self.field, self.message = file, line, field, message
        where = f"{file}:{line}" if line else file
        super().__init__(f"{where}: {field}: {message}" if field else f"{where}: {message}")
