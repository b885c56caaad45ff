"""The command `tallyboard`: reads flags, hands over to what does the work, turns failures into one sentence."""

from __future__ import annotations

import os
import socket
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tallyboard import installed_version, keys_cli, rejected_cli
from tallyboard.accept_loss_cli import accept_loss
from tallyboard.demo.cli import app as demo_app
from tallyboard.failure import Failure
from tallyboard.send_cli import send
from tallyboard.settings import read

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Live dashboards from a stream of metric events. Every setting is also a variable TALLYBOARD_<SETTING>.",
)
app.add_typer(demo_app, name="demo")
app.add_typer(keys_cli.app, name="key")
app.add_typer(rejected_cli.app, name="rejected")
app.command()(send)
app.command("accept-loss")(accept_loss)


class DemoName(StrEnum):
    flights = "flights"
    host = "host"
    load = "load"
    shop = "shop"
    social = "social"


_Data = Annotated[Path | None, typer.Option("--data", help="Data folder; default .tallyboard.")]
_Workspace = Annotated[Path | None, typer.Option("--workspace", help="Folder with metrics.toml; default here.")]
_Metrics = Annotated[list[Path] | None, typer.Option("--metrics", help="A further registry file; repeatable.")]
_Kafka = Annotated[
    str | None, typer.Option("--kafka", help="HOST:PORT of a running Kafka instead of the embedded one.")
]
_KafkaPort = Annotated[int | None, typer.Option("--kafka-port", help="Port of the embedded Kafka; default 9092.")]
_Host = Annotated[str | None, typer.Option("--host", help="Address to listen on; default 127.0.0.1.")]
_Insecure = Annotated[
    bool | None,
    typer.Option(
        "--insecure-bind", help="Allow another --host than loopback without keys: whoever reaches it reads and writes."
    ),
]
_BasePath = Annotated[
    str | None, typer.Option("--base-path", help="Path of the dashboard behind a proxy, such as /tally.")
]
_Key = Annotated[
    str | None, typer.Option("--key", help="Key with the scope read; TALLYBOARD_KEY does not show it in `ps`.")
]
_IngestPort = Annotated[int | None, typer.Option("--ingest-port", help="Default 8080.")]
_RollupPort = Annotated[int | None, typer.Option("--rollup-port", help="Default 8060.")]
_DashboardPort = Annotated[int | None, typer.Option("--dashboard-port", help="Default 8050.")]
_WORKERS = "Processes of ingest that share its port; default 1."
_Url = Annotated[str | None, typer.Option("--url", help="Address of the dashboard; default: the one running here.")]


@app.command()
def up(
    demo: Annotated[list[DemoName] | None, typer.Option("--demo", help="Feed a demo; repeatable.")] = None,
    data: _Data = None,
    workspace: _Workspace = None,
    metrics: _Metrics = None,
    kafka: _Kafka = None,
    kafka_port: _KafkaPort = None,
    ingest_port: _IngestPort = None,
    ingest_workers: Annotated[int | None, typer.Option("--ingest-workers", help=_WORKERS)] = None,
    rollup_port: _RollupPort = None,
    dashboard_port: _DashboardPort = None,
    host: _Host = None,
    insecure_bind: _Insecure = None,
    base_path: _BasePath = None,
) -> None:
    """Start everything on this machine: Kafka, ingest, rollup, dashboard. Ctrl-C stops it."""
    from tallyboard.console import Voice
    from tallyboard.up import up as run

    settings = read(
        {
            "data": data,
            "workspace": workspace,
            "metrics": tuple(metrics) if metrics else None,
            "kafka": kafka,
            "kafka_port": kafka_port,
            "ingest_port": ingest_port,
            "ingest_workers": ingest_workers,
            "rollup_port": rollup_port,
            "dashboard_port": dashboard_port,
            "host": host,
            "insecure_bind": insecure_bind,
            "base_path": base_path,
        }
    )
    run(settings, tuple(dict.fromkeys(map(str, demo or ()))), Voice())


@app.command()
def ingest(
    workspace: _Workspace = None,
    metrics: _Metrics = None,
    kafka: _Kafka = None,
    host: _Host = None,
    ingest_port: Annotated[int | None, typer.Option("--port", "--ingest-port", help="Default 8080.")] = None,
    ingest_workers: Annotated[int | None, typer.Option("--workers", "--ingest-workers", help=_WORKERS)] = None,
    insecure_bind: _Insecure = None,
    listen_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the write side: takes events over HTTP and puts them into Kafka."""
    settings = read(
        {
            "ingest_workers": ingest_workers,
            "workspace": workspace,
            "metrics": tuple(metrics) if metrics else None,
            "kafka": kafka,
            "host": host,
            "ingest_port": ingest_port,
            "insecure_bind": insecure_bind,
        }
    )
    plan, registry, keys = settings.ingest(), settings.registry(), settings.keys()
    if listen_fd is None and settings.ingest_workers > 1:
        from ingest.logs import configure_logging
        from tallyboard.lifeline import own_command
        from tallyboard.workers import run_workers

        configure_logging(settings.log_format)
        env = {**os.environ, **settings.as_environment()}
        run_workers(own_command("ingest"), settings.ingest_workers, plan.host, plan.port, env)
        return
    from ingest.app import serve

    serve(plan, registry, keys, None if listen_fd is None else socket.socket(fileno=listen_fd))


@app.command()
def rollup(
    data: _Data = None,
    kafka: _Kafka = None,
    host: _Host = None,
    rollup_port: Annotated[int | None, typer.Option("--port", "--rollup-port", help="Default 8060.")] = None,
    insecure_bind: _Insecure = None,
) -> None:
    """Run one rollup worker: turns events into deltas."""
    settings = read(
        {
            "data": data,
            "kafka": kafka,
            "host": host,
            "rollup_port": rollup_port,
            "insecure_bind": insecure_bind,
        }
    )
    from aggregates.worker import serve

    serve(settings.rollup())


@app.command()
def dashboard(
    data: _Data = None,
    workspace: _Workspace = None,
    metrics: _Metrics = None,
    kafka: _Kafka = None,
    host: _Host = None,
    dashboard_port: Annotated[int | None, typer.Option("--port", "--dashboard-port", help="Default 8050.")] = None,
    insecure_bind: _Insecure = None,
    base_path: _BasePath = None,
) -> None:
    """Run one dashboard replica: the read model, its API and its pages."""
    settings = read(
        {
            "data": data,
            "workspace": workspace,
            "metrics": tuple(metrics) if metrics else None,
            "kafka": kafka,
            "host": host,
            "dashboard_port": dashboard_port,
            "insecure_bind": insecure_bind,
            "base_path": base_path,
        }
    )
    from dashboard.app import serve

    serve(settings.dashboard(), settings.registry(), settings.keys())


@app.command()
def kafka(
    data: _Data = None,
    kafka_port: Annotated[int | None, typer.Option("--port", "--kafka-port", help="Default 9092.")] = None,
) -> None:
    """Run the embedded Kafka alone."""
    from tallyboard.console import Voice
    from tallyboard.kafka import BrokerPlan, command_line, hold
    from tallyboard.kafka_cache import ensure_jars

    settings = read({"data": data, "kafka_port": kafka_port})
    voice = Voice()
    with voice.download() as progress:
        jars = ensure_jars(settings.cache_folder, progress, voice.say)
    plan = BrokerPlan(settings.data / "kafka", settings.kafka_port, jars, settings.kafka_heap_mb)
    hold(plan)
    command = command_line(plan)
    voice.say(f"Apache Kafka on {plan.bootstrap}, records in {plan.folder.absolute()}")
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606  this process becomes the broker: one process id, one exit code


@app.command()
def status(
    data: _Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How the roles are: state, lag, restarts, last error. Exit code 1 unless all are ready."""
    import msgspec
    from rich.console import Console

    from tallyboard import status as asked

    found = asked.read(read({"data": data}).data)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode({"ready": found.ready, **msgspec.to_builtins(found)})))
    else:
        asked.show(found, Console(highlight=False))
    raise typer.Exit(0 if found.ready else 1)


@app.command()
def check(workspace: _Workspace = None, metrics: _Metrics = None) -> None:
    """Look for mistakes in the workspace: file, line and field of each. Exit code 1 when there is one."""
    from tallyboard import workspace_cli

    settings = read({"workspace": workspace, "metrics": tuple(metrics) if metrics else None}, workspace_file=False)
    workspace_cli.check(settings.workspace, settings.metrics)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder to write into; made if need be.")] = Path()) -> None:
    """Write a workspace with everything explained; files that are there stay as they are."""
    from tallyboard import workspace_cli

    workspace_cli.init(folder)


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


@app.command()
def query(
    metric: Annotated[str, typer.Argument(help="Name of a metric.")],
    measures: Annotated[str | None, typer.Option(help="Comma-separated: count,sum,avg,min,max,last,rate.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="-90m, -24h, RFC 3339 or epoch ms.")] = None,
    to: Annotated[str | None, typer.Option("--to")] = None,
    step: Annotated[str | None, typer.Option(help="auto, 1s, 10s, 1m, 5m, 15m, 1h, 1d.")] = None,
    by: Annotated[str | None, typer.Option(help="Comma-separated dimensions.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="country:NL or !country:NL; repeatable.")] = None,
    min_position: Annotated[str | None, typer.Option(help="Wait until this position is applied.")] = None,
    output: Annotated[Format, typer.Option("--format")] = Format.table,
    url: _Url = None,
    key: _Key = None,
    data: _Data = None,
) -> None:
    """Ask the read model: what the page shows, as a table, JSON or CSV."""
    from tallyboard.ask import ask

    fields = {"metric": metric, "measures": measures, "from": start, "to": to, "step": step, "by": by}
    fields["min_position"] = min_position
    given = [(name, value) for name, value in fields.items() if value is not None]
    settings = read({"data": data, "key": key})
    asked = [*given, *(("where", one) for one in where or ())]
    ask(url or settings.dashboard_url(), asked, output.value, settings.authorization())


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(installed_version())


def _fail(sentence: str) -> NoReturn:
    sys.stderr.write(f"tallyboard: {sentence}\n")
    sys.exit(1)


def main() -> None:
    """Run the command; a `Failure` is one sentence on stderr and exit code 1."""
    # Wrong usage too: 2 is what `send` says of events that were rejected.
    typer.BadParameter.__mro__[1].exit_code = 1  # type: ignore[attr-defined]
    try:
        app()
    except Failure as failure:
        _fail(str(failure))
    except KeyboardInterrupt:
        sys.exit(130)
