"""Time zones by their IANA names."""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

_LONGEST_NAME = 100


@lru_cache(maxsize=1024)
def zone_named(name: str) -> tzinfo | None:
    """The zone; None when there is none of that name."""
    if name == "UTC":
        return UTC
    if len(name) > _LONGEST_NAME or name == "localtime":  # of this machine: another replica may be elsewhere
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # no file, a folder, a file that is no zone, a path
        return None
