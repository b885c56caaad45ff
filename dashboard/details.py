"""`/live/tile`: what a tile says when it is pointed at: exact values, and how much of them to trust.

Asked for one metric at a time, so that the push need not carry it for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

from fastapi import APIRouter, Response

from aggregates.accounts import Ledger, LedgerQuery
from aggregates.queries import (
    Freshness,
    OutOfMemory,
    Query,
    QueryError,
    Tile,
    TooManyRows,
    TooSlow,
    Unanswerable,
    UnknownMetric,
)
from aggregates.zones import zone_named
from dashboard.answers import document, refusal
from dashboard.numbers import NARROW, format_exact, unit_of
from dashboard.reading import Accounting
from dashboard.tiles import WINDOW_NAMES, WINDOWS, said_measure

HOUR_MS = 3_600_000
WIDTHS_MS = {"1m": 60_000, "5m": 300_000, "1h": HOUR_MS}
REFUSED = (UnknownMetric, Unanswerable, TooManyRows, TooSlow, OutOfMemory)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
Row = tuple[str, str]
"""A name and a sentence."""


def weekday(now_ms: int, zone: str) -> str:
    """The day of the week there, such as "Mon"."""
    return DAYS[_local(now_ms, zone_named(zone) or UTC).weekday()]


def details_router(
    find: Callable[[str], Tile | None], model: Accounting, zone: str, clock: Callable[[], int]
) -> APIRouter:
    """The route.

    Args:
        find: the tile of a metric as it was pushed last.
        zone: the workspace's.
        clock: epoch milliseconds.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/live/tile")
    async def details(metric: str, window: str = WINDOWS[0]) -> Response:
        one = find(metric[:1000])
        if one is None or window not in WINDOWS:
            return refusal(404, QueryError("unknown_metric", None, "there is no such tile"))
        now = clock()
        rows = await asyncio.to_thread(_read, model, one, window, zone_named(zone) or UTC, now)
        return document({"rows": rows})

    return routes


def _read(model: Accounting, one: Tile, window: str, zone: tzinfo, now: int) -> list[Row]:
    metric = one.metric
    trusted: list[Row] = []
    bound = None
    with contextlib.suppress(*REFUSED):
        asked = model.query(Query(metric.name, (metric.measure,), now - WIDTHS_MS[window], now))
        bound = (asked.error_bound or {}).get(metric.measure)
        trusted += freshness(one, now, asked.freshness, zone)
    with contextlib.suppress(*REFUSED):
        of_all = metric.kind == "derived"
        ledger = model.ledger(LedgerQuery(None if of_all else metric.name, now - HOUR_MS, now))
        trusted += completeness(ledger, of_all)
    return [*values(one, window, zone, now, bound), *trusted, *restated(one, zone, now)]


def values(one: Tile, window: str, zone: tzinfo, now: int, bound: float | None) -> list[Row]:
    """The value with all its digits, and those it is compared with."""
    metric, found = one.metric, one.windows.get(window)
    unit, name = unit_of(metric.measure, metric.unit), WINDOW_NAMES[window]
    about = f" ±{NARROW}{bound * 100:.2g}%" if bound else ""
    now_text = format_exact(found.value if found else None, unit)
    said = said_measure(metric.measure, metric)
    return [
        (f"{said[:1].upper()}{said[1:]}, {name}", now_text + about),
        ("Before that", format_exact(found.previous if found else None, unit)),
        (f"Last {DAYS[_local(now, zone).weekday()]}, same time", format_exact(one.last_week.get(window), unit)),
        ("Error bound", f"{bound * 100:.2g}% of the true value" if bound else "none, this is exact"),
    ]


def freshness(one: Tile, now: int, known: Freshness, zone: tzinfo) -> list[Row]:
    """The newest event, and up to when everything is counted."""
    last, mark = one.metric.last_event_ms, known.watermark_ms
    return [
        ("Newest event", "unknown" if last is None else f"{_clock(last, zone)}, {age(now - last)} ago"),
        ("Complete up to", "not known yet" if mark is None else f"{_clock(mark, zone)}, {age(now - mark)} ago"),
    ]


def completeness(ledger: Ledger, of_all: bool = False) -> list[Row]:
    """What was accepted in the last hour, and what became of it."""
    total = ledger.total
    rejected, pending = sum(total.rejected.values()), sum(ledger.pending.values())
    missing = total.accepted - total.applied - total.duplicates
    equation = f"{total.accepted:,} accepted = {total.applied:,} applied + {total.duplicates:,} duplicates"
    if missing:
        equation = f"{total.accepted:,} accepted, {total.applied:,} applied: {abs(missing):,} not accounted for"
    lost = sum(one.next_offset - one.first_offset for one in ledger.lost)
    return [
        ("Last hour, all metrics" if of_all else "Last hour", equation),
        ("Rejected", f"{rejected:,}" if rejected else "none"),
        ("Pending", f"{pending:,} records, of all metrics" if pending else "none"),
        *([("Lost", f"{lost:,} records, of all metrics")] if lost else []),
    ]


def restated(one: Tile, zone: tzinfo, now: int) -> list[Row]:
    """Which minutes of the sparkline late events changed."""
    if not one.late:
        return []
    first = now // 60_000 * 60_000 - 60_000 * (len(one.spark) - 1)
    places = sorted(one.late, reverse=True)
    times = ", ".join(_clock(first + 60_000 * at, zone)[:5] for at in places[:4]) + (" …" if len(places) > 4 else "")
    events = sum(one.late.values())
    late = f"{events:,} late event{'s' if events != 1 else ''}"
    return [("Restated", f"{late} changed {len(places)} minute{'s' if len(places) != 1 else ''}: {times}")]


def age(ms: int) -> str:
    """How long ago: "0.4 s", "12 s", "4 min", "3 h", "2 d"."""
    seconds = max(ms, 0) / 1000
    if seconds < 9.95:
        return f"{seconds:.1f}{NARROW}s"
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)}{NARROW}{name}"
    return f"{int(seconds)}{NARROW}s"


def _local(at_ms: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, zone)


def _clock(at_ms: int, zone: tzinfo) -> str:
    there = _local(at_ms, zone)
    return f"{there:%H:%M:%S} {there.tzname() or ''}".rstrip()
