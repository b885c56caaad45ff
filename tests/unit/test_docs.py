"""The documents say what is there: settings, links, commands, modules, tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tallyboard.settings import PREFIX, Settings
from tests.documents import ARCHITECTURE, DOCUMENTS, PACKAGES, README, ROOT, rows, section, without_code

IMPURE = {
    "asyncio", "duckdb", "fastapi", "faust", "httpx", "kafka", "logging", "os", "pathlib", "socket", "starlette",
    "threading", "time", "uvicorn",
}  # fmt: skip


# --- settings -----------------------------------------------------------------------------------------------------


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
    for line in (ROOT / "docs" / "code-map.md").read_text().splitlines():
        if line.startswith("## "):
            package = line.removeprefix("## ").partition(":")[0]
            continue
        for name, mark in re.findall(r"`([\w.]+)`( ●)?", line.split("|")[1] if line.startswith("|") else ""):
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
