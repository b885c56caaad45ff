"""The read model's only writer.

One thread applies deltas; a batch of deltas, the positions behind it and the series it is the first to mention are
one transaction. Readers take cursors of the same connection and see whole transactions only. Any database error here
is fatal: the process ends and is started again, the file is what the last commit left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from aggregates import sealing
from aggregates.catalogue import Catalogue, GroupRow, SeriesFields, SeriesRow, Views
from aggregates.database import SCHEMA_VERSION, StoreError, open_file
from aggregates.deltas import Delta
from aggregates.duplicates import BoolArray
from aggregates.incoming import fresh_rows, partials_of, undecodable_rows
from aggregates.levels import Kept, floor
from aggregates.merge import Partials, concat, merge
from aggregates.positions import Position


@dataclass(frozen=True, slots=True)
class Input:
    """One record of `rollups`: its delta, the position behind it, and its place."""

    delta: Delta
    position: Position


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """How far one partition of `events` is counted in."""

    topic_id: str
    partition: int
    next_offset: int
    crc: int
    record_ms: int
    history_from: int


class MissingDeltas(Exception):
    """Deltas between two applied ones are missing: applying on would lose events."""


class Store:
    """One open read model. What writes belongs to one thread; `reader` may be used from any."""

    def __init__(self, path: Path, views: Views) -> None:
        self._connection = open_file(path)
        self._transactions = 0
        self._check_version(path)
        self.catalogue = Catalogue(views)
        self._restore()
        self.sources = self._load_sources()
        """(topic id, partition) → position in `events`."""
        self.inputs = self._load_inputs()
        """Partition → position in `rollups`."""
        self.kept = self._load_kept()

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor inside one read transaction: everything read through it belongs to one moment."""
        cursor = self._connection.cursor()
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK")
            cursor.close()

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction of the writer's thread, for the tables of `aggregates.letter_store`."""
        self._connection.execute("BEGIN")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def meta(self, name: str) -> str:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", [name]).fetchone()
        if row is None:
            raise StoreError(f"the file holds no {name}")
        return str(row[0])

    def _check_version(self, path: Path) -> None:
        found = self.meta("schema_version")
        if found != SCHEMA_VERSION:
            raise StoreError(f"{path} has schema version {found}, this program reads {SCHEMA_VERSION}: move it away")

    def _restore(self) -> None:
        rows = self._connection.execute
        series = [SeriesRow(*row) for row in rows("SELECT * FROM series ORDER BY series_id").fetchall()]
        groups = [
            GroupRow(row[0], row[1], row[2], row[3], tuple(row[4]))
            for row in rows("SELECT * FROM groups ORDER BY 1").fetchall()
        ]
        self.catalogue.restore(series, groups, rows("SELECT * FROM series_groups").fetchall())

    def _load_sources(self) -> dict[tuple[str, int], SourcePosition]:
        rows = self._connection.execute("SELECT * FROM sources ORDER BY next_offset").fetchall()
        found = [SourcePosition(*row) for row in rows]
        return {(position.topic_id, position.partition): position for position in found}

    def _load_inputs(self) -> dict[int, Position]:
        rows = self._connection.execute("SELECT * FROM inputs ORDER BY number").fetchall()
        self._transactions = max((row[0] for row in rows), default=0)
        return {row[2]: Position(*row[1:]) for row in rows}

    def _load_kept(self) -> Kept:
        row = self._connection.execute("SELECT sealed_until, seconds_from FROM levels").fetchone()
        if row is None:
            raise StoreError("the file holds no levels")
        return Kept(*row)

    # --- applying -------------------------------------------------------------------------------------------------

    def apply(self, inputs: Sequence[Input]) -> int:
        """Count deltas in; returns the events that were new. What is at or below a position is dropped, so that
        sending again is harmless. Raises `MissingDeltas` before anything is written when one is missing."""
        sources = dict(self.sources)
        batches: list[tuple[int, pa.RecordBatch]] = []
        unknown: dict[int, SeriesFields] = {}
        undecodable: list[list[object]] = []
        for item in inputs:
            start = self._advance(sources, item.delta)
            if start is None:
                continue
            undecodable += undecodable_rows(item.delta, start)
            rows = fresh_rows(item.delta, start)
            if rows.num_rows:
                unknown |= self._unknown(rows)
                batches.append((item.delta.header.partition, rows))
        return self._commit(inputs, sources, batches, list(unknown.values()), undecodable)

    def _advance(self, sources: dict[tuple[str, int], SourcePosition], delta: Delta) -> int | None:
        """Move the source's position behind the delta; returns the first offset to count, None when there is none."""
        header = delta.header
        known = sources.get((header.topic_id, header.partition))
        start = header.first_offset if known is None else known.next_offset
        if header.next_offset <= start:
            return None
        if header.first_offset > start:
            raise MissingDeltas(
                f"partition {header.partition}: the deltas of offsets {start} to {header.first_offset - 1} are missing"
            )
        last = header.records[-1]
        sources[header.topic_id, header.partition] = SourcePosition(
            header.topic_id,
            header.partition,
            header.next_offset,
            header.crc,
            last.timestamp_ms,
            start if known is None else known.history_from,
        )
        return start

    def _unknown(self, rows: pa.RecordBatch) -> dict[int, SeriesFields]:
        series = rows.column("series").dictionary
        new = np.flatnonzero(self.catalogue.ids(series.field("key").to_numpy()) < 0)
        found = series.take(pa.array(new)).to_pylist() if len(new) else []
        return {row["key"]: tuple(row.values()) for row in found}

    def _commit(
        self,
        inputs: Sequence[Input],
        sources: dict[tuple[str, int], SourcePosition],
        batches: list[tuple[int, pa.RecordBatch]],
        unknown: list[SeriesFields],
        undecodable: list[list[object]],
    ) -> int:
        positions = {item.position.partition: item.position for item in inputs}
        events = 0
        connection = self._connection
        connection.execute("BEGIN")
        if unknown:
            self._store_series(unknown)
        if batches:
            partials = concat([self._identified(partition, rows) for partition, rows in batches])
            self._store_rows(partials)
            events = int(partials.count.sum())
        if undecodable:
            connection.executemany("INSERT INTO undecodable VALUES (?, ?, ?, ?, ?)", undecodable)
        self._store_positions(sources, positions)
        connection.execute("COMMIT")
        self.sources, self.inputs = sources, {**self.inputs, **positions}
        return events

    def _identified(self, partition: int, rows: pa.RecordBatch) -> Partials:
        keys = rows.column("series").dictionary.field("key").to_numpy()
        return partials_of(rows, partition, self.catalogue.ids(keys))

    def _store_series(self, unknown: list[SeriesFields]) -> None:
        added = self.catalogue.add(unknown)
        series = pa.Table.from_pylist(
            [
                {"series_id": s.series_id, "key": s.key, "metric": s.metric, "kind": s.kind, "unit": s.unit,
                 "dimensions": s.dimensions}
                for s in added.series
            ],
            schema=pa.schema([("series_id", pa.int32()), ("key", pa.uint64()), ("metric", pa.utf8()),
                              ("kind", pa.utf8()), ("unit", pa.utf8()), ("dimensions", pa.utf8())]),
        )  # fmt: skip
        self._insert("series", series)
        if added.groups:
            groups = [
                {"group_id": g.group_id, "metric": g.metric, "kind": g.kind, "view": g.view, "labels": list(g.labels)}
                for g in added.groups
            ]
            self._insert("groups", pa.Table.from_pylist(groups))
        members = np.array(added.memberships, np.int32)
        self._insert("series_groups", pa.table({"series_id": members[:, 0], "group_id": members[:, 1]}))

    def _insert(self, name: str, rows: pa.Table) -> None:
        self._connection.register("incoming", rows)
        self._connection.execute(f"INSERT INTO {name} SELECT * FROM incoming")
        self._connection.unregister("incoming")

    def _store_rows(self, rows: Partials) -> None:
        """Append rows (by series id) to the 1-second tables of all three families, and those whose minute is sealed
        to the 1-minute tables as well."""
        groups = self.catalogue.views_of[rows.id]
        places, columns = np.nonzero(groups >= 0)
        everything = np.arange(len(rows))
        totals = merge(rows.take(everything, self.catalogue.total_of[rows.id]))
        views = merge(rows.take(places, groups[places, columns]))
        # Single series hardly ever repeat inside a batch: merging them here would cost more than it saves.
        for family, partials in (("total", totals), ("view", views), ("series", rows)):
            self._append(f"{family}_1s", partials, partials.time >= self.kept.seconds_from)
            late = partials.time < self.kept.sealed_until
            if late.any():
                minutes = merge(partials.at(partials.time // 60 * 60))
                self._append(f"{family}_1m", minutes, minutes.time < self.kept.sealed_until)

    def _append(self, table: str, rows: Partials, wanted: BoolArray) -> None:
        if not wanted.all():
            chosen = np.flatnonzero(wanted)
            rows = rows.take(chosen, rows.id[chosen])
        if len(rows):
            self._insert(table, rows.table())

    def _store_positions(self, sources: dict[tuple[str, int], SourcePosition], inputs: dict[int, Position]) -> None:
        self._transactions += 1
        moved = [astuple(p) for key, p in sources.items() if self.sources.get(key) != p]
        read = [(self._transactions, *astuple(p)) for p in inputs.values()]
        for table, rows in (("sources", moved), ("inputs", read)):
            if rows:
                values = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
                self._connection.execute(f"INSERT INTO {table} VALUES {values}", [cell for row in rows for cell in row])

    # --- sealing and retention ------------------------------------------------------------------------------------

    def seal(self, until: int) -> bool:
        """Write every minute below `until` (a whole minute, epoch seconds) to the 1-minute level; returns whether
        there was any."""
        if until <= self.kept.sealed_until:
            return False
        self._connection.execute("BEGIN")
        sealing.seal(self._connection, self.kept.sealed_until, until)
        self._clear_positions()
        self._connection.execute("COMMIT")
        self.kept = Kept(until, self.kept.seconds_from)
        return True

    def _clear_positions(self) -> None:
        execute = self._connection.execute
        execute(
            "DELETE FROM inputs WHERE number < (SELECT max(number) FROM inputs i WHERE i.partition = inputs.partition)"
        )
        for source in self.sources.values():
            execute(
                "DELETE FROM sources WHERE topic_id = ? AND partition = ? AND next_offset < ?",
                [source.topic_id, source.partition, source.next_offset],
            )

    def retain(self, now_s: int, seconds_kept: int, minutes_kept: int) -> None:
        """Delete seconds older than `seconds_kept` whose minute is sealed, and minutes older than `minutes_kept`
        (both in seconds)."""
        seconds_from = max(self.kept.seconds_from, min(floor(now_s - seconds_kept, 60), self.kept.sealed_until))
        if seconds_from == self.kept.seconds_from:
            return
        self._connection.execute("BEGIN")
        sealing.delete(self._connection, seconds_from, floor(now_s - minutes_kept, 60))
        self._connection.execute("COMMIT")
        self.kept = Kept(self.kept.sealed_until, seconds_from)
