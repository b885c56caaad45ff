"""What the shop sells, where it is kept, who buys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tallyboard.demo.rhythm import HOUR, MINUTE, Episode, Rhythm


class Product(NamedTuple):
    """Price in euros; `weight` is how often it is bought compared with others."""

    name: str
    price: float
    weight: float


PRODUCTS: Final = (
    Product("wool-socks", 14.95, 16),
    Product("water-bottle", 22.50, 13),
    Product("trail-map", 17.50, 10),
    Product("head-torch", 39.95, 9),
    Product("fleece", 59.95, 8),
    Product("rain-jacket", 129.00, 7),
    Product("trail-shoes", 119.00, 7),
    Product("first-aid-kit", 29.95, 6),
    Product("backpack", 139.00, 5),
    Product("trekking-poles", 69.95, 5),
    Product("hiking-boots", 179.00, 4),
    Product("sleeping-mat", 64.95, 3),
    Product("camp-stove", 84.50, 3),
    Product("sleeping-bag", 159.00, 2),
    Product("down-jacket", 249.00, 1.5),
    Product("tent", 329.00, 1),
)
TOTAL_WEIGHT: Final = sum(product.weight for product in PRODUCTS)
ADVERTISED: Final = (5, 8, 3, 6, 4, 10)
"""Products (places in `PRODUCTS`) that campaigns are about, hour after hour."""
COUNTRIES: Final = ("DE",) * 28 + ("NL",) * 24 + ("FR",) * 16 + ("BE",) * 12 + ("ES",) * 11 + ("IT",) * 9
"""A hundred customers by country."""
WAREHOUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "rotterdam": ("NL", "BE"),
    "leipzig": ("DE",),
    "lyon": ("FR", "ES", "IT"),
}
WAREHOUSE_OF: Final = {country: name for name, countries in WAREHOUSES.items() for country in countries}
DELIVERIES: Final = {"rotterdam": 0, "leipzig": 20, "lyon": 40}
"""Minute of every hour at which a truck arrives at a warehouse."""
CHANNELS: Final = ("web",) * 46 + ("app",) * 42 + ("kiosk",) * 12
PROVIDERS: Final = ("paywell",) * 5 + ("bankline",) * 3 + ("quickpay",) * 2
FAILING: Final = ("paywell", "bankline", "quickpay")
"""Providers that are down in the outage of one hour, of the next, …"""

ORDERS_A_SECOND: Final = 14.0
CUSTOMERS: Final = 60_000
RHYTHM: Final = Rhythm(
    hours=(0.5, 0.44, 0.4, 0.4, 0.4, 0.42, 0.46, 0.54, 0.66, 0.74, 0.8, 0.86,
           0.98, 0.92, 0.84, 0.82, 0.84, 0.9, 1.0, 1.12, 1.2, 1.1, 0.84, 0.62),
    days=(1.0, 0.95, 0.95, 1.0, 1.0, 1.2, 1.3),
)  # fmt: skip

CAMPAIGN: Final = Episode(10, 25, rise=2)
KIOSK_UPDATE: Final = Episode(30, 33)
LOST_ANSWERS: Final = Episode(35, 36)
PAYMENT_OUTAGE: Final = Episode(40, 44)
LANDING: Final = Episode(47, 48)
LYON_SILENT: Final = Episode(52, 55)


def advertised(second: int) -> int:
    """Which product the campaign of this hour is about."""
    return ADVERTISED[second // HOUR % len(ADVERTISED)]


def failing(second: int) -> str:
    """Which payment provider the outage of this hour hits."""
    return FAILING[second // HOUR % len(FAILING)]


def in_tunnel(second: int) -> bool:
    """Every seventh minute a train full of customers is in a tunnel for 40 seconds."""
    return second % HOUR // MINUTE % 7 == 3 and second % MINUTE < 40
