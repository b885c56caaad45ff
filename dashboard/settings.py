"""Settings of the dashboard role, every default in one place."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from aggregates.settings import ReadModelSettings
from ingest.logs import LogFormat

OWN: Final = frozenset(
    {"api", "assets", "dashboards", "docs", "explore", "health", "live", "metrics", "quality", "reports", "alerts",
     "session", "sign-in", "sign-out"}
)  # fmt: skip
"""First parts of addresses of the dashboard, now or as designed: a path in front must not look like one of them."""
_BASE: Final = re.compile(r"(?:/[A-Za-z0-9][A-Za-z0-9._~-]*)+")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class DashboardSettings:
    """What one dashboard replica needs to know, beside what its read model does."""

    read_model: ReadModelSettings = field(default_factory=ReadModelSettings)
    host: str = "127.0.0.1"
    port: int = 8050
    ingest_url: str = "http://127.0.0.1:8080"
    """Shown to people, in the line that sends the first event."""
    hosts: tuple[str, ...] = ()
    """Names besides loopback and `host` under which browsers may ask."""
    base_path: str = ""
    """Path in front of every address behind a proxy, such as /tally."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose `X-Forwarded-…` headers hold."""
    session_secret: bytes | None = field(default=None, repr=False)
    """What signs the cookies of browsers; None: the one of the data folder."""
    log_format: LogFormat = "text"
    tick_ms: int = 1000
    """Time between two messages to a browser."""
    max_browsers: int = 1000
    """Connections of the push; one more is refused."""
    queries: int = 4
    """Queries over HTTP that run at the same time, …"""
    query_queue: int = 60
    """… and that wait for a place; one more is told to come back."""
    max_watches: int = 64
    """Different explore views computed at the same time."""
    send_timeout_s: float = 5.0
    """A browser that takes nothing for so long is dropped."""


def base_path(given: str) -> str:
    """The path in front of addresses, as `/tally` or empty. Raises `ValueError` with what is wrong."""
    base = given.strip().rstrip("/")
    if not base:
        return ""
    if not _BASE.fullmatch(base) or len(base) > 200:
        raise ValueError("a path such as /tally is expected: letters, digits and . _ ~ - between slashes")
    if (first := base.split("/")[1]).lower() in OWN:
        raise ValueError(f"/{first} is an address of the dashboard itself")
    return base


def networks(given: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks as such. Raises `ValueError` with what is wrong."""
    return tuple(ipaddress.ip_network(one, strict=False) for one in given)
