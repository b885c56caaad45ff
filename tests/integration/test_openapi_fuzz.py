"""The OpenAPI document says what the server does: requests made from it, right and wrong ones, the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import CheckFunction, load_all_checks, not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ingest.app import create_app
from ingest.publish import MemoryPublisher
from ingest.registry import Registry
from ingest.settings import IngestSettings
from tests.ingest_server import IngestServer, serving

SEED = 20_261_123
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
DOCUMENT = create_app(IngestSettings(), Registry(), MemoryPublisher(), lambda: 0).openapi()
OPERATIONS: list[schemathesis.APIOperation[Any, Any, Any, Any]] = [
    found.ok()  # type: ignore[union-attr]
    for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
]

MODES = [
    (operation, mode)
    for operation in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or operation.body  # without a body nothing can be wrong
]


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


@pytest.mark.parametrize(
    ("operation", "mode"), MODES, ids=lambda part: getattr(part, "label", getattr(part, "name", None))
)
def test_requests_made_from_the_document(
    operation: schemathesis.APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    server: IngestServer,
    session: requests.Session,
) -> None:
    load_all_checks()
    statuses = set[int]()

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=100 if operation.body else 10,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case[Any]) -> None:
        answer = case.call(base_url=f"http://127.0.0.1:{server.port}", session=session, timeout=15)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    run()
    if operation.body:  # the requests reached what they are to test
        assert statuses >= ({202, 422} if mode is GenerationMode.POSITIVE else {400, 422})
