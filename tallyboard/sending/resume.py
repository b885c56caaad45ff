"""Where an interrupted `tallyboard send` goes on: a small file in the cache folder, one for each file and its options.

It saves work, nothing more. Ids are made from the file's content and the options, so that rows sent again because the
state was lost, or is behind, are not counted twice.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import msgspec

from tallyboard.failure import Failure
from tallyboard.sending.rows import Place

_HEAD_BYTES: Final = 64 * 1024
MAX_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """A file as it was: another size, time of change or head makes it another file."""

    size: int
    mtime_ns: int
    head: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Raises `Failure` when the file cannot be read."""
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                head = hashlib.blake2b(file.read(_HEAD_BYTES), digest_size=16).hexdigest()
        except OSError as error:
            raise Failure(f"{path} cannot be read: {error.strerror}.") from error
        return cls(found.st_size, found.st_mtime_ns, head)


@dataclass(slots=True)
class Refused:
    """Rows with one verdict: how many, and the first of them with what was said."""

    rows: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """The verdicts so far."""

    accepted: int = 0
    refused: dict[str, Refused] = field(default_factory=dict)

    def refuse(self, code: str, row: int, message: str) -> None:
        found = self.refused.setdefault(code, Refused())
        found.rows += 1
        if len(found.examples) < MAX_EXAMPLES:
            found.examples.append((row, message))

    @property
    def rejected(self) -> int:
        return sum(refused.rows for refused in self.refused.values())


@dataclass(slots=True)
class State:
    """How far a file was sent. `digest` is what its ids begin with."""

    identity: Identity
    digest: str
    place: Place = field(default_factory=Place)
    tally: Tally = field(default_factory=Tally)
    finished: bool = False


_STATE: Final = msgspec.json.Decoder(State)


class StateFile:
    """The state of one file, sent with some options to one address."""

    def __init__(self, folder: Path, path: Path, options: str) -> None:
        name = hashlib.blake2b(f"{path.absolute()}\n{options}".encode(), digest_size=12).hexdigest()
        self.path = folder / f"{name}.json"

    def load(self, identity: Identity) -> State | None:
        """The state, unless there is none or the file has changed since."""
        try:
            state = _STATE.decode(self.path.read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return state if state.identity == identity else None

    def save(self, state: State) -> None:
        """Replace the file in one step. Raises `Failure` when the folder cannot be written."""
        part = self.path.with_suffix(".part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(msgspec.json.encode(state))
            part.replace(self.path)
        except OSError as error:
            raise Failure(f"The state cannot be kept in {self.path.parent}: {error.strerror}.") from error


def digest_of(path: Path, options: str) -> str:
    """16 hex digits from the whole content and the options that make events of it."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return hashlib.blake2b(f"{content}\n{options}".encode(), digest_size=8).hexdigest()
