"""The thread that changes the store, one change at a time.

When there is no room for a change it waits, and is made when there is: nothing is skipped and the process goes on
answering. Any other error is the caller's.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aggregates.database import NoRoom

_LOOK_S = 1.0
_ROOM_BYTES = 16_000_000
"""With less than this free nothing is tried again."""
_log = logging.getLogger(__name__)


class Writer:
    """Changes of one store, whose file stands in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, "writer")
        self._waiting = 0

    @property
    def paused(self) -> str | None:
        """Why changes wait; None when they do not."""
        return f"counting is paused: no room is left in {self._folder}" if self._waiting else None

    async def write(self, change: Any, *arguments: Any) -> Any:
        """Make a change; waits while there is no room for it."""
        try:
            return await self._made(change, *arguments)
        except NoRoom:
            self._waiting += 1
        if self._waiting == 1:
            _log.error("%s; it goes on by itself when there is", self.paused)
        try:
            made = await self._made_when_there_is_room(change, *arguments)
        finally:
            self._waiting -= 1
        if not self._waiting:
            _log.warning("there is room in %s again: counting goes on", self._folder)
        return made

    async def _made(self, change: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, change, *arguments)

    async def _made_when_there_is_room(self, change: Any, *arguments: Any) -> Any:
        while True:
            await asyncio.sleep(_LOOK_S)
            if shutil.disk_usage(self._folder).free >= _ROOM_BYTES:  # a call of microseconds
                try:
                    return await self._made(change, *arguments)
                except NoRoom:
                    continue

    def close(self) -> None:
        """Wait for the last change."""
        self._thread.shutdown()
