"""`tallyboard demo …`: each demo as a command of its own, against any ingest."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ingest.client.delivery import Target
from tallyboard.failure import Failure
from tallyboard.settings import read

app = typer.Typer(no_args_is_help=True, help="Send events of a demo through the HTTP API.")

_Url = Annotated[str | None, typer.Option("--url", help="Address of ingest; default: this machine's.")]


def _ingest(url: str | None) -> Target:
    settings = read()
    key = settings.key.get_secret_value() if settings.key else None
    try:
        return Target(url or settings.local_url(settings.ingest_port), key)
    except ValueError as error:
        raise Failure(f"{error}.") from error


def _say(sentence: str) -> None:
    typer.echo(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {sentence}")


@app.command()
def flights(
    url: _Url = None,
    speed: Annotated[float | None, typer.Option(min=1, max=100_000, help="Minutes of 2013 in one minute.")] = None,
    backfill: Annotated[float | None, typer.Option(min=0, max=6 * 86_400, help="Seconds before now to begin.")] = None,
    state: Annotated[Path | None, typer.Option(help="File that lets the next start go on from here.")] = None,
) -> None:
    """The 336,776 flights from New York in 2013, as if they happened now, for ever."""
    from tallyboard.demo.flights import BACKFILL_S, SPEED, replay

    replay(_ingest(url), speed or SPEED, BACKFILL_S if backfill is None else backfill, state, _say)


@app.command()
def host(
    url: _Url = None,
    interval: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds between samples.")] = 1.0,
    state: Annotated[Path | None, typer.Option(hidden=True)] = None,  # noqa: ARG001  every demo takes it
) -> None:
    """This machine's processor, memory, disk and network, for ever."""
    from tallyboard.demo.host import watch

    watch(_ingest(url), interval, _say)


_Seed = Annotated[int, typer.Option(help="The same seed makes the same events.")]
_Backfill = Annotated[float | None, typer.Option(min=0, max=6 * 86_400, help="Seconds of history to send first.")]
_State = Annotated[Path | None, typer.Option(help="File that lets the next start go on from here.")]


@app.command()
def shop(url: _Url = None, seed: _Seed = 1, backfill: _Backfill = None, state: _State = None) -> None:
    """A made-up shop for outdoor gear: orders, payments, stock, for ever. Its story: examples/shop."""
    from tallyboard.demo.player import BACKFILL_S, play
    from tallyboard.demo.shop.world import SHOP

    play(SHOP, _ingest(url), seed, BACKFILL_S if backfill is None else backfill, state, _say)


@app.command()
def social(url: _Url = None, seed: _Seed = 1, backfill: _Backfill = None, state: _State = None) -> None:
    """A made-up social network: posts, likes, follows, trends, for ever. Its story: examples/social."""
    from tallyboard.demo.player import BACKFILL_S, play
    from tallyboard.demo.social.world import SOCIAL

    play(SOCIAL, _ingest(url), seed, BACKFILL_S if backfill is None else backfill, state, _say)


@app.command()
def load(
    url: _Url = None,
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0: as fast as they are taken.")] = 1000.0,
    series: Annotated[int, typer.Option(min=1, max=1_000_000)] = 600,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Events a request.")] = 500,
    connections: Annotated[int, typer.Option(min=1, max=256)] = 4,
    ids: Annotated[bool, typer.Option(help="Give every event an id.")] = True,
    seed: Annotated[int, typer.Option(help="The same seed sends the same values.")] = 1,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after; 60 without --count.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many events.")] = None,
    state: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Random events at a chosen rate; says at the end how many were taken, and how fast."""
    from tallyboard.demo.load import Load, generate

    endless = state is not None  # a supervisor's demo has no end
    limit = seconds if seconds is not None or count is not None or endless else 60.0
    wanted = Load(rate, series, batch, connections, ids, seed, limit, count)
    try:
        tally = asyncio.run(generate(_ingest(url), wanted, uuid.uuid4().hex[:8]))
    except* Failure as failures:
        raise failures.exceptions[0] from None
    _say(str(tally))
