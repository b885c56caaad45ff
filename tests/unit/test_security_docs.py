"""docs/security.md says what the code does: limits, codes, the file, the commands."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from dashboard.access import FOLLOW_S, OPEN, OPEN_FOLDERS
from dashboard.gate import LOOK_S
from ingest.app import RELOAD_S, create_app
from ingest.guard import Guard
from ingest.keys import ID_BYTES, SECRET_BYTES, Scope
from ingest.keys_file import load
from ingest.publish import MemoryPublisher
from ingest.registry import Registry
from ingest.settings import IngestSettings
from ingest.verdicts import Reason
from tallyboard import keys_cli
from tallyboard.settings import PREFIX, Settings
from tests.documents import ROOT, blocks, rows, section

SECURITY = (ROOT / "docs" / "security.md").read_text()
UNITS = {"KiB": 1024, "MiB": 1024**2, "s": 1, "characters": 1}
LIMITS = [row for row in rows(section(SECURITY, "## Limits")) if row[0] != "limit"]


def said(value: str) -> float:
    number, _, unit = value.partition(" ")
    return float(number.replace(",", "")) * (UNITS[unit] if unit else 1)


def found(where: str) -> Any:
    """The value of a setting, a constant or the default of a field, by its name."""
    if where.startswith(PREFIX):
        return Settings.model_fields[where.removeprefix(PREFIX).lower()].default
    owner, _, name = where.rpartition(".")
    parent, _, last = owner.rpartition(".")
    if not last[0].isupper():
        return getattr(importlib.import_module(owner), name)
    kind = getattr(importlib.import_module(parent), last)
    assert is_dataclass(kind)
    (default,) = (field.default for field in fields(kind) if field.name == name)
    assert default is not MISSING
    return default


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: row[0])
def test_a_limit_is_the_one_of_the_code(row: list[str]) -> None:
    _, value, where, _ = row
    assert said(value) == found(where.strip("`"))


def test_every_limit_of_the_edge_is_listed() -> None:
    listed = {row[2].strip("`").rpartition(".")[2] for row in LIMITS}
    for module in ("ingest.http_edge", "ingest.accept", "ingest.names", "ingest.wishes"):
        own = importlib.import_module(module)
        constants = set(re.findall(r"^(MAX_\w+)", inspect.getsource(own), re.MULTILINE))
        assert constants <= listed, module


def test_what_lies_beyond_a_limit_is_a_code_that_exists() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "ingest").rglob("*.py"))
    for _, _, where, beyond in LIMITS:
        for code in re.findall(r"`(\w+)`", beyond):
            known = code in {reason.value for reason in Reason} if "rejected" in beyond else f'"{code}"' in source
            assert known, where


def test_what_a_sender_is_told_has_the_codes_of_the_code() -> None:
    source = (ROOT / "ingest" / "access.py").read_text()
    raised = set(re.findall(r"Problem\(\s*(\d{3}),\s*\"(\w+)\"", source))
    told = re.findall(r"(\d{3}) `(\w+)`", section(SECURITY, "### What a sender is told"))
    assert set(told) == raised
    assert Reason.SERIES_LIMIT.value in section(SECURITY, "### What a sender is told")


def test_the_scopes_and_the_open_addresses_are_all_there() -> None:
    text = section(SECURITY, "### Scopes")
    assert [row[0].strip("`") for row in rows(text)][1:] == [scope.value for scope in Scope]
    app = create_app(IngestSettings(), Registry(), MemoryPublisher(), lambda: 0)
    addresses = {str(getattr(route, "path", "")) for route in app.routes}
    assert set(re.findall(r"`(?:POST )?(/[a-z0-9/.]+)`", text)) == addresses - {"/docs/oauth2-redirect"}


def test_what_the_dashboard_leaves_open_is_what_stands_there() -> None:
    table = [row for row in rows(section(SECURITY, "## The dashboard")) if row[1].startswith("nothing")]
    named = {name for row in table for name in re.findall(r"`(/[a-z0-9/.-]+)`", row[0])}
    assert named == OPEN - {"/_favicon.ico"}
    assert OPEN_FOLDERS[0] == "/assets/"
    assert f"closes what a key had open within {FOLLOW_S + 2 * LOOK_S:.0f} seconds" in SECURITY


def test_the_example_of_the_file_is_one(tmp_path: Path) -> None:
    (block,) = blocks(SECURITY, "text")
    (tmp_path / "keys.toml").write_text(block)
    ring = load(tmp_path / "keys.toml")
    assert ring is not None
    (stored,) = ring.keys.values()
    assert None not in (stored.key.expires_ms, stored.key.rate, stored.key.burst, stored.key.series_limit)


def test_the_sizes_of_a_key_are_those_of_the_code() -> None:
    assert f"{ID_BYTES * 8 // 5} characters of id and {SECRET_BYTES * 8 // 5} of secret" in SECURITY
    assert f"{SECRET_BYTES * 8} random bits" in SECURITY
    assert RELOAD_S == 1
    assert "looks at the file every second" in SECURITY


def options() -> Iterator[tuple[str, set[str]]]:
    command: Any = typer.main.get_command(keys_cli.app)
    for name, inner in command.commands.items():
        yield name, {option for one in inner.params for option in one.opts if option.startswith("--")}


def test_every_command_and_option_is_named() -> None:
    text = section(SECURITY, "## Keys")
    for name, known in options():
        assert f"tallyboard key {name}" in text
        assert known <= set(re.findall(r"--[a-z-]+", text)), name
        for line in re.findall(rf"tallyboard key {name} (.*)", text):
            assert set(re.findall(r"--[a-z-]+", line)) <= known


def test_the_hosts_are_those_of_the_guard() -> None:
    text = section(SECURITY, "## Hosts and origins")
    assert all(f"`{host}`" in text for host in IngestSettings().hosts)
    assert "hosts" in inspect.signature(Guard).parameters
