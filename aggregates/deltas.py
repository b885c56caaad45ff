"""The contract between the rollup worker and every read model: what one record of the topic `rollups` says.

A delta is a pure function of the log. It covers the source records `[first_offset, next_offset)` of one partition
of `events` and carries one row per (source offset, series, second):

    offset      int64        source offset
    series      dictionary<int32, struct>   as in `ingest.events`
    second      timestamp[s, UTC]           event time, truncated
    count       int64        events counted, duplicates not among them
    sum min max double       null where nothing numeric was counted; of kind cumulative: of the increases
    last        double       value of the newest counted event by (event time, place in the log)
    last_time   timestamp[ms, UTC]          its event time
    duplicates  int64        events not counted: their id was seen before, or (cumulative) a newer point was
    bins        list<int16>  bins of `aggregates.sketches` with a counted event, ascending; null unless a distribution
    bin_counts  list<int32>  events in each of them
    hashes      list<uint64> distinct hashes of the counted texts, ascending; null unless of kind unique

The header (JSON in the Arrow schema's metadata) names the source, so that a reader can apply each source record
exactly once, whatever is sent again, and notice a gap. It also says how many events of each metric every source
record holds, counted before anything is judged: accepted = counted + duplicates is a check, not a definition.

A delta of a loss holds no records and no rows: source records that a person gave up, because the log no longer holds
them. It says when, in metadata of its own.

Version 1 had no bins, hashes and counts by metric. It is read for ever: what it lacks is null or empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pyarrow as pa

from ingest.series import SERIES_TYPE

VERSION = 2
_METADATA_KEY = b"tallyboard"
_LOST_KEY = b"tallyboard.lost"

_ROWS_1 = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("series", pa.dictionary(pa.int32(), SERIES_TYPE), nullable=False),
        pa.field("second", pa.timestamp("s", tz="UTC"), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("sum", pa.float64()),
        pa.field("min", pa.float64()),
        pa.field("max", pa.float64()),
        pa.field("last", pa.float64()),
        pa.field("last_time", pa.timestamp("ms", tz="UTC")),
        pa.field("duplicates", pa.int64(), nullable=False),
    ]
)
_ADDED_IN_2 = [
    pa.field("bins", pa.list_(pa.int16())),
    pa.field("bin_counts", pa.list_(pa.int32())),
    pa.field("hashes", pa.list_(pa.uint64())),
]
ROWS = pa.schema([*_ROWS_1, *_ADDED_IN_2])
_COLUMNS = {1: _ROWS_1, 2: ROWS}


class SourceRecord(msgspec.Struct, frozen=True, array_like=True):
    """One source record: its offset, append time (epoch ms), events, and why it could not be read, if so."""

    offset: int
    timestamp_ms: int
    events: int
    undecodable: str | None = None
    history: bool = False
    """Imported history: fills buckets, restates nothing."""
    accepted: list[tuple[int, int]] = []
    """(index into `Header.metrics`, events of that metric in the record, duplicates among them)."""


class Header(msgspec.Struct, frozen=True):
    """Where a delta comes from."""

    topic_id: str
    partition: int
    first_offset: int
    next_offset: int
    crc: int
    """CRC-32C of the last source record's value; 0 of a loss."""
    state_from: int
    """Oldest source offset that has to be read again to continue behind this delta."""
    records: list[SourceRecord]
    version: int = VERSION
    metrics: list[str] = []
    """Names that `SourceRecord.accepted` points into, in the order they are first met."""
    totals_from: int | None = None
    """Source offset at which the state of cumulative series begins; None when there is none."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Header and rows (`ROWS`) of one record of `rollups`."""

    header: Header
    rows: pa.RecordBatch
    lost_ms: int | None = None
    """Of a loss: when it was accepted, epoch ms."""


class DeltaError(ValueError):
    """A record of `rollups` that is no delta of a known version."""


def encode(delta: Delta) -> bytes:
    """The Kafka record value of a delta."""
    metadata = {_METADATA_KEY: msgspec.json.encode(delta.header)}
    if delta.lost_ms is not None:
        metadata[_LOST_KEY] = str(delta.lost_ms).encode()
    schema = ROWS.with_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(delta.rows.replace_schema_metadata(schema.metadata))
    return bytes(sink.getvalue().to_pybytes())


def decode(value: bytes | None) -> Delta:
    """The delta in a record value, of any version as of the newest; raises `DeltaError`."""
    try:
        with pa.ipc.open_stream(value or b"") as reader:
            metadata = reader.schema.metadata or {}
            header = msgspec.json.decode(metadata[_METADATA_KEY], type=Header)
            lost_ms = int(metadata[_LOST_KEY]) if _LOST_KEY in metadata else None
            if not header.records and lost_ms is None:
                raise DeltaError("it holds no records")
            columns = _COLUMNS.get(header.version)
            if columns is None:
                raise DeltaError(f"delta version {header.version} is not known, this is version {VERSION}")
            if not reader.schema.remove_metadata().equals(columns):
                raise DeltaError("the columns are not those of a delta")
            return Delta(header, _completed(reader.read_next_batch()), lost_ms)
    except (pa.ArrowException, OSError, KeyError, StopIteration, msgspec.MsgspecError) as error:
        raise DeltaError(f"not a delta: {type(error).__name__}: {error}") from error


def _completed(rows: pa.RecordBatch) -> pa.RecordBatch:
    missing = [pa.nulls(rows.num_rows, f.type) for f in ROWS if f.name not in rows.schema.names]
    if not missing:
        return rows
    return pa.RecordBatch.from_arrays([*rows.columns, *missing], schema=ROWS)
