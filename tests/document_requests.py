"""Requests made from an OpenAPI document, right and wrong ones, the same every time; answers held against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import requests
import schemathesis
from schemathesis.checks import CheckFunction, load_all_checks, not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

SEED = 20_261_123
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
Operation = schemathesis.APIOperation[Any, Any, Any, Any]


def operations(document: dict[str, Any]) -> list[Operation]:
    """What the document says can be asked."""
    found = schemathesis.openapi.from_dict(document).get_all_operations()
    return [operation.ok() for operation in found]  # type: ignore[union-attr]


def modes(found: list[Operation], may_be_wrong: Callable[[Operation], bool]) -> list[tuple[Operation, GenerationMode]]:
    """Each operation with right requests, and with wrong ones where something can be wrong."""
    both = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    return [(one, mode) for one in found for mode in both if mode is GenerationMode.POSITIVE or may_be_wrong(one)]


def label(part: object) -> str | None:
    """The name of an operation or a mode in the name of a test."""
    return getattr(part, "label", getattr(part, "name", None))


def statuses_of(
    operation: Operation, mode: GenerationMode, port: int, session: requests.Session, examples: int
) -> set[int]:
    """Send so many requests; the statuses they got. Raises what schemathesis finds wrong with an answer."""
    load_all_checks()
    statuses = set[int]()

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case[Any]) -> None:
        answer = case.call(base_url=f"http://127.0.0.1:{port}", session=session, timeout=15)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    run()
    return statuses
