"""The contract of the log: what an event is, and how a batch of events becomes one Kafka record.

A record of the topic `events` is one Arrow IPC stream with one record batch, self-contained and versioned:

    series  dictionary<int32, struct<key: uint64, metric, kind, unit, dimensions: utf8>>
    time    timestamp[ms, UTC]    event time
    value   float64               null where the event carries a text
    text    utf8                  for kind `unique`; the column is left out when no event of the record has one
    id      utf8                  client's id of the event, or null; left out when no event of the record has one
    start   timestamp[ms, UTC]    kind cumulative: since when the total counts, or null; left out when none says

The schema's metadata names the format and its version; `tallyboard.history` = `1` marks a record of imported history,
whose events fill buckets but restate nothing.

`dimensions` is a JSON object with sorted names. `key` is the series' stable hash: everything downstream
partitions, groups and removes duplicates by it. The Kafka header `events` carries the number of events, so that
lag can be counted without opening a record.

Not its job: deciding whether an event is acceptable (`ingest.accept`) or sending records (`ingest.publish`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ingest.series import SERIES_TYPE, FloatArray, Int32Array, Int64Array, SeriesTable, UInt64Array

VERSION = 1
EVENTS_HEADER = "events"
"""Name of the Kafka record header that holds the event count as decimal ASCII."""
MAX_RECORD_EVENTS = 16_384
MAX_RECORD_BYTES = 4 * 1024 * 1024
"""Target size of a record value: a batch above it is split, down to single events."""

_SERIES_FIELD = pa.field("series", pa.dictionary(pa.int32(), SERIES_TYPE), nullable=False)
_TIME_FIELD = pa.field("time", pa.timestamp("ms", tz="UTC"), nullable=False)
_VALUE_FIELD = pa.field("value", pa.float64())
_TEXT_FIELD = pa.field("text", pa.utf8())
_ID_FIELD = pa.field("id", pa.utf8())
_START_FIELD = pa.field("start", pa.timestamp("ms", tz="UTC"))
NO_START = int(np.iinfo(np.int64).min)
"""Start time of an event that names none."""
_METADATA = {b"tallyboard.format": b"events", b"tallyboard.version": str(VERSION).encode()}
_HISTORY = b"tallyboard.history"


@dataclass(slots=True)
class EventColumns:
    """Events as columns of equal length n; `series` numbers point into `table`."""

    table: SeriesTable
    series: Int32Array
    times: Int64Array
    """Event times in epoch milliseconds."""
    values: FloatArray
    """NaN where the event carries a text."""
    texts: list[str | None] | None = None
    ids: list[str | None] | None = None
    history: bool = False
    """Imported history: never shares a record with events of the present."""
    starts: Int64Array | None = None
    """Since when a running total counts, in epoch milliseconds, or `NO_START`."""

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record of the topic `events`, ready to be sent."""

    partition: int
    value: bytes
    events: int

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        return [(EVENTS_HEADER, str(self.events).encode())]


def encode(columns: EventColumns, partitions: int) -> list[Record]:
    """Records of a batch, by partition ascending, each with the events of its partition in their given order."""
    batch = _columns_batch(columns)
    owner = (columns.table.keys[columns.series] % np.uint64(partitions)).astype(np.int16)
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(partitions + 1))
    records: list[Record] = []
    for partition in range(partitions):
        rows = order[bounds[partition] : bounds[partition + 1]]
        for start in range(0, len(rows), MAX_RECORD_EVENTS):
            records += _encode_rows(columns, batch, rows[start : start + MAX_RECORD_EVENTS], partition)
    return records


def _columns_batch(columns: EventColumns) -> pa.RecordBatch:
    """Everything but the series, as Arrow: split by partition with one `take` each."""
    fields = [_TIME_FIELD, _VALUE_FIELD]
    arrays = [pa.array(columns.times).view(_TIME_FIELD.type), pa.array(columns.values, from_pandas=True)]
    if columns.texts is not None and any(text is not None for text in columns.texts):
        fields.append(_TEXT_FIELD)
        arrays.append(pa.array(columns.texts, pa.utf8()))
    if columns.ids is not None and any(id_ is not None for id_ in columns.ids):
        fields.append(_ID_FIELD)
        arrays.append(pa.array(columns.ids, pa.utf8()))
    if columns.starts is not None and bool((columns.starts != NO_START).any()):
        fields.append(_START_FIELD)
        arrays.append(pa.array(columns.starts, mask=columns.starts == NO_START).view(_START_FIELD.type))
    return pa.record_batch(arrays, schema=pa.schema(fields))


def _encode_rows(columns: EventColumns, batch: pa.RecordBatch, rows: Int64Array, partition: int) -> list[Record]:
    numbers, indices = _renumber(columns.series[rows], len(columns.table))
    series = pa.DictionaryArray.from_arrays(pa.array(indices), columns.table.take(numbers))
    part = batch.take(pa.array(rows))
    # A column nobody uses in this partition is left out here too: a record's bytes depend on its own events alone.
    kept = [f for i, f in enumerate(part.schema) if i < 2 or part.column(i).null_count < len(part)]
    metadata = _METADATA | {_HISTORY: b"1"} if columns.history else _METADATA
    schema = pa.schema([_SERIES_FIELD, *kept], metadata=metadata)
    full = pa.record_batch([series, *(part.column(f.name) for f in kept)], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(full)
    value = sink.getvalue().to_pybytes()
    if len(value) > MAX_RECORD_BYTES and len(rows) > 1:
        half = len(rows) // 2
        first = _encode_rows(columns, batch, rows[:half], partition)
        return first + _encode_rows(columns, batch, rows[half:], partition)
    return [Record(partition, value, len(rows))]


def _renumber(series: Int32Array, size: int) -> tuple[Int32Array, Int32Array]:
    """Distinct numbers (ascending) and each row's index among them. A look-up table beats sorting while the series
    known are not many more than the rows."""
    if size > 16 * len(series):
        distinct, inverse = np.unique(series, return_inverse=True)
        return distinct, inverse.astype(np.int32)
    seen = np.zeros(size, np.bool_)
    seen[series] = True
    distinct = np.flatnonzero(seen).astype(np.int32)
    lookup = np.empty(size, np.int32)
    lookup[distinct] = np.arange(len(distinct), dtype=np.int32)
    return distinct, lookup[series]


@dataclass(frozen=True, slots=True)
class DecodedEvents:
    """The events of one record. `index` points into `keys` and `series`."""

    series: pa.StructArray
    keys: UInt64Array = field(repr=False)
    index: Int32Array
    times: Int64Array
    """Epoch milliseconds."""
    values: FloatArray
    """NaN where the event carries a text."""
    texts: pa.StringArray | None
    ids: pa.StringArray | None
    history: bool = False
    starts: Int64Array | None = None
    """Epoch milliseconds, `NO_START` where the event names none."""

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record that is no batch of events; the partition goes on behind it."""

    reason: str


def decode(value: bytes | None) -> DecodedEvents | Undecodable:
    """The events of a record value, every bound checked: what comes back can be indexed without care."""
    if not value:
        return Undecodable("empty record")
    try:
        with pa.ipc.open_stream(value) as reader:
            metadata = reader.schema.metadata or {}
            if metadata.get(b"tallyboard.format") != b"events":
                return Undecodable("not a batch of events")
            if metadata.get(b"tallyboard.version") != str(VERSION).encode():
                return Undecodable(f"version {metadata.get(b'tallyboard.version')!r} is not known")
            batch = reader.read_next_batch()
        batch.validate(full=True)
        return _decoded(batch)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, StopIteration) as error:
        return Undecodable(f"not a readable Arrow stream: {type(error).__name__}: {error}"[:300])


def _decoded(batch: pa.RecordBatch) -> DecodedEvents | Undecodable:
    names = batch.schema.names
    for expected in (_SERIES_FIELD, _TIME_FIELD, _VALUE_FIELD, _TEXT_FIELD, _ID_FIELD, _START_FIELD):
        if expected.name in names and batch.schema.field(expected.name).type != expected.type:
            return Undecodable(f"column {expected.name} has type {batch.schema.field(expected.name).type}")
    series, times = batch.column("series"), batch.column("time")
    dictionary = series.dictionary
    required = [series.indices, times, *(dictionary.field(n) for n in ("key", "metric", "kind", "dimensions"))]
    if any(column.null_count for column in required):
        return Undecodable("a required column holds nulls")
    return DecodedEvents(
        series=dictionary,
        keys=dictionary.field("key").to_numpy(),
        index=series.indices.to_numpy(),
        times=times.view(pa.int64()).to_numpy(),
        values=batch.column("value").to_numpy(zero_copy_only=False),
        texts=batch.column("text") if "text" in names else None,
        ids=batch.column("id") if "id" in names else None,
        history=(batch.schema.metadata or {}).get(_HISTORY) == b"1",
        starts=batch.column("start").view(pa.int64()).fill_null(NO_START).to_numpy() if "start" in names else None,
    )
