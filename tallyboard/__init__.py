"""The command `tallyboard`: settings, supervisor, embedded broker, demos. Only this package reads the environment."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version of the installed distribution, or `0+source` when run from a bare source folder."""
    try:
        return version("tallyboard")
    except PackageNotFoundError:
        return "0+source"
