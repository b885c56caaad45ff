"""The documents list every metric, code and endpoint, and their examples work when they are copied."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aggregates.queries import MEASURES, STEPS, Query
from aggregates.query_fields import parse_query
from aggregates.telemetry import ProjectionTelemetry, RollupTelemetry
from dashboard.api import json_object, parameters, router
from dashboard.export import export_router
from dashboard.feed import Feed
from dashboard.receipts import receipts_router
from dashboard.reference import reference_router
from dashboard.rejected import rejected_router
from dashboard.runner import Runner
from dashboard.settings import DashboardSettings
from dashboard.telemetry import AlwaysReady, QueryCollector, health_router
from ingest import openapi
from ingest.app import create_app
from ingest.intake import RETRY_AFTER_S
from ingest.problems import MEDIA_TYPE
from ingest.protocols.detect import CONTENT_TYPES
from ingest.publish import MemoryPublisher
from ingest.registry import Registry, load
from ingest.settings import IngestSettings
from ingest.telemetry import Telemetry
from ingest.verdicts import Reason
from tests.counted import Counted
from tests.documents import API, DOCUMENTS, OPERATIONS, README, ROOT, blocks, rows, section

NOW_MS = 1_795_440_000_000


# --- metrics, codes, endpoints ------------------------------------------------------------------------------------


def exposed(folder: Path) -> set[str]:
    """Names of every metric of every role, as `/metrics` gives them."""
    rollup, dashboard = CollectorRegistry(), CollectorRegistry()
    RollupTelemetry(rollup)
    ProjectionTelemetry(dashboard)
    counted = Counted(folder)
    health_router(Feed(counted.model, DashboardSettings(), lambda: NOW_MS), AlwaysReady(), dashboard)
    dashboard.register(QueryCollector(Runner(), counted.model.remembered))
    texts = [Telemetry().render(), generate_latest(rollup), generate_latest(dashboard)]
    counted.close()
    families = [family for text in texts for family in text_string_to_metric_families(text.decode())]
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
        if not family.name.endswith("_created")
    }


def test_operations_lists_every_prometheus_metric(tmp_path: Path) -> None:
    found = exposed(tmp_path)
    listed = {row[0].strip("`") for row in rows(section(OPERATIONS, "## Metrics")) if row[0].startswith("`")}
    assert listed == found
    assert set(re.findall(r"tallyboard_(?:ingest|rollup|projection|dashboard)_\w+", OPERATIONS)) <= found


def codes(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


def test_the_api_lists_every_verdict() -> None:
    listed = {code for row in rows(section(API, "### Verdict codes")) for code in codes(row[0])}
    assert listed == {reason.value for reason in Reason}


def refusals() -> set[tuple[int, str]]:
    """Status and code of everything that ingest can refuse a request with."""
    source = "\n".join(path.read_text() for path in (ROOT / "ingest").rglob("*.py"))
    found = {(int(status), code) for status, code in re.findall(r"\bProblem\(\s*(\d{3}),\s*\"(\w+)\"", source)}
    busy = {*re.findall(r"\b(?:unavailable|NotCommitted)\(\s*\"(\w+)\"", source), *RETRY_AFTER_S}
    of_the_framework = {(404, "not_found"), (405, "method_not_allowed")}
    return found | {(503, code) for code in busy} | of_the_framework


def test_the_api_lists_every_refusal_of_ingest() -> None:
    table = [row for row in rows(section(API, "### Requests refused as a whole")) if row[0].isdigit()]
    assert {(int(row[0]), code) for row in table for code in codes(row[1])} == refusals()


def test_the_openapi_document_lists_every_status_and_path() -> None:
    document = openapi.document()
    statuses = {status for status, _ in refusals()} - {404, 405, 500}
    assert set(openapi.REFUSALS) == statuses
    answers = document["paths"]["/v1/events"]["post"]["responses"]
    assert set(answers) == {"202", "422", *map(str, statuses)}
    app = create_app(IngestSettings(), Registry(), MemoryPublisher(), lambda: NOW_MS)
    assert app.openapi() == document
    assert set(document["paths"]) == {getattr(route, "path", "") for route in app.routes} - {"/docs", "/openapi.json"}


def test_the_openapi_document_names_what_is_there() -> None:
    text = msgspec.json.encode(openapi.document()).decode()
    schemas = openapi.document()["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) == set(schemas)
    operation = openapi.document()["paths"]["/v1/events"]["post"]
    assert set(operation["requestBody"]["content"]) == set(CONTENT_TYPES)
    assert set(re.findall(r"`(application/[\w.+-]+)`", section(API, "## Sending events: `POST /v1/events`"))) == {
        *CONTENT_TYPES,
        MEDIA_TYPE,
    }


def test_the_api_lists_every_error_and_word_of_a_query() -> None:
    modules = ("api", "app", "formats", "ledger", "receipts", "series")
    source = "".join((ROOT / "dashboard" / f"{name}.py").read_text() for name in modules)
    raised = set(re.findall(r"(?:QueryError\(|\"code\": )\"(\w+)\"", source))
    asking = section(API, "## Asking: `/api/v1/query`")
    assert raised == {code for row in rows(asking) if row[0].isdigit() for code in codes(row[1])} - {"field"}
    assert f"`{' '.join(MEASURES)}`" in asking
    assert f"`{' '.join(STEPS)}`" in asking


def endpoints(folder: Path) -> set[str]:
    """Addresses of ingest and of the dashboard that are no pages."""
    counted = Counted(folder)
    feed = Feed(counted.model, DashboardSettings(), lambda: NOW_MS)
    absent: Any = None
    routers = [
        router(counted.model, lambda: NOW_MS),
        rejected_router(absent, absent, absent, lambda: NOW_MS),
        receipts_router(absent, counted.model, lambda: NOW_MS),
        reference_router(),
        export_router(counted.model, absent, lambda: NOW_MS),
        health_router(feed, AlwaysReady(), CollectorRegistry()),
    ]
    counted.close()
    app = create_app(IngestSettings(), Registry(), MemoryPublisher(), lambda: NOW_MS)
    routes = [*app.routes, *(route for one in routers for route in one.routes)]
    paths = {re.sub(r"{\w*id(:path)?}", "<id>", getattr(route, "path", "")) for route in routes}
    return paths - {"", "/openapi.json", "/docs/oauth2-redirect"}


def test_the_api_lists_every_endpoint(tmp_path: Path) -> None:
    listed = set(re.findall(r"`(?:GET |POST )(/[a-z0-9/<>.]+)`", API[: API.index("\n## ")]))
    assert listed == endpoints(tmp_path)


# --- examples -----------------------------------------------------------------------------------------------------


def queries() -> Iterator[str]:
    """Addresses of GET queries, and bodies of POSTed ones."""
    for text in (README, API):
        yield from re.findall(r"http://[^\s']+/api/v1/query\?[^\s'`\"]+", text)
        yield from re.findall(r"/api/v1/query -d '(.*?)'", text, re.DOTALL)


def test_the_examples_ask_queries_that_are_understood() -> None:
    found = list(queries())
    assert len(found) >= 5
    for text in found:
        if text.startswith("http"):
            fields = parameters(parse_qsl(urlsplit(text).query, keep_blank_values=True))
        else:
            fields = json_object(text.encode())
        assert isinstance(fields, dict), text
        assert isinstance(parse_query(fields, NOW_MS), Query), text


def test_the_examples_are_whole_python_json_and_registries(tmp_path: Path) -> None:
    for document in DOCUMENTS:
        for block in blocks(document.read_text(), "toml"):
            (tmp_path / "metrics.toml").write_text(block)
            assert load(tmp_path / "metrics.toml").metrics
        for block in blocks(document.read_text(), "python"):
            compile(block, str(document), "exec")
        for block in blocks(document.read_text(), "json"):
            json.loads(block)
