"""The documents list every metric, code and endpoint, and their examples work when they are copied."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aggregates.queries import MEASURES, STEPS, Query
from aggregates.query_fields import parse_query
from aggregates.telemetry import ProjectionTelemetry, RollupTelemetry
from dashboard.api import json_object, parameters, router
from dashboard.feed import Feed
from dashboard.settings import DashboardSettings
from dashboard.telemetry import AlwaysReady, health_router
from ingest.accept import Draft, Rules, judge
from ingest.app import create_app
from ingest.intake import RETRY_AFTER_S
from ingest.protocols import native
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


def test_the_api_lists_every_refusal_of_ingest() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "ingest").rglob("*.py"))
    raised = set(re.findall(r"Problem\(\s*\d{3},\s*\"(\w+)\"", source)) | set(RETRY_AFTER_S)
    of_the_framework = {"not_found", "method_not_allowed"}
    table = rows(section(API, "### Requests refused as a whole"))
    assert {code for row in table for code in codes(row[1])} == raised | of_the_framework


def test_the_api_lists_every_error_and_word_of_a_query() -> None:
    source = (ROOT / "dashboard" / "api.py").read_text() + (ROOT / "dashboard" / "app.py").read_text()
    raised = set(re.findall(r"(?:QueryError\(|\"code\": )\"(\w+)\"", source))
    asking = section(API, "## Asking: `/api/v1/query`")
    assert raised == {code for row in rows(asking) if row[0].isdigit() for code in codes(row[1])} - {"field"}
    assert f"`{' '.join(MEASURES)}`" in asking
    assert f"`{' '.join(STEPS)}`" in asking


def endpoints(folder: Path) -> set[str]:
    """Addresses of ingest and of the dashboard that are no pages."""
    counted = Counted(folder)
    feed = Feed(counted.model, DashboardSettings(), lambda: NOW_MS)
    routers = [router(counted.model, lambda: NOW_MS), health_router(feed, AlwaysReady(), CollectorRegistry())]
    counted.close()
    app = create_app(IngestSettings(), Registry(), MemoryPublisher(), lambda: NOW_MS)
    routes = [*app.routes, *(route for one in routers for route in one.routes)]
    return {getattr(route, "path", "") for route in routes} - {"", "/openapi.json", "/docs/oauth2-redirect"}


def test_the_api_lists_every_endpoint(tmp_path: Path) -> None:
    listed = set(re.findall(r"`(?:GET |POST )(/[a-z0-9/]+)`", API[: API.index("\n## ")]))
    assert listed == endpoints(tmp_path)


# --- examples -----------------------------------------------------------------------------------------------------


def sent_events() -> Iterator[str]:
    """Bodies of the POSTs to ingest in shell examples."""
    for text in (README, API):
        for block in blocks(text, "sh"):
            for command in re.split(r"\n(?=curl)", block):
                if "/v1/events" in command:
                    yield re.search(r"-d '(.*?)'", command, re.DOTALL)[1]  # type: ignore[index]


def queries() -> Iterator[str]:
    """Addresses of GET queries, and bodies of POSTed ones."""
    for text in (README, API):
        yield from re.findall(r"http://[^\s']+/api/v1/query\?[^\s'`\"]+", text)
        yield from re.findall(r"/api/v1/query -d '(.*?)'", text, re.DOTALL)


def test_the_examples_send_events_that_are_taken() -> None:
    bodies = list(sent_events())
    assert len(bodies) >= 2
    for body in bodies:
        batch = native.read(body.strip().encode(), native.Form.JSON, 100)
        assert isinstance(batch, native.Batch)
        assert not batch.undecodable
        for event in batch.events:
            assert isinstance(judge(event, native.parse_dimensions, Rules(), NOW_MS), Draft)


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
