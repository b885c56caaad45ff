"""Whether a request may come in, judged by its headers alone, and how many events its key may send."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from ingest.keys import Key, KeyRing, Scope
from ingest.limits import RateLimiter
from ingest.problems import Problem

_UNAUTHORIZED: Final = Problem(
    401,
    "unauthorized",
    "a valid key is needed, as the header Authorization: Bearer <key>",
    # The body was not read and will not be.
    {"WWW-Authenticate": "Bearer", "Connection": "close"},
)


class Access:
    """Judges by the ring of this moment, so that a change of the keys holds from the next request on."""

    def __init__(
        self, ring: Callable[[], KeyRing | None], wall_ms: Callable[[], int], monotonic_s: Callable[[], float]
    ) -> None:
        """`ring` gives the keys in force, or None where nobody is asked for one. Keys expire by `wall_ms` (epoch);
        rates are measured by `monotonic_s`."""
        self._ring = ring
        self._wall_ms = wall_ms
        self._monotonic_s = monotonic_s
        self._limiter = RateLimiter()

    def admit(self, headers: Mapping[bytes, bytes], scope: Scope) -> Key | Problem | None:
        """The key of a request that may go on (None where nobody is asked for one), or 401 or 403.

        To be asked before anything of the body is read. Names of `headers` are in lower case.
        """
        ring = self._ring()
        if ring is None:
            return None
        key = ring.authenticate(headers.get(b"authorization"), self._wall_ms())
        if key is None:
            return _UNAUTHORIZED
        if not key.may(scope):
            detail = f"the key {key.id} does not have the scope {scope}"
            return Problem(403, "forbidden", detail, {"Connection": "close"})
        return key

    def charge(self, key: Key | None, events: int) -> Problem | None:
        """Count the events of a request, rejected ones too; 429 when the key's rate does not allow them now.

        A refused request costs nothing. One larger than the burst waits for a full bucket, and is paid for afterwards.
        """
        if key is None:
            return None
        wait_s = self._limiter.take(key, events, self._monotonic_s())
        if not wait_s:
            return None
        detail = f"the key {key.id} may send {key.rate:g} events/s; nothing was taken"
        return Problem(429, "rate_limited", detail, {"Retry-After": str(math.ceil(wait_s))})
