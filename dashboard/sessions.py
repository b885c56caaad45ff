"""What a browser keeps once somebody signed in: a value signed by the server, in place of the key.

The value says which key signed in, until when, and a random id of the session. Its signature is made with a secret of
this installation and the hash of the key: without the secret it cannot be made up, and it holds no longer than the key
itself. Replicas with the same secret accept each other's.
"""

from __future__ import annotations

import base64
import hmac
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from ingest.keys import KeyRing, StoredKey

SESSION_DAYS: Final = 30
"""Longest time a browser stays signed in; a key that expires earlier ends it earlier."""
SECRET_FILE: Final = "session-secret"  # noqa: S105  its name
SECRET_BYTES: Final = 32
MAX_ENDED: Final = 100_000
"""Sessions that ended by signing out, as a process remembers them; the one ended longest ago is forgotten first."""

_DAY_MS: Final = 86_400_000
_ID_BYTES: Final = 16
_VALUE: Final = re.compile(r"1\.([a-z2-7]{8})\.(\d{1,15})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII)
_NOBODY: Final = bytes(sha256().digest_size)
_LOG: Final = logging.getLogger("tallyboard.dashboard")


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is signed in: `id` is random, `digest` the hash of the key it signed in with."""

    id: str
    key_id: str
    digest: bytes
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Issued:
    """A new session and the text the browser keeps of it."""

    session: Session
    value: str


class Sessions:
    """Makes and reads these values, and remembers which sessions were ended in this process."""

    def __init__(self, secret: bytes, random: Callable[[int], bytes] = os.urandom, most_ended: int = MAX_ENDED) -> None:
        self._secret = sha256(b"tallyboard session\0" + secret).digest()
        self._random = random
        self._most_ended = most_ended
        self._ended: dict[str, int] = {}
        # Cookies know no ports: installations on one host must not take each other's places.
        self.cookie_name: str = f"tallyboard_{sha256(b'name' + self._secret).hexdigest()[:8]}"

    def issue(self, stored: StoredKey, now_ms: int) -> Issued:
        """A session of a key that was just proven."""
        expires_ms = now_ms + SESSION_DAYS * _DAY_MS
        if stored.key.expires_ms is not None:
            expires_ms = min(expires_ms, stored.key.expires_ms)
        session = Session(_text(self._random(_ID_BYTES)), stored.key.id, stored.digest, expires_ms)
        return Issued(session, f"{_signed_part(session)}.{self._signature(session)}")

    def read(self, value: str, ring: KeyRing) -> Session | None:
        """The session of a value that was made here for a key as it is in the ring; it need not hold any more.

        A key that is unknown takes the same steps as a wrong signature.
        """
        match = _VALUE.fullmatch(value)
        if match is None:
            return None
        stored = ring.keys.get(match[1])
        session = Session(match[3], match[1], _NOBODY if stored is None else stored.digest, int(match[2]))
        if not hmac.compare_digest(self._signature(session), match[4]) or stored is None:
            return None
        return session

    def holds(self, session: Session, ring: KeyRing, now_ms: int) -> bool:
        """Whether the session opens something now: not over, not ended, its key there, unchanged and active."""
        stored = ring.keys.get(session.key_id)
        return (
            stored is not None
            and stored.digest == session.digest
            and stored.state(now_ms) == "active"
            and now_ms < session.expires_ms
            and session.id not in self._ended
        )

    def end(self, session: Session, now_ms: int) -> None:
        """Signed out: the value opens nothing here any more, wherever a copy of it is."""
        if len(self._ended) >= self._most_ended:
            self._ended = {one: until for one, until in self._ended.items() if until > now_ms}
            while len(self._ended) >= self._most_ended:
                del self._ended[next(iter(self._ended))]
        self._ended[session.id] = session.expires_ms

    def _signature(self, session: Session) -> str:
        signed = _signed_part(session).encode() + b"\0" + session.digest
        return _text(hmac.digest(self._secret, signed, "sha256"))


def _signed_part(session: Session) -> str:
    return f"1.{session.key_id}.{session.expires_ms}.{session.id}"


def _text(found: bytes) -> str:
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode()


def secret_in(folder: Path) -> bytes:
    """The secret kept in a data folder, made when there is none; only its owner may read the file. Raises `OSError`.

    A file that is too short, because a disk was full, is made anew: everybody signs in once more.
    """
    path = folder / SECRET_FILE
    try:
        found = path.read_bytes()
        if len(found) >= SECRET_BYTES:
            return found
        _LOG.warning("%s is too short and is made anew: everybody has to sign in again", path)
    except FileNotFoundError:
        pass
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{SECRET_FILE}-{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(made := os.urandom(SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return made
