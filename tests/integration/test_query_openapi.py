"""The OpenAPI document of the dashboard says what is there, and its examples run as they stand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pyarrow as pa
import pytest
import requests
from schemathesis.generation import GenerationMode

from aggregates.query_fields import FIELDS
from dashboard import annotation_fields, series
from dashboard.openapi import document
from dashboard.reference import ADDRESS
from dashboard.samples import BASE, SAMPLES, Sample
from dashboard.schemas import QUERY
from tests.asked import board
from tests.conftest import unavailable
from tests.document_requests import Operation, label, modes, operations, statuses_of
from tests.documents import API, README, blocks
from tests.ingest_server import ThreadedServer

DOCUMENT = document()
CURL = 'curl() { command curl -sS --fail-with-body --max-time 20 "$@"; }\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedServer]:
    with board(tmp_path_factory.mktemp("board")) as (_, running):
        yield running


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def names(path: str) -> set[str]:
    return {parameter["name"] for parameter in DOCUMENT["paths"][path]["get"].get("parameters", [])}


def test_its_fields_are_those_of_a_query() -> None:
    assert set(QUERY) == FIELDS == names("/api/v1/query")
    assert names("/api/v1/series") == set(series.FIELDS)
    assert names("/api/v1/receipts") == {"position"}
    assert names("/api/v1/annotations") == set(annotation_fields.LISTED)


def test_it_names_what_is_there() -> None:
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(DOCUMENT)))
    assert used == set(DOCUMENT["components"]["schemas"])


def test_it_is_served_as_document_and_as_page(server: ThreadedServer) -> None:
    base = f"http://127.0.0.1:{server.port}"
    assert httpx.get(base + ADDRESS, trust_env=False).json() == DOCUMENT
    page = httpx.get(base + "/docs", trust_env=False)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert ADDRESS in page.text
    assert "<script" not in page.text
    for sample in SAMPLES:
        assert sample.label in page.text


def documented() -> Iterator[Sample]:
    """The commands of the documents that ask the dashboard, but for those about rejected events."""
    for text in (API, README):
        for block in blocks(text, "sh"):
            for command in re.split(r"\n(?=curl|printf)", block):
                if f"{BASE}/api/v1/" in command and "/rejected" not in command:
                    yield Sample(command[:60], command)


def test_the_documents_have_examples() -> None:
    asked = " ".join(sample.command for sample in documented())
    for path in ("query", "catalogue", "series", "freshness", "ledger", "receipts", "annotations"):
        assert f"/api/v1/{path}" in asked


def test_the_arrow_example_runs(server: ThreadedServer, tmp_path: Path) -> None:
    (code,) = (code for code in blocks(API, "python") if "pyarrow" in code)
    (tmp_path / "example.py").write_text(code.replace(BASE, f"http://127.0.0.1:{server.port}"))
    done = subprocess.run([sys.executable, "-I", "example.py"], cwd=tmp_path, env={}, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert b"01234567;0:1" in done.stdout


@pytest.mark.parametrize("sample", [*SAMPLES, *documented()], ids=lambda sample: sample.label)
def test_an_example_runs(server: ThreadedServer, sample: Sample, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        unavailable("no curl here")
    assert BASE in sample.command
    base = f"http://127.0.0.1:{server.port}"
    command = CURL + sample.command.replace(BASE, base)
    if "/annotations/deploy-7" in command:  # one of its own: tests run in any order
        own = {"id": f"deploy-{uuid4().hex}", "text": "Version 7 went out", "at": "-10m"}
        assert httpx.post(base + "/api/v1/annotations", json=own, trust_env=False).is_success
        command = command.replace("deploy-7", own["id"])
    environment = {"PATH": os.environ["PATH"], "TALLYBOARD_KEY": "tb_example"}
    done = subprocess.run(["sh", "-euc", command], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout.decode(errors="replace") + done.stderr.decode()
    if "arrow" in sample.command:
        assert pa.ipc.open_stream(done.stdout).read_all().num_rows
    elif "format=csv" in sample.command:
        assert done.stdout.startswith(b"time,sum,p99\r\n")
    else:
        assert isinstance(json.loads(done.stdout), dict)


OPERATIONS = operations(DOCUMENT)
MODES = modes(OPERATIONS, lambda operation: bool(operation.body or operation.query))


@pytest.mark.parametrize(("operation", "mode"), MODES, ids=label)
def test_requests_made_from_the_document(
    operation: Operation,
    mode: GenerationMode,
    server: ThreadedServer,
    session: requests.Session,
) -> None:
    statuses = statuses_of(operation, mode, server.port, session, 60 if operation.body or operation.query else 5)
    assert statuses
