"""The ledger as it is asked: by metric and minute of record time what was accepted, counted and rejected, and beside it
what could not be counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import duckdb

from aggregates.letter_filter import HOUR_MS
from aggregates.levels import MINUTE, QUARTER, WIDTH, Kept, ceil, floor
from aggregates.queries import MAX_ROWS, Freshness, TooManyRows

MAX_UNDECODABLE = 100
"""So many records that could not be read are listed, the newest ones; all are counted."""


@dataclass(frozen=True, slots=True)
class LedgerQuery:
    """Which part of the ledger: one metric, or all; half-open range in epoch ms."""

    metric: str | None
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Account:
    """Events of one metric in one minute, or of several together."""

    accepted: int = 0
    applied: int = 0
    duplicates: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Reason → events."""

    @property
    def exact(self) -> bool:
        """Whether every accepted event was counted, or is a duplicate."""
        return self.accepted == self.applied + self.duplicates


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """`metric` is None for rejected events whose metric could not be read. `seconds`: 60, of old rows 900."""

    metric: str | None
    start_ms: int
    seconds: int
    account: Account


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record of `events` that could not be read."""

    topic_id: str
    partition: int
    offset: int
    record_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Records [first_offset, next_offset) of `events` that were given up."""

    topic_id: str
    partition: int
    first_offset: int
    next_offset: int
    noted_ms: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """Rows by time and metric, their total, and what stands beside it.

    `folded` rejected events are in the total alone: of them only the hour is known. `undecodable_records` counts all of
    the range, `lost` lists all there are. `pending`: partition → records that are not counted in yet.
    """

    rows: list[LedgerRow]
    total: Account
    folded: int
    undecodable_records: int
    undecodable: list[Undecodable]
    lost: list[Lost]
    pending: Mapping[int, int]
    start_ms: int
    end_ms: int
    freshness: Freshness


def read_ledger(
    cursor: duckdb.DuckDBPyConnection,
    wanted: LedgerQuery,
    kept: Kept,
    freshness: Freshness,
    pending: Mapping[int, int],
) -> Ledger:
    """The ledger of a range, widened to whole minutes, to quarters of an hour where minutes are gone. Raises
    `TooManyRows`."""
    minutes_from = kept.kept_from[MINUTE]
    start, end = wanted.start_ms // 1000, ceil(-(-wanted.end_ms // 1000), WIDTH[MINUTE])
    start = floor(start, WIDTH[MINUTE] if start >= minutes_from else WIDTH[QUARTER])
    found = _accounts(cursor, wanted.metric, start, end)
    _reject(cursor, found, wanted.metric, start, end, minutes_from)
    if len(found) > MAX_ROWS:
        raise TooManyRows(len(found))
    rows = [
        LedgerRow(metric, 1000 * at, WIDTH[MINUTE if at >= minutes_from else QUARTER], account)
        for (at, metric), account in sorted(found.items(), key=lambda row: (row[0][0], row[0][1] is None, row[0]))
    ]
    folded = _folded(cursor, wanted.metric, start, end)
    undecodable = cursor.execute(
        "SELECT topic_id, partition, record, record_ms, reason, count(*) OVER () FROM undecodable "
        "WHERE record_ms >= ? AND record_ms < ? ORDER BY record_ms DESC, partition, record DESC LIMIT ?",
        [1000 * start, 1000 * end, MAX_UNDECODABLE],
    ).fetchall()
    lost = cursor.execute(
        "SELECT topic_id, partition, first_offset, next_offset, noted_ms FROM lost ORDER BY noted_ms, partition"
    ).fetchall()
    return Ledger(
        rows=rows,
        total=_together([row.account for row in rows], folded),
        folded=sum(folded.values()),
        undecodable_records=undecodable[0][5] if undecodable else 0,
        undecodable=[Undecodable(*row[:5]) for row in undecodable],
        lost=[Lost(*row) for row in lost],
        pending=pending,
        start_ms=1000 * start,
        end_ms=1000 * end,
        freshness=freshness,
    )


_Accounts = dict[tuple[int, str | None], Account]


def _accounts(cursor: duckdb.DuckDBPyConnection, metric: str | None, start: int, end: int) -> _Accounts:
    rows = cursor.execute(
        "SELECT minute, metric, sum(accepted)::BIGINT, sum(applied)::BIGINT, sum(duplicates)::BIGINT FROM ledger "
        "WHERE minute >= ? AND minute < ? AND (? IS NULL OR metric = ?) GROUP BY ALL LIMIT ?",
        [start, end, metric, metric, MAX_ROWS + 1],
    ).fetchall()
    return {(at, name): Account(*counts) for at, name, *counts in rows}


def _reject(
    cursor: duckdb.DuckDBPyConnection, found: _Accounts, metric: str | None, start: int, end: int, minutes_from: int
) -> None:
    """Add the rejected events that are listed, by their record's minute."""
    rows = cursor.execute(
        "SELECT CASE WHEN record_ms >= ? THEN record_ms // 60000 * 60 ELSE record_ms // 900000 * 900 END AS at, "
        "metric, reason, count(*) FROM letters "
        "WHERE record_ms >= ? AND record_ms < ? AND (? IS NULL OR metric = ?) GROUP BY ALL LIMIT ?",
        [1000 * minutes_from, 1000 * start, 1000 * end, metric, metric, MAX_ROWS + 1],
    ).fetchall()
    for at, name, reason, count in rows:
        account = found.get((at, name), Account())
        found[at, name] = replace(account, rejected={**account.rejected, reason: count})


def _folded(cursor: duckdb.DuckDBPyConnection, metric: str | None, start: int, end: int) -> dict[str, int]:
    """Reason → rejected events that are only counted by the hour, of every hour that the range touches."""
    rows = cursor.execute(
        "SELECT reason, sum(count)::BIGINT FROM letter_counts "
        "WHERE hour > ? AND hour < ? AND (? IS NULL OR metric = ?) GROUP BY reason",
        [1000 * start - HOUR_MS, 1000 * end, metric, metric],
    ).fetchall()
    return dict(rows)


def _together(accounts: list[Account], folded: Mapping[str, int]) -> Account:
    rejected = dict(folded)
    for account in accounts:
        for reason, count in account.rejected.items():
            rejected[reason] = rejected.get(reason, 0) + count
    return Account(
        sum(account.accepted for account in accounts),
        sum(account.applied for account in accounts),
        sum(account.duplicates for account in accounts),
        dict(sorted(rejected.items(), key=lambda row: (-row[1], row[0]))),
    )
