"""What one role prints: written to a rotated file, its last lines kept at hand for the question "why did it die?"."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path
from typing import IO

_LONGEST_LINE = 64 * 1024
_KEPT_LINES = 40


class RoleLog:
    """`<name>.log` and its older parts `<name>.log.1` … `.count`, each at most about `max_bytes` long."""

    def __init__(self, path: Path, max_bytes: int, count: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._count = count
        self._recent: deque[str] = deque(maxlen=_KEPT_LINES)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self.failure: OSError | None = None
        """Why lines are not written any more (a full disk, say), or None."""

    def follow(self, output: IO[bytes]) -> threading.Thread:
        """Write everything that comes from `output` until it ends; returns the thread that does so."""
        thread = threading.Thread(target=self._pump, args=(output,), name=f"log-{self.path.stem}", daemon=True)
        thread.start()
        return thread

    def forget(self) -> None:
        """Begin anew: what an earlier life of the role said no longer explains anything."""
        self._recent.clear()

    def recent(self) -> tuple[str, ...]:
        """The last lines that say something, oldest first."""
        return tuple(self._recent)

    def close(self) -> None:
        self._file.close()

    def _pump(self, output: IO[bytes]) -> None:
        with output:
            while line := output.readline(_LONGEST_LINE):
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._recent.append(text)
                self._write(line)

    def _write(self, line: bytes) -> None:
        """A line that cannot be written is dropped: a role must never wait for its log."""
        try:
            if self._size + len(line) > self._max_bytes and self._size:
                self._rotate()
            self._file.write(line)
            self._size += len(line)
            self.failure = None
        except OSError as error:
            self.failure = error

    def _rotate(self) -> None:
        self._file.close()
        try:
            for number in range(self._count - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            if self._count:
                self.path.replace(self._numbered(1))
            else:
                self.path.unlink()
        finally:
            self._file = self.path.open("ab", buffering=0)
            self._size = self._file.tell()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
