"""The documents say what is there: names, addresses, defaults, links, and the examples people copy."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml  # type: ignore[import-untyped]
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
from ingest.registry import Registry
from ingest.settings import IngestSettings
from ingest.telemetry import Telemetry
from ingest.verdicts import Reason
from tallyboard.kafka_cache import KAFKA_VERSION
from tallyboard.settings import PREFIX, Settings
from tests.counted import Counted

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest", "aggregates", "dashboard", "tallyboard")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README, ARCHITECTURE, API, OPERATIONS = (
    (ROOT / name).read_text() for name in ("README.md", "ARCHITECTURE.md", "docs/api.md", "docs/operations.md")
)
ROLE_PORTS = {"ingest": "ingest_port", "rollup": "rollup_port", "dashboard": "dashboard_port"}
IMPURE = {
    "asyncio", "duckdb", "fastapi", "faust", "httpx", "kafka", "logging", "os", "pathlib", "socket", "starlette",
    "threading", "time", "uvicorn",
}  # fmt: skip
NOW_MS = 1_795_440_000_000


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level."""
    level = heading.split(" ", 1)[0]
    start = text.index(f"\n{heading}\n")
    end = re.compile(rf"\n#{{1,{len(level)}}} ").search(text, start + len(heading))
    return text[start : end.start() if end else None]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every table row, without headings and rules."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


# --- settings and containers --------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """A default as the README writes it."""
    if value in (None, ()):
        return "–"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.removesuffix('.0')}`"


def test_the_readme_lists_every_setting_with_its_default() -> None:
    listed = {row[0]: row[1] for row in rows(section(README, "## Settings")) if row[0].startswith("`")}
    fields = {f"`{PREFIX}{name.upper()}`": shown(field.default) for name, field in Settings.model_fields.items()}
    assert listed == fields


def compose() -> dict[str, Any]:
    """The services by name, and the volumes."""
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return {**document["services"], "volumes": document["volumes"]}


def test_compose_uses_settings_that_exist() -> None:
    for role in ROLE_PORTS:
        given = compose()[role]["environment"]
        fields = {name.removeprefix(PREFIX).lower(): value for name, value in given.items()}
        assert fields.keys() <= Settings.model_fields.keys()
        settings = Settings.model_validate(fields)
        assert settings.kafka == "kafka:9092"
        assert role in settings.hosts


@pytest.mark.parametrize("role", ROLE_PORTS)
def test_compose_publishes_and_asks_the_real_ports_on_loopback_only(role: str) -> None:
    service = compose()[role]
    port = Settings.model_fields[ROLE_PORTS[role]].default
    assert service["command"] == [role]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}/health/ready" in service["healthcheck"]["test"][-1]
    ast.parse(service["healthcheck"]["test"][-1])
    assert service["restart"] == "unless-stopped"


def test_composes_kafka_is_the_tested_version_and_reached_by_its_service_name() -> None:
    kafka = compose()["kafka"]
    assert kafka["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://kafka:9092"
    assert "ports" not in kafka
    volume, folder = kafka["volumes"][0].split(":")
    assert volume in compose()["volumes"]
    assert folder == kafka["environment"]["KAFKA_LOG_DIRS"]


def test_the_image_copies_what_exists_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line
        if "=" in line and PREFIX in line:
            assert line.split(PREFIX)[1].split("=")[0].lower() in Settings.model_fields
    assert [line for line in lines if line.startswith("USER ")] == ["USER tallyboard"]
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert copied <= allowed
    assert set(PACKAGES) <= copied


# --- links, commands, sizes ---------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as they are made on the web."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text: str) -> list[str]:
    plain = without_code(text)
    return re.findall(r"\]\(([^)\s]+)\)", plain) + re.findall(r"(?:src|srcset)=\"([^\"]+)\"", plain)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    for link in links(document.read_text()):
        if urlsplit(link).scheme:
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|^|&& )make ([a-z]+)", document.read_text(), re.MULTILINE))
        assert named <= targets, document


def test_documents_stay_short() -> None:
    assert len(ARCHITECTURE.splitlines()) <= 150
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        assert len(path.read_text().splitlines()) <= 60, path.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_fences_are_closed(document: Path) -> None:
    text = document.read_text()
    assert text.count("\n```") % 2 == 0
    assert "\t" not in text
    assert text.endswith("\n")


# --- the architecture ---------------------------------------------------------------------------------------------


def modules() -> dict[str, Path]:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def mapped() -> dict[str, bool]:
    """Module → whether the code map calls it pure."""
    found: dict[str, bool] = {}
    package = ""
    for cells in rows(section(ARCHITECTURE, "## Code map")):
        if cells[0] in PACKAGES:
            package = cells[0]
            continue
        for name, mark in re.findall(r"`([\w.]+)`( ●)?", cells[0]):
            if not name.endswith(".sql"):
                assert f"{package}.{name}" not in found, name
                found[f"{package}.{name}"] = bool(mark)
    return found


def test_the_code_map_names_every_module_once() -> None:
    assert set(mapped()) == set(modules())


def test_what_is_marked_pure_imports_nothing_of_the_world() -> None:
    for module, is_pure in mapped().items():
        tree = ast.parse(modules()[module].read_text())
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not is_pure or not {name.split(".")[0] for name in names} & IMPURE, module


def test_the_journey_names_what_exists() -> None:
    """After a module come names that it defines."""
    known, module = modules(), ""
    for name in re.findall(r"`([^`]+)`", section(ARCHITECTURE, "## One event's journey")):
        if name in known:
            module = name
        elif "/" in name:
            assert (ROOT / name).is_file(), name
        else:
            assert defines(known[module], name), f"{module}: {name}"


def defines(path: Path, name: str) -> bool:
    """Whether a module has the function, class, constant or `Class.method`."""
    owner, _, member = name.partition(".")
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == owner:
            return not member or any(getattr(inner, "name", "") == member for inner in node.body)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == owner:
            return not member
    return False


def test_every_test_that_is_named_exists() -> None:
    for document in DOCUMENTS:
        for name in re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", document.read_text()):
            path, _, function = name.partition("::")
            assert (ROOT / path).exists(), f"{document.name}: {name}"
            assert not function or f"def {function}(" in (ROOT / path).read_text(), f"{document.name}: {name}"


def test_every_invariant_names_the_test_that_holds_it() -> None:
    invariants = re.findall(r"^\d+\. .+$", section(ARCHITECTURE, "## Invariants"), re.MULTILINE)
    assert invariants
    assert all("`tests/" in line for line in invariants)


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


def test_the_examples_are_whole_python_and_json() -> None:
    for document in DOCUMENTS:
        for block in blocks(document.read_text(), "python"):
            compile(block, str(document), "exec")
        for block in blocks(document.read_text(), "json"):
            json.loads(block)
