"""A reader who looks at the totals while everything is being killed: neither they nor the watermark go back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx

_LOOK_S = 0.3
_PAST_MS = 15 * 60_000
_AHEAD_MS = 24 * 3_600_000


class Watcher:
    """Asks for each metric's count again and again; `went_back` tells when one, or the watermark, was smaller than
    before."""

    def __init__(self, client: httpx.AsyncClient, url: str, metrics: Sequence[str]) -> None:
        self.went_back: list[str] = []
        self.looks = 0
        self.totals = dict.fromkeys(metrics, 0)
        """Metric → the count seen last."""
        self.watermark: datetime | None = None
        self._client = client
        self._url = f"{url}/api/v1/query"

    async def run(self) -> None:
        """Look until cancelled."""
        now_ms = time.time_ns() // 1_000_000
        asked = {"measures": "count", "from": now_ms - _PAST_MS, "to": now_ms + _AHEAD_MS}
        while True:
            for metric, before in self.totals.items():
                count = await self._ask({**asked, "metric": metric})
                if count is None:
                    continue
                self.looks += 1
                if count < before:
                    self.went_back.append(f"{metric} from {before} to {count}")
                self.totals[metric] = count
            await asyncio.sleep(_LOOK_S)

    async def _ask(self, asked: dict[str, Any]) -> int | None:
        try:
            answer = await self._client.post(self._url, json=asked)
        except httpx.TransportError:
            self.watermark = None  # another process will answer, which does not know what the last one said
            return None
        if answer.status_code != 200:
            return None
        told = answer.json()
        if (text := told["freshness"]["watermark"]) is not None:
            watermark = datetime.fromisoformat(text)
            if self.watermark is not None and watermark < self.watermark:
                self.went_back.append(f"the watermark from {self.watermark} to {watermark}")
            self.watermark = watermark
        return int(told["rows"][0][0])
