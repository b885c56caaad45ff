"""The clients of this process: flushed at its end, and begun afresh in a forked child."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Final, Protocol


class Living(Protocol):
    """What is remembered here, for as long as somebody holds it."""

    def close(self) -> object: ...

    def begin_afresh(self) -> None: ...


class _Clients:
    def __init__(self) -> None:
        self._living: weakref.WeakSet[Living] = weakref.WeakSet()
        self._watched = False

    def remember(self, client: Living) -> None:
        self._living.add(client)
        if not self._watched:
            self._watched = True
            atexit.register(self._at_exit)
            os.register_at_fork(after_in_child=self._in_child)

    def _at_exit(self) -> None:
        for client in list(self._living):
            client.close()

    def _in_child(self) -> None:
        for client in list(self._living):
            client.begin_afresh()


_CLIENTS: Final = _Clients()


def remember(client: Living) -> None:
    """Close the client at the end of the program, and begin it afresh in every child that is forked."""
    _CLIENTS.remember(client)
