"""Wish lists of the app, which work without a network: some wishes arrive minutes late, some hours."""

from __future__ import annotations

import random
from typing import Final

from tallyboard.demo.happened import event
from tallyboard.demo.rhythm import dice, heavy_tail, how_many
from tallyboard.demo.sender import Event
from tallyboard.demo.shop.goods import COUNTRIES, CUSTOMERS, LANDING, PRODUCTS, RHYTHM

_STRAYS_A_SECOND: Final = 0.02
_PASSENGERS_A_SECOND: Final = 2.0
_FLIGHT_S: Final = (3600, 5 * 3600)


def prompt(seed: int, second: int) -> list[Event]:
    """Wishes made in this second, by phones with a network."""
    draw = dice(seed, "wishes", second)
    return [
        _wish(draw, second, f"{seed}-{second}-w{number}") for number in range(how_many(draw, 0.8 * RHYTHM.at(second)))
    ]


def late(seed: int, second: int) -> list[Event]:
    """Wishes that arrive in this second: of phones that had no network, and of a plane that has landed."""
    draw = dice(seed, "late wishes", second)
    ages = [60 + draw.expovariate(1 / 1500) for _ in range(how_many(draw, _STRAYS_A_SECOND))]
    if LANDING.now(second):
        ages += [draw.uniform(*_FLIGHT_S) for _ in range(how_many(draw, _PASSENGERS_A_SECOND))]
    return [_wish(draw, second - int(age), f"{seed}-{second}-l{number}") for number, age in enumerate(ages)]


def _wish(draw: random.Random, second: int, event_id: str) -> Event:
    product = PRODUCTS[heavy_tail(draw, len(PRODUCTS))].name
    country = COUNTRIES[heavy_tail(draw, CUSTOMERS) * 37 % 100]
    at_ms = second * 1000 + int(draw.random() * 1000)
    return event("shop.wishes", 1, at_ms, {"country": country, "product": product}, event_id)
