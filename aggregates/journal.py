"""Writing to the journal, and knowing when this replica has read what was written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import msgspec

from aggregates.following import TopicFollowing
from aggregates.letterbox import TopicFreshness
from aggregates.readmodel import TOPIC_ID_PREFIX
from ingest.log import LogError

_PARTITION = 0


class Appending(Protocol):
    """The part of `ingest.append.Appender` that is used. Blocking."""

    def append(self, name: str, partition: int, value: bytes) -> int: ...


class Journal:
    """The one partition of `journal`. An entry is a JSON object with a `type`."""

    def __init__(self, topic: str, appender: Appending, following: TopicFollowing) -> None:
        self._topic = topic
        self._appender = appender
        self._following = following
        self._turn = asyncio.Lock()

    async def append(self, kind: str, body: Mapping[str, object]) -> int:
        """Append an entry; returns its offset once it is durable. Raises `LogError`: then it may be in the journal."""
        if self._following.stopped is not None:
            raise LogError(self._following.stopped)
        value = msgspec.json.encode({"type": kind, **body})
        async with self._turn:
            return await asyncio.to_thread(self._appender.append, self._topic, _PARTITION, value)

    async def has_read(self, offset: int, timeout_s: float) -> bool:
        """Wait until this replica has read the journal up to and including an offset; False when the time is up."""
        return await self._following.reach(_PARTITION, offset, timeout_s)

    def freshness(self) -> TopicFreshness:
        """How far this replica has read it."""
        return self._following.freshness()

    def position(self, offset: int) -> str:
        """The position behind an entry, as text."""
        return f"{self._following.topic_id[:TOPIC_ID_PREFIX]};{_PARTITION}:{offset + 1}"

    async def reach(self, prefix: str, wanted: Mapping[int, int], timeout_s: float) -> bool | None:
        """Wait until a position is read, given the prefix of its topic id and its next offset by partition; False when
        the time is up, None when it belongs to another journal."""
        if len(prefix) != TOPIC_ID_PREFIX or not self._following.topic_id.startswith(prefix):
            return None
        if set(wanted) - {_PARTITION}:
            return None
        return await self.has_read(wanted.get(_PARTITION, 0) - 1, timeout_s)
