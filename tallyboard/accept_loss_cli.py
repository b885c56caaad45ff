"""`tallyboard accept-loss`: gives up records that Kafka removed before they were rolled up: counting goes on behind."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ingest.log import Log, LogError
from tallyboard import data_folder
from tallyboard.failure import Failure
from tallyboard.settings import Settings, read

if TYPE_CHECKING:
    from aggregates.losses import Loss


def accept_loss(
    partition: Annotated[list[int] | None, typer.Option("--partition", help="Which one; repeatable.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All partitions that lost something.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be given up, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    kafka: Annotated[str | None, typer.Option("--kafka", help="HOST:PORT of the Kafka cluster.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Data folder; default .tallyboard.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Give up records that Kafka removed before they were counted: the ledger lists them, counting goes on behind them.

    Kafka has to run; the roles may. The rollup worker, which ends when it finds the loss, goes on at its next start.
    """
    if (every and partition) or not (every or partition or dry_run):
        raise Failure("Name what to give up: --partition N (repeatable), or --all; --dry-run shows it.")
    from aggregates.losses import find_losses

    settings = _settings(kafka, data)
    try:
        with Log(settings.connection) as log:
            lost = _chosen(find_losses(log, settings.topics), partition, settings.partitions)
            _show(settings, lost, as_json)
            if not lost or dry_run:
                return
            if not yes and not typer.confirm("Give them up?", err=True):
                raise Failure("Nothing was changed.")
            _accept(settings, lost)
    except LogError as error:
        raise Failure(f"{error}.") from error
    typer.echo("Given up. The rollup worker goes on behind them at its next start.", err=True)


def _settings(kafka: str | None, data: Path | None) -> Settings:
    """The settings, with the Kafka that `up` runs here unless another one is named."""
    settings = read({"kafka": kafka, "data": data})
    found = data_folder.find(settings.data) if settings.kafka is None else None
    state = data_folder.read_state(found) if found else None
    return read({"kafka": str(state["addresses"]["kafka"]), "data": data}) if state else settings


def _chosen(lost: list[Loss], partitions: Sequence[int] | None, count: int) -> list[Loss]:
    for wanted in partitions or ():
        if not 0 <= wanted < count:
            raise Failure(f"There is no partition {wanted}: they are numbered from 0 to {count - 1}.")
    return [loss for loss in lost if not partitions or loss.partition in partitions]


def _show(settings: Settings, lost: Sequence[Loss], as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode({"lost": [_document(loss) for loss in lost]})))
        return
    if not lost:
        typer.echo("Nothing is lost: every record that Kafka removed was rolled up before.")
    for loss in lost:
        typer.echo(
            f"{settings.topics.events}, partition {loss.partition}: offsets {loss.first_offset} to "
            f"{loss.next_offset - 1} ({loss.records} records), appended {_between(loss)}"
        )


def _between(loss: Loss) -> str:
    after = "at a time that is not known" if loss.after_ms is None else f"after {_time(loss.after_ms)}"
    return after if loss.before_ms is None else f"{after} and before {_time(loss.before_ms)}"


def _document(loss: Loss) -> dict[str, object]:
    return {
        "topic": loss.topic_id,
        "partition": loss.partition,
        "first_offset": loss.first_offset,
        "next_offset": loss.next_offset,
        "records": loss.records,
        "after": loss.after_ms and _time(loss.after_ms),
        "before": loss.before_ms and _time(loss.before_ms),
    }


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _accept(settings: Settings, lost: Sequence[Loss]) -> None:
    from aggregates.losses import accept
    from ingest.append import Appender

    appender = Appender(settings.connection)
    try:
        for loss in lost:
            accept(loss, settings.topics, appender.append, time.time_ns() // 1_000_000)
    finally:
        appender.close()
