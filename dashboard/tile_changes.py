"""The tiles of the push: each message says what changed since the one its browser took last.

Every part of a tile has a serial, that of the tick in which it changed. A browser that missed ticks gets the newest of
all parts that are newer than what it has: nothing is queued for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from aggregates.queries import Tile
from dashboard.names import readable
from dashboard.tiles import tile

Part = tuple[int, str]
"""Serial of the tick that changed it, and its JSON."""


@dataclass(frozen=True)
class Tiled:
    """All tiles of one tick. Immutable, but for what was already put together."""

    serial: int = 0
    ordered: int = 0
    """Serial of the tick that changed which metrics there are, or their order."""
    tiles: tuple[Tile, ...] = ()
    parts: tuple[dict[str, Part], ...] = ()
    _made: dict[int, str] = field(default_factory=dict)

    def since(self, serial: int) -> str:
        """Members of a JSON object: `tiles`, those that changed since a tick, each with its place as `n`; `order`, the
        names of all metrics, where that changed."""
        made = self._made.get(serial)
        if made is None:
            made = self._made[serial] = self._changed(serial)
        return made

    def _changed(self, serial: int) -> str:
        changed = []
        for place, parts in enumerate(self.parts):
            members = [f'"{name}":{text}' for name, (at, text) in parts.items() if at > serial]
            if members:
                changed.append(f'{{"n":{place},{",".join(members)}}}')
        told = f'"tiles":[{",".join(changed)}]'
        return f'"order":{_encode([one.metric.name for one in self.tiles])},{told}' if self.ordered > serial else told

    @cached_property
    def metrics(self) -> str:
        """Member of a JSON object: every metric as [name, name to be read, dimensions], for a page without tiles."""
        found = [(one.metric.name, readable(one.metric.name, 80), one.metric.dimensions) for one in self.tiles]
        return f'"choices":{_encode(found)}'

    def find(self, metric: str) -> Tile | None:
        """The tile of a metric."""
        return next((one for one in self.tiles if one.metric.name == metric), None)


def advance(before: Tiled, now_ms: int, tiles: Sequence[Tile]) -> Tiled:
    """The tiles of the next tick, with what changed."""
    serial = before.serial + 1
    known = {one.metric.name: (one, parts) for one, parts in zip(before.tiles, before.parts, strict=True)}
    parts = tuple(_parts(serial, now_ms, one, known.get(one.metric.name)) for one in tiles)
    is_same = [one.metric.name for one in tiles] == [one.metric.name for one in before.tiles]
    return Tiled(serial, before.ordered if is_same and before.serial else serial, tuple(tiles), parts)


def _parts(serial: int, now_ms: int, one: Tile, before: tuple[Tile, dict[str, Part]] | None) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for name, value in tile(now_ms, one).items():
        text = _encode(value)
        old = before[1].get(name) if before else None
        found[name] = old if old is not None and old[1] == text else (serial, text)
    return found


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
