"""`tallyboard send`: reads flags, shows progress, and says what became of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from tallyboard.failure import Failure
from tallyboard.sending.columns import Columns
from tallyboard.sending.resume import Tally
from tallyboard.sending.rows import Format, Place
from tallyboard.sending.run import Shipment, Wanted
from tallyboard.settings import read

if TYPE_CHECKING:
    from rich.console import Console

PREVIEW_ROWS = 5
SOME_REJECTED = 2
INTERRUPTED = 130


class Unit(StrEnum):
    s = "s"
    ms = "ms"
    us = "us"
    ns = "ns"


def send(
    file: Annotated[Path, typer.Argument(help="NDJSON, CSV or Parquet; - reads NDJSON from standard input.")],
    url: Annotated[str | None, typer.Option("--url", help="Address of ingest; default: this machine's.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Key with the scope write; TALLYBOARD_KEY does not show it in `ps`.")
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Name of the metric of every row.")] = None,
    metric_column: Annotated[str | None, typer.Option("--metric-column", help="Default: metric.")] = None,
    value_column: Annotated[str | None, typer.Option("--value-column", help="Default: value.")] = None,
    time_column: Annotated[
        str | None, typer.Option("--time-column", help="Default: timestamp, time, ts, datetime or date.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id-column", help="Default: id, else ids from file and row.")
    ] = None,
    dimension: Annotated[
        list[str] | None,
        typer.Option("--dimension", help="Columns a,b or NEW=COLUMN; repeatable. Default: all other columns."),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Values are texts, for metrics of kind unique.")] = False,
    time_unit: Annotated[Unit, typer.Option("--time-unit", help="Unit of times that are numbers.")] = Unit.ms,
    timezone: Annotated[str | None, typer.Option("--timezone", help="Zone of times that have none.")] = None,
    form: Annotated[Format | None, typer.Option("--format", help="Default: by the file's ending.")] = None,
    delimiter: Annotated[str | None, typer.Option("--delimiter", help="Of CSV; default a comma.")] = None,
    history: Annotated[bool, typer.Option("--import", help="Old events: history, not news.")] = False,
    atomic: Annotated[bool, typer.Option("--atomic", help="One rejected event rejects its request.")] = False,
    batch: Annotated[int, typer.Option("--batch", min=1, max=10_000, help="Events a request.")] = 2_000,
    rate: Annotated[float, typer.Option("--rate", min=0, help="Events a second; 0: as fast as they are taken.")] = 0.0,
    restart: Annotated[bool, typer.Option("--restart", help="From the first row, with the same ids.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the first events, send nothing.")] = False,
) -> None:
    """Send the rows of a file as events. Exit code 0: all accepted; 2: some rejected; 1: not finished."""
    settings = read()
    columns = Columns(
        metric=metric,
        metric_column=metric_column,
        value=value_column,
        time=time_column,
        id=id_column,
        dimensions=_dimensions(dimension),
        text=text,
        time_unit=time_unit.value,
        zone=_zone(timezone),
    )
    address = url or settings.local_url(settings.ingest_port)
    path = None if str(file) == "-" else file
    if key is None and settings.key is not None:
        key = settings.key.get_secret_value()
    wanted = Wanted(path, address, columns, form, delimiter, key, history, atomic, batch, rate, restart)
    ship(wanted, settings.cache_folder / "send", dry_run)


def ship(wanted: Wanted, folder: Path, dry_run: bool) -> None:
    """Send, and end with the exit code that says how it went."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with closing(Shipment(wanted, folder, lambda sentence: console.print(escape(sentence)))) as shipment:
        if dry_run:
            for line in shipment.preview(PREVIEW_ROWS):
                typer.echo(line)
            return
        if shipment.state.finished:
            typer.echo(f"{wanted.path} was sent before; --restart sends it again, with the same ids.")
        else:
            try:
                with _bar(console, shipment) as progressed:
                    shipment.send(progressed)
            except KeyboardInterrupt:
                _summary(shipment.state.tally)
                console.print(escape(_interrupted(wanted, shipment.state.place)))
                raise typer.Exit(INTERRUPTED) from None
            except Failure:
                _summary(shipment.state.tally)
                raise
        _summary(shipment.state.tally)
    raise typer.Exit(SOME_REJECTED if shipment.state.tally.rejected else 0)


@contextmanager
def _bar(console: Console, shipment: Shipment) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, nothing elsewhere: the summary says it all."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    if not console.is_terminal:
        yield lambda done: None
        return
    rows = shipment.rows
    count = MofNCompleteColumn() if rows.total is None else TaskProgressColumn()
    columns = ("[progress.description]{task.description}", BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=rows.total, completed=rows.progress(shipment.state.place))

        def progressed(done: int) -> None:
            tally = shipment.state.tally
            bar.update(task, completed=done, description=f"{tally.accepted:,} accepted, {tally.rejected:,} rejected")

        yield progressed


def _summary(tally: Tally) -> None:
    typer.echo(f"{tally.accepted:,} accepted, {tally.rejected:,} rejected")
    for code, refused in sorted(tally.refused.items(), key=lambda item: -item[1].rows):
        typer.echo(f"  {code}: {refused.rows:,}")
        for row, message in refused.examples:
            typer.echo(f"    row {row:,}: {message}")


def _interrupted(wanted: Wanted, place: Place) -> str:
    if wanted.path is None:
        return f"Stopped. The first {place.row:,} lines are answered for; standard input cannot be resumed."
    return f"Stopped. {place.row:,} rows are answered for; the same command goes on behind them."


def _dimensions(given: list[str] | None) -> tuple[tuple[str, str], ...] | None:
    if given is None:
        return None
    pairs = []
    for part in filter(None, (part.strip() for text in given for part in text.split(","))):
        name, equals, column = part.partition("=")
        pairs.append((name, column if equals else name))
    return tuple(pairs)


def _zone(name: str | None) -> str | None:
    if name is not None:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise Failure(f"{name!r} is no time zone: Europe/Amsterdam is one.") from error
    return name
