"""Whether a role is ready, asked from outside it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from ingest.log import KafkaConnection, Log, LogError
from tallyboard.kafka import listens

_ANSWER_SECONDS = 2.0


NO_ANSWER = "no answer"
"""How the reason of a role begins that lives and does not answer."""


async def health(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """What `/health/ready` of a role answers: `ready`, `reasons` and what the role adds. Never raises."""
    try:
        answer = await client.get(f"{url}/health/ready", timeout=_ANSWER_SECONDS)
        body = answer.json()
    except httpx.TransportError:
        return {"ready": False, "reasons": [f"{NO_ANSWER} from {url}"]}
    except ValueError:
        return {"ready": False, "reasons": [f"{url} is not a role of Tallyboard"]}
    return body if isinstance(body, dict) else {"ready": False, "reasons": [f"{url} is not a role of Tallyboard"]}


class RoleHealth:
    """A supervisor's question to a role with an HTTP address."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url

    async def __call__(self) -> str | None:
        body = await health(self._client, self._url)
        if body.get("ready") is True:
            return None
        return "; ".join(map(str, body.get("reasons") or ())) or "not ready"


class BrokerHealth:
    """A supervisor's question to the embedded Kafka: one administrative answer after each start, then the open port."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._answered = False

    async def __call__(self) -> str | None:
        if not await asyncio.to_thread(listens, self._connection.bootstrap):
            self._answered = False
            return f"nothing listens at {self._connection.bootstrap}"
        if not self._answered:
            try:
                await asyncio.to_thread(self._ask)
            except LogError as error:
                return str(error)
            self._answered = True
        return None

    def _ask(self) -> None:
        Log(self._connection, timeout_s=5.0).close()
