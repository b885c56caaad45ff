"""What customers want to buy in a second, before anybody looks at stock and payments."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from tallyboard.demo.rhythm import HOUR, dice, drift, heavy_tail, how_many
from tallyboard.demo.shop.goods import (
    ADVERTISED,
    CAMPAIGN,
    CHANNELS,
    COUNTRIES,
    CUSTOMERS,
    FAILING,
    ORDERS_A_SECOND,
    PAYMENT_OUTAGE,
    PRODUCTS,
    PROVIDERS,
    RHYTHM,
    TOTAL_WEIGHT,
    advertised,
    failing,
)

_FAILS: Final = 0.032
_FAILS_IN_OUTAGE: Final = 0.9
_TRIES_AGAIN: Final = 0.55
_OF_CAMPAIGN: Final = 0.3
_BOUNDS: Final = tuple(accumulate(product.weight / TOTAL_WEIGHT for product in PRODUCTS))
_PACE: Final = {"web": 75.0, "app": 48.0, "kiosk": 30.0}
"""Median seconds from basket to paid."""


class Payment(NamedTuple):
    """One attempt to pay; `failed` is why it did not work, or None."""

    provider: str
    failed: str | None


class Basket(NamedTuple):
    """One product that a customer wants; `product` is its place in `PRODUCTS`."""

    id: str
    at_ms: int
    customer: str
    country: str
    channel: str
    product: int
    pieces: int
    payments: tuple[Payment, ...]
    checkout_s: float
    held_s: int
    """How long the app keeps the order to itself when there is no network."""

    @property
    def paid(self) -> bool:
        return self.payments[-1].failed is None


def baskets(seed: int, second: int) -> Iterator[Basket]:
    """The baskets of a second, in the order of their times."""
    campaign = CAMPAIGN.strength(second)
    mean = ORDERS_A_SECOND * RHYTHM.at(second) * drift(seed, "orders", second) * (1 + 0.8 * campaign)
    draw = dice(seed, "baskets", second)
    count = how_many(draw, mean)
    for number in range(count):
        customer = heavy_tail(draw, CUSTOMERS)
        channel = CHANNELS[int(draw.random() * 100)]
        drawn = campaign * _OF_CAMPAIGN > draw.random()
        product = advertised(second) if drawn else bisect(_BOUNDS, draw.random())
        payments = tuple(_payments(draw, second))
        waited = 35.0 * (len(payments) - 1) + (30.0 if payments[0].failed == "timeout" else 0.0)
        yield Basket(
            id=f"{seed}-{second}-{number}",
            at_ms=second * 1000 + number * 1000 // count,
            customer=f"c{customer:05}",
            country=COUNTRIES[customer * 37 % 100],
            channel=channel,
            product=min(product, len(PRODUCTS) - 1),
            pieces=_pieces(draw, product),
            payments=payments,
            checkout_s=round(_PACE[channel] * draw.lognormvariate(0.0, 0.5) + waited, 1),
            held_s=150 + int(draw.random() * 450) if draw.random() < 0.12 else 0,
        )


def _pieces(draw: random.Random, product: int) -> int:
    luck = draw.random()
    return 1 if luck < 0.72 or product in ADVERTISED else 2 if luck < 0.92 else 3


def _payments(draw: random.Random, second: int) -> Iterator[Payment]:
    """Attempts until one works or the customer leaves; after a failure many take another provider."""
    broken = failing(second) if PAYMENT_OUTAGE.now(second) else None
    provider = PROVIDERS[int(draw.random() * len(PROVIDERS))]
    for attempt in range(2):
        if draw.random() >= (_FAILS_IN_OUTAGE if provider == broken else _FAILS):
            yield Payment(provider, None)
            return
        yield Payment(provider, "timeout" if provider == broken else _excuse(draw))
        if attempt or draw.random() > _TRIES_AGAIN:
            return
        if draw.random() < 0.5:
            provider = FAILING[(FAILING.index(provider) + 1) % len(FAILING)]


def _excuse(draw: random.Random) -> str:
    luck = draw.random()
    return "declined" if luck < 0.6 else "no_funds" if luck < 0.85 else "timeout"


def views_a_second(seed: int, second: int) -> float:
    """How many pages the shop shows."""
    campaign = CAMPAIGN.strength(second)
    return 360.0 * RHYTHM.at(second) * drift(seed, "views", second // HOUR * HOUR, 0.05) * (1 + 1.3 * campaign)
