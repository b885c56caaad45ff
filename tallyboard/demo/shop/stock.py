"""The shelves of the warehouses: they empty with the orders and are filled up once an hour."""

from __future__ import annotations

from typing import Final

from tallyboard.demo.happened import event
from tallyboard.demo.rhythm import HOUR, MINUTE
from tallyboard.demo.sender import Event
from tallyboard.demo.shop.goods import (
    COUNTRIES,
    DELIVERIES,
    ORDERS_A_SECOND,
    PRODUCTS,
    TOTAL_WEIGHT,
    WAREHOUSE_OF,
    WAREHOUSES,
)

_COUNTED_EVERY_S: Final = 10
_SHELF_TAKES_S: Final = 20
_HOURS_KEPT: Final = 1.8
"""A full shelf is what an ordinary hour takes, times this: enough for a Sunday evening, too little for a campaign."""


def full(warehouse: str, product: int) -> int:
    """Pieces on a full shelf."""
    share = sum(country in WAREHOUSES[warehouse] for country in COUNTRIES) / len(COUNTRIES)
    pieces = ORDERS_A_SECOND * HOUR * share * PRODUCTS[product].weight / TOTAL_WEIGHT * _HOURS_KEPT
    return round(pieces / 10) * 10


def delivered_at(warehouse: str, product: int) -> int:
    """Second of every hour at which a shelf is filled up: the truck is unloaded shelf by shelf."""
    return DELIVERIES[warehouse] * MINUTE + product * _SHELF_TAKES_S


class Stock:
    """Pieces by warehouse and product. An hour after any beginning every shelf has been filled up once, and is what
    it would be had it begun earlier."""

    def __init__(self) -> None:
        self._full = {name: tuple(full(name, product) for product in range(len(PRODUCTS))) for name in WAREHOUSES}
        self._pieces = {name: list(levels) for name, levels in self._full.items()}
        shelves = [(name, product) for name in WAREHOUSES for product in range(len(PRODUCTS))]
        self._turns = {delivered_at(*shelf): shelf for shelf in shelves}

    def has(self, country: str, product: int, pieces: int) -> bool:
        """Whether the shelf for customers of a country holds so many."""
        return self._pieces[WAREHOUSE_OF[country]][product] >= pieces

    def take(self, country: str, product: int, pieces: int) -> None:
        """Take pieces that are there off the shelf."""
        self._pieces[WAREHOUSE_OF[country]][product] -= pieces

    def deliver(self, seed: int, second: int) -> list[Event]:
        """Fill the shelf up whose turn it is, if any; the event says with how many pieces."""
        turn = self._turns.get(second % HOUR)
        if turn is None:
            return []
        name, product = turn
        added = self._full[name][product] - self._pieces[name][product]
        self._pieces[name][product] += added
        return [self._event("stock.delivered", added, name, product, seed, second)] if added else []

    def count(self, seed: int, second: int) -> list[Event]:
        """Every level, now and then."""
        if second % _COUNTED_EVERY_S:
            return []
        return [
            self._event("stock.level", pieces, name, product, seed, second)
            for name, shelves in self._pieces.items()
            for product, pieces in enumerate(shelves)
        ]

    @staticmethod
    def _event(metric: str, pieces: int, warehouse: str, product: int, seed: int, second: int) -> Event:
        dimensions = {"warehouse": warehouse, "product": PRODUCTS[product].name}
        return event(metric, pieces, second * 1000, dimensions, f"{seed}-{second}")
