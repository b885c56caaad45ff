"""Writing dead letters and journal entries into the read model's file.

Belongs to the writer's thread. Rows and the positions behind them are one transaction; records below a position are
dropped, so that reading again is harmless. What is kept is bounded three times: by age, by the bytes of the originals
(the oldest go first, in quarters of the limit), and by rows (older letters are folded into counts).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from aggregates.database import NoRoom
from aggregates.letter_filter import ACCEPTED_ROOTS, HOUR_MS
from aggregates.letters import UNREADABLE, Letter, letters_of
from aggregates.positions import Position
from aggregates.replays import Claim, Entry, entries_of
from aggregates.store import Store
from ingest.log import LogRecord, checksum

SEGMENTS = 4
_FOLD_SHARE = 16
"""Letters are folded in sixteenths of the limit: seldom, and never many at once."""
_LETTERS = pa.schema(
    [("number", pa.int64()), ("request_id", pa.utf8()), ("place", pa.int32()), ("time_ms", pa.int64()),
     ("record_ms", pa.int64()), ("reason", pa.utf8()), ("field", pa.utf8()), ("message", pa.utf8()),
     ("metric", pa.utf8()), ("event_id", pa.utf8()), ("key", pa.utf8()), ("protocol", pa.utf8()), ("form", pa.utf8()),
     ("cut", pa.bool_()), ("size", pa.int64()), ("root", pa.utf8()), ("topic_id", pa.utf8()),
     ("partition", pa.int32()), ("record", pa.int64())]
)  # fmt: skip
_JOURNAL = pa.schema(
    [("number", pa.int64()), ("topic_id", pa.utf8()), ("record", pa.int64()), ("record_ms", pa.int64()),
     ("type", pa.utf8()), ("body", pa.utf8())]
)  # fmt: skip
_REPLAYS = pa.schema(
    [("number", pa.int64()), ("record_ms", pa.int64()), ("replay", pa.utf8()), ("root", pa.utf8()),
     ("letter", pa.utf8()), ("edits", pa.utf8()), ("force", pa.bool_()), ("outcome", pa.utf8())]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LetterLimits:
    """What is kept: milliseconds, bytes of originals, letters in the list."""

    kept_ms: int
    original_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Followed:
    """How far one partition of a followed topic is read; `record_ms` is the last record's append time."""

    position: Position
    record_ms: int


class LetterStore:
    """The tables of `letters.sql` of one store."""

    def __init__(self, store: Store, limits: LetterLimits) -> None:
        self._store = store
        self._limits = limits
        with store.reader() as cursor:
            self._positions = _load_positions(cursor)
            self._next = _number(cursor, "SELECT max(number) + 1 FROM letters")
            self._journalled = _number(cursor, "SELECT max(number) + 1 FROM journal")
            self._rows = _number(cursor, "SELECT count(*) FROM letters")
            self._bytes, self._segment = _load_segments(cursor)

    def positions(self, topic: str) -> Mapping[int, Followed]:
        """Partition → how far the topic is read."""
        return self._positions.get(topic, {})

    # --- applying -------------------------------------------------------------------------------------------------

    def apply_letters(self, topic: str, topic_id: str, records: Mapping[int, Sequence[LogRecord]]) -> int:
        """Take in records of `rejected`; returns the new letters."""
        fresh = self._fresh(topic, topic_id, records)
        letters = [
            letter
            for partition, found in fresh.items()
            for record in found
            for letter in letters_of(record, topic_id, partition)
        ]
        before = list(self._bytes), self._segment
        try:
            with self._store.writing() as connection:
                if letters:
                    self._insert_letters(connection, letters)
                moved = self._store_positions(connection, topic, topic_id, fresh)
                fold_to = self._fold(connection, len(letters))
        except NoRoom:  # the same letters come again
            self._bytes, self._segment = before
            raise
        self._positions[topic] = {**self.positions(topic), **moved}
        self._rows += len(letters) - fold_to
        self._next += len(letters)
        return len(letters)

    def apply_journal(self, topic: str, topic_id: str, records: Mapping[int, Sequence[LogRecord]]) -> int:
        """Take in records of `journal`; returns the new entries."""
        fresh = self._fresh(topic, topic_id, records)
        rows: list[tuple[object, ...]] = []
        replayed: list[tuple[object, ...]] = []
        for number, record in enumerate((r for found in fresh.values() for r in found), self._journalled):
            kind, body = journal_entry(record.value or b"")
            rows.append((number, topic_id, record.offset, record.timestamp_ms, kind, body.decode()))
            replayed += [_replay_row(entry) for entry in entries_of(number, record.timestamp_ms, kind, body)]
        with self._store.writing() as connection:
            _insert_rows(connection, "journal", rows, _JOURNAL)
            _insert_rows(connection, "replays", replayed, _REPLAYS)
            moved = self._store_positions(connection, topic, topic_id, fresh)
        self._positions[topic] = {**self.positions(topic), **moved}
        self._journalled += len(rows)
        return len(rows)

    def _fresh(
        self, topic: str, topic_id: str, records: Mapping[int, Sequence[LogRecord]]
    ) -> dict[int, list[LogRecord]]:
        """The records at and behind the positions."""
        known = self.positions(topic)
        fresh: dict[int, list[LogRecord]] = {}
        for partition, found in records.items():
            reached = known.get(partition)
            start = reached.position.next_offset if reached and reached.position.topic_id == topic_id else 0
            if new := [record for record in found if record.offset >= start]:
                fresh[partition] = new
        return fresh

    def _insert_letters(self, connection: duckdb.DuckDBPyConnection, letters: list[Letter]) -> None:
        numbers = range(self._next, self._next + len(letters))
        columns: dict[str, Any] = {name: [getattr(letter, name) for letter in letters] for name in _LETTERS.names[1:]}
        _insert_table(connection, "letters", pa.table({"number": list(numbers), **columns}, schema=_LETTERS))
        originals = pa.table({"number": list(numbers), "original": [letter.original for letter in letters]})
        size = sum(letter.size for letter in letters)
        if self._bytes[self._segment] and self._bytes[self._segment] + size > self._limits.original_bytes // SEGMENTS:
            self._segment = (self._segment + 1) % SEGMENTS
            self._bytes[self._segment] = 0
            connection.execute(f"DELETE FROM originals_{self._segment}")
        _insert_table(connection, f"originals_{self._segment}", originals)
        self._bytes[self._segment] += size

    def _store_positions(
        self,
        connection: duckdb.DuckDBPyConnection,
        topic: str,
        topic_id: str,
        fresh: Mapping[int, Sequence[LogRecord]],
    ) -> dict[int, Followed]:
        moved: dict[int, Followed] = {}
        for partition, records in fresh.items():
            last = records[-1]
            position = Position(topic_id, partition, last.offset + 1, checksum(last.value))
            moved[partition] = Followed(position, last.timestamp_ms)
            connection.execute("DELETE FROM followed WHERE topic = ? AND partition = ?", [topic, partition])
            connection.execute(
                "INSERT INTO followed VALUES (?, ?, ?, ?, ?, ?)", [topic, *astuple(position), last.timestamp_ms]
            )
        return moved

    # --- what is kept ---------------------------------------------------------------------------------------------

    def _fold(self, connection: duckdb.DuckDBPyConnection, added: int) -> int:
        """Fold the oldest letters into counts when there are too many; returns their number."""
        limit = self._limits.rows
        excess = self._rows + added - limit
        if excess <= limit // _FOLD_SHARE:
            return 0
        row = connection.execute("SELECT number FROM letters ORDER BY number LIMIT 1 OFFSET ?", [excess]).fetchone()
        bound = row[0] if row else self._next + added
        connection.execute(
            f"INSERT INTO letter_counts SELECT time_ms // {HOUR_MS} * {HOUR_MS}, reason, "
            "CASE WHEN metric IN (SELECT metric FROM groups) THEN metric END, key, "
            f"root IN ({ACCEPTED_ROOTS}), count(*) FROM letters WHERE number < ? GROUP BY ALL",
            [bound],
        )
        self._delete_letters(connection, bound)
        return excess

    def retain(self, now_ms: int) -> None:
        """Delete what is older than the retention; entries of replays after twice that time, when no letter can go
        back to them any more. Other entries of the journal are kept for ever."""
        oldest = now_ms - self._limits.kept_ms
        with self._store.writing() as connection:
            bound = _number(connection, "SELECT max(number) + 1 FROM letters WHERE record_ms < ?", [oldest])
            if bound:
                self._delete_letters(connection, bound)
            connection.execute("DELETE FROM letter_counts WHERE hour < ?", [oldest - HOUR_MS])
            forgotten = [oldest - self._limits.kept_ms]
            connection.execute("DELETE FROM replays WHERE record_ms < ?", forgotten)
            connection.execute(
                "DELETE FROM journal WHERE record_ms < ? AND type LIKE 'replay!_%' ESCAPE '!'", forgotten
            )
            rows = _number(connection, "SELECT count(*) FROM letters")
        self._rows = rows

    def _delete_letters(self, connection: duckdb.DuckDBPyConnection, bound: int) -> None:
        connection.execute("DELETE FROM letters WHERE number < ?", [bound])
        for segment in range(SEGMENTS):
            connection.execute(f"DELETE FROM originals_{segment} WHERE number < ?", [bound])


def journal_entry(value: bytes) -> tuple[str, bytes]:
    """Type and JSON text of an entry of the journal: an object with a text `type`."""
    try:
        value.decode("utf-8")
        return msgspec.json.decode(value, type=_Typed).type[:100], value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return UNREADABLE, msgspec.json.encode({"error": str(error)[:300], "bytes": len(value)})


class _Typed(msgspec.Struct):
    type: str


def _replay_row(entry: Entry) -> tuple[object, ...]:
    front = (entry.number, entry.record_ms, entry.replay, entry.root, entry.letter)
    return (
        (*front, entry.edits, entry.force, None) if isinstance(entry, Claim) else (*front, None, False, entry.outcome)
    )


def _insert_rows(
    connection: duckdb.DuckDBPyConnection, name: str, rows: list[tuple[object, ...]], schema: pa.Schema
) -> None:
    if rows:
        _insert_table(connection, name, pa.table([list(column) for column in zip(*rows, strict=True)], schema=schema))


def _insert_table(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("incoming_letters", rows)
    connection.execute(f"INSERT INTO {name} SELECT * FROM incoming_letters")
    connection.unregister("incoming_letters")


def _number(connection: duckdb.DuckDBPyConnection, sql: str, values: Iterable[object] = ()) -> int:
    row = connection.execute(sql, list(values)).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _load_positions(cursor: duckdb.DuckDBPyConnection) -> dict[str, dict[int, Followed]]:
    positions: dict[str, dict[int, Followed]] = {}
    for topic, *place, record_ms in cursor.execute("SELECT * FROM followed").fetchall():
        position = Position(*place)
        positions.setdefault(topic, {})[position.partition] = Followed(position, record_ms)
    return positions


def _load_segments(cursor: duckdb.DuckDBPyConnection) -> tuple[list[int], int]:
    """Bytes of every segment of originals, and the one that is being filled."""
    sizes: list[int] = []
    newest: list[int] = []
    for segment in range(SEGMENTS):
        sizes.append(_number(cursor, f"SELECT sum(strlen(original)) FROM originals_{segment}"))
        newest.append(_number(cursor, f"SELECT max(number) + 1 FROM originals_{segment}"))
    return sizes, newest.index(max(newest))
