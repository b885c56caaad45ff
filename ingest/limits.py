"""How much a key may send: a token bucket on a clock that is given to it.

The bucket is one number: the time at which it is full again. What is in it follows from that, so nothing refills it,
and an idle key costs nothing.
"""

from __future__ import annotations

import math
from typing import Final

from ingest.keys import MAX_KEYS, Key

MAX_BUCKETS: Final = MAX_KEYS
"""Keys whose buckets a process remembers. One that is forgotten comes back full."""


class TokenBucket:
    """Grants `burst` at once and `rate` a second after that.

    In any window of t seconds it grants at most burst + rate * t, but for one case: an amount above the burst could
    never be granted, so a full bucket grants it and is left with a debt, which is paid before anything else is granted.
    """

    def __init__(self, rate: float, burst: float) -> None:
        """`rate` in tokens a second, `burst` in tokens; both above 0. The bucket begins full."""
        self.rate = rate
        self.burst = burst
        self._full_at = -math.inf
        self._now = -math.inf

    def take(self, amount: float, now_s: float) -> float:
        """0.0: granted. Else nothing was taken, and so many seconds from now it would be, if nobody else takes.

        `now_s` is any clock in seconds, from 0 up. When it steps back, the bucket keeps what it has and goes on.
        """
        self._follow(now_s)
        if amount <= 0:
            return 0.0
        possible_at = self._full_at - (self.burst - min(amount, self.burst)) / self.rate
        if now_s < possible_at:
            return possible_at - now_s  # both are positive: added to now it is never before that time again
        self._full_at = max(self._full_at, now_s) + amount / self.rate
        return 0.0

    def tokens(self, now_s: float) -> float:
        """What is in it; below 0 it is a debt."""
        self._follow(now_s)
        return self.burst - max(0.0, self._full_at - now_s) * self.rate

    def retune(self, rate: float, burst: float, now_s: float) -> None:
        """Other limits from now on. What is in it stays, up to the new burst: a change is no gift."""
        tokens = min(self.tokens(now_s), burst)
        self.rate, self.burst = rate, burst
        self._full_at = now_s + (burst - tokens) / rate

    def _follow(self, now_s: float) -> None:
        if now_s < self._now:
            self._full_at += now_s - self._now
        self._now = now_s


class RateLimiter:
    """One bucket per key, for the keys seen last. A key whose limits changed goes on with what its bucket held."""

    def __init__(self, max_buckets: int = MAX_BUCKETS) -> None:
        self._max_buckets = max_buckets
        self._buckets: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Key, events: int, now_s: float) -> float:
        """0.0: granted, and counted. Else the seconds after which it would be; nothing was counted."""
        if key.rate is None:
            self._buckets.pop(key.id, None)
            return 0.0
        burst = float(key.burst) if key.burst is not None else max(1.0, key.rate)
        bucket = self._buckets.pop(key.id, None)
        if bucket is None:
            bucket = TokenBucket(key.rate, burst)
            if len(self._buckets) >= self._max_buckets:
                del self._buckets[next(iter(self._buckets))]
        elif (bucket.rate, bucket.burst) != (key.rate, burst):
            bucket.retune(key.rate, burst, now_s)
        self._buckets[key.id] = bucket  # the last place: the first one is that of the key seen longest ago
        return bucket.take(events, now_s)
