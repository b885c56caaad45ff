"""Annotations without Kafka: a journal whose entries are in the file as soon as they are written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
from fastapi import APIRouter

from aggregates.annotations import Annotations
from aggregates.letter_store import LetterLimits, LetterStore
from aggregates.letterbox import TopicFreshness
from aggregates.store import Store
from dashboard.annotation_desk import Clock
from dashboard.annotations import annotations_router
from dashboard.notes import Notes, notes_of
from ingest.log import LogRecord

TOPIC_ID = "0123456789abcdef"
ROOMY = LetterLimits(10**12, 10**9, 10**6)


class Noted:
    """A journal and what is folded from it, in a folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._store = Store(folder / "notes.duckdb", {})
        self._kept = LetterStore(self._store, ROOMY)
        self._written = 0
        self._turn = asyncio.Lock()
        self._clock = clock
        self.annotations = Annotations(self._store)

    @property
    def notes(self) -> Notes:
        return notes_of(self.annotations)

    def router(self) -> APIRouter:
        return annotations_router(self.annotations, self, self._clock)

    def close(self) -> None:
        self._store.close()

    # --- the journal ----------------------------------------------------------------------------------------------

    async def append(self, kind: str, body: Mapping[str, object]) -> int:
        async with self._turn:
            offset, self._written = self._written, self._written + 1
            record = LogRecord(offset, time.time_ns() // 1_000_000, msgspec.json.encode({"type": kind, **body}))
            await asyncio.to_thread(self._kept.apply_journal, "journal", TOPIC_ID, {0: [record]})
            self.annotations.catch_up()
        return offset

    async def has_read(self, offset: int, timeout_s: float) -> bool:
        return offset < self._written

    async def reach(self, prefix: str, wanted: Mapping[int, int], timeout_s: float) -> bool | None:
        return wanted.get(0, 0) <= self._written if TOPIC_ID.startswith(prefix) else None

    def position(self, offset: int) -> str:
        return f"{TOPIC_ID[:8]};0:{offset + 1}"

    def freshness(self) -> TopicFreshness:
        return TopicFreshness(self.position(self._written - 1), 0, None)
