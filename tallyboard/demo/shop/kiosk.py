"""One kiosk in a store whose program has bugs: every event it sends is refused, each for a reason of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tallyboard.demo.happened import event
from tallyboard.demo.rhythm import DAY, HOUR, dice, how_many
from tallyboard.demo.sender import Event
from tallyboard.demo.shop.goods import COUNTRIES, KIOSK_UPDATE, PRODUCTS

_AN_HOUR: Final = 120
_A_SECOND_AFTER_UPDATE: Final = 1.5


def _amount_as_text(order: Event) -> Event:
    return {**order, "value": f"{order['value']:.2f}".replace(".", ",")}


def _amount_in_cents_and_negative(order: Event) -> Event:
    return {**order, "value": round(-100 * order["value"])}


def _no_amount(order: Event) -> Event:
    return {name: value for name, value in order.items() if name != "value"}


def _amount_of_nothing(order: Event) -> Event:
    return {**order, "value": None}


def _country_by_name(order: Event) -> Event:
    names = {"NL": "Holland", "DE": "Deutschland"}
    country = order["dimensions"]["country"]
    return {**order, "dimensions": {**order["dimensions"], "country": names.get(country, country.lower())}}


def _no_product(order: Event) -> Event:
    rest = {name: value for name, value in order["dimensions"].items() if name != "product"}
    return {**order, "dimensions": rest}


def _seconds_for_milliseconds(order: Event) -> Event:
    return {**order, "timestamp": order["timestamp"] // 1000}


def _a_clock_of_tomorrow(order: Event) -> Event:
    return {**order, "timestamp": order["timestamp"] + DAY * 1000}


def _a_day_for_a_time(order: Event) -> Event:
    return {**order, "timestamp": "yesterday"}


def _a_number_for_a_country(order: Event) -> Event:
    return {**order, "dimensions": {**order["dimensions"], "country": 31}}


BUGS: Final[tuple[Callable[[Event], Event], ...]] = (
    _amount_in_cents_and_negative,
    _amount_as_text,
    _country_by_name,
    _no_product,
    _seconds_for_milliseconds,
    _a_clock_of_tomorrow,
    _amount_of_nothing,
    _no_amount,
    _a_day_for_a_time,
    _a_number_for_a_country,
)


def wrong(seed: int, second: int) -> list[Event]:
    """What the kiosk sends in a second: now and then something, after an update a lot, most of it with one bug."""
    updated = KIOSK_UPDATE.now(second)
    draw = dice(seed, "kiosk", second)
    found = []
    for number in range(how_many(draw, _A_SECOND_AFTER_UPDATE if updated else _AN_HOUR / HOUR)):
        product = PRODUCTS[int(draw.random() * len(PRODUCTS))]
        dimensions = {"country": COUNTRIES[int(draw.random() * 100)], "product": product.name, "channel": "kiosk"}
        order = event("shop.revenue", product.price, second * 1000, dimensions, f"kiosk-7-{seed}-{second}-{number}")
        bug = BUGS[0] if updated and draw.random() < 0.7 else BUGS[int(draw.random() * len(BUGS))]
        found.append(bug(order))
    return found
