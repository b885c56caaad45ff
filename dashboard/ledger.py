"""`/api/v1/ledger`: parameters to a question, the ledger to a document."""

from __future__ import annotations

from collections.abc import Sequence

from aggregates.accounts import Account, Ledger, LedgerQuery
from aggregates.queries import QueryError
from aggregates.query_fields import parse_time, unknown_field
from dashboard.answers import freshness_document, timestamp

_FIELDS = ("metric", "from", "to")
_DEFAULT_RANGE_MS = 3_600_000


def parse_ledger(items: Sequence[tuple[str, str]], now_ms: int) -> LedgerQuery | QueryError:
    """The question in query parameters, each at most once; by default about the last hour."""
    fields: dict[str, str] = {}
    for name, value in items:
        if name not in _FIELDS or name in fields:
            unknown = unknown_field([name], _FIELDS)
            return unknown or QueryError("invalid_query", name, f"{name} may stand once")
        fields[name] = value
    end = parse_time(fields.get("to", "now"), "to", now_ms)
    if isinstance(end, QueryError):
        return end
    start = parse_time(fields["from"], "from", now_ms) if "from" in fields else end - _DEFAULT_RANGE_MS
    if isinstance(start, QueryError):
        return start
    if start >= end:
        return QueryError("invalid_query", "from", "from must lie before to")
    return LedgerQuery(fields.get("metric"), start, end)


def ledger_document(ledger: Ledger) -> dict[str, object]:
    """The answer's JSON object."""
    return {
        "rows": [
            {"metric": row.metric, "time": timestamp(row.start_ms), "seconds": row.seconds, **_account(row.account)}
            for row in ledger.rows
        ],
        "total": _account(ledger.total),
        "exact": ledger.total.exact and all(row.account.exact for row in ledger.rows),
        "folded": ledger.folded,
        "undecodable": {
            "records": ledger.undecodable_records,
            "newest": [
                {
                    "position": {"topic": found.topic_id, "partition": found.partition, "offset": found.offset},
                    "time": timestamp(found.record_ms),
                    "reason": found.reason,
                }
                for found in ledger.undecodable
            ],
        },
        "lost": [
            {
                "topic": found.topic_id,
                "partition": found.partition,
                "first_offset": found.first_offset,
                "next_offset": found.next_offset,
                "records": found.next_offset - found.first_offset,
                "noted": timestamp(found.noted_ms),
            }
            for found in ledger.lost
        ],
        "pending": {
            "records": sum(ledger.pending.values()),
            "partitions": {str(partition): records for partition, records in sorted(ledger.pending.items())},
        },
        "range": {"from": timestamp(ledger.start_ms), "to": timestamp(ledger.end_ms)},
        "freshness": freshness_document(ledger.freshness),
    }


def _account(account: Account) -> dict[str, object]:
    return {
        "accepted": account.accepted,
        "applied": account.applied,
        "duplicates": account.duplicates,
        "rejected": dict(account.rejected),
        "exact": account.exact,
    }
