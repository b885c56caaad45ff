"""The network, second by second: posts and what follows from them, and what its phones, lines and releases do to it."""

from __future__ import annotations

from typing import Final

from tallyboard.demo.happened import Demo, Held, Resent, Second, event
from tallyboard.demo.rhythm import MINUTE, chance, dice, drift, heavy_tail, how_many
from tallyboard.demo.sender import Event
from tallyboard.demo.social import importer
from tallyboard.demo.social.people import (
    CRASHES,
    GATEWAY_DOWN,
    MOBILE,
    PEOPLE,
    RHYTHM,
    SPAM,
    Person,
    person,
)
from tallyboard.demo.social.posts import REMEMBERED_S, Action, Post, actions, posts

_WIND_S: Final = REMEMBERED_S + 10 * MINUTE
"""How long before its first second a world begins: longer than posts and phones remember."""
_CATCHING_UP_S: Final = 45
_ONLINE_EVERY_S: Final = 5
_PLATFORMS: Final = ("android", "ios", "web")
_VIEWS_PER_ACTION: Final = 21


class Social:
    """Seconds from `start` on."""

    def __init__(self, seed: int, start: int) -> None:
        self._seed = seed
        self._held = Held()
        self._to_come: dict[int, list[Action]] = {}
        self._ios = Resent(seed, "social-ios")
        self._second = start - _WIND_S
        while self._second < start:
            self.next()

    def next(self) -> Second:
        second, seed = self._second, self._seed
        found = Second(late=self._held.due(second))
        sent: dict[str, list[Event]] = {platform: [] for platform in _PLATFORMS}
        for post in posts(seed, second):
            sent[post.author.platform] += _of_post(post)
            for action in actions(seed, post):
                self._to_come.setdefault(action.at_ms // 1000, []).append(action)
        done = dict.fromkeys(_PLATFORMS, 0)
        for action in self._to_come.pop(second, ()):
            if not self._crashed(action.who, action.id):
                sent[action.who.platform] += _of_action(action)
                done[action.who.platform] += 1
        for platform, count in done.items():
            sent[platform] += _around(seed, second, platform, count)
        found.again = [] if GATEWAY_DOWN.now(second) else self._ios.after(second, sent["ios"], 0.03)
        self._carry(second, sent, found)
        found.prompt += _online(seed, second) + _moderation(seed, second)
        found.late += _read_offline(seed, second)
        found.wrong = importer.wrong(seed, second)
        self._second += 1
        return found

    def _crashed(self, who: Person, what: str) -> bool:
        """A release of the Android app ends when somebody taps."""
        strength = CRASHES.strength(self._second)
        return strength > 0 and who.platform == "android" and chance(self._seed, "crash", what) < 0.8 * strength

    def _carry(self, second: int, sent: dict[str, list[Event]], found: Second) -> None:
        """Phones go through the gateway, and keep what they have while it is down."""
        for platform, events in sent.items():
            if platform in MOBILE and GATEWAY_DOWN.now(second):
                wait = int(_CATCHING_UP_S * chance(self._seed, "gateway", platform, second))
                self._held.until(GATEWAY_DOWN.end(second) + wait, events)
            else:
                found.prompt += events


def _active(who: Person, at_ms: int, event_id: str) -> Event:
    where = {"platform": who.platform, "country": who.country}
    return event("social.active_users", who.name, at_ms, where, event_id)


def _of_post(post: Post) -> list[Event]:
    where = {"tag": post.tag, "platform": post.author.platform}
    return [event("social.posts", 1, post.at_ms, where, post.id), _active(post.author, post.at_ms, post.id)]


def _of_action(action: Action) -> list[Event]:
    who, at_ms = action.who, action.at_ms
    where = {"tag": action.tag, "platform": who.platform}
    events = [
        event("social.engagement", 1, at_ms, {"action": action.what, **where}, action.id),
        _active(who, at_ms, action.id),
    ]
    if action.reply_s is not None:
        events.append(event("social.first_reply", action.reply_s, at_ms, {"tag": action.tag}, action.id))
    return events


def _around(seed: int, second: int, platform: str, done: int) -> list[Event]:
    """What people of a platform do besides: they look at posts, follow each other, read, and see the app crash."""
    draw = dice(seed, "around", platform, second)
    event_id, at_ms = f"{seed}-{second}", second * 1000
    events = []
    if looked := how_many(draw, _VIEWS_PER_ACTION * done * drift(seed, "views", second, 0.2)):
        events.append(event("social.views", looked, at_ms, {"platform": platform}, event_id))
    for number in range(how_many(draw, 0.4 * RHYTHM.at(second))):
        country = person(heavy_tail(draw, PEOPLE)).country
        follow = {"platform": platform, "country": country}
        events.append(event("social.follows", 1, at_ms + number, follow, f"{event_id}-{number}"))
    for number in range(how_many(draw, 0.5 * RHYTHM.at(second))):
        read_s = round(draw.lognormvariate(4.6, 0.9), 1)
        events.append(event("social.reading_time", read_s, at_ms, {"platform": platform}, f"{event_id}-{number}"))
    broken = 2.5 * CRASHES.strength(second) if platform == "android" else 0.0
    crashes = how_many(draw, broken + 0.01) if platform in MOBILE else 0
    where = {"platform": platform}
    return events + [event("social.crashes", 1, at_ms, where, f"{event_id}-{number}") for number in range(crashes)]


def _online(seed: int, second: int) -> list[Event]:
    """How many people have a connection; phones lose theirs with the gateway."""
    if second % _ONLINE_EVERY_S:
        return []
    there = 9000 * RHYTHM.at(second) * drift(seed, "online", second, 0.05)
    if GATEWAY_DOWN.now(second):
        there *= 0.2
    elif CRASHES.now(second):
        there *= 1 - 0.25 * CRASHES.strength(second)
    return [event("social.online", round(there), second * 1000, {}, f"{seed}-{second}")]


def _moderation(seed: int, second: int) -> list[Event]:
    """What people report to the moderators; in a wave of spam a lot."""
    draw = dice(seed, "reports", second)
    events = []
    for number in range(how_many(draw, 0.06 + 3.0 * SPAM.strength(second))):
        likely = "spam" if SPAM.now(second) and draw.random() < 0.9 else ""
        reason = likely or ("spam", "insult", "insult", "false")[int(draw.random() * 4)]
        events.append(event("social.reported", 1, second * 1000, {"reason": reason}, f"{seed}-{second}-{number}"))
    return events


def _read_offline(seed: int, second: int) -> list[Event]:
    """Articles that were read without a network: phones tell hours later."""
    draw = dice(seed, "offline", second)
    events = []
    for number in range(how_many(draw, 0.12 * RHYTHM.at(second))):
        at_ms = (second - 120 - int(min(draw.lognormvariate(8.0, 1.0), 6 * 3600))) * 1000
        read_s = round(draw.lognormvariate(5.4, 0.7), 1)
        platform = "ios" if draw.random() < 0.5 else "android"
        event_id = f"{seed}-{second}-off{number}"
        events.append(event("social.reading_time", read_s, at_ms, {"platform": platform}, event_id))
    return events


SOCIAL: Final = Demo("social", Social)
