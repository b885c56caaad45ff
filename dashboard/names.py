"""Names that came with the data, made fit to be read: they may hold anything a client could send."""

from __future__ import annotations

import unicodedata

HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
NOTHING = "(none)"
EMPTY = "(empty)"


def readable(text: str | None, limit: int = 120) -> str:
    """The text on one line without control, direction and other invisible characters, at most `limit` long.

    A missing value reads "(none)", a text of which nothing is left "(empty)".
    """
    if text is None:
        return NOTHING
    # a name of a million characters is cut before it is looked at
    kept = "".join(" " if c.isspace() else c for c in text[: limit * 4] if c.isspace() or not hidden(c))
    words = " ".join(kept.split())
    if not words:
        return EMPTY
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def hidden(character: str) -> bool:
    """Whether a character shows nothing by itself or changes how its neighbours are shown."""
    return unicodedata.category(character) in HIDDEN


def escaped(text: str) -> str:
    """The text for plotly's labels, which read markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
