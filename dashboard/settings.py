"""Settings of the dashboard role, every default in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from aggregates.settings import ReadModelSettings
from ingest.logs import LogFormat


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
    log_format: LogFormat = "text"
    tick_ms: int = 1000
    """Time between two messages to a browser."""
    max_browsers: int = 1000
    """Connections of the push; one more is refused."""
    max_watches: int = 64
    """Different explore views computed at the same time."""
    send_timeout_s: float = 5.0
    """A browser that takes nothing for so long is dropped."""
