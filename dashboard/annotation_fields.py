"""What requests about annotations ask for. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aggregates.annotations import ID, MAX_METRIC, MAX_TEXT, Annotation, Content
from aggregates.queries import QueryError
from aggregates.query_fields import parse_time, unknown_field
from dashboard.api import Wait, is_number, parse_wait, single
from dashboard.names import hidden

LISTED: Final = ("from", "to", "metric", "limit", "cursor", "min_position", "timeout")
CONTENT: Final = ("at", "end", "text", "metric")
MAX_LIMIT: Final = 1000
DEFAULT_LIMIT: Final = 200
_MAX_KEY: Final = 200
Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Annotations of a half-open range; those behind `after`. None: no limit."""

    start_ms: int | None
    end_ms: int | None
    metric: str | None
    limit: int
    after: tuple[int, str] | None
    wait: Wait | None


@dataclass(frozen=True, slots=True)
class Addition:
    """An annotation to add; `id` None: any. `exact`: its times do not depend on when it is asked for."""

    id: str | None
    content: Content
    exact: bool

    def is_that_of(self, found: Annotation) -> bool:
        """Whether it is what added an annotation, asked for once more."""
        added = found.added
        if (added.text, added.metric) != (self.content.text, self.content.metric):
            return False
        return not self.exact or added == self.content


class _Refused(Exception):
    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.error = QueryError("invalid_annotation", field, message)


def parse_list(items: Sequence[tuple[str, str]], now_ms: int) -> ListRequest | QueryError:
    """What a list shows."""
    fields = single(items, LISTED)
    if isinstance(fields, QueryError):
        return fields
    wait = parse_wait(fields)
    start, end = (parse_time(fields[name], name, now_ms) if name in fields else None for name in ("from", "to"))
    limit, after = fields.get("limit", str(DEFAULT_LIMIT)), _cursor(fields.get("cursor"))
    for wrong in (wait, start, end, after):
        if isinstance(wrong, QueryError):
            return wrong
    assert not isinstance(wait, QueryError)
    assert not isinstance(start, QueryError)
    assert not isinstance(end, QueryError)
    assert not isinstance(after, QueryError)
    if start is not None and end is not None and start >= end:
        return QueryError("invalid_query", "from", "from must lie before to")
    if not is_number(limit) or not 0 < int(limit) <= MAX_LIMIT:
        return QueryError("invalid_query", "limit", f"limit must be 1 to {MAX_LIMIT}")
    return ListRequest(start, end, fields.get("metric") or None, int(limit), after, wait)


def cursor_of(last: Annotation) -> str:
    """Where the page behind an annotation begins."""
    return f"{last.at_ms}/{last.id}"


def _cursor(text: str | None) -> tuple[int, str] | QueryError | None:
    if text is None:
        return None
    at_ms, _, found = text.partition("/")
    if not is_number(at_ms.removeprefix("-")) or ID.fullmatch(found) is None:
        return QueryError("invalid_query", "cursor", "cursor must be `next` of the page before")
    return int(at_ms), found


def parse_addition(fields: Fields, now_ms: int) -> Addition | QueryError:
    """The annotation of a body that adds one."""
    wrong = unknown_field(fields, ("id", *CONTENT))
    if wrong is not None:
        return QueryError("invalid_annotation", wrong.field, wrong.message)
    try:
        given = fields.get("id")
        if given is not None and (not isinstance(given, str) or ID.fullmatch(given) is None):
            raise _Refused("id", "id must be 1 to 100 of the characters A-Z a-z 0-9 . : _ -")
        content = _content(fields, now_ms)
    except _Refused as refused:
        return refused.error
    exact = "at" in fields and not any(_is_relative(fields.get(name)) for name in ("at", "end"))
    return Addition(given, content, exact)


def parse_edit(fields: Fields, now_ms: int, known: Annotation, whole: bool) -> Content | QueryError:
    """What an annotation says afterwards: `whole` replaces it, else only what is named."""
    wrong = unknown_field(fields, CONTENT)
    if wrong is not None:
        return QueryError("invalid_annotation", wrong.field, wrong.message)
    if not fields:
        return QueryError("invalid_annotation", None, "nothing to change: name at, end, text or metric")
    before = {} if whole else {"at": known.at_ms, "end": known.end_ms, "text": known.text, "metric": known.metric}
    try:
        if whole and "at" not in fields:
            raise _Refused("at", "at must be given")
        return _content({**before, **fields}, now_ms)
    except _Refused as refused:
        return refused.error


def _content(fields: Fields, now_ms: int) -> Content:
    at_ms = _time(fields.get("at", "now"), "at", now_ms)
    end_ms = None if fields.get("end") is None else _time(fields["end"], "end", now_ms)
    if end_ms is not None and end_ms < at_ms:
        raise _Refused("end", "end must not lie before at")
    metric = fields.get("metric")
    if metric is not None and (not isinstance(metric, str) or not 0 < len(metric) <= MAX_METRIC):
        raise _Refused("metric", f"metric must be a name of 1 to {MAX_METRIC} characters, or null for all metrics")
    return Content(at_ms, end_ms, _text(fields.get("text")), metric)


def _text(given: object) -> str:
    text = given.strip() if isinstance(given, str) else ""
    if len(text) > MAX_TEXT:
        raise _Refused("text", f"text may have {MAX_TEXT} characters; these are {len(text)}")
    if all(c.isspace() or hidden(c) for c in text):
        raise _Refused("text", f"text must be 1 to {MAX_TEXT} characters that can be seen")
    return text


def _time(given: object, field: str, now_ms: int) -> int:
    found = parse_time(given, field, now_ms)
    if isinstance(found, QueryError):
        raise _Refused(field, found.message)
    return found


def _is_relative(given: object) -> bool:
    return isinstance(given, str) and (given.strip() == "now" or given.strip()[-1:] in tuple("smhdw"))


def id_of(key: str | None, author: str | None) -> str | QueryError | None:
    """The id that an `Idempotency-Key` of a caller stands for; None without one."""
    if key is None:
        return None
    if not 0 < len(key) <= _MAX_KEY or not all(" " <= c <= "~" for c in key):
        message = f"Idempotency-Key must be 1 to {_MAX_KEY} printable ASCII characters"
        return QueryError("invalid_idempotency_key", None, message)
    return "key." + hashlib.sha256(f"{author or ''}\n{key}".encode()).hexdigest()[:32]
