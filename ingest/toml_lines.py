"""On which line of a TOML text every key and element stands.

`tomllib` reads the values and says what is no TOML, but keeps no positions. This reads a text that tomllib has taken,
and so only has to tell keys, brackets, texts and comments apart.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

Place = tuple[str | int, ...]
"""Keys, and positions in arrays, from the top of the document."""

_BLANK: Final = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_KEY: Final = re.compile(r"""[ \t]*+([A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+(\.?)""")
_SCALAR: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|[^,\[\]{}\n#\"']++",
    re.DOTALL,
)


def lines_of(text: str) -> Mapping[Place, int]:
    """Place → line (from 1) of everything in a valid document. Empty when the text cannot be followed."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except (_LostError, ValueError, RecursionError):  # ValueError: a key that tomllib does not read
        return {}
    return scanner.lines


def line_of(lines: Mapping[Place, int], place: Place) -> int | None:
    """The line of a place, or of the nearest thing around it that has one."""
    for length in range(len(place), 0, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return None


class _LostError(Exception):
    """The text is not what was expected: it is no valid TOML, or newer than this reader."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._elements: dict[Place, int] = {}
        """Arrays of tables → how many tables they have so far."""
        self.lines: dict[Place, int] = {}

    def document(self) -> None:
        table: Place = ()
        while self._skip_blank() < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        line, of_array = self._line(), self._text.startswith("[[", self._at)
        self._at += 1 + of_array
        *before, last = self._keys()
        table: Place = ()
        for key in before:
            table = self._newest((*table, key))
        table = (*table, last)
        if of_array:
            self.lines.setdefault(table, line)
            self._elements[table] = self._elements.get(table, 0) + 1
            table = self._newest(table)
        self._note(table, line)
        self._expect("]" + "]" * of_array)
        return table

    def _newest(self, table: Place) -> Place:
        """Under an array of tables, its last element is meant."""
        return (*table, self._elements[table] - 1) if table in self._elements else table

    def _pair(self, table: Place) -> None:
        self._skip_blank()
        line = self._line()
        place = (*table, *self._keys())
        self._note(place, line)
        self._expect("=")
        self._value(place)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            match = _KEY.match(self._text, self._at)
            if match is None:
                raise _LostError
            self._at = match.end()
            spelled = match[1]
            keys.append(tomllib.loads(f"key = {spelled}")["key"] if spelled[0] in "\"'" else spelled)
            if not match[2]:
                return keys

    def _value(self, place: Place) -> None:
        self._skip_blank()
        if self._text.startswith("[", self._at):
            self._elements_of(place)
        elif self._text.startswith("{", self._at):
            self._inline_table(place)
        else:
            match = _SCALAR.match(self._text, self._at)
            if match is None:
                raise _LostError
            self._at = match.end()

    def _elements_of(self, place: Place) -> None:
        self._at += 1
        count = 0
        while not self._taken("]"):
            self._note((*place, count), self._line())
            self._value((*place, count))
            count += 1
            self._taken(",")

    def _inline_table(self, place: Place) -> None:
        self._at += 1
        while not self._taken("}"):
            self._pair(place)
            self._taken(",")

    def _note(self, place: Place, line: int) -> None:
        self.lines[place] = line
        for length in range(1, len(place)):
            self.lines.setdefault(place[:length], line)

    def _skip_blank(self) -> int:
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def _taken(self, mark: str) -> bool:
        self._skip_blank()
        taken = self._text.startswith(mark, self._at)
        self._at += len(mark) * taken
        return taken

    def _expect(self, mark: str) -> None:
        if not self._taken(mark):
            raise _LostError

    def _line(self) -> int:
        return bisect_left(self._newlines, self._at) + 1
