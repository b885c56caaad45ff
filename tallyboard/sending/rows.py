"""Files as rows, read piece by piece: NDJSON, CSV and Parquet, from any place on."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from tallyboard.failure import Failure

MAX_LINE_BYTES: Final = 1024 * 1024
_BATCH_ROWS: Final = 8192
_BOM: Final = b"\xef\xbb\xbf"


class Format(StrEnum):
    ndjson = "ndjson"
    csv = "csv"
    parquet = "parquet"


_ENDINGS: Final = {
    ".ndjson": Format.ndjson,
    ".jsonl": Format.ndjson,
    ".json": Format.ndjson,
    ".csv": Format.csv,
    ".tsv": Format.csv,
    ".parquet": Format.parquet,
    ".pq": Format.parquet,
}


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read: `row` rows, and `offset` bytes where rows are lines."""

    row: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is none, and why."""

    message: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `after` is the place behind it, `after.row` its number, counted from 1 (lines for NDJSON, else rows
    below the header). `content` is a line as bytes, or the cells by column."""

    after: Place
    content: bytes | Mapping[str, object] | Unreadable


class Rows(Protocol):
    """An open file."""

    columns: tuple[str, ...] | None
    """Names of the columns; None where each row has its own."""
    total: int | None
    """What `progress` reaches at the end; None when it is not known."""

    def read(self, start: Place) -> Iterator[Row]: ...

    def progress(self, place: Place) -> int: ...

    def close(self) -> None: ...


def format_of(path: Path) -> Format:
    """By the ending of the name. Raises `Failure` for one that says nothing."""
    found = _ENDINGS.get(path.suffix.lower())
    if found is None:
        raise Failure(f"{path} is .ndjson, .csv or .parquet? Say it with --format.")
    return found


def open_rows(path: Path, form: Format, delimiter: str | None) -> Rows:
    """Open a file. Raises `Failure` when it cannot be read."""
    try:
        if form is Format.parquet:
            return ParquetRows(path)
        file = path.open("rb")
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.") from error
    size = path.stat().st_size
    if form is Format.ndjson:
        return LineRows(file, size)
    try:
        return CsvRows(file, size, delimiter or ("\t" if path.suffix.lower() == ".tsv" else ","))
    except Failure:
        file.close()
        raise


class LineRows:
    """NDJSON: each line as it stands, blank ones left out."""

    def __init__(self, file: BinaryIO, total: int | None, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._file = file
        self._max_line_bytes = max_line_bytes
        self.columns: tuple[str, ...] | None = None
        self.total = total

    def read(self, start: Place) -> Iterator[Row]:
        if start.offset:
            self._file.seek(start.offset)
        row, offset = start.row, start.offset
        for line, length in _lines(self._file, self._max_line_bytes):
            row, offset = row + 1, offset + length
            after = Place(row, offset)
            if line is None:
                yield Row(after, Unreadable(f"the line is longer than {self._max_line_bytes} bytes"))
            elif text := (line.removeprefix(_BOM) if row == 1 else line).strip():
                yield Row(after, text)

    def progress(self, place: Place) -> int:
        return place.offset

    def close(self) -> None:
        self._file.close()


class CsvRows:
    """CSV with a header; every cell is a text. Bytes that are not UTF-8 stay visible as lone surrogates."""

    def __init__(self, file: BinaryIO, total: int, delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        self._offset = 0
        self.total: int | None = total
        header = next(self._records(), None)
        if not header:
            raise Failure("The CSV file has no header: its first line names the columns.")
        self._names = tuple(name.strip() for name in header)
        self.columns: tuple[str, ...] | None = self._names
        self._begin = self._offset
        if twice := {name for name in self._names if self._names.count(name) > 1}:
            raise Failure(f"The header names a column twice: {', '.join(sorted(twice))}.")

    def read(self, start: Place) -> Iterator[Row]:
        self._offset = start.offset or self._begin
        self._file.seek(self._offset)
        row = start.row
        for cells in self._records():
            if not cells:
                continue  # a blank line
            row += 1
            after = Place(row, self._offset)
            if len(cells) != len(self._names):  # too few, too: the file may be cut in the middle of the row
                yield Row(after, Unreadable(f"{len(cells)} cells, the header has {len(self._names)}"))
            else:
                yield Row(after, dict(zip(self._names, cells, strict=True)))

    def progress(self, place: Place) -> int:
        return place.offset

    def close(self) -> None:
        self._file.close()

    def _records(self) -> Iterator[list[str]]:
        reader = csv.reader(self._texts(), delimiter=self._delimiter)
        try:
            yield from reader
        except csv.Error as error:
            raise Failure(f"The CSV file cannot be read on near byte {self._offset}: {error}.") from error

    def _texts(self) -> Iterator[str]:
        for line, length in _lines(self._file, MAX_LINE_BYTES):
            if line is None:
                raise Failure(f"A line of the CSV file is longer than {MAX_LINE_BYTES} bytes.")
            plain = line.removeprefix(_BOM) if self._offset == 0 else line
            self._offset += length
            yield plain.decode("utf-8", "surrogateescape")


class ParquetRows:
    """Parquet, some thousand rows in memory at a time."""

    def __init__(self, path: Path) -> None:
        from pyarrow import ArrowException, parquet

        try:
            self._file = parquet.ParquetFile(path)
        except ArrowException as error:
            raise Failure(f"{path} is not Parquet: {error}.") from error
        self.columns: tuple[str, ...] | None = tuple(self._file.schema_arrow.names)
        self.total: int | None = self._file.metadata.num_rows

    def read(self, start: Place) -> Iterator[Row]:
        group, before = 0, 0
        metadata = self._file.metadata
        while group < metadata.num_row_groups and before + metadata.row_group(group).num_rows <= start.row:
            before += metadata.row_group(group).num_rows
            group += 1
        row = before
        if group == metadata.num_row_groups:
            return
        for batch in self._file.iter_batches(_BATCH_ROWS, range(group, metadata.num_row_groups)):
            skipped = min(max(start.row - row, 0), len(batch))
            row += skipped
            for cells in batch.slice(skipped).to_pylist():
                row += 1
                yield Row(Place(row), cells)

    def progress(self, place: Place) -> int:
        return place.row

    def close(self) -> None:
        self._file.close()


def _lines(file: BinaryIO, longest: int) -> Iterator[tuple[bytes | None, int]]:
    """Each line with its length; None in place of one that is too long."""
    while line := file.readline(longest + 1):
        length, ended = len(line), line.endswith(b"\n")
        whole = ended or length <= longest
        while not whole and not ended:
            part = file.readline(longest)
            length += len(part)
            ended = part.endswith(b"\n") or not part
        yield (line if whole else None), length
