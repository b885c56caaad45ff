"""The ledger held against the log: per metric and minute of append time, what is accepted is counted or a duplicate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tests.chaos import oracle
from tests.chaos.oracle import LoggedEvent

Row = tuple[int, int, int]
"""Accepted, applied, duplicates."""
Rows = dict[tuple[str, int], Row]
"""By metric and minute (epoch s) of the record's append time."""


def wanted(events: Iterable[LoggedEvent]) -> Rows:
    """What the ledger has to say, by a plain count of everything in the log."""
    everything = list(events)
    accepted = Counter((event.metric, event.record_ms // 60_000 * 60) for event in everything)
    applied = Counter((event.metric, event.record_ms // 60_000 * 60) for event in oracle.counted_once(everything))
    return {key: (count, applied[key], count - applied[key]) for key, count in accepted.items()}


def said(document: Mapping[str, Any]) -> Rows:
    """The rows of an answer of `/api/v1/ledger`."""
    return {
        (row["metric"], round(datetime.fromisoformat(row["time"]).timestamp())): (
            row["accepted"],
            row["applied"],
            row["duplicates"],
        )
        for row in document["rows"]
        if row["accepted"] or row["applied"] or row["duplicates"]
    }


def differences(document: Mapping[str, Any], events: Iterable[LoggedEvent]) -> list[str]:
    """Where the ledger is not what the log comes to, and whatever it says is lost, unreadable or still to come."""
    found, expected = said(document), wanted(events)
    wrong = [
        f"{key}: {found.get(key, (0, 0, 0))} instead of {expected.get(key, (0, 0, 0))}"
        for key in {*found, *expected}
        if found.get(key) != expected.get(key)
    ]
    if not document["exact"]:
        wrong.append("it says itself that it is not exact")
    if document["lost"] or document["undecodable"]["records"]:
        wrong.append(f"lost {document['lost']}, unreadable {document['undecodable']}")
    if document["pending"]["records"]:
        wrong.append(f"pending: {document['pending']['partitions']}")
    return wrong
