"""The OpenAPI document says what the server does: requests made from it, right and wrong ones, the same every time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from schemathesis.generation import GenerationMode

from ingest.app import create_app
from ingest.publish import MemoryPublisher
from ingest.registry import Registry
from ingest.settings import IngestSettings
from tests.document_requests import Operation, label, modes, operations, statuses_of
from tests.ingest_server import IngestServer, serving

DOCUMENT = create_app(IngestSettings(), Registry(), MemoryPublisher(), lambda: 0).openapi()
OPERATIONS = operations(DOCUMENT)

# without a body nothing can be wrong
MODES = modes(OPERATIONS, lambda operation: bool(operation.body))


@pytest.fixture(scope="module")
def server() -> Iterator[IngestServer]:
    with serving(IngestSettings()) as running:
        yield running


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_the_document_names_all_paths() -> None:
    assert {operation.path for operation in OPERATIONS} >= {"/v1/events", "/health/live", "/health/ready", "/metrics"}


@pytest.mark.parametrize(("operation", "mode"), MODES, ids=label)
def test_requests_made_from_the_document(
    operation: Operation,
    mode: GenerationMode,
    server: IngestServer,
    session: requests.Session,
) -> None:
    statuses = statuses_of(operation, mode, server.port, session, 100 if operation.body else 10)
    if operation.body:  # the requests reached what they are to test
        assert statuses >= ({202, 422} if mode is GenerationMode.POSITIVE else {400, 422})
