"""Fields of a TOML table, with the right type or a mistake that names its place."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ingest.toml_lines import Place

Note = Callable[[Place, str], None]
"""Takes a mistake: where, and what."""

MAX_DURATION_DAYS: Final = 36_500
_DURATION: Final = re.compile(r"(\d{1,9})\s*(s|m|h|d|w|y)")
_UNIT_MS: Final = {
    "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000, "y": 365 * 86_400_000,
}  # fmt: skip


class Table:
    """A table and where it stands. A wrong field is noted, and from then on as good as absent."""

    def __init__(self, values: Mapping[str, Any], place: Place, note: Note) -> None:
        self.values, self.place, self._note = values, place, note

    def mistake(self, message: str, *path: str | int) -> None:
        """Note a mistake at a place in this table, or of the table itself."""
        self._note((*self.place, *path), message)

    def only(self, known: Iterable[str]) -> None:
        """Note the fields that are not known, with the one that was perhaps meant."""
        names = sorted(known)
        for name in self.values:
            if name not in names:
                self.mistake(f"unknown field{did_you_mean(name, names)}; known: {', '.join(names)}", name)

    def text(self, name: str, empty: bool = False) -> str | None:
        given = self.values.get(name)
        if given is None or (isinstance(given, str) and (given or empty)):
            return given
        self.mistake(f"expected a text, found {given!r}", name)
        return None

    def choice(self, name: str, choices: Iterable[str]) -> str | None:
        given, listed = self.values.get(name), sorted(map(str, choices))
        if given is None or given in listed:
            return given
        hint = did_you_mean(given, listed) if isinstance(given, str) else ""
        self.mistake(f"expected one of {', '.join(listed)}, found {given!r}{hint}", name)
        return None

    def number(self, name: str) -> float | None:
        given = self.values.get(name)
        if given is None:
            return None
        try:
            if not isinstance(given, bool) and isinstance(given, int | float) and math.isfinite(given):
                return float(given)
        except OverflowError:  # a whole number that no float can hold
            pass
        self.mistake(f"expected a finite number, found {shortened(given)}", name)
        return None

    def whole(self, name: str, low: int, high: int) -> int | None:
        given = self.values.get(name)
        if given is None or (isinstance(given, int) and not isinstance(given, bool) and low <= given <= high):
            return given
        self.mistake(f"expected a whole number from {low} to {high}, found {shortened(given)}", name)
        return None

    def flag(self, name: str) -> bool:
        given = self.values.get(name, False)
        if isinstance(given, bool):
            return given
        self.mistake(f"expected true or false, found {given!r}", name)
        return False

    def duration_ms(self, name: str, otherwise: str = "") -> int | None:
        """A time span such as "30d", "36h", "90m" or "10s", in milliseconds.

        Args:
            otherwise: what else the caller takes, for the message.
        """
        given = self.values.get(name)
        if given is None:
            return None
        match = _DURATION.fullmatch(given) if isinstance(given, str) else None
        found = int(match[1]) * _UNIT_MS[match[2]] if match else None
        if found is not None and found <= MAX_DURATION_DAYS * 86_400_000:
            return found
        expected = f'a time span such as "30d", "36h", "90m" or "10s", at most {MAX_DURATION_DAYS} days{otherwise}'
        self.mistake(f"expected {expected}, found {shortened(given)}", name)
        return None

    def tables(self, name: str) -> list[tuple[str, Table]]:
        """The tables in a table of tables, by name."""
        inner = self.table(name)
        if inner is None:
            return []
        found = []
        for key, values in inner.values.items():
            if isinstance(values, dict):
                found.append((key, Table(values, (*inner.place, key), self._note)))
            else:
                inner.mistake(f"expected a table, found {shortened(values)}", key)
        return found

    def table(self, name: str) -> Table | None:
        given = self.values.get(name)
        if isinstance(given, dict):
            return Table(given, (*self.place, name), self._note)
        if given is not None:
            self.mistake(f"expected a table, found {shortened(given)}", name)
        return None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}" if close else ""


def shortened(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a huge number"
    return text if len(text) <= 60 else text[:59] + "…"
