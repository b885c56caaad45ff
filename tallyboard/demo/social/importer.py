"""A program of somebody else that copies posts from another network: every event it sends is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tallyboard.demo.happened import event
from tallyboard.demo.rhythm import HOUR, dice, how_many
from tallyboard.demo.sender import Event
from tallyboard.demo.social.people import IMPORTER_RUN, TAGS

_AN_HOUR: Final = 90
_A_SECOND_IN_A_RUN: Final = 3.0


def _tag(order: Event, tag: str) -> Event:
    return {**order, "dimensions": {**order["dimensions"], "tag": tag}}


def _a_tag_as_written(post: Event) -> Event:
    return _tag(post, f"#{post['dimensions']['tag'].title()}!")


def _a_platform_of_its_own(post: Event) -> Event:
    return {**post, "dimensions": {**post["dimensions"], "platform": "importer/0.3"}}


def _no_platform(post: Event) -> Event:
    return {**post, "dimensions": {"tag": post["dimensions"]["tag"]}}


def _a_number_in_quotes(post: Event) -> Event:
    return {**post, "value": "1"}


def _a_count_taken_back(post: Event) -> Event:
    return {**post, "value": -1}


def _true_for_one(post: Event) -> Event:
    return {**post, "value": True}


def _a_person_by_number(post: Event) -> Event:
    dimensions = {"platform": "web", "country": "US"}
    return {**post, "metric": "social.active_users", "value": 4711, "dimensions": dimensions}


def _a_post_of_last_year(post: Event) -> Event:
    return {**post, "timestamp": post["timestamp"] - 400 * 24 * HOUR * 1000}


def _a_date_without_a_zone(post: Event) -> Event:
    return {**post, "timestamp": "23/11/2026 10:00"}


BUGS: Final[tuple[Callable[[Event], Event], ...]] = (
    _a_tag_as_written,
    _a_platform_of_its_own,
    _no_platform,
    _a_number_in_quotes,
    _a_count_taken_back,
    _true_for_one,
    _a_person_by_number,
    _a_post_of_last_year,
    _a_date_without_a_zone,
)


def wrong(seed: int, second: int) -> list[Event]:
    """What the importer sends in a second: a lot in its run of every hour, else now and then something."""
    draw = dice(seed, "importer", second)
    found = []
    for number in range(how_many(draw, _A_SECOND_IN_A_RUN if IMPORTER_RUN.now(second) else _AN_HOUR / HOUR)):
        dimensions = {"tag": TAGS[int(draw.random() * len(TAGS))], "platform": "web"}
        post = event("social.posts", 1, second * 1000, dimensions, f"importer-{seed}-{second}-{number}")
        found.append(BUGS[int(draw.random() ** 1.5 * len(BUGS))](post))
    return found
