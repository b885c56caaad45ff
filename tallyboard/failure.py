"""The one way in which a command of Tallyboard gives up on purpose."""

from __future__ import annotations


class Failure(Exception):
    """One clear sentence for the person at the terminal; the command prints it and exits with 1."""
