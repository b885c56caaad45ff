"""`tallyboard check` and `tallyboard init`: is the workspace right, and a first one with everything explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer

from ingest import keys_file, registry
from ingest.logs import one_line
from ingest.registry import Registry
from tallyboard import workspace_file
from tallyboard.failure import Failure

TEMPLATES: Final = Path(__file__).with_name("workspace")
FILES: Final = (
    ("tallyboard.toml", "tallyboard.toml"),
    ("metrics.toml", "metrics.toml"),
    ("README.md", "README.md"),
    ("gitignore", ".gitignore"),
)
"""Template and file of a fresh workspace; the last would hide itself from git under its own name."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What one kind of file is worth: its mistakes, what deserves a look, and what is there in a few words."""

    mistakes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    there: str = ""


CheckFiles = Callable[[Path, Sequence[Path]], Checked]
"""Takes the workspace folder and the further registry files."""


def check(workspace: Path, metrics: Sequence[Path]) -> None:
    """Print every mistake of the workspace as `file:line: field: message` and exit with 1, or say what is there."""
    if not workspace.is_dir():
        raise Failure(f"There is no folder {workspace}.")
    found = [check_files(workspace, metrics) for check_files in CHECKS]
    for note in (note for one in found for note in one.notes):
        typer.echo(f"note: {one_line(note)}")
    mistakes = [mistake for one in found for mistake in one.mistakes]
    for mistake in mistakes:
        typer.echo(one_line(mistake))
    if mistakes:
        raise typer.Exit(1)
    typer.echo(f"All right: {'; '.join(one.there for one in found if one.there)}.")


def init(folder: Path) -> None:
    """Write a workspace whose comments explain it. Files that are there already stay as they are."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for template, name in FILES:
            typer.echo(_write(folder / name, (TEMPLATES / template).read_bytes()))
    except OSError as error:
        raise Failure(f"{error.filename or folder}: {error.strerror}.") from error
    typer.echo(f"Next: edit {folder / 'metrics.toml'}, then run `tallyboard check` and `tallyboard up` in {folder}.")


def _write(path: Path, content: bytes) -> str:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return f"kept   {path}, which was there already"
    return f"wrote  {path}"


def check_settings(workspace: Path, _metrics: Sequence[Path]) -> Checked:
    """`tallyboard.toml`."""
    path = workspace / workspace_file.FILE_NAME
    mistakes = tuple(map(str, workspace_file.mistakes(path)))
    if mistakes:
        return Checked(mistakes)
    said = workspace_file.settings_of(path)
    return Checked((), (), f"{_counted(len(said), 'setting')} in {path.name}" if said else "")


def check_registry(workspace: Path, metrics: Sequence[Path]) -> Checked:
    """`metrics.toml` and the further registry files."""
    missing = tuple(f"{path}: there is no such file" for path in metrics if not path.is_file())
    paths = (workspace / "metrics.toml", *(path for path in metrics if path.is_file()))
    mistakes = missing + tuple(map(str, registry.mistakes(*paths)))
    if mistakes:
        return Checked(mistakes)
    known = registry.load(*paths)
    others = "taken" if known.unknown == "register" else "rejected"
    there = [_counted(len(known.metrics), "metric")]
    if known.derived:
        there.append(f"{len(known.derived)} derived")
    return Checked((), _unlisted(known), ", ".join([*there, f"metrics that are not listed are {others}"]))


def check_keys(workspace: Path, _metrics: Sequence[Path]) -> Checked:
    """`keys.toml`."""
    path = workspace / keys_file.FILE_NAME
    mistakes = tuple(map(str, keys_file.mistakes(path)))
    if mistakes:
        return Checked(mistakes)
    ring = keys_file.load(path)
    there = "no keys, nobody is asked for one" if ring is None else _counted(len(ring.keys), "key")
    return Checked((), tuple(keys_file.warnings(path)), there)


CHECKS: Final[tuple[CheckFiles, ...]] = (check_settings, check_registry, check_keys)
"""Everything a workspace may hold. A new kind of file adds its check here."""


def _unlisted(known: Registry) -> tuple[str, ...]:
    """Derived metrics may be made of metrics that nobody lists; a slip of the pen looks the same."""
    return tuple(
        f"derived.{name}: {metric} is not listed"
        for name, derived in known.derived.items()
        for metric in dict.fromkeys((derived.numerator[0], derived.denominator[0]))
        if metric not in known.metrics
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
