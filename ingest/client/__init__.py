"""Sending events to Tallyboard from Python: `Client` for threads, `AsyncClient` for asyncio; needs httpx alone.

What happens to an event, and when it is safe, stands in docs/clients.md.
"""

from __future__ import annotations

from ingest.client.answers import Refusal, Rejection
from ingest.client.asynchronous import AsyncClient
from ingest.client.settings import BatchResult, ClientClosed, EventsLost, QueueFull, Stats
from ingest.client.threaded import Client
from ingest.client.wire import OutgoingEvent

__all__ = [
    "AsyncClient",
    "BatchResult",
    "Client",
    "ClientClosed",
    "EventsLost",
    "OutgoingEvent",
    "QueueFull",
    "Refusal",
    "Rejection",
    "Stats",
]
