"""A table as a file: CSV, and XLSX with real numbers and times. Nothing in a file is a formula or a link."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime

import xlsxwriter  # type: ignore[import-untyped]

from aggregates.zones import zone_named
from dashboard.answers import csv_text_cell
from dashboard.numbers import BYTES, BYTES_IEC, CURRENCIES, NO_CENTS, SECONDS
from dashboard.table import DAY_S, MINUTE_S, NEWEST_FIRST, Table, rows_in

LONGEST_CELL = 32_000
WIDEST = 40
About = Sequence[tuple[str, str]]
"""Name and text of what is said beside the numbers."""


def csv_file(table: Table, order: str = NEWEST_FIRST) -> bytes:
    """RFC 4180 in UTF-8; times are RFC 3339 with the zone's offset, numbers have all their digits."""
    zone = zone_named(table.zone) or UTC
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([csv_text_cell(head) for head in table.heads])
    for i in rows_in(table, order):
        at = datetime.fromtimestamp(table.times[i] / 1000, zone).isoformat().replace("+00:00", "Z")
        writer.writerow([at, *(column.values[i] for column in table.columns), table.states[i]])
    return out.getvalue().encode()


def xlsx_file(table: Table, about: About, order: str = NEWEST_FIRST) -> bytes:
    """A workbook with the table and a sheet that says what it is. Times are those of the clocks in the zone, which the
    heading names, for a spreadsheet knows no zones."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(
        out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    )
    # the same table makes the same bytes
    book.set_properties({"title": "Tallyboard", "created": datetime(2000, 1, 1, tzinfo=UTC)})
    _fill(book, table, order)
    _tell(book, about)
    book.close()
    return out.getvalue()


def _fill(book: xlsxwriter.Workbook, table: Table, order: str) -> None:
    sheet = book.add_worksheet("Table")
    zone = zone_named(table.zone) or UTC
    left = book.add_format({"bold": True, "bottom": 1})
    right = book.add_format({"bold": True, "bottom": 1, "align": "right"})
    clock = book.add_format({"num_format": time_format(table.step_s), "align": "left"})
    whole = all(value.is_integer() for column in table.columns for value in column.values if value is not None)
    number = book.add_format({"num_format": number_format(table.unit, whole)})
    last = len(table.columns) + 1
    for place, head in enumerate(table.heads):
        sheet.write_string(0, place, head[:LONGEST_CELL], right if 0 < place < last else left)
        sheet.set_column(place, place, 22 if place == 0 else min(max(len(head) + 2, 12), WIDEST))
    for row, i in enumerate(rows_in(table, order), start=1):
        at = datetime.fromtimestamp(table.times[i] / 1000, zone).replace(tzinfo=None)
        sheet.write_datetime(row, 0, at, clock)
        for place, column in enumerate(table.columns, start=1):
            value = column.values[i]
            if value is not None:
                sheet.write_number(row, place, value, number)
        sheet.write_string(row, last, table.states[i])
    sheet.freeze_panes(1, 1)


def _tell(book: xlsxwriter.Workbook, about: About) -> None:
    sheet = book.add_worksheet("About")
    bold = book.add_format({"bold": True, "valign": "top"})
    wrapped = book.add_format({"text_wrap": True, "valign": "top"})
    sheet.set_column(0, 0, 18)
    sheet.set_column(1, 1, 90)
    for row, (name, text) in enumerate(about):
        sheet.write_string(row, 0, name, bold)
        sheet.write_string(row, 1, text[:LONGEST_CELL], wrapped)


def time_format(step_s: int) -> str:
    """How a spreadsheet shows the beginning of a bucket."""
    if step_s >= DAY_S:
        return "yyyy-mm-dd"
    return "yyyy-mm-dd hh:mm:ss" if step_s < MINUTE_S else "yyyy-mm-dd hh:mm"


def number_format(unit: str | None, whole: bool = False) -> str:
    """How a spreadsheet shows a number of a unit, with `whole` one without decimals; the number itself keeps all its
    digits."""
    name = (unit or "").removesuffix("/s").strip()
    behind = '"/s"' if unit is not None and unit.endswith("/s") else ""
    if name in CURRENCIES:
        cents = "" if name in NO_CENTS else ".00"
        return f'"{CURRENCIES[name].strip()}"#,##0{cents}{behind}'
    if name == "ratio":
        return f"0.00%{behind}"
    digits = "#,##0" if whole or name in BYTES or name in BYTES_IEC else "#,##0.00"
    if name in SECONDS and not whole:
        digits = "#,##0.000"
    word = name.replace('"', "").replace("\\", "")
    return f'{digits}" {word}"{behind}' if word else f"{digits}{behind}"
