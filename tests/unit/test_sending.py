"""`tallyboard send`: files as rows, rows as events, and where to go on."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallyboard.failure import Failure
from tallyboard.sending.columns import Columns, Mapper, NotSent
from tallyboard.sending.resume import Identity, State, StateFile, Tally, digest_of
from tallyboard.sending.rows import CsvRows, Format, LineRows, ParquetRows, Place, Row, Unreadable, format_of, open_rows

NOW_MS = 1_795_440_000_000


def lines(text: bytes) -> LineRows:
    return LineRows(io.BytesIO(text), len(text))


def table(text: str | bytes, delimiter: str = ",") -> CsvRows:
    raw = text.encode() if isinstance(text, str) else text
    return CsvRows(io.BytesIO(raw), len(raw), delimiter)


def contents(found: Iterator[Row]) -> list[Any]:
    return [row.content for row in found]


# --- rows ---------------------------------------------------------------------------------------------------------


def test_lines_keep_their_numbers_and_blank_ones_are_left_out() -> None:
    found = list(lines(b'\xef\xbb\xbf{"a":1}\r\n\n  \n{"b":2}').read(Place()))
    assert [(row.after.row, row.content) for row in found] == [(1, b'{"a":1}'), (4, b'{"b":2}')]


def test_a_line_without_end_is_not_read_into_memory() -> None:
    text = b"short\n" + b"x" * 35 + b"\n" + b"y" * 10 + b"\nend"
    found = list(LineRows(io.BytesIO(text), None, max_line_bytes=10).read(Place()))
    assert [row.after.row for row in found] == [1, 2, 3, 4]
    assert isinstance(found[1].content, Unreadable)
    assert [row.content for row in (found[0], found[2], found[3])] == [b"short", b"y" * 10, b"end"]
    assert found[-1].after.offset == 6 + 36 + 11 + 3


def test_csv_cells_may_hold_everything() -> None:
    file = table('a, b\n1,"x,\n""y"""\n\n2\n3,4,5\n6,\n')
    assert contents(file.read(Place())) == [
        {"a": "1", "b": 'x,\n"y"'},
        Unreadable("1 cells, the header has 2"),
        Unreadable("3 cells, the header has 2"),
        {"a": "6", "b": ""},
    ]
    assert contents(table(b"\xef\xbb\xbfa;b\n\xff;2\n", ";").read(Place())) == [{"a": "\udcff", "b": "2"}]


@pytest.mark.parametrize(("text", "why"), [("", "no header"), ("a,a\n", "twice: a")])
def test_a_csv_that_cannot_be_mapped_is_said_at_once(text: str, why: str) -> None:
    with pytest.raises(Failure, match=why):
        table(text)


def test_parquet_goes_on_in_any_row_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"n": list(range(25))}), path, row_group_size=10)
    file = ParquetRows(path)
    assert (file.columns, file.total) == (("n",), 25)
    for start in range(26):
        found = list(file.read(Place(start)))
        assert [row.content for row in found] == [{"n": n} for n in range(start, 25)]
        assert [row.after.row for row in found] == list(range(start + 1, 26))
    file.close()


@given(st.lists(st.text(alphabet='ab,"\n\r é', max_size=6), max_size=12), st.integers(0, 12))
def test_reading_goes_on_behind_any_row(cells: list[str], after: int) -> None:
    text = "name,n\n" + "".join(f'"{cell.replace(chr(34), 2 * chr(34))}",{n}\n' for n, cell in enumerate(cells))
    whole = list(table(text).read(Place()))
    assert [row.content for row in whole] == [{"name": cell, "n": str(n)} for n, cell in enumerate(cells)]
    start = whole[min(after, len(whole)) - 1].after if whole and after else Place()
    assert list(table(text).read(start)) == whole[start.row :]
    raw = "\n".join(cells).encode()
    every = list(lines(raw).read(Place()))
    for row in every:
        assert list(lines(raw).read(row.after)) == [one for one in every if one.after.row > row.after.row]


def test_the_format_is_in_the_name(tmp_path: Path) -> None:
    assert format_of(Path("x.JSONL")) is Format.ndjson
    assert format_of(Path("x.tsv")) is Format.csv
    with pytest.raises(Failure, match="--format"):
        format_of(Path("x.txt"))
    with pytest.raises(Failure, match="No such file"):
        open_rows(tmp_path / "none.csv", Format.csv, None)
    (tmp_path / "no.parquet").write_bytes(b"a,b\n")
    with pytest.raises(Failure, match="is not Parquet"):
        open_rows(tmp_path / "no.parquet", Format.parquet, None)


# --- columns ------------------------------------------------------------------------------------------------------


def event(cells: Mapping[str, object], columns: Columns = Columns()) -> Any:  # noqa: B008  frozen
    outcome = Mapper(columns, tuple(cells), "f").event(Row(Place(7), cells), NOW_MS)
    return outcome if isinstance(outcome, NotSent) else outcome.document()


def test_the_usual_names_need_no_options() -> None:
    cells = {"metric": "m", "value": "1.5", "time": "2026-01-01T00:00:00Z", "shop": "a", "till": ""}
    assert event(cells) == {
        "metric": "m",
        "value": 1.5,
        "timestamp": "2026-01-01T00:00:00Z",
        "dimensions": {"shop": "a"},
        "id": "f/7",
    }


def test_columns_are_mapped_by_name() -> None:
    columns = Columns("sales", value="eur", time="at", id="no", dimensions=(("country", "land"),), time_unit="s")
    cells = {"eur": 3, "at": 1_700_000_000.5, "no": 12, "land": "NL", "other": "x"}
    assert event(cells, columns) == {
        "metric": "sales",
        "value": 3,
        "timestamp": 1_700_000_000_500,
        "dimensions": {"country": "NL"},
        "id": "12",
    }


@pytest.mark.parametrize(
    ("cell", "value"),
    [("12", 12), (" -1.5e3 ", -1500.0), (".5", 0.5), ("123456789012345678", 123456789012345680.0), (7, 7),
     (Decimal("1.25"), 1.25)],
)  # fmt: skip
def test_numbers(cell: object, value: float) -> None:
    assert event({"metric": "m", "value": cell})["value"] == value


@pytest.mark.parametrize(
    ("cell", "code"), [("", "missing_field"), (None, "missing_field"), ("abc", "wrong_type"), ("nan", "wrong_type"),
                       ("1e999", "out_of_range"), (b"x", "wrong_type")],
)  # fmt: skip
def test_a_cell_that_is_no_number_is_not_sent(cell: object, code: str) -> None:
    outcome = event({"metric": "m", "value": cell})
    assert isinstance(outcome, NotSent)
    assert outcome.code == code


def test_texts_are_sent_as_texts_when_asked() -> None:
    assert event({"metric": "m", "value": "007"}, Columns(text=True))["value"] == "007"
    assert event({"metric": "m", "value": 7}, Columns(text=True))["value"] == "7"


@pytest.mark.parametrize(
    ("cell", "columns", "timestamp"),
    [
        ("1700000000000", Columns(), 1_700_000_000_000),
        ("1700000000", Columns(time_unit="s"), 1_700_000_000_000),
        (1_700_000_000_000_001, Columns(time_unit="us"), 1_700_000_000_000),
        ("2026-01-01 00:00", Columns(zone="Europe/Amsterdam"), 1_767_222_000_000),
        ("2026-01-01 00:00", Columns(), "2026-01-01 00:00"),
        ("2026-01-01T00:00:00+02:00", Columns(zone="UTC"), 1_767_218_400_000),
        (datetime(2026, 1, 1, tzinfo=UTC), Columns(), 1_767_225_600_000),
        (datetime(2026, 1, 1), Columns(zone="UTC"), 1_767_225_600_000),  # noqa: DTZ001  as files have them
        (date(2026, 1, 1), Columns(zone="UTC"), 1_767_225_600_000),
        ("soon", Columns(zone="UTC"), "soon"),
        ("", Columns(), NOW_MS),
    ],
)
def test_times(cell: object, columns: Columns, timestamp: int | str) -> None:
    assert event({"metric": "m", "value": 1, "time": cell}, columns)["timestamp"] == timestamp


def test_dimensions_are_texts() -> None:
    cells = {"metric": "m", "value": 1, "a": 5, "b": 2.0, "c": True, "d": None, "e": 0.5}
    assert event(cells)["dimensions"] == {"a": "5", "b": "2", "c": "true", "e": "0.5"}
    whole = {"metric": "m", "value": 1, "dimensions": '{"x": "y"}', "other": "not one"}
    assert event(whole)["dimensions"] == {"x": "y"}
    assert event({**whole, "dimensions": {"x": "y", "z": None}})["dimensions"] == {"x": "y"}
    assert event({**whole, "dimensions": [("x", "y")]})["dimensions"] == {"x": "y"}


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (Columns(), "Which metric is it"),
        (Columns("m"), "Which column is the value"),
        (Columns("m", value="z"), "no column 'z'; there are: a, b"),
        (Columns("m", value="a", dimensions=(("x", "y"),)), "no column 'y'"),
    ],
)
def test_a_missing_column_is_named(columns: Columns, why: str) -> None:
    with pytest.raises(Failure, match=why):
        Mapper(columns, ("a", "b"), "f")


def line(text: bytes, columns: Columns = Columns()) -> bytes:  # noqa: B008  frozen
    outcome = Mapper(columns, None, "f").event(Row(Place(3), text), NOW_MS)
    assert not isinstance(outcome, NotSent)
    return outcome.text


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (b'{"metric": "m",  "value": 1.10 }', b'{"metric": "m",  "value": 1.10,"id":"f/3"}'),
        (b'{"metric":"m","value":1,"id":"own"}', b'{"metric":"m","value":1,"id":"own"}'),
        (b'{"metric":"m","id":null,"value":1}', b'{"metric":"m","id":null,"value":1,"id":"f/3"}'),
        (b"{}", b'{"id":"f/3"}'),
        (b'{"value":NaN}', b'{"value":NaN}'),
        (b"[1]", b"[1]"),
        (b"\xff", b"\xff"),
    ],
)
def test_lines_are_sent_as_they_stand(text: bytes, sent: bytes) -> None:
    assert line(text) == sent


def test_lines_can_be_mapped() -> None:
    columns = Columns("m", value="n", dimensions=(("c", "country"),))
    assert json.loads(line(b'{"n": 5, "country": "NL", "x": [1]}', columns)) == {
        "metric": "m",
        "value": 5,
        "timestamp": NOW_MS,
        "dimensions": {"c": "NL"},
        "id": "f/3",
    }
    assert line(b"{nothing", columns) == b"{nothing"


# --- where to go on -----------------------------------------------------------------------------------------------


def test_the_state_belongs_to_the_file_as_it_was(tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    data.write_text("metric,value\nm,1\n")
    file, identity = StateFile(tmp_path / "cache", data, "options"), Identity.of(data)
    assert file.load(identity) is None
    tally = Tally(5)
    tally.refuse("wrong_type", 3, "no number")
    state = State(identity, "d1", Place(6, 60), tally)
    file.save(state)
    assert file.load(identity) == state
    assert StateFile(tmp_path / "cache", data, "others").load(identity) is None
    data.write_text("metric,value\nm,2\n")
    assert file.load(Identity.of(data)) is None
    file.path.write_text("{")
    assert file.load(identity) is None


def test_ids_depend_on_content_and_options_alone(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x" * 200_000)
    two.write_bytes(b"x" * 200_000)
    assert digest_of(one, "o") == digest_of(two, "o") != digest_of(one, "p")
    two.write_bytes(b"x" * 199_999 + b"y")
    assert digest_of(one, "o") != digest_of(two, "o")


def test_examples_are_few() -> None:
    tally = Tally()
    for row in range(100):
        tally.refuse("malformed", row, "why")
    assert (tally.rejected, len(tally.refused["malformed"].examples)) == (100, 3)
