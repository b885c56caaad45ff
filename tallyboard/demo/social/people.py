"""Who is there, what they write about, and what happens every hour."""

from __future__ import annotations

from typing import Final, NamedTuple

from tallyboard.demo.rhythm import HOUR, Episode, Rhythm

PEOPLE: Final = 150_000
PLATFORMS: Final = ("android",) * 43 + ("ios",) * 37 + ("web",) * 20
MOBILE: Final = frozenset({"android", "ios"})
COUNTRIES: Final = (
    ("US",) * 26 + ("BR",) * 17 + ("IN",) * 17 + ("DE",) * 10 + ("FR",) * 9 + ("NL",) * 8 + ("JP",) * 7 + ("ZA",) * 6
)
"""A hundred people by country."""
_SUBJECTS: Final = (
    "cats", "coffee", "running", "gardening", "football", "film", "baking", "synths", "travel", "chess",
    "knitting", "cycling", "space", "birds", "books", "houseplants", "climbing", "jazz", "photo", "gaming",
    "sourdough", "python", "sailing", "pottery", "vintage", "maps", "bees", "origami", "trains", "astronomy",
)  # fmt: skip
_FORMS: Final = ("{}", "{}_daily", "my_{}", "{}_club", "{}_tips", "{}_love", "new_to_{}", "{}_help", "old_{}", "{}_art")
TAGS: Final = tuple(form.format(subject) for form in _FORMS for subject in _SUBJECTS)
"""300 tags, the common ones first."""
TRENDS: Final = ("cup_final", "comet_tonight", "train_strike", "new_album", "heatwave", "solar_eclipse", "power_cut")
"""What everybody talks about in one hour, in the next, …"""

POSTS_A_SECOND: Final = 3.0
RHYTHM: Final = Rhythm(
    hours=(0.8, 0.66, 0.54, 0.46, 0.42, 0.44, 0.56, 0.76, 0.86, 0.82, 0.8, 0.84,
           0.98, 0.96, 0.88, 0.88, 0.92, 1.0, 1.1, 1.2, 1.3, 1.34, 1.2, 1.0),
    days=(0.95, 0.94, 0.95, 0.97, 1.05, 1.15, 1.2),
)  # fmt: skip

TREND: Final = Episode(3, 28, rise=4)
VIRAL_MINUTE: Final = 8
CRASHES: Final = Episode(20, 25, rise=0.5)
SPAM: Final = Episode(30, 34, rise=1)
IMPORTER_RUN: Final = Episode(40, 42)
GATEWAY_DOWN: Final = Episode(48, 52)


class Person(NamedTuple):
    """Somebody, who always is in one country and on one platform."""

    name: str
    platform: str
    country: str


def person(rank: int) -> Person:
    """The person of a rank; those of low ranks are around most."""
    return Person(f"u{rank:06}", PLATFORMS[rank * 61 % 100], COUNTRIES[rank * 37 % 100])


def trend(second: int) -> str:
    """The tag everybody talks about in this hour."""
    return TRENDS[second // HOUR % len(TRENDS)]
