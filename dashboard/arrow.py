"""An answer as an Arrow IPC stream: times as timestamp[ms, UTC], dimensions as dictionary<string>, numbers as they are.

What the JSON answer says beside its rows stands in the schema's metadata, each member under its name as JSON text; a
column's unit stands in its field's metadata too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import pyarrow as pa

from aggregates.queries import Column, Result

MEDIA_TYPE: Final = "application/vnd.apache.arrow.stream"
HISTOGRAM: Final = pa.list_(
    pa.struct([pa.field("lower", pa.float64()), pa.field("upper", pa.float64()), pa.field("n", pa.int64())])
)
TYPES: Final[Mapping[str, pa.DataType]] = {
    "time": pa.timestamp("ms", tz="UTC"),
    "string": pa.dictionary(pa.int32(), pa.utf8()),
    "integer": pa.int64(),
    "number": pa.float64(),
    "histogram": HISTOGRAM,
}
"""Type of a column → Arrow type."""


def arrow_stream(result: Result, about: Mapping[str, object]) -> bytes:
    """The stream, one record batch; `about` is the JSON answer without its rows."""
    cells = zip(*result.rows, strict=True) if result.rows else ((),) * len(result.columns)
    arrays = [_array(column, list(values)) for column, values in zip(result.columns, cells, strict=True)]
    fields = [
        pa.field(column.name, TYPES[column.type], metadata={"unit": column.unit} if column.unit else None)
        for column in result.columns
    ]
    schema = pa.schema(fields, metadata={name: msgspec.json.encode(said) for name, said in about.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    return bytes(sink.getvalue().to_pybytes())


def _array(column: Column, values: list[object]) -> pa.Array:
    if column.type == "string":
        return pa.array(values, pa.utf8()).dictionary_encode()
    if column.type == "histogram":
        bins = [_bins(cell) for cell in values]
        return pa.array(bins, HISTOGRAM)
    return pa.array(values, TYPES[column.type])


def _bins(cell: object) -> list[dict[str, object]] | None:
    if not isinstance(cell, list):
        return None
    return [{"lower": lower, "upper": upper, "n": n} for lower, upper, n in cell]
