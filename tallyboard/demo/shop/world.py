"""The shop, second by second: baskets become payments, orders and emptier shelves, and networks hold some back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from tallyboard.demo.happened import Demo, Held, Resent, Second, event
from tallyboard.demo.rhythm import HOUR, MINUTE, chance
from tallyboard.demo.sender import Event
from tallyboard.demo.shop import kiosk, wishes
from tallyboard.demo.shop.baskets import Basket, baskets, views_a_second
from tallyboard.demo.shop.goods import LOST_ANSWERS, LYON_SILENT, PRODUCTS, WAREHOUSE_OF, in_tunnel
from tallyboard.demo.shop.stock import Stock

SERVERS: Final = ("web-1", "web-2", "web-3", "web-4")
_WIND_S: Final = HOUR + 15 * MINUTE
"""How long before its first second a world begins: longer than shelves, phones and lines remember."""
_TOTALS_EVERY_S: Final = 15
_RESTART_MINUTE: Final = 15


class Shop:
    """Seconds from `start` on."""

    def __init__(self, seed: int, start: int) -> None:
        self._seed = seed
        self._stock = Stock()
        self._held = Held()
        self._app = Resent(seed, "shop-app")
        self._second = start - _WIND_S
        while self._second < start:
            self.next()

    def next(self) -> Second:
        second, seed = self._second, self._seed
        found, mobile = Second(late=self._held.due(second)), list[Event]()
        tunnel = in_tunnel(second)
        for basket in baskets(seed, second):
            payments, order = self._sold(basket)
            found.prompt += payments
            if order and basket.channel != "app":
                found.prompt += order
            elif order and tunnel and basket.held_s:
                self._held.until(second + basket.held_s, order)
            else:
                mobile += order
        self._warehouse(second, found)
        mobile += wishes.prompt(seed, second)
        found.late += wishes.late(seed, second)
        found.prompt += mobile
        found.again = self._app.after(second, mobile, 0.3 if LOST_ANSWERS.now(second) else 0.025)
        found.wrong = kiosk.wrong(seed, second)
        self._second += 1
        return found

    def _sold(self, basket: Basket) -> tuple[list[Event], list[Event]]:
        """Events of the payment providers, and of the order, which there is only with stock and a payment."""
        product = PRODUCTS[basket.product]
        if not self._stock.has(basket.country, basket.product, basket.pieces):
            where = {"warehouse": WAREHOUSE_OF[basket.country], "product": product.name}
            return [event("stock.missed_orders", 1, basket.at_ms, where, basket.id)], []
        payments = list(_payments(basket))
        if not basket.paid:
            return payments, []
        self._stock.take(basket.country, basket.product, basket.pieces)
        what = {"country": basket.country, "product": product.name, "channel": basket.channel}
        who = {"country": basket.country, "channel": basket.channel}
        price = round(product.price * basket.pieces, 2)
        return payments, [
            event("shop.orders", 1, basket.at_ms, what, basket.id),
            event("shop.revenue", price, basket.at_ms, what, basket.id),
            event("shop.customers", basket.customer, basket.at_ms, who, basket.id),
            event("shop.checkout_time", basket.checkout_s, basket.at_ms, who, basket.id),
        ]

    def _warehouse(self, second: int, found: Second) -> None:
        events = self._stock.deliver(self._seed, second) + self._stock.count(self._seed, second)
        if not LYON_SILENT.now(second):
            found.prompt += events
            return
        lyon = [one for one in events if one["dimensions"]["warehouse"] == "lyon"]
        self._held.until(LYON_SILENT.end(second) + int(20 * chance(self._seed, "line", second)), lyon)
        found.prompt += [one for one in events if one["dimensions"]["warehouse"] != "lyon"]


def _payments(basket: Basket) -> Iterator[Event]:
    for number, payment in enumerate(basket.payments):
        where = {"provider": payment.provider, "country": basket.country}
        event_id = f"{basket.id}-{number}"
        yield event("payments.attempts", 1, basket.at_ms, where, event_id)
        if payment.failed:
            yield event("payments.failed", 1, basket.at_ms, {**where, "reason": payment.failed}, event_id)


@lru_cache(maxsize=4096)
def _views_of_minute(seed: int, minute: int, server: int) -> int:
    share = 0.9 + 0.2 * chance(seed, "server", server, minute)
    return round(views_a_second(seed, minute * MINUTE) * MINUTE / len(SERVERS) * share)


def totals(seed: int, second: int) -> list[Event]:
    """Pages shown by each web server since it started: one of the four starts anew every hour."""
    if second % _TOTALS_EVERY_S:
        return []
    events = []
    minute, passed = divmod(second, MINUTE)
    for server, name in enumerate(SERVERS):
        hours = (second - _RESTART_MINUTE * MINUTE) // HOUR
        began = (hours - (hours - server) % len(SERVERS)) * 60 + _RESTART_MINUTE
        whole = sum(_views_of_minute(seed, one, server) for one in range(began, minute))
        shown = whole + _views_of_minute(seed, minute, server) * passed // MINUTE
        events.append(event("shop.page_views", shown, second * 1000, {"server": name}, f"{seed}-{second}"))
    return events


SHOP: Final = Demo("shop", Shop, totals)
