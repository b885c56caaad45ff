"""Carries batches over HTTP, one after the other: in a thread (`Courier`) or on an event loop (`AsyncCourier`).

httpx is imported when the first courier is made: a service that only imports the client does not pay for it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from ingest.client.answers import Answer, NoAnswer
from ingest.client.delivery import Patience, Pause, Post, Senses, Settled, Target, deliver
from ingest.client.wire import OutgoingEvent

if TYPE_CHECKING:
    import httpx

SENSES: Final = Senses(time.monotonic, time.time, random.random)

Tell = Callable[[Post | Pause | Settled], None]
"""Told of every step, before a `Post` is sent and a `Pause` is waited for."""


def user_agent() -> str:
    try:
        return f"tallyboard-client/{metadata.version('tallyboard')}"
    except metadata.PackageNotFoundError:  # a copy of the source, not installed
        return "tallyboard-client"


class Courier:
    """Delivers batches in the thread that calls. `wait` sleeps, and says whether to go on."""

    def __init__(
        self,
        target: Target,
        patience: Patience,
        timeout_s: float = 15.0,
        wait: Callable[[float], bool] | None = None,
        senses: Senses = SENSES,
    ) -> None:
        import httpx

        self._target = target
        self._patience = patience
        self._wait = wait or _sleep
        self._senses = senses
        self._client = httpx.Client(**_options(timeout_s))

    def close(self) -> None:
        self._client.close()

    def carry(self, events: Sequence[OutgoingEvent], tell: Tell) -> bool:
        """Deliver the events: True when each of them is settled, False when `wait` ended it before."""
        steps = deliver(events, self._target, self._patience, self._senses)
        answer: Answer | NoAnswer | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return True
            answer = None
            tell(step)
            if isinstance(step, Post):
                answer = self._post(step)
            elif isinstance(step, Pause) and not self._wait(step.seconds):
                return False

    def _post(self, post: Post) -> Answer | NoAnswer:
        import httpx

        try:
            heard = self._client.post(self._target.address, content=post.body, headers=dict(post.headers))
        except (httpx.RequestError, OSError) as error:
            return _none(self._target, error)
        return _answer(heard)


class AsyncCourier:
    """Delivers batches on an event loop."""

    def __init__(
        self,
        target: Target,
        patience: Patience,
        timeout_s: float = 15.0,
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
        senses: Senses = SENSES,
    ) -> None:
        import httpx

        self._target = target
        self._patience = patience
        self._wait = wait
        self._senses = senses
        self._client = httpx.AsyncClient(**_options(timeout_s))

    async def close(self) -> None:
        await self._client.aclose()

    async def carry(self, events: Sequence[OutgoingEvent], tell: Tell) -> None:
        """Deliver the events; returns when each of them is settled."""
        steps = deliver(events, self._target, self._patience, self._senses)
        answer: Answer | NoAnswer | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = None
            tell(step)
            if isinstance(step, Post):
                answer = await self._post(step)
            elif isinstance(step, Pause):
                await self._wait(step.seconds)

    async def _post(self, post: Post) -> Answer | NoAnswer:
        import httpx

        try:
            heard = await self._client.post(self._target.address, content=post.body, headers=dict(post.headers))
        except (httpx.RequestError, OSError) as error:
            return _none(self._target, error)
        return _answer(heard)


def _options(timeout_s: float) -> dict[str, Any]:
    """`trust_env` is off: a proxy of the environment is for browsers, not for a service's own collector."""
    return {"timeout": timeout_s, "trust_env": False, "headers": {"User-Agent": user_agent()}}


def _answer(heard: httpx.Response) -> Answer:
    return Answer(heard.status_code, heard.content, {name.lower(): value for name, value in heard.headers.items()})


def _none(target: Target, error: Exception) -> NoAnswer:
    return NoAnswer(f"no answer from {target.address}: {error or type(error).__name__}")


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True
