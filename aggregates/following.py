"""Reading a topic beside the Faust stream, into the read model: `rejected` and `journal`.

Every replica reads all partitions from positions of its own, which the store keeps with the rows. A position that the
log contradicts ends the following, not the process: what is there is still served, and the replica says why it is not
ready. Records that retention removed before they were read are older than what a replica keeps: reading goes on behind
them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aggregates.letter_store import Followed
from aggregates.letterbox import TopicFreshness
from aggregates.levels import watermark
from aggregates.positions import Broken, Fault, PositionError, ReadableLog, check
from aggregates.readmodel import TOPIC_ID_PREFIX
from ingest.follow import Follower
from ingest.log import LogError, LogRecord

POLL_S = 0.25
_LOOK_S = 1.0
_REST_S = 0.5
Follow = Callable[[str, Mapping[int, int]], Follower]
Apply = Callable[[str, str, Mapping[int, list[LogRecord]]], int]
Call = Callable[..., Awaitable[Any]]
_log = logging.getLogger(__name__)


class TopicFollowing:
    """One topic. `ask` runs a question to the log, `write` a change of the store, both one at a time elsewhere."""

    def __init__(
        self,
        topic: str,
        log: ReadableLog,
        follow: Follow,
        positions: Callable[[str], Mapping[int, Followed]],
        apply: Apply,
        ask: Call,
        write: Call,
    ) -> None:
        self.topic = topic
        self._log = log
        self._follow = follow
        self._positions = positions
        self._apply = apply
        self._ask = ask
        self._write = write
        self._thread = ThreadPoolExecutor(1, f"follow-{topic}")
        self._topic_id = ""
        self._reached: dict[int, tuple[int, int]] = {}
        """Partition → next offset, and append time of the last record (below 0: none was read)."""
        self._ends: Mapping[int, int] = {}
        self._watermark_ms: int | None = None
        self._moved: asyncio.Condition | None = None
        self.stopped: str | None = None

    @property
    def topic_id(self) -> str:
        return self._topic_id

    def freshness(self) -> TopicFreshness:
        """How current the rows are."""
        reached = ",".join(f"{partition}:{offset}" for partition, (offset, _) in sorted(self._reached.items()))
        position = f"{self._topic_id[:TOPIC_ID_PREFIX]};{reached}"
        lag = sum(max(0, end - self._reached.get(p, (0, 0))[0]) for p, end in self._ends.items())
        return TopicFreshness(position, lag, self._watermark_ms, self.stopped)

    async def reach(self, partition: int, offset: int, timeout_s: float) -> bool:
        """Wait until the record at an offset is in; False when the time is up."""
        try:
            async with asyncio.timeout(timeout_s), self._condition():
                await self._condition().wait_for(lambda: self._is_in(partition, offset))
        except TimeoutError:
            return False
        return True

    def _is_in(self, partition: int, offset: int) -> bool:
        return self._reached.get(partition, (0, 0))[0] > offset

    def _condition(self) -> asyncio.Condition:
        if self._moved is None:
            self._moved = asyncio.Condition()
        return self._moved

    # --- reading --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read until cancelled, or until the log contradicts a position. Raises what the store raises."""
        try:
            while self.stopped is None:
                try:
                    await self._read()
                except LogError as error:
                    _log.warning("%s", error)
                except PositionError as error:
                    self.stopped = f"reading {self.topic} stopped: {error}"
                    _log.error("%s", self.stopped)
                await asyncio.sleep(_REST_S)
        finally:
            self._thread.shutdown(wait=False)

    async def _read(self) -> None:
        """Read until the topic is another one."""
        offsets = await self._start()
        follower = await self._own(self._follow, self.topic, offsets)
        try:
            looked_s = 0.0
            while True:
                records = await self._own(follower.poll, POLL_S)
                looks = time.monotonic() - looked_s > _LOOK_S
                # Asked behind the poll: records of a topic made anew must not pass for those of the old one.
                if (records or looks) and await self._ask(self._log.topic_id, self.topic) != self._topic_id:
                    _log.warning("%s was created anew", self.topic)
                    return
                if records:
                    await self._take(records)
                if looks:
                    await self._look()
                    looked_s = time.monotonic()
        finally:
            await self._own(follower.close)

    async def _own(self, work: Callable[..., Any], *arguments: object) -> Any:
        """Run blocking work in the one thread that may touch the follower."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _start(self) -> dict[int, int]:
        """Partition → where to read on. Raises `PositionError`."""
        self._topic_id = await self._ask(self._log.topic_id, self.topic)
        begins: dict[int, int] = await self._ask(self._log.begin_offsets, self.topic)
        reached = {partition: (offset, -1) for partition, offset in begins.items()}
        for partition, found in self._positions(self.topic).items():
            state = await self._ask(check, self._log, self.topic, found.position)
            if isinstance(state, Broken) and state.fault is not Fault.LOST:
                raise PositionError(state.detail)
            if isinstance(state, Broken):
                _log.warning("%s", state.detail)
            elif state is not None:
                reached[partition] = state.next_offset, found.record_ms
        self._reached = reached
        offsets = {partition: offset for partition, (offset, _) in reached.items()}
        _log.info("reading %s from %s", self.topic, offsets)
        return offsets

    async def _take(self, records: Mapping[int, list[LogRecord]]) -> None:
        await self._write(self._apply, self.topic, self._topic_id, records)
        self._reached |= {p: (found[-1].offset + 1, found[-1].timestamp_ms) for p, found in records.items()}
        async with self._condition():
            self._condition().notify_all()

    async def _look(self) -> None:
        """How far behind, by the broker's ends."""
        asked_ms = time.time_ns() // 1_000_000
        ends: dict[int, int] = await self._ask(self._log.end_offsets, self.topic)
        self._ends = ends
        mark = watermark(ends, self._reached, ends, asked_ms)
        if mark is not None:
            self._watermark_ms = max(mark, self._watermark_ms or 0)
