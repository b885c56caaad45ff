"""The read model's only writer.

One thread applies deltas; a batch of deltas, the positions behind it and the series it is the first to mention are
one transaction. Readers take cursors of the same connection and see whole transactions only. Any database error here
is fatal: the process ends and is started again, the file is what the last commit left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, tzinfo
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from aggregates import contents, ledger, rows, sealing
from aggregates.catalogue import Catalogue, SeriesFields, Views
from aggregates.contents import SourcePosition
from aggregates.database import open_file
from aggregates.days import day_start
from aggregates.deltas import Delta
from aggregates.families import FanOut
from aggregates.incoming import Counted, Fresh, counted
from aggregates.levels import MINUTE, QUARTER, Kept, expired
from aggregates.positions import Position

GRACE_S = 10
AS_OF_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Input:
    """One record of `rollups`: its delta, the position behind it, and its place."""

    delta: Delta
    position: Position


class MissingDeltas(Exception):
    """Deltas between two applied ones are missing: applying on would lose events."""


class Store:
    """One open read model. What writes belongs to one thread; `reader` may be used from any.

    Args:
        zone: of the day level.
        grace_s: how long buckets stay open behind the watermark.
        as_of_s: how long restatements are told from the baseline.
    """

    def __init__(
        self, path: Path, views: Views, zone: tzinfo = UTC, grace_s: int = GRACE_S, as_of_s: int = AS_OF_S
    ) -> None:
        self.zone, self.grace_s = zone, grace_s
        self._as_of_s = as_of_s
        self._connection = open_file(path)
        contents.check_version(self._connection)
        self.kept: Kept = contents.use_zone(self._connection, zone, contents.load_kept(self._connection))
        self.catalogue = Catalogue(views)
        contents.load_catalogue(self._connection, self.catalogue, self.kept)
        self.sources = contents.load_sources(self._connection)
        """(topic id, partition) → position in `events`."""
        self._restated: sealing.Restated | None = None
        self.inputs, self._transactions = contents.load_inputs(self._connection)
        """Partition → position in `rollups`."""

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
        """One transaction of the writer's thread, for the tables of `aggregates.letter_store` too."""
        self._connection.execute("BEGIN")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def meta(self, name: str) -> str:
        return contents.meta(self._connection, name)

    # --- applying -------------------------------------------------------------------------------------------------

    def apply(self, inputs: Sequence[Input]) -> int:
        """Count deltas in; returns the events that were new. What is at or below a position is dropped, so that
        sending again is harmless. Raises `MissingDeltas` before anything is written when one is missing."""
        sources = dict(self.sources)
        fresh: list[Fresh] = []
        unknown: dict[int, SeriesFields] = {}
        for item in inputs:
            start = _advance(sources, item.delta)
            if start is not None:
                found = Fresh.of(item.delta, start)
                unknown |= self._unknown(found.rows)
                fresh.append(found)
        read = {item.position.partition: item.position for item in inputs}
        with self.writing() as connection:
            events = self._count(connection, fresh, list(unknown.values()))
            self._store_positions(connection, sources, read)
        self.sources, self.inputs = sources, {**self.inputs, **read}
        return events

    def _unknown(self, found: pa.RecordBatch) -> dict[int, SeriesFields]:
        if not found.num_rows:
            return {}
        series = found.column("series").dictionary
        new = np.flatnonzero(self.catalogue.ids(series.field("key").to_numpy()) < 0)
        rows_of = series.take(pa.array(new)).to_pylist() if len(new) else []
        return {row["key"]: tuple(row.values()) for row in rows_of}

    def _count(self, connection: duckdb.DuckDBPyConnection, fresh: list[Fresh], unknown: list[SeriesFields]) -> int:
        """Append all rows of some deltas; returns their events."""
        if unknown:
            rows.insert_series(connection, self.catalogue.add(unknown))
        parts = [self._counted(found) for found in fresh if found.rows.num_rows]
        events = 0
        if parts:
            together = Counted.together(parts)
            events = int(together.partials.count.sum())
            fan_out = FanOut(self.catalogue, self.kept, self.zone)
            for table, found in fan_out.tables(together):
                rows.insert(connection, table, found.table())
            self._note_restated(fan_out.restated)
            rows.insert_touched(connection, fan_out.touched, self.kept.sealed_until[MINUTE])
        rows.insert_values(connection, "undecodable", [row for found in fresh for row in found.undecodable()])
        ledger.note(connection, ledger.entries(fresh))
        return events

    def _note_restated(self, found: sealing.Restated) -> None:
        if self._restated is not None:  # else they are looked for when the first bucket is sealed
            for table, known in found.items():
                self._restated[table] = max(known, self._restated.get(table, 0))

    def _counted(self, found: Fresh) -> Counted:
        keys = found.rows.column("series").dictionary.field("key").to_numpy()
        return counted(found, self.catalogue.ids(keys), self.grace_s, self.kept.folded_until)

    def _store_positions(
        self,
        connection: duckdb.DuckDBPyConnection,
        sources: Mapping[tuple[str, int], SourcePosition],
        read: Mapping[int, Position],
    ) -> None:
        self._transactions += 1
        moved = [astuple(p) for key, p in sources.items() if self.sources.get(key) != p]
        rows.insert_values(connection, "sources", moved)
        rows.insert_inputs(connection, self._transactions, read)

    def accept_loss(self, topic_id: str, partition: int, next_offset: int, noted_ms: int) -> None:
        """Give up the source records from the position to `next_offset`, on a person's word: counting goes on behind
        them, the range is listed in the table `lost`."""
        known = self.sources.get((topic_id, partition))
        first = 0 if known is None else known.next_offset
        if next_offset <= first:
            return
        record_ms, history_from = (0, next_offset) if known is None else (known.record_ms, known.history_from)
        position = SourcePosition(topic_id, partition, next_offset, 0, record_ms, history_from)
        with self.writing() as connection:
            rows.insert_values(connection, "lost", [(topic_id, partition, first, next_offset, noted_ms)])
            rows.insert_values(connection, "sources", [astuple(position)])
        self.sources = {**self.sources, (topic_id, partition): position}

    # --- sealing and retention ------------------------------------------------------------------------------------

    def seal(self, until: int) -> bool:
        """Complete every level up to `until` (a whole minute, epoch s); returns whether there was anything to do."""
        if until <= self.kept.sealed_until[MINUTE]:
            return False
        with self.writing() as connection:
            if self._restated is None:
                self._restated = sealing.restatements(connection, self.kept)
            kept = sealing.seal(connection, self.kept, until, self.zone, self._restated)
            ledger.merge(connection, self.kept.sealed_until[MINUTE], until)
            self._clear_positions(connection)
        self.kept = kept
        return True

    def _clear_positions(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            "DELETE FROM inputs WHERE number < (SELECT max(number) FROM inputs i WHERE i.partition = inputs.partition)"
        )
        for source in self.sources.values():
            connection.execute(
                "DELETE FROM sources WHERE topic_id = ? AND partition = ? AND next_offset < ?",
                [source.topic_id, source.partition, source.next_offset],
            )

    def retain(self, now_s: int, keep_s: Mapping[str, float | None]) -> bool:
        """Delete what is older than each level keeps (level → seconds, None for ever), and fold restatements beyond
        the horizon of `as_of`; returns whether there was anything."""
        kept = self.kept
        moved = expired(now_s, keep_s, kept, self.zone)
        horizon = min(day_start(now_s - self._as_of_s, self.zone), kept.sealed_until[MINUTE])
        if not moved and horizon <= kept.folded_until:
            return False
        kept_from = {**kept.kept_from, **moved}
        with self.writing() as connection:
            sealing.delete(connection, moved)
            if MINUTE in moved or QUARTER in moved:
                ledger.retain(connection, kept.kept_from[MINUTE], kept_from[MINUTE], kept_from[QUARTER])
            if horizon > kept.folded_until:
                sealing.fold(connection, horizon)
        self.kept = Kept(kept.sealed_until, kept_from, max(horizon, kept.folded_until))
        return True


def _advance(sources: dict[tuple[str, int], SourcePosition], delta: Delta) -> int | None:
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
    sources[header.topic_id, header.partition] = SourcePosition(
        header.topic_id,
        header.partition,
        header.next_offset,
        header.crc,
        header.records[-1].timestamp_ms,
        start if known is None else known.history_from,
    )
    return start
