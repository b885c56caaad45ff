"""compose.yaml, the Dockerfile and the wheel name settings, ports, files and versions that exist."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallyboard import demo
from tallyboard.kafka_cache import KAFKA_VERSION
from tallyboard.settings import PREFIX, Settings
from tests.documents import PACKAGES, ROOT

ROLE_PORTS = {"ingest": "ingest_port", "rollup": "rollup_port", "dashboard": "dashboard_port"}


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
    assert {*PACKAGES, "examples"} <= copied


def test_the_wheel_holds_the_example_workspaces() -> None:
    """`up --demo shop` works without the repository; the files stand in it once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    targets = project["tool"]["hatch"]["build"]["targets"]
    package = Path(demo.__file__).parent
    assert {str(ROOT / source): str(ROOT / place) for source, place in targets["wheel"]["force-include"].items()} == {
        str(ROOT / "examples"): str(package / "examples")
    }
    assert "/examples" in targets["sdist"]["include"]
    assert {path.parent.name for path in (ROOT / "examples").glob("*/metrics.toml")} == set(demo.EXAMPLES)
    for name in demo.EXAMPLES:
        assert demo.workspace(name) == ROOT / "examples" / name


def test_examples_are_found_in_an_installed_package_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "tallyboard" / "demo"
    (package / "examples" / "shop").mkdir(parents=True)
    monkeypatch.setattr(demo, "__file__", str(package / "__init__.py"))
    assert demo.workspace("shop") == package / "examples" / "shop"
