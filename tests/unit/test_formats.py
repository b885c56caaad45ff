"""The forms of an answer: which one is chosen, what stands in it, and when it is still the same."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pyarrow as pa
import pytest

from aggregates.queries import Column, Freshness, Query, QueryError, Result
from dashboard.formats import form_of, matches, respond

NOON_MS = 1_795_435_200_000
QUERY = Query("orders", ("count", "avg", "histogram"), NOON_MS, NOON_MS + 120_000, 60, ("country",))
RESULT = Result(
    columns=(
        Column("time", "time"),
        Column("country", "string"),
        Column("count", "integer", "events"),
        Column("avg", "number", "EUR"),
        Column("histogram", "histogram", "EUR"),
    ),
    rows=[
        (NOON_MS, "NL", 3, 0.1, [(1.0, 2.0, 3)]),
        (NOON_MS, None, 0, None, []),
        (NOON_MS + 60_000, 'say "hi", ü', 1, 2.5, []),
    ],
    freshness=Freshness("01234567;0:3", NOON_MS, 250, NOON_MS),
    start_ms=NOON_MS,
    end_ms=NOON_MS + 120_000,
    step_s=60,
    level="1m",
    view="country",
    took_ms=1.5,
)


@pytest.mark.parametrize(
    ("wanted", "accept", "form"),
    [
        (None, "", "json"),
        (None, "*/*", "json"),
        (None, "text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        (None, "text/csv", "csv"),
        (None, "Text/CSV; charset=utf-8", "csv"),
        (None, "application/json, text/csv", "json"),
        (None, "application/json;q=0.5, text/csv;q=0.9", "csv"),
        (None, "text/csv;q=0", "json"),
        (None, "text/csv;q=nan, text/csv;q=x, text/csv;q=7", "json"),
        (None, "application/vnd.apache.arrow.stream", "arrow"),
        ("csv", "application/json", "csv"),
        ("arrow", "", "arrow"),
    ],
)
def test_format_wins_over_accept(wanted: object, accept: str, form: str) -> None:
    assert form_of(wanted, accept) == form


@pytest.mark.parametrize("wanted", ["xml", ["csv"], 7, {}, "CSV", True])
def test_another_format_is_refused(wanted: object) -> None:
    refused = form_of(wanted, "")
    assert isinstance(refused, QueryError)
    assert refused.field == "format"


def test_arrow_says_what_json_says() -> None:
    said = json.loads(bytes(respond(QUERY, RESULT, "json").body))
    with pa.ipc.open_stream(bytes(respond(QUERY, RESULT, "arrow").body)) as reader:
        schema, table = reader.schema, reader.read_all()
    assert [str(field.type) for field in schema][:4] == [
        "timestamp[ms, tz=UTC]",
        "dictionary<values=string, indices=int32, ordered=0>",
        "int64",
        "double",
    ]
    assert table.column("country").to_pylist() == ["NL", None, 'say "hi", ü']
    assert table.column("avg").to_pylist() == [0.1, None, 2.5]
    assert table.column("histogram").to_pylist() == [[{"lower": 1.0, "upper": 2.0, "n": 3}], [], []]
    assert table.column("time").cast(pa.int64()).to_pylist() == [NOON_MS, NOON_MS, NOON_MS + 60_000]
    assert schema.field("avg").metadata == {b"unit": b"EUR"}
    metadata = {name.decode(): json.loads(text) for name, text in (schema.metadata or {}).items()}
    assert metadata == {name: value for name, value in said.items() if name != "rows"}
    assert metadata["freshness"]["position"] == "01234567;0:3"


def test_an_answer_without_rows_has_its_columns_in_every_form() -> None:
    nothing = replace(RESULT, rows=[])
    with pa.ipc.open_stream(bytes(respond(QUERY, nothing, "arrow").body)) as reader:
        assert reader.read_all().column_names == ["time", "country", "count", "avg", "histogram"]
    assert bytes(respond(QUERY, nothing, "csv").body) == b"time,country,count,avg,histogram\r\n"


def test_csv_is_read_back_as_it_was() -> None:
    text = bytes(respond(QUERY, RESULT, "csv").body).decode()
    assert text.endswith("\r\n")
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [
        ["2026-11-23T12:00:00Z", "NL", "3", "0.1", "[[1.0,2.0,3]]"],
        ["2026-11-23T12:00:00Z", "", "0", "", "[]"],
        ["2026-11-23T12:01:00Z", 'say "hi", ü', "1", "2.5", "[]"],
    ]


def test_the_tag_stands_for_everything_but_freshness_and_time_taken() -> None:
    def tag(result: Result, form: str = "json") -> str:
        return respond(QUERY, result, form).headers["etag"]

    later = replace(RESULT, took_ms=9.0, freshness=Freshness("01234567;0:9", NOON_MS + 1, 0, None))
    assert tag(later) == tag(RESULT)
    different = [
        replace(RESULT, rows=RESULT.rows[:2]),
        replace(RESULT, end_ms=RESULT.end_ms + 1000),
        replace(RESULT, restated=True),
        replace(RESULT, columns=(*RESULT.columns[:3], Column("avg", "number", "USD"), RESULT.columns[4])),
    ]
    assert len({tag(RESULT), *map(tag, different), tag(RESULT, "csv"), tag(RESULT, "arrow")}) == 7


def test_who_has_the_answer_is_told_so() -> None:
    etag = respond(QUERY, RESULT, "json").headers["etag"]
    again = respond(QUERY, RESULT, "json", f'"other", {etag}')
    assert (again.status_code, again.body, again.headers["x-position"]) == (304, b"", "01234567;0:3")
    assert matches("*", etag)
    assert not matches('"other"', etag)
    assert not matches(None, etag)
