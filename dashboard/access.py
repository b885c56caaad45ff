"""Who may ask the dashboard: a key in the header, or a browser that signed in with one.

Not its job: to stand in the way (`dashboard.gate`), the value a browser keeps (`dashboard.sessions`), the form
(`dashboard.sign_in`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from dashboard.edge import SAFE_METHODS, from_own_page
from dashboard.sessions import Session, Sessions
from ingest.keys import Key, KeyRing, Scope
from ingest.watched import Watched

FOLLOW_S: Final = 1.0
"""Time between two looks at the file of the keys."""
QUESTIONS: Final = frozenset({"/api/v1/query", "/_dash-update-component"})
"""What is asked with POST and changes nothing."""
OPEN: Final = frozenset(
    {
        "/health/live",
        "/health/ready",
        "/metrics",
        "/docs",
        "/api/v1/openapi.json",
        "/sign-in",
        "/sign-out",
        "/session",
        "/_favicon.ico",
    }
)
OPEN_FOLDERS: Final = ("/assets/", "/_dash-component-suites/")
_MOST_COOKIES: Final = 100
GIVEN: Final = "tallyboard.pass"
"""Where the `Pass` of a request stands in its scope."""
_LOG: Final = logging.getLogger("tallyboard.dashboard")

READ: Final = frozenset({Scope.READ})
CHANGE: Final = frozenset({Scope.READ, Scope.WRITE})


def needed(method: str, path: str) -> frozenset[Scope]:
    """The scopes a request needs; none: it is open to everybody who reaches the port."""
    if path in OPEN or (path.startswith(OPEN_FOLDERS) and method in SAFE_METHODS):
        return frozenset()
    return READ if method in SAFE_METHODS or (method == "POST" and path in QUESTIONS) else CHANGE


class Keys:
    """The keys in force in this process; `ring` None: nobody is asked for one."""

    def __init__(self, ring: KeyRing | None = None) -> None:
        self.ring = ring
        self.problem: str | None = None
        """Why the newest content of the file is not in force."""

    async def follow(self, watched: Watched[KeyRing | None], clock: Callable[[], int]) -> None:
        """Take over each change of the file; what is wrong with it is said once and changes nothing. Never ends."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            if await asyncio.to_thread(watched.poll) and watched.value is not None:
                self.ring = watched.value
                _LOG.info("keys.toml has changed", extra={"keys": watched.value.summary(clock())})
            if watched.problem and watched.problem != self.problem:
                _LOG.warning("keys.toml: the old content stays in force: %s", watched.problem)
            elif self.problem and not watched.problem:
                _LOG.info("keys.toml: mended")
            self.problem = watched.problem


@dataclass(frozen=True, slots=True)
class Pass:
    """What lets a request in: a key, as it was then, and the session of a browser. Both None: nobody was asked."""

    key: Key | None = None
    digest: bytes = b""
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Why it is not let in."""

    status: int
    code: str
    message: str


_UNKNOWN: Final = Refused(401, "unauthorized", "a valid key is needed, as the header Authorization: Bearer <key>")


class Access:
    """Judges by the keys of this moment."""

    def __init__(self, keys: Keys, sessions: Sessions, clock: Callable[[], int]) -> None:
        self.keys, self.sessions, self.clock = keys, sessions, clock

    @property
    def asks(self) -> bool:
        """Whether anybody is asked for a key."""
        return self.keys.ring is not None

    def known(self, headers: Headers) -> Pass | None:
        """Who asks; None when it is nobody. A key in the header counts alone, a wrong one too: whoever names one
        wants to be that one. Other kinds of `Authorization` belong to a proxy and are not looked at."""
        ring = self.keys.ring
        if ring is None:
            return Pass()
        given = [value for value in headers.getlist("authorization") if _is_key(value)]
        if given:
            key = ring.authenticate(given[0].encode("latin-1"), self.clock()) if len(given) == 1 else None
            return None if key is None else Pass(key, ring.keys[key.id].digest)
        for value in _cookies(headers, self.sessions.cookie_name):
            session = self.sessions.read(value, ring)
            if session is not None and self.sessions.holds(session, ring, self.clock()):
                return Pass(ring.keys[session.key_id].key, session.digest, session)
        return None

    def judge(self, headers: Headers, scopes: frozenset[Scope], changes: bool) -> Pass | Refused:
        """Whether a request with these headers may go on; `changes`: it is more than a question."""
        found = self.known(headers)
        if found is None:
            return _UNKNOWN
        if found.key is not None and (lacking := [scope for scope in sorted(scopes) if not found.key.may(scope)]):
            return Refused(403, "forbidden", f"the key {found.key.id} does not have the scope {lacking[0]}")
        if found.session is not None and changes and not from_own_page(headers):
            return Refused(403, "forbidden", "a browser that is signed in changes things from pages of this site only")
        return found

    def holds(self, found: Pass, scopes: frozenset[Scope]) -> bool:
        """Whether what was let in would still be let in."""
        ring, now_ms = self.keys.ring, self.clock()
        if ring is None:
            return True
        stored = ring.keys.get(found.key.id) if found.key else None
        if stored is None or stored.digest != found.digest or stored.state(now_ms) != "active":
            return False
        if not all(stored.key.may(scope) for scope in scopes):
            return False
        return found.session is None or self.sessions.holds(found.session, ring, now_ms)


def pass_of(request: HTTPConnection) -> Pass:
    """What let this request in."""
    found = request.scope.get(GIVEN, Pass())
    assert isinstance(found, Pass)
    return found


def _is_key(authorization: str) -> bool:
    """Whether it is a kind of `Authorization` that keys come with."""
    return authorization.strip().partition(" ")[0].lower() in ("bearer", "token")


def _cookies(headers: Headers, name: str) -> Iterator[str]:
    """The values of the cookies of a name, the first ones of a header of any length."""
    parts = ";".join(headers.getlist("cookie")).split(";", _MOST_COOKIES)
    for part in parts[:_MOST_COOKIES]:
        found, _, value = part.strip().partition("=")
        if found == name:
            yield value.strip().strip('"')
