"""The topics a replica reads beside the Faust stream: `rejected` and `journal`, and how long their rows are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from aggregates.annotations import Annotations
from aggregates.following import Call, Follow, TopicFollowing
from aggregates.journal import Appending, Journal
from aggregates.letter_store import LetterLimits, LetterStore
from aggregates.positions import ReadableLog
from aggregates.settings import ReadModelSettings
from aggregates.store import Store
from ingest.log import LogRecord

_RETAIN_S = 60.0


class SideTopics:
    """The topics that are read beside the stream: `rejected` and `journal`.

    `ask` runs a question to the log, `write` a change of the store, each one at a time and beside the event loop.
    """

    def __init__(
        self,
        settings: ReadModelSettings,
        log: ReadableLog,
        store: Store,
        ask: Call,
        write: Call,
        follow: Follow,
        appender: Appending,
    ) -> None:
        self._store = LetterStore(store, _limits(settings))
        self.annotations = Annotations(store)
        self._write = write
        topics = settings.topics
        self.letters = TopicFollowing(
            topics.rejected, log, follow, self._store.positions, self._store.apply_letters, ask, write
        )
        journalled = TopicFollowing(topics.journal, log, follow, self._store.positions, self._apply_journal, ask, write)
        self.followings = (self.letters, journalled)
        self.journal = Journal(topics.journal, appender, journalled)

    def start(self, fail: Callable[[BaseException], None]) -> list[asyncio.Task[None]]:
        """Read until cancelled; `fail` gets an error of the store."""
        work = [*(following.run for following in self.followings), self._retain]
        return [asyncio.create_task(_ending(fail, one)) for one in work]

    def _apply_journal(self, topic: str, topic_id: str, records: Mapping[int, list[LogRecord]]) -> int:
        entries = self._store.apply_journal(topic, topic_id, records)
        self.annotations.catch_up()
        return entries

    async def _retain(self) -> None:
        while True:
            await self._write(self._store.retain, time.time_ns() // 1_000_000)
            await asyncio.sleep(_RETAIN_S)


async def _ending(fail: Callable[[BaseException], None], work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        await work()
    except Exception as error:
        fail(error)


def _limits(settings: ReadModelSettings) -> LetterLimits:
    kept_ms = round(settings.retention_rejected_days * 86_400_000)
    return LetterLimits(kept_ms, settings.rejected_mb * 1_000_000, settings.rejected_rows)
