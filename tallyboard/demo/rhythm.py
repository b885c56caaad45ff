"""How busy it is when: days, weeks, slow ups and downs, and what happens at the same minutes of every hour.

Everything here is a function of a seed and of epoch seconds. The same seed gives the same numbers on every machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400
ZONE_S: Final = HOUR
"""The made-up people live an hour east of UTC, all year round."""
_MONDAY: Final = 4 * DAY
"""1970 began on a Thursday."""
_KNOT_S: Final = 240


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Weights by the hour of the day (24) and by the day of the week (7, from Monday); 1.0 is an ordinary moment."""

    hours: Sequence[float]
    days: Sequence[float]

    def at(self, second: int) -> float:
        """The weight at a moment; straight lines between the hours."""
        local = second + ZONE_S
        hour, passed = divmod(local % DAY, HOUR)
        before, after = self.hours[hour], self.hours[(hour + 1) % 24]
        day = (local - _MONDAY) // DAY % 7
        return (before + (after - before) * passed / HOUR) * self.days[day]


@dataclass(frozen=True, slots=True)
class Episode:
    """What begins and ends at the same minutes of every hour."""

    first: float
    last: float
    """Minutes of the hour: from `first` up to, not including, `last`."""
    rise: float = 0.0
    """Minutes it takes to get to full strength, and to fade."""

    def strength(self, second: int) -> float:
        """From 0 (not now) to 1."""
        minute = second % HOUR / MINUTE
        if not self.first <= minute < self.last:
            return 0.0
        if not self.rise:
            return 1.0
        return min((minute - self.first) / self.rise, (self.last - minute) / self.rise, 1.0)

    def now(self, second: int) -> bool:
        return self.first <= second % HOUR / MINUTE < self.last

    def end(self, second: int) -> int:
        """When it ends in the hour of `second`."""
        return second - second % HOUR + round(self.last * MINUTE)


@lru_cache(maxsize=65_536)
def chance(*parts: object) -> float:
    """A number in [0, 1) that belongs to these words and numbers."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


def dice(*parts: object) -> random.Random:
    """Random numbers that belong to these words and numbers."""
    return random.Random("/".join(map(str, parts)))


def drift(seed: int, what: str, second: int, size: float = 0.12) -> float:
    """A factor around 1 that wanders over minutes."""
    knot, passed = divmod(second, _KNOT_S)
    before, after = chance(seed, what, knot), chance(seed, what, knot + 1)
    share = passed / _KNOT_S
    share *= share * (3 - 2 * share)
    return 1 + size * (2 * (before + (after - before) * share) - 1)


def how_many(draw: random.Random, mean: float) -> int:
    """How many of independent things happen where `mean` are expected (Poisson)."""
    if mean > 50:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count


def heavy_tail(draw: random.Random, size: int) -> int:
    """A number from 0 up to `size`: n is about 1 / (n + 1) times as likely as 0."""
    return min(int(math.exp(draw.random() * math.log(size + 1))) - 1, size - 1)
