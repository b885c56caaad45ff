"""Which column becomes which field of an event."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from ingest.client.wire import OutgoingEvent, dimensions_of, outgoing
from tallyboard.failure import Failure
from tallyboard.sending.rows import Row, Unreadable

TIME_COLUMNS: Final = ("timestamp", "time", "ts", "datetime", "date")
UNITS: Final[Mapping[str, int]] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Nanoseconds of each unit of time."""
_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class NotSent:
    """A row that cannot become an event."""

    code: str
    message: str


class _Sent(msgspec.Struct):
    """Whether a line of NDJSON is an object, and has an id."""

    id: str | None = None


_SENT: Final = msgspec.json.Decoder(_Sent)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Columns:
    """What was said on the command line; None: not said. `metric` is a name for all rows."""

    metric: str | None = None
    metric_column: str | None = None
    value: str | None = None
    time: str | None = None
    id: str | None = None
    dimensions: tuple[tuple[str, str], ...] | None = None
    """Name of the dimension, and the column it comes from."""
    text: bool = False
    """Values are texts, for metrics of kind `unique`."""
    time_unit: str = "ms"
    zone: str | None = None

    @property
    def given(self) -> bool:
        """Whether anything was said: else lines of NDJSON are sent as they stand."""
        return self != Columns()

    def fitted(self, names: Sequence[str] | None) -> Columns:
        """Completed by the usual names. Raises `Failure` for a column that is not there."""
        if names is None:
            return replace(
                self,
                metric_column=self.metric_column or "metric",
                value=self.value or "value",
                time=self.time or "timestamp",
                id=self.id or "id",
            )
        fitted = replace(
            self,
            metric_column=self.metric_column or ("metric" if "metric" in names else None),
            value=self.value or ("value" if "value" in names else None),
            time=self.time or next((name for name in TIME_COLUMNS if name in names), None),
            id=self.id or ("id" if "id" in names else None),
        )
        there = ", ".join(names)
        if fitted.metric is None and fitted.metric_column is None:
            raise Failure(f"Which metric is it? --metric NAME, or --metric-column with one of: {there}.")
        if fitted.value is None:
            raise Failure(f"Which column is the value? --value-column with one of: {there}.")
        used = [fitted.metric_column, fitted.value, fitted.time, fitted.id]
        for name in [*used, *(column for _, column in self.dimensions or ())]:
            if name is not None and name not in names:
                raise Failure(f"There is no column {name!r}; there are: {there}.")
        if self.dimensions is None and "dimensions" not in names:
            others = tuple((name, name) for name in names if name not in used)
            return replace(fitted, dimensions=others)
        return fitted


class Mapper:
    """Turns rows into events; an event without an id of its own gets `<prefix>/<row>`."""

    def __init__(self, columns: Columns, names: Sequence[str] | None, prefix: str) -> None:
        self._as_it_stands = names is None and not columns.given
        self._columns = columns.fitted(names)
        self._zone = ZoneInfo(columns.zone) if columns.zone else None
        self._texts = names is not None
        self._prefix = prefix

    def event(self, row: Row, now_ms: int) -> OutgoingEvent | NotSent:
        """The event of a row. A line that is no JSON object goes as it stands: ingest names what is wrong, and keeps
        it."""
        id_ = f"{self._prefix}/{row.after.row}"
        if isinstance(row.content, Unreadable):
            return NotSent("unreadable", row.content.message)
        if isinstance(row.content, bytes):
            if self._as_it_stands:
                return _with_id(row.content, id_)
            try:
                cells: Mapping[str, object] = _OBJECT.decode(row.content)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return OutgoingEvent(id_, row.content)
        else:
            cells = row.content
        document = self._document(cells, id_)
        if isinstance(document, NotSent):
            return document
        try:
            return outgoing(document, now_ms, b"")
        except (TypeError, ValueError) as error:
            return NotSent("wrong_type", str(error))

    def _document(self, cells: Mapping[str, object], id_: str) -> dict[str, Any] | NotSent:
        columns = self._columns
        value = self._value(cells.get(columns.value or ""))
        if isinstance(value, NotSent):
            return value
        own_id = cells.get(columns.id or "")
        return {
            "metric": columns.metric if columns.metric is not None else cells.get(columns.metric_column or ""),
            "value": value,
            "timestamp": self._time(cells.get(columns.time or "")),
            "dimensions": self._dimensions(cells),
            "id": id_ if own_id in (None, "") else str(own_id),
        }

    def _value(self, cell: object) -> object:
        if cell is None or (cell == "" and not self._columns.text):
            return NotSent("missing_field", f"{self._columns.value} is empty")
        if self._columns.text:
            return _text(cell)
        if not self._texts or not isinstance(cell, str):
            return cell
        text = cell.strip()
        if not _NUMBER.fullmatch(text):
            return NotSent("wrong_type", f"{self._columns.value} is no number: {cell[:80]!r} (--text sends texts)")
        number = float(text)
        whole = re.fullmatch(r"[-+]?\d{1,15}", text, re.ASCII)
        return int(text) if whole else number if math.isfinite(number) else NotSent("out_of_range", f"{text[:80]}")

    def _time(self, cell: object) -> int | str | None:
        if cell is None or cell == "":
            return None
        if isinstance(cell, str):
            text = cell.strip()
            if not _NUMBER.fullmatch(text):
                return self._zoned(text)
            cell = int(text) if text.lstrip("+-").isdigit() else float(text)
        if isinstance(cell, datetime):
            return self._moment(cell)
        if isinstance(cell, date):
            return self._moment(datetime.combine(cell, time()))
        if isinstance(cell, int) and not isinstance(cell, bool):
            return cell * UNITS[self._columns.time_unit] // UNITS["ms"]
        if isinstance(cell, float) and math.isfinite(cell):
            return math.floor(cell * UNITS[self._columns.time_unit] / UNITS["ms"])
        return str(cell)

    def _zoned(self, text: str) -> int | str:
        """A time without a zone gets that of `--timezone`; anything else is for ingest to judge."""
        if self._zone is None:
            return text
        try:
            return self._moment(datetime.fromisoformat(text))
        except ValueError:
            return text

    def _moment(self, moment: datetime) -> int | str:
        if moment.tzinfo is None:
            if self._zone is None:
                return moment.isoformat()
            moment = moment.replace(tzinfo=self._zone)
        return (moment - _EPOCH) // timedelta(milliseconds=1)

    def _dimensions(self, cells: Mapping[str, object]) -> object:
        if self._columns.dimensions is None:
            given = cells.get("dimensions")
            if isinstance(given, str):
                try:
                    given = json.loads(given) if given else None
                except ValueError:
                    return given
            given = dict(given) if isinstance(given, list) else given  # a map of Parquet
            if not isinstance(given, Mapping):
                return given
            return dimensions_of({name: cell for name, cell in given.items() if cell is not None}, {})
        found = {name: cells.get(column) for name, column in self._columns.dimensions}
        return {name: _text(cell) for name, cell in found.items() if cell is not None and cell != ""}


def _with_id(line: bytes, id_: str) -> OutgoingEvent:
    """The line, with an id unless it has one; its other bytes stay."""
    try:
        sent = _SENT.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return OutgoingEvent(id_, line)
    if sent.id is not None:
        return OutgoingEvent(sent.id, line)
    body = line[:-1].rstrip()
    comma = b"" if body == b"{" else b","
    return OutgoingEvent(id_, body + comma + b'"id":' + json.dumps(id_).encode() + b"}")


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return cell if isinstance(cell, str) else str(cell)
