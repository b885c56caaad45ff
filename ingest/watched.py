"""A value loaded from files, and loaded again when they change: a registry or keys, without a restart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

T = TypeVar("T")
Signature = tuple[int, int, int, int]
"""Times of the last change of content and of the file (ns), size, inode."""

DIGEST_BYTES: Final = 6
_MOST_TRIES: Final = 5
"""Files that change while they are read at the start are read again, at most so often."""


class Watched(Generic[T]):
    """`load` reads `paths`; what it gave last is `value`, and stays so while the files cannot be loaded.

    - A file that is wrong, or cannot be read, changes nothing: `problem` says why.
    - A file that was there and is gone is a problem too. Editors and `git` take a file away for a moment, and nobody
      lifts a check of keys by removing a file under a running process. Putting it back, or a restart, ends it.
    - A file that was not there counts from when it appears.
    - A file that became empty counts when it still is at the next `poll`: many programs empty a file to write it.

    Constructing loads at once and raises what `load` raises. `poll` blocks: call it in a thread, one at a time. The
    attributes may be read from any thread.
    """

    def __init__(self, paths: Sequence[Path], load: Callable[[], T]) -> None:
        self._paths = tuple(paths)
        self._load = load
        for _ in range(_MOST_TRIES):
            self._inforce = self._signatures()
            digest = self._digest()
            value = load()
            if digest == self._digest():
                break
        self._emptied: list[Signature | None] | None = None
        self.value: T = value
        self.digest: str = digest
        """Short hash of the files that `value` came from."""
        self.problem: str | None = None
        """Why the newest files are not in force; None when they are."""

    def poll(self) -> bool:
        """Look whether the files changed, and load them if so. True when `value` is a new one.

        While there is a problem every call tries again, since what was in the way need not be in the files.
        """
        found = self._signatures()
        if found == self._inforce and self.problem is None:
            return False
        states = list(zip(self._paths, self._inforce, found, strict=True))
        gone = [path for path, before, now in states if before and not now]
        if gone:
            self.problem = f"{gone[0]}: the file is gone; what it said still holds"
            return False
        if found != self._emptied and any(before and before[2] and now and not now[2] for _, before, now in states):
            self._emptied = found
            return False
        return self._reload(found)

    def _reload(self, found: list[Signature | None]) -> bool:
        digest = self._digest()
        try:
            value = self.value if digest == self.digest else self._load()
        except Exception as error:  # whatever is wrong with the new files, the old ones are in force
            self.problem = str(error) or type(error).__name__
            return False
        if self._digest() != digest:  # still being written: the next call reads it whole
            return False
        changed = digest != self.digest
        self._inforce, self._emptied = found, None
        self.value, self.digest, self.problem = value, digest, None
        return changed

    def _signatures(self) -> list[Signature | None]:
        return [_signature(path) for path in self._paths]

    def _digest(self) -> str:
        """Of the content of all files; what is not there, or cannot be read, counts as that."""
        whole = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for path in self._paths:
            try:
                content = b"+" + path.read_bytes()
            except OSError as error:
                content = b"-%d" % (error.errno or 0)
            whole.update(hashlib.blake2b(content).digest())
        return whole.hexdigest()


def _signature(path: Path) -> Signature | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
