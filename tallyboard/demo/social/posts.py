"""Posts and what follows from them: every like, comment and share belongs to a post and comes after it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from tallyboard.demo.rhythm import HOUR, MINUTE, dice, drift, heavy_tail, how_many
from tallyboard.demo.social.people import (
    PEOPLE,
    POSTS_A_SECOND,
    RHYTHM,
    TAGS,
    TREND,
    VIRAL_MINUTE,
    Person,
    person,
    trend,
)

REMEMBERED_S: Final = 40 * MINUTE
"""Nobody does anything with a post that is older."""
_MOST_ACTIONS: Final = 400
_VIRAL_ACTIONS: Final = 6500
_OF_TREND: Final = 0.35


@dataclass(frozen=True, slots=True)
class Post:
    id: str
    at_ms: int
    author: Person
    tag: str
    actions: int
    """How many likes, comments and shares it will get."""
    viral: bool = False


class Action(NamedTuple):
    """What somebody does with a post: `what` is "like", "comment" or "share". `reply_s` is given with the first
    comment: how long the post waited for it."""

    id: str
    at_ms: int
    who: Person
    what: str
    tag: str
    reply_s: float | None


def posts(seed: int, second: int) -> Iterator[Post]:
    """The posts of a second."""
    talk = TREND.strength(second)
    mean = POSTS_A_SECOND * RHYTHM.at(second) * drift(seed, "posts", second) * (1 + 0.5 * talk)
    draw = dice(seed, "posts", second)
    count = how_many(draw, mean)
    for number in range(count):
        in_trend = draw.random() < _OF_TREND * talk
        yield Post(
            id=f"{seed}-{second}-{number}",
            at_ms=second * 1000 + number * 1000 // count,
            author=person(heavy_tail(draw, PEOPLE)),
            tag=trend(second) if in_trend else TAGS[heavy_tail(draw, len(TAGS))],
            actions=min(int(2.2 * draw.paretovariate(1.2)), _MOST_ACTIONS),
        )
    if second % HOUR == VIRAL_MINUTE * MINUTE:
        author = person(heavy_tail(draw, PEOPLE))
        yield Post(f"{seed}-{second}-viral", second * 1000 + 999, author, trend(second), _VIRAL_ACTIONS, viral=True)


def actions(seed: int, post: Post) -> Iterator[Action]:
    """Everything that will be done with a post, in no order."""
    draw = dice(seed, "actions", post.id)
    found = [(_delay_s(draw, post.viral), "comment" if draw.random() < 0.24 else "") for _ in range(post.actions)]
    first = min((after for after, what in found if what), default=None)
    for number, (after, what) in enumerate(found):
        yield Action(
            id=f"{post.id}-{number}",
            at_ms=post.at_ms + int(after * 1000),
            who=person(heavy_tail(draw, PEOPLE)),
            what=what or ("share" if draw.random() < 0.07 else "like"),
            tag=post.tag,
            reply_s=round(after, 1) if what and after == first else None,
        )


def _delay_s(draw: random.Random, viral: bool) -> float:
    """Seconds after the post: soon for most; a viral post goes from hand to hand first."""
    after = 5 + (draw.gammavariate(3.0, 110.0) if viral else draw.lognormvariate(5.0, 1.1))
    return after if after < REMEMBERED_S else draw.uniform(5, REMEMBERED_S)
