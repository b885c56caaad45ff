"""From the fields of `/api/v1/rejected` to a filter or a replay, or to the field that is wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aggregates.letter_filter import LetterFilter, Place
from aggregates.letters import UNREADABLE
from aggregates.queries import QueryError
from aggregates.query_fields import parse_time
from dashboard.edits import Edits
from ingest.verdicts import Reason

CODE: Final = "invalid_parameter"
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
REASONS: Final = frozenset({*(reason.value for reason in Reason), UNREADABLE})
FORMATS: Final = ("json", "csv", "ndjson")
_MAX_TEXT: Final = 300
_MAX_EDITS: Final = 100
_FILTER: Final = frozenset({"reason", "metric", "from", "to", "key", "request_id", "replayed"})
_LIST: Final = _FILTER | {"limit", "cursor", "format"}
_REPLAY: Final = frozenset({"ids", "filter", "limit", "cursor", "set", "drop", "rename", "import", "dry_run", "force"})
_REPLAYED: Final = {"yes": True, "no": False, "all": None}


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Which letters, how many, behind which place, in which format."""

    wanted: LetterFilter
    limit: int
    after: Place | None
    format: str


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Letters by their ids, or by a filter; what is done to them; how."""

    ids: tuple[str, ...] | None
    wanted: LetterFilter
    limit: int
    after: Place | None
    edits: Edits
    dry_run: bool
    force: bool


class _Refused(Exception):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.error = QueryError(CODE, field, message)


def parse_list(items: Sequence[tuple[str, str]], accept: str, now_ms: int) -> ListRequest | QueryError:
    """The request in query parameters; only `reason` may be repeated."""
    try:
        fields: dict[str, Any] = {}
        for name, value in items:
            if name == "reason":
                fields.setdefault(name, []).append(value)
            elif name in fields:
                raise _Refused(name[:_MAX_TEXT], f"{name[:60]} may stand once")
            else:
                fields[name] = value
        _known(fields, _LIST)
        by_accept = next((f for f in ("csv", "ndjson") if f in accept), "json")
        form = fields.get("format", by_accept)
        if form not in FORMATS:
            raise _Refused("format", f"format must be one of {', '.join(FORMATS)}")
        return ListRequest(_filter(fields, now_ms), _limit(fields.get("limit")), _place(fields.get("cursor")), form)
    except _Refused as refused:
        return refused.error


def parse_replay(fields: Mapping[str, object], now_ms: int) -> ReplayRequest | QueryError:
    """The replay in a JSON object."""
    try:
        _known(fields, _REPLAY)
        ids, given = fields.get("ids"), fields.get("filter")
        if (ids is None) == (given is None):
            raise _Refused("ids", "a replay names its letters by either ids or a filter")
        wanted = LetterFilter(untried=True)
        if given is not None:
            wanted = _replay_filter(given, now_ms)
        return ReplayRequest(
            ids=None if ids is None else _ids(ids),
            wanted=wanted,
            limit=_limit(fields.get("limit")),
            after=_place(fields.get("cursor")),
            edits=_edits(fields),
            dry_run=_flag(fields, "dry_run"),
            force=_flag(fields, "force"),
        )
    except _Refused as refused:
        return refused.error


def cursor_of(place: Place | None) -> str | None:
    """A place as text; None for none."""
    return None if place is None else f"{place.time_ms}.{place.request_id}.{place.place}"


def _known(fields: Mapping[str, object], names: frozenset[str], within: str = "") -> None:
    unknown = sorted(set(fields) - names)
    if unknown:
        raise _Refused((within + unknown[0])[:_MAX_TEXT], f"there is no field {unknown[0][:100]!r}")


def _replay_filter(given: object, now_ms: int) -> LetterFilter:
    if not isinstance(given, Mapping):
        raise _Refused("filter", "filter must be an object")
    _known(given, _FILTER - {"replayed"}, "filter.")
    found = _filter(given, now_ms)
    return LetterFilter(
        found.reasons, found.metric, found.start_ms, found.end_ms, found.key, found.request_id, None, untried=True
    )


def _filter(fields: Mapping[str, Any], now_ms: int) -> LetterFilter:
    replayed = fields.get("replayed", "all")
    if replayed not in _REPLAYED:
        raise _Refused("replayed", "replayed must be yes, no or all")
    start_ms, end_ms = _time(fields, "from", now_ms), _time(fields, "to", now_ms)
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise _Refused("from", "from must lie before to")
    return LetterFilter(
        reasons=_reasons(fields.get("reason")),
        metric=_text(fields, "metric"),
        start_ms=start_ms,
        end_ms=end_ms,
        key=_text(fields, "key"),
        request_id=_text(fields, "request_id"),
        replayed=_REPLAYED[replayed],
    )


def _reasons(given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _Refused("reason", "reason must be a code or a list of codes")
    for name in names:
        if name not in REASONS:
            raise _Refused("reason", f"there is no reason {name[:60]!r}; there are {', '.join(sorted(REASONS))}")
    return tuple(dict.fromkeys(names))


def _text(fields: Mapping[str, object], name: str) -> str | None:
    found = fields.get(name)
    if found is not None and (not isinstance(found, str) or not 0 < len(found) <= _MAX_TEXT):
        raise _Refused(name, f"{name} must be a text of 1 to {_MAX_TEXT} characters")
    return found if isinstance(found, str) else None


def _time(fields: Mapping[str, object], name: str, now_ms: int) -> int | None:
    if fields.get(name) is None:
        return None
    found = parse_time(fields[name], name, now_ms)
    if isinstance(found, QueryError):
        raise _Refused(name, found.message)
    return found


def _limit(given: object) -> int:
    if given is None:
        return DEFAULT_LIMIT
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 10:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_LIMIT:
        raise _Refused("limit", f"limit must be a whole number from 1 to {MAX_LIMIT}")
    return given


def _place(given: object) -> Place | None:
    if given is None:
        return None
    if isinstance(given, str) and len(given) <= 2 * _MAX_TEXT:
        time, dot, rest = given.partition(".")
        request_id, dot_too, place = rest.rpartition(".")
        numbers = all(n.isascii() and n.isdigit() and len(n) < 16 for n in (time, place))
        if dot and dot_too and numbers and int(place) < 2**31:
            return Place(int(time), request_id, int(place))
    raise _Refused("cursor", "cursor must be the `next` of the page before")


def _ids(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(one, str) and one for one in given):
        raise _Refused("ids", "ids must be a list of letter ids")
    ids = tuple(dict.fromkeys(given))
    if len(ids) > MAX_LIMIT:
        raise _Refused("ids", f"a replay takes at most {MAX_LIMIT} letters")
    return ids


def _edits(fields: Mapping[str, object]) -> Edits:
    given, drop, rename = fields.get("set", {}), fields.get("drop", []), fields.get("rename", {})
    if not isinstance(given, dict):
        raise _Refused("set", 'set must be an object of paths and values, such as {"dimensions.country": "NL"}')
    if not isinstance(drop, list) or not all(isinstance(path, str) for path in drop):
        raise _Refused("drop", "drop must be a list of paths")
    if not isinstance(rename, dict) or not all(isinstance(path, str) for path in rename.values()):
        raise _Refused("rename", "rename must be an object of old and new paths")
    for name, paths in (("set", [*given]), ("drop", drop), ("rename", [*rename, *rename.values()])):
        if len(paths) > _MAX_EDITS or not all(0 < len(path) <= _MAX_TEXT and not path.endswith(".") for path in paths):
            raise _Refused(name, f"{name} takes at most {_MAX_EDITS} paths of 1 to {_MAX_TEXT} characters")
    return Edits(given, tuple(drop), rename, _flag(fields, "import"))


def _flag(fields: Mapping[str, object], name: str) -> bool:
    found = fields.get(name, False)
    if not isinstance(found, bool):
        raise _Refused(name, f"{name} must be true or false")
    return found
