"""From the fields of the API to a query, or to the field that is wrong. Pure: `now` is an argument."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from aggregates.measures import HISTOGRAM, is_measure
from aggregates.queries import MEASURES, STEPS, Filter, Previous, Query, QueryError
from aggregates.zones import zone_named

FIELDS = frozenset(
    {"metric", "measures", "from", "to", "step", "by", "where", "top", "order", "compare", "as_of", "timezone",
     "min_position", "timeout", "format"}
)  # fmt: skip
MAX_TOP = 1000
_AUTO_BUCKETS = 400
_MOST_FILTERS = 32
_DEFAULT_RANGE_MS = 3_600_000
_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_FIRST_MS, _LAST_MS = -62_104_060_800_000, 253_370_764_800_000
"""The years 2 to 9998: a range may be widened by days and still have a name."""
_LONGEST_SHIFT_S = 100 * 366 * 86_400
_RELATIVE = re.compile(r"-(\d{1,9})([smhdw])")
_EPOCH = re.compile(r"-?\d{1,16}")


def parse_query(fields: Mapping[str, object], now_ms: int) -> Query | QueryError:
    """The query in the fields of the API (a JSON object, or parameters with the same names)."""
    try:
        return _parse(fields, now_ms)
    except _Refused as refused:
        return refused.error


def parse_time(value: object, field: str, now_ms: int) -> int | QueryError:
    """Epoch milliseconds of a time as a query may name it."""
    try:
        return _time(value, field, now_ms)
    except _Refused as refused:
        return refused.error


def unknown_field(fields: Collection[str], known: Collection[str]) -> QueryError | None:
    """The first field that there is not, and the one that may be meant; None when there are all."""
    for name in sorted(set(fields) - set(known)):
        near = difflib.get_close_matches(name[:40], sorted(known), 1, 0.5)
        hint = f"is it {near[0]}?" if near else "there are " + ", ".join(sorted(known))
        return QueryError("invalid_query", name[:100], f"there is no field {name[:60]!r}: {hint}")
    return None


def parse_filters(value: object) -> tuple[Filter, ...] | QueryError:
    """The filters of a `where`, of whichever form."""
    try:
        return _filters(value)
    except _Refused as refused:
        return refused.error


class _Refused(Exception):
    def __init__(self, field: str, message: str, code: str = "invalid_query") -> None:
        super().__init__(message)
        self.error = QueryError(code, field, message)


def _parse(fields: Mapping[str, object], now_ms: int) -> Query:
    wrong = unknown_field(fields, FIELDS)
    if wrong is not None:
        raise _Refused(wrong.field or "", wrong.message)
    fields = {name: value for name, value in fields.items() if value is not None}
    metric = fields.get("metric")
    if not isinstance(metric, str) or not metric:
        raise _Refused("metric", "metric is required, a text")
    end_ms = _time(fields.get("to", "now"), "to", now_ms)
    default_start = end_ms - _DEFAULT_RANGE_MS
    start_ms = _time(fields["from"], "from", now_ms) if "from" in fields else default_start
    if start_ms >= end_ms:
        raise _Refused("from", "from must lie before to")
    query = Query(
        metric=metric,
        measures=_measures(fields["measures"]) if "measures" in fields else (),
        start_ms=start_ms,
        end_ms=end_ms,
        step_s=_step(fields.get("step"), end_ms - start_ms),
        by=_names(fields.get("by"), "by"),
        where=_filters(fields.get("where")),
        top=_top(fields),
        order=_order(fields.get("order")),
        compare=_compare(fields.get("compare")),
        as_of_ms=_as_of(fields.get("as_of"), now_ms),
        timezone=_timezone(fields.get("timezone")),
    )
    back = query.end_ms - query.start_ms if query.compare == "previous" else 1000 * (query.compare or 0)
    if query.start_ms - back < _FIRST_MS:
        what = "the range" if query.compare is None else "the range to compare with"
        raise _Refused("from" if query.compare is None else "compare", f"{what} begins before the year 2")
    return query


def _time(value: object, field: str, now_ms: int) -> int:
    """Epoch milliseconds of `now`, `-90m`, an epoch or RFC 3339."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _Refused(field, f"{field} must be RFC 3339, epoch milliseconds, now, or relative such as -90m")
    if isinstance(value, int):
        return _bounded(value, field)
    text = value.strip()
    if text == "now":
        return now_ms
    relative = _RELATIVE.fullmatch(text)
    if relative:
        return _bounded(now_ms - int(relative[1]) * _UNITS_MS[relative[2]], field)
    if _EPOCH.fullmatch(text):
        return _bounded(int(text), field)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _Refused(field, f"{field} {text[:60]!r} is no time: RFC 3339, epoch ms, now, or -90m") from None
    if moment.tzinfo is None:
        raise _Refused(field, f"{field} {text[:60]!r} needs a zone, such as Z or +01:00")
    return _bounded(round((moment - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000), field)


def _bounded(epoch_ms: int, field: str) -> int:
    if not _FIRST_MS <= epoch_ms < _LAST_MS:
        raise _Refused(field, f"{field} lies outside the years 2 to 9998")
    return epoch_ms


def _measures(value: object) -> tuple[str, ...]:
    names = _names(value, "measures")
    if not names:
        raise _Refused("measures", "measures names at least one of " + ", ".join(MEASURES))
    for name in names:
        if not is_measure(name):
            raise _Refused("measures", f"there is no measure {name[:60]!r}; there are {', '.join(MEASURES)}")
    return names


def _top(fields: Mapping[str, object]) -> int | None:
    value = fields.get("top")
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    number = int(text) if re.fullmatch(r"[0-9]{1,4}", text) else 0
    if not 1 <= number <= MAX_TOP:
        raise _Refused("top", f"top must be a whole number from 1 to {MAX_TOP}")
    if not fields.get("by"):
        raise _Refused("top", "top needs by: of which groups?")
    return number


def _order(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_measure(value) or value == HISTOGRAM:
        raise _Refused("order", "order must be a measure, and no histogram")
    return value


def _compare(value: object) -> Previous | int | None:
    """`previous`, or how many seconds earlier."""
    if value is None or value == "":
        return None
    if value == "previous":
        return "previous"
    relative = _RELATIVE.fullmatch(value) if isinstance(value, str) else None
    seconds = int(relative[1]) * _UNITS_MS[relative[2]] // 1000 if relative else 0
    if not 0 < seconds <= _LONGEST_SHIFT_S:
        raise _Refused("compare", "compare must be previous, or a time earlier such as -7d")
    return seconds


def _as_of(value: object, now_ms: int) -> int | None:
    if value is None or value == "":
        return None
    found = _time(value, "as_of", now_ms)
    if found > now_ms:
        raise _Refused("as_of", "as_of must not lie ahead: nothing is known of it yet")
    return found


def _timezone(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or zone_named(value) is None:
        raise _Refused("timezone", "timezone must be the name of a time zone, such as Europe/Amsterdam")
    return value


def _names(value: object, field: str) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise _Refused(field, f"{field} must be a list of names")
    if len(set(names)) != len(names) or len(names) > 32:
        raise _Refused(field, f"{field} must hold at most 32 names, each once")
    return tuple(names)


def _step(value: object, range_ms: int) -> int | None:
    if value is None or value == "":
        return None
    if value == "auto":
        return next((s for s in STEPS.values() if range_ms <= s * 1000 * _AUTO_BUCKETS), STEPS["1d"])
    if not isinstance(value, str) or value not in STEPS:
        raise _Refused("step", "step must be auto or one of " + ", ".join(STEPS))
    return STEPS[value]


def _filters(value: object) -> tuple[Filter, ...]:
    found = _given_filters(value)
    if len(found) > _MOST_FILTERS:
        raise _Refused("where", f"where may have at most {_MOST_FILTERS} filters")
    return found


def _given_filters(value: object) -> tuple[Filter, ...]:
    if value is None:
        return ()
    if isinstance(value, Mapping):
        return tuple(_filter(str(name), wanted) for name, wanted in value.items())
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        raise _Refused("where", "where must be an object of dimension and value")
    return _merged([_parameter(text) for text in value])


def _filter(name: str, wanted: object) -> Filter:
    negate = isinstance(wanted, Mapping)
    if isinstance(wanted, Mapping):
        if set(wanted) != {"not"}:
            raise _Refused("where", f"where.{name[:60]} may only hold the word not")
        wanted = wanted["not"]
    values = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(values, list | tuple) or not values or not all(isinstance(v, str) for v in values):
        raise _Refused("where", f"where.{name[:60]} must be a text or a list of texts")
    return Filter(name, tuple(values), negate)


def _parameter(text: object) -> Filter:
    """`country:NL` or `!country:NL`."""
    if not isinstance(text, str) or ":" not in text:
        raise _Refused("where", "where must look like country:NL or !country:NL")
    name, value = text.removeprefix("!").split(":", 1)
    return Filter(name, (value,), text.startswith("!"))


def _merged(filters: list[Filter]) -> tuple[Filter, ...]:
    """Repeated values of one dimension become one filter."""
    merged: dict[tuple[str, bool], list[str]] = {}
    for found in filters:
        merged.setdefault((found.dimension, found.negate), []).extend(found.values)
    return tuple(Filter(name, tuple(values), negate) for (name, negate), values in merged.items())
