"""The examples for sending events do what they say: they run as they stand, against the real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.examples import BASE, SAMPLES
from ingest.settings import IngestSettings
from tests.conftest import unavailable
from tests.documents import API, DOCUMENTS, ROOT, blocks, section
from tests.ingest_server import IngestServer, serving

SENDING = section(API, "## Sending events: `POST /v1/events`")
CURL = 'curl() { command curl -sS --fail-with-body --max-time 20 "$@" && echo; }\n'


@pytest.fixture(scope="module")
def server() -> Iterator[IngestServer]:
    with serving(IngestSettings()) as running:
        yield running


def commands() -> Iterator[tuple[str, str]]:
    """Where a command that sends events stands, and the command."""
    for document in DOCUMENTS:
        for block in blocks(document.read_text(), "sh"):
            for command in re.split(r"\n(?=curl|printf)", block):
                if "curl" in command and "/v1/events" in command:
                    yield str(document.relative_to(ROOT)), command
    for sample in SAMPLES:
        yield f"/docs: {sample.label}", sample.command


def run(arguments: list[str], folder: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "TALLYBOARD_KEY": "tb_example"}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("place", "command"), [pytest.param(*one, id=f"{n}-{one[0]}") for n, one in enumerate(commands())]
)
def test_the_shell_examples_send_events_that_are_taken(
    server: IngestServer, tmp_path: Path, place: str, command: str
) -> None:
    for tool in ("curl", "gzip", "zstd"):
        if re.search(rf"\b{tool} -|\| {tool}\b|^{tool} ", command) and shutil.which(tool) is None:
            unavailable(f"no {tool} here")
    assert BASE in command, place
    printed = run(["sh", "-euc", CURL + command.replace(BASE, f"http://127.0.0.1:{server.port}")], tmp_path)
    answers = [json.loads(line) for line in printed.splitlines()]
    assert answers
    for answer in answers:
        assert answer["accepted"] > 0
        assert answer["rejected"] == 0


def test_the_python_example_sends_an_event(server: IngestServer, tmp_path: Path) -> None:
    (code,) = blocks(SENDING, "python")
    before = len(server.ids())
    (tmp_path / "example.py").write_text(code.replace(BASE, f"http://127.0.0.1:{server.port}"))
    printed = run([sys.executable, "-I", "example.py"], tmp_path)
    assert "'accepted': 1" in printed
    assert len(server.ids()) == before + 1


def test_every_way_to_send_has_an_example() -> None:
    text = "\n".join(command for _, command in commands()).lower()
    for way in ("atomic=true", "import=true", "idempotency-key", "zstd", "gzip", "ce-specversion", "x-ndjson"):
        assert way in text
    for media_type in ("application/cloudevents+json", "application/cloudevents-batch+json"):
        assert media_type in text
    assert len(blocks(SENDING, "sh")) >= 3
