"""compose.yaml and the Dockerfile name settings, ports, files and versions that exist."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
import yaml

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
    assert set(PACKAGES) <= copied
