"""The table beneath the chart, and its files: the same rows and columns, numbers as numbers, no formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.queries import QueryError
from dashboard.axes import value_axis
from dashboard.explore import view
from dashboard.export import Wish, file_name, parse_wish
from dashboard.export_files import csv_file, number_format, xlsx_file
from dashboard.lines import Chart, Line
from dashboard.links import LONGEST_LINES, export_link, fixed_link
from dashboard.ranges import Times, resolve
from dashboard.scenes import Held
from dashboard.state import Explore, parse
from dashboard.table import Column, Table, rows_in, table_of, table_payload
from tests.counted import REVENUE, Counted

NOON = 1_795_435_200_000
TIMES = Times(NOON, 10_000, 7_200_000)
HOSTILE = (
    "=cmd|' /C calc'!A0",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "<img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "a\nb",
    "x" * 2000,
)


def chart(*lines: tuple[str, tuple[float | None, ...]], behind: tuple[float | None, ...] = ()) -> Chart:
    made = tuple(Line(name, values, "cat-1") for name, values in lines)
    return Chart(NOON, 60_000, made, 2, 3, True, value_axis(0, 1, None, True), (), behind=behind)


def table(*names: str) -> Table:
    columns = tuple(Column(name, (1.0, 2.5, None)) for name in names)
    return Table((NOON, NOON + 60_000, NOON + 120_000), columns, ("final", "may change", "so far"), 60, "UTC", "EUR")


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode())))


def sheet_of(content: bytes, name: str = "Table") -> Any:
    return openpyxl.load_workbook(io.BytesIO(content))[name]


def test_lines_are_columns_and_buckets_rows_up_to_the_open_one() -> None:
    made = table_of(chart(("NL", (None, 2.0, 3.0, 4.0, None)), behind=(9.0, 8.0)), "UTC", "EUR", "last week")
    assert made.heads == ["Time (UTC)", "NL", "last week", "State"]
    assert made.times == (NOON + 60_000, NOON + 120_000, NOON + 180_000)
    assert [column.values for column in made.columns] == [(2.0, 3.0, 4.0), (8.0, None, None)]
    assert made.states == ("final", "may change", "so far")


def test_the_page_gets_texts_in_the_unit_and_in_its_time_zone() -> None:
    made = table_of(chart(("NL", (1234567.0,) * 4)), "Europe/Amsterdam", "EUR")
    payload = table_payload(made)
    assert payload["times"][0] == "23 Nov 2026, 13:00"
    assert payload["texts"] == [["€1.23M"] * 4]
    assert payload["states"] == ["", "", "may change", "so far"]


def test_an_hour_that_comes_twice_is_told_apart() -> None:
    autumn = 1_792_886_400_000  # 25 Oct 2026, 00:00 UTC: 02:00 in summer time
    times = (autumn, autumn + 3_600_000)
    payload = table_payload(Table(times, (Column("m", (1.0, 2.0)),), ("final",) * 2, 3600, "Europe/Amsterdam", None))
    assert payload["times"] == ["25 Oct 2026, 02:00 CEST", "25 Oct 2026, 02:00 CET"]


def test_names_that_read_the_same_are_told_apart() -> None:
    made = table_of(chart(("a", (1.0,) * 4), ("a\u200b", (2.0,) * 4)), "UTC", None)
    assert made.heads == ["Time (UTC)", "a", "a (2)", "State"]


@pytest.mark.parametrize(
    ("order", "rows"),
    [("-time", [2, 1, 0]), ("time", [0, 1, 2]), ("0", [0, 1, 2]), ("-0", [1, 0, 2]), ("-7", [2, 1, 0])],
)
def test_orders(order: str, rows: list[int]) -> None:
    assert rows_in(table("a"), order) == rows


def test_csv_is_the_table_with_all_digits_and_the_offset_of_the_zone() -> None:
    made = Table((NOON,), (Column("NL", (1234567.891,)),), ("final",), 60, "Europe/Amsterdam", "EUR")
    assert rows_of(csv_file(made)) == [
        ["Time (Europe/Amsterdam)", "NL", "State"],
        ["2026-11-23T13:00:00+01:00", "1234567.891", "final"],
    ]
    assert rows_of(csv_file(table("a")))[1] == ["2026-11-23T12:02:00Z", "", "so far"]


def test_xlsx_has_numbers_times_formats_and_says_what_it_is() -> None:
    content = xlsx_file(table("NL"), [("Metric", "=orders")], "time")
    sheet = sheet_of(content)
    head, first, second, third = sheet.iter_rows()
    assert [cell.value for cell in head] == ["Time (UTC)", "NL", "State"]
    assert first[0].value == datetime(2026, 11, 23, 12)  # noqa: DTZ001 - a spreadsheet has no zones
    assert first[0].is_date
    assert (first[1].value, first[1].data_type, first[1].number_format) == (1, "n", '"€"#,##0.00')
    assert second[1].value == 2.5
    assert (third[1].value, third[2].value) == (None, "so far")
    about = sheet_of(content, "About")
    assert (about["B1"].value, about["B1"].data_type) == ("=orders", "s")
    assert xlsx_file(table("NL"), [("Metric", "=orders")], "time") == content


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_a_formula_or_a_link(name: str) -> None:
    made = table_of(chart((name, (1.0,) * 4)), "UTC", None)
    head = rows_of(csv_file(made))[0]
    assert head[1][0] not in "=+-@"
    assert len(head) == 3
    cell = sheet_of(xlsx_file(made, ()))["B1"]
    assert cell.data_type == "s"
    assert cell.hyperlink is None


@given(st.lists(st.one_of(st.none(), st.floats(-1e15, 1e15)), min_size=1, max_size=5))
def test_files_hold_the_values_of_the_table(values: list[float | None]) -> None:
    times = tuple(NOON + i * 60_000 for i in range(len(values)))
    made = Table(times, (Column("m", tuple(values)),), ("final",) * len(values), 60, "UTC", None)
    assert [float(row[1]) if row[1] else None for row in rows_of(csv_file(made, "time"))[1:]] == values
    found = [row[1].value for row in list(sheet_of(xlsx_file(made, (), "time")).iter_rows())[1:]]
    for cell, value in zip(found, values, strict=True):
        assert cell == (None if value is None else pytest.approx(value, rel=1e-14))


@pytest.mark.parametrize(
    ("unit", "whole", "wanted"),
    [
        (None, True, "#,##0"), (None, False, "#,##0.00"), ("EUR", True, '"€"#,##0.00'), ("JPY", False, '"¥"#,##0'),
        ("ratio", False, "0.00%"), ("ms", False, '#,##0.000" ms"'), ("B/s", False, '#,##0" B""/s"'),
        ("/s", False, '#,##0.00"/s"'), ('a"b', True, '#,##0" ab"'),
    ],
)  # fmt: skip
def test_numbers_are_shown_in_their_unit(unit: str | None, whole: bool, wanted: str) -> None:
    assert number_format(unit, whole) == wanted


def test_what_file_is_asked_for() -> None:
    wish = parse_wish(f"metric=m&from=-1h&at={NOON}&line=NL&line=a%26b&order=-0&format=xlsx")
    assert wish == Wish(parse("metric=m&from=-1h")[0], NOON, ("NL", "a&b"), "-0", "xlsx")
    wrong = {"format=pdf": "format", "order=%3D1": "order", "at=tomorrow": "at", "at=9999999999999999": "at"}
    for query, field in wrong.items():
        refused = parse_wish(query)
        assert isinstance(refused, QueryError)
        assert refused.field == field
    assert isinstance(parse_wish("colour=red"), QueryError)


def test_a_file_s_name_fits_every_system() -> None:
    assert file_name("orders.revenue", table("a"), NOON) == "orders.revenue-2026-11-23T120200Z"
    assert file_name('../"\r\n<x>', table("a"), NOON) == "-x--2026-11-23T120200Z".strip("-.")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Counted]:
    counted = Counted(tmp_path, REVENUE)
    orders = [(ago, n, name) for ago in range(5, 900, 5) for n, name in enumerate("ABCDEFG")]
    counted.add(REVENUE, [(NOON - ago * 1000, 7.0 - n, {"country": name}) for ago, n, name in orders])
    counted.known_until(NOON - 400)
    yield counted
    counted.close()


def test_the_link_asks_for_what_is_seen(shop: Counted) -> None:
    state = parse("metric=orders.revenue&by=country&table=open")[0]
    payload, held = view(shop.model, state, Held(), TIMES)
    wish = parse_wish(payload["export"].partition("?")[2])
    assert isinstance(wish, Wish)
    later = Times(NOON + 300_000, 10_000, 7_200_000)
    assert wish.at_ms == NOON
    _, again = view(shop.model, wish.state, Held(top=wish.lines), Times(wish.at_ms, later.grace, later.kept_1s))
    assert again.table == held.table
    assert payload["table"]["heads"] == ["Time (UTC)", "A", "B", "C", "D", "E", "other (2)", "State"]


def test_a_closed_table_is_not_sent(shop: Counted) -> None:
    assert view(shop.model, Explore("orders.revenue"), Held(), TIMES)[0]["table"] is None


def test_links_stay_short_and_fixed_ones_do_not_move() -> None:
    state = parse("metric=m&from=-1h&by=country")[0]
    span = resolve(state, TIMES)
    assert "line=" in export_link(state, span, NOON, ["NL", None])
    assert "line=" not in export_link(state, span, NOON, ["x" * LONGEST_LINES, "y"])
    fixed = parse(fixed_link(state, span).partition("?")[2])[0]
    assert not fixed.live
    again = resolve(fixed, Times(NOON + 999_999, 10_000, 7_200_000))
    assert (again.start_ms, again.end_ms, again.step_s) == (span.start_ms, span.end_ms, span.step_s)
