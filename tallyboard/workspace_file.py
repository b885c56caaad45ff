"""`tallyboard.toml`: what holds for a whole workspace, wherever its roles run. Times, retention and limits; addresses
and secrets are the matter of each machine and stand in its environment.

    timezone = "Europe/Amsterdam"
    [retention]
    "1m" = "30d"
    [limits]
    max_events = 5000
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest import toml_files
from ingest.metric_tables import RETENTION_FIELDS, retention
from ingest.toml_files import TomlFile, TomlMistake
from ingest.toml_tables import MAX_DURATION_DAYS, Table, did_you_mean, shortened

FILE_NAME: Final = "tallyboard.toml"
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
_MOST: Final = 10**12
"""Largest whole number: beyond it a number is a slip."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of the file, and the setting it gives."""

    table: str
    name: str
    setting: str
    unit_ms: int | None = None
    """Unit of the setting, where the field is a time span; else the field is a whole number."""
    least: int = 1


ENTRIES: Final = (
    Entry("retention", "1s", "retention_1s_hours", HOUR_MS),
    Entry("retention", "1m", "retention_1m_days", DAY_MS),
    Entry("retention", "15m", "retention_15m_days", DAY_MS),
    Entry("retention", "1d", "retention_1d_days", DAY_MS),
    Entry("retention", "as_of", "as_of_days", DAY_MS),
    Entry("retention", "rejected", "retention_rejected_days", DAY_MS),
    Entry("limits", "past", "past_days", DAY_MS),
    Entry("limits", "future", "future_minutes", MINUTE_MS),
    Entry("limits", "max_body_bytes", "max_body_bytes"),
    Entry("limits", "max_events", "max_events"),
    Entry("limits", "max_connections", "max_connections"),
    Entry("limits", "queue_events", "queue_events"),
    Entry("limits", "dedupe_events", "dedupe_events"),
    Entry("limits", "dedupe", "dedupe_hours", HOUR_MS),
    Entry("limits", "grace", "grace_s", 1000, 0),
    Entry("limits", "rejected_mb", "rejected_mb"),
    Entry("limits", "rejected_rows", "rejected_rows"),
)
"""Everything but `timezone`, in the order of the documents."""
TABLES: Final = tuple(dict.fromkeys(entry.table for entry in ENTRIES))


def settings_of(path: Path) -> Mapping[str, object]:
    """Setting → value, of those that the file names; none where there is no file. Raises `TomlMistake` for the first
    thing that is wrong."""
    found, wrong = _read(path)
    if wrong:
        raise wrong[0]
    return found


def mistakes(path: Path) -> list[TomlMistake]:
    """Everything that is wrong in the file, by line."""
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, object], list[TomlMistake]]:
    try:
        file = toml_files.read(path)
    except TomlMistake as mistake:
        return {}, [mistake]
    wrong: list[TomlMistake] = []
    found = _settings(file, wrong)
    return found, sorted(wrong, key=lambda mistake: mistake.line or 0)


def _settings(file: TomlFile, wrong: list[TomlMistake]) -> dict[str, object]:
    top = file.top(lambda place, message: wrong.append(file.mistake(place, message)))
    top.only(("timezone", *TABLES))
    found: dict[str, object] = {}
    zone = _timezone(top)
    if zone is not None:
        found["timezone"] = zone
    for name in TABLES:
        table = top.table(name)
        if table is not None:
            entries = [entry for entry in ENTRIES if entry.table == name]
            table.only(entry.name for entry in entries)
            levels = retention(table) if name == "retention" else {}
            for entry in entries:
                if entry.name in RETENTION_FIELDS and entry.name in levels:
                    kept_ms = levels[entry.name]
                    if kept_ms is None and entry.name == "1s":  # their setting is a number
                        kept_ms = MAX_DURATION_DAYS * DAY_MS
                    found[entry.setting] = _in_units(kept_ms, entry)
                elif entry.name not in RETENTION_FIELDS and (value := _value(table, entry)) is not None:
                    found[entry.setting] = value
    return found


def _timezone(top: Table) -> str | None:
    given = top.text("timezone")
    known = zoneinfo.available_timezones()
    if given is None or given in known:
        return given
    hint = did_you_mean(given, sorted(known))
    top.mistake(f"{shortened(given)} is not the name of a time zone, such as Europe/Amsterdam{hint}", "timezone")
    return None


def _value(table: Table, entry: Entry) -> float | None:
    if entry.unit_ms is None:
        return table.whole(entry.name, entry.least, _MOST)
    span_ms = table.duration_ms(entry.name)
    if span_ms is not None and span_ms < entry.least:
        table.mistake(f"a time above 0 is expected, found {shortened(table.values[entry.name])}", entry.name)
        return None
    return _in_units(span_ms, entry)


def _in_units(span_ms: int | None, entry: Entry) -> float | None:
    """A time span in the unit of its setting."""
    if span_ms is None or entry.unit_ms is None:
        return None
    whole, rest = divmod(span_ms, entry.unit_ms)
    return whole if rest == 0 else span_ms / entry.unit_ms
