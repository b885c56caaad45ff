"""Files of a workspace in TOML: what they say, and mistakes in them with file, line and field."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.toml_lines import Place, line_of, lines_of
from ingest.toml_tables import Note, Table


class TomlMistake(Exception):
    """A file that cannot be used: names the file, where possible the line, and the field."""

    def __init__(self, file: Path, line: int | None, field: str, message: str) -> None:
        self.file, self.line, self.field, self.message = file, line, field, message
        where = f"{file}:{line}" if line else str(file)
        super().__init__(f"{where}: {field}: {message}" if field else f"{where}: {message}")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A file that is TOML."""

    path: Path
    document: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Place, int] = field(default_factory=dict)

    def top(self, note: Note) -> Table:
        """The whole document as a table."""
        return Table(self.document, (), note)

    def mistake(self, place: Place, message: str) -> TomlMistake:
        """A mistake at a place of the document."""
        # A dot in a key looks like one between fields: it is read by people, who know their keys.
        name = ".".join(part for part in place if isinstance(part, str)).rstrip(".")
        return TomlMistake(self.path, line_of(self.lines, place), name, message)


def read(path: Path) -> TomlFile:
    """The file; an empty one where there is none. Raises `TomlMistake`."""
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
        document = tomllib.loads(text)
    except FileNotFoundError:
        return TomlFile(path)
    except OSError as error:
        raise TomlMistake(path, None, "", f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TomlMistake(path, None, "", f"not UTF-8: {error}") from None
    except (ValueError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines())
        raise TomlMistake(path, line, "", f"not TOML: {error}") from None
    return TomlFile(path, document, lines_of(text))
