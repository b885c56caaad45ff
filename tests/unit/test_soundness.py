"""Series that whoever writes into Kafka directly may write, and no read model could take."""

from __future__ import annotations

import pyarrow as pa
import pytest

from aggregates.soundness import read
from ingest.events import DecodedEvents, Undecodable
from ingest.series import SERIES_TYPE
from tests.builders import record_value


def value_of(*series: tuple[str, str]) -> bytes:
    """A record with an event of each series: kind and dimensions."""
    structs = [
        {"key": key, "metric": "m", "kind": kind, "unit": None, "dimensions": dimensions}
        for key, (kind, dimensions) in enumerate(series)
    ]
    with pa.ipc.open_stream(record_value([("m", {}, 1000 * n, 1.0, None) for n in range(len(series))])) as stream:
        batch = stream.read_next_batch()
        numbers = pa.array(range(len(series)), pa.int32())
        column = pa.DictionaryArray.from_arrays(numbers, pa.array(structs, SERIES_TYPE))
        batch = batch.set_column(0, stream.schema.field(0), column)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, stream.schema) as writer:
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def test_series_as_ingest_writes_them_are_read() -> None:
    texts = ("{}", '{"a":"1"}', '{"é":"a\\nb","x\\"y":"{"}')
    events = read(value_of(*(("counter", text) for text in texts)))
    assert isinstance(events, DecodedEvents)
    assert len(events) == 3


@pytest.mark.parametrize(
    ("kind", "dimensions"),
    [
        ("contribution", "{}"),
        ("", "{}"),
        ("counter", "junk"),
        ("counter", ""),
        ("counter", "[]"),
        ("counter", '{"a":1}'),
        ("counter", '{"a":{"b":"c"}}'),
        ("counter", '{"a":"b"'),
        ("counter", "{}\n{}"),
        ("counter", "{}{}"),
    ],
)
def test_a_record_with_one_series_that_cannot_be_read_is_undecodable(kind: str, dimensions: str) -> None:
    assert isinstance(read(value_of(("counter", "{}"), (kind, dimensions), ("gauge", '{"a":"b"}'))), Undecodable)


@pytest.mark.parametrize("pair", [('{"a":"', '"}'), ("{},{}", ""), ('{"a":', "{}}"), ("{}\n{}", "\n")])
def test_two_halves_do_not_make_a_whole(pair: tuple[str, str]) -> None:
    assert isinstance(read(value_of(*(("counter", text) for text in pair))), Undecodable)


@pytest.mark.parametrize("value", [None, b"", b"junk"])
def test_what_cannot_be_decoded_stays_so(value: bytes | None) -> None:
    assert isinstance(read(value), Undecodable)
