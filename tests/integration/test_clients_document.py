"""docs/clients.md: its Python runs as it stands, and its tables are those of the code."""

from __future__ import annotations

import dataclasses
import re
import typing

import pytest
import typer

from ingest.client.settings import Settings, Stats, WhenFull
from ingest.log import KafkaConnection, Log, Topics
from tallyboard.kafka import EmbeddedKafka
from tallyboard.send_cli import send
from tests.documents import ROOT, blocks, rows, section
from tests.write_site import write_site

CLIENTS = (ROOT / "docs" / "clients.md").read_text()
EXAMPLES = blocks(CLIENTS, "python")
HTTP = [example for example in EXAMPLES if "client_kafka" not in example]


def run(example: str) -> None:
    exec(compile(example, "docs/clients.md", "exec"), {"__name__": "__main__"})  # noqa: S102  our own document


@pytest.mark.parametrize("example", HTTP, ids=range(len(HTTP)))
def test_the_examples_run(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    with write_site() as site:
        run(example.replace("http://127.0.0.1:8080", site.url))
        assert site.events() or site.dead()
    printed = capsys.readouterr().out
    assert ("order-4 wrong_type" in printed) == ("order-4" in example)
    assert ("malformed" in printed) == ("nan" in example)


def test_the_kafka_example_runs(broker: EmbeddedKafka, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = (example for example in EXAMPLES if "client_kafka" in example)
    run(example.replace("127.0.0.1:9092", broker.bootstrap))
    assert capsys.readouterr().out.startswith("1 ")
    with Log(KafkaConnection(broker.bootstrap)) as log:
        assert sum(log.end_offsets(Topics().events).values()) >= 1


def shown(value: object) -> str:
    return "–" if value is None else str(value).removesuffix(".0").strip("'")


def test_the_options_are_listed_with_their_defaults() -> None:
    listed = {}
    for names, default, _ in rows(section(CLIENTS, "### Options")):
        for name in re.findall(r"`(\w+)`", names):
            listed[name] = default.strip("`")
    assert listed == {field.name: shown(field.default) for field in dataclasses.fields(Settings)}


def test_the_policies_and_the_counts_are_listed() -> None:
    _, *policies = [row[0].strip("`") for row in rows(section(CLIENTS, "### When the queue is full"))]
    assert sorted(policies) == sorted(typing.get_args(WhenFull))
    counted = section(CLIENTS, "### Options").rpartition("`stats()` counts")[2].split(".")[0]
    assert re.findall(r"`(\w+)`", counted) == [field.name for field in dataclasses.fields(Stats)]


def test_every_option_of_send_is_listed() -> None:
    text = section(CLIENTS, "## A file: `tallyboard send`")
    command = typer.main.get_command(_app())
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    assert options - {"--help"} == set(re.findall(r"--[a-z][a-z-]+", text))


def _app() -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command()(send)
    return app
