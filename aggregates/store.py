"""The read model's only writer.

One thread applies deltas; a batch of deltas, the positions behind it and the series it is the first to mention are
one transaction. Readers take cursors of the same connection and see whole transactions only. A full disk changes
nothing: what is in memory is made to agree with the file again. Any other database error here is fatal: the process
ends and is started again, the file is what the last commit left.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from types import MappingProxyType

import duckdb
import numpy as np
import pyarrow as pa

from aggregates import contents, ledger, rows, sealing
from aggregates.catalogue import Catalogue, SeriesFields, Views
from aggregates.checkpoints import Checkpoints
from aggregates.contents import SourcePosition
from aggregates.database import NoRoom, open_file, sentence
from aggregates.days import day_start
from aggregates.deltas import Delta
from aggregates.families import FanOut
from aggregates.incoming import Counted, Fresh, counted
from aggregates.levels import MINUTE, QUARTER, Kept
from aggregates.positions import Position
from aggregates.recently import RecentlyApplied
from aggregates.retention import KeepS, OwnKept, Retention, due, set_apart
from aggregates.versions import Versions

GRACE_S = 10
AS_OF_S = 30 * 86_400
NO_RECORD_MS = -1
"""Append time of no record."""
_NOTHING: Mapping[str, KeepS] = MappingProxyType({})


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
        memory_mb: what the database may take; None: four fifths of the machine's.
    """

    def __init__(
        self,
        path: Path,
        views: Views,
        zone: tzinfo = UTC,
        grace_s: int = GRACE_S,
        as_of_s: int = AS_OF_S,
        memory_mb: int | None = None,
    ) -> None:
        self.zone, self.grace_s = zone, grace_s
        self._path, self._views = path, views
        self.versions = Versions()
        self.recent = RecentlyApplied()
        self._as_of_s = as_of_s
        self._checkpoints = Checkpoints(path)
        self._connection = open_file(path, memory_mb)
        try:
            contents.check_version(self._connection)
            contents.use_zone(self._connection, zone, contents.load_kept(self._connection))
            self._load()
        except duckdb.Error as error:
            if (told := sentence(path, error)) is None:
                raise
            raise told from error

    def _load(self) -> None:
        """Everything that is kept in memory beside the file."""
        self.kept: Kept = contents.load_kept(self._connection)
        catalogue = Catalogue(self._views)
        contents.load_catalogue(self._connection, catalogue, self.kept)
        self.own_kept: OwnKept = contents.load_own_kept(self._connection)
        """What is kept of metrics that stand apart."""
        self.catalogue = catalogue
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
        """One transaction of the writer's thread, for the tables of `aggregates.letter_store` too. Raises `NoRoom` when
        the disk is full: then nothing has changed; `StoreError` when the file has to be opened anew."""
        try:
            with self._transaction():
                yield self._connection
            self._checkpoints.after_commit(self._connection)
        except duckdb.Error as error:
            if (told := sentence(self._path, error)) is None:
                raise
            if isinstance(told, NoRoom):
                self._load()
            raise told from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):  # a database that has given up takes no command; the first error tells more
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")  # rolls back when it fails

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
            events, metrics = self._count(connection, fresh, list(unknown.values()))
            self._store_positions(connection, sources, read)
            self.versions.committing()
        with self.versions.committed(metrics):
            self.sources, self.inputs = sources, {**self.inputs, **read}
        self.recent.note(fresh, time.time_ns() // 1_000_000)
        return events

    def _unknown(self, found: pa.RecordBatch) -> dict[int, SeriesFields]:
        if not found.num_rows:
            return {}
        series = found.column("series").dictionary
        new = np.flatnonzero(self.catalogue.ids(series.field("key").to_numpy()) < 0)
        rows_of = series.take(pa.array(new)).to_pylist() if len(new) else []
        return {row["key"]: tuple(row.values()) for row in rows_of}

    def _count(
        self, connection: duckdb.DuckDBPyConnection, fresh: list[Fresh], unknown: list[SeriesFields]
    ) -> tuple[int, set[str]]:
        """Append all rows of some deltas; returns their events and metrics."""
        if unknown:
            rows.insert_series(connection, self.catalogue.add(unknown))
        parts = [self._counted(found) for found in fresh if found.rows.num_rows]
        events = 0
        if parts:
            together = Counted.together(parts)
            events = int(together.partials.count.sum())
            fan_out = FanOut(self.catalogue, self.kept, self.zone, own_kept=self.own_kept)
            for table, found in fan_out.tables(together):
                rows.insert(connection, table, found.table())
            self._note_restated(fan_out.restated)
            rows.insert_touched(connection, fan_out.touched, self.kept.sealed_until[MINUTE])
        rows.insert_values(connection, "undecodable", [row for found in fresh for row in found.undecodable()])
        entries = ledger.entries(fresh)
        rows.insert_values(connection, "lost", [row for found in fresh for row in found.lost()])
        ledger.note(connection, entries)
        return events, {metric for metric, *_ in entries}

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
            self.versions.committing()
        with self.versions.committed(None):
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

    def set_apart(self, metrics: Collection[str]) -> None:
        """From now on these metrics are kept by themselves, as `retain` says."""
        if not self.own_kept.keys() >= set(metrics):
            own = set_apart(metrics, self.catalogue.metrics.keys(), self.kept, self.own_kept)
            with self.writing() as connection:
                sealing.store_own_kept(connection, own)
            self.own_kept = own

    def retain(self, now_s: int, keep_s: KeepS, own: Mapping[str, KeepS] = _NOTHING) -> bool:
        """Delete what is older than each level keeps (level → seconds, None for ever), of the metrics in `own` than
        is said there, and fold restatements beyond the horizon of `as_of`; returns whether there was anything."""
        self.set_apart(own)
        kept = self.kept
        expiry = due(now_s, Retention(keep_s, own), kept, self.own_kept, self.zone)
        horizon = min(day_start(now_s - self._as_of_s, self.zone), kept.sealed_until[MINUTE])
        if not expiry and expiry.own == self.own_kept and horizon <= kept.folded_until:
            return False
        moved, kept_from = expiry.shared, {**kept.kept_from, **expiry.shared}
        with self.writing() as connection:
            sealing.delete(connection, expiry, self.own_kept.keys())
            if MINUTE in moved or QUARTER in moved:
                ledger.retain(connection, kept.kept_from[MINUTE], kept_from[MINUTE], kept_from[QUARTER])
            if horizon > kept.folded_until:
                sealing.fold(connection, horizon)
            self.versions.committing()
        with self.versions.committed(None):
            self.kept = Kept(kept.sealed_until, kept_from, max(horizon, kept.folded_until))
            self.own_kept = expiry.own
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
        _record_ms(delta, known),
        start if known is None else known.history_from,
    )
    return start


def _record_ms(delta: Delta, known: SourcePosition | None) -> int:
    """Append time of the newest record counted in. A loss moves it not: nothing is known of what is gone."""
    if delta.header.records:
        return delta.header.records[-1].timestamp_ms
    return NO_RECORD_MS if known is None else known.record_ms
