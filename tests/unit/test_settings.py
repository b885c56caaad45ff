"""The one table of settings: names itself when wrong, repeats no default, travels to child processes whole."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from aggregates.settings import RollupSettings
from dashboard.settings import DashboardSettings
from ingest.registry import MetricDefinition
from ingest.settings import IngestSettings
from tallyboard import cli
from tallyboard.demo.cli import app as demo_app
from tallyboard.failure import Failure
from tallyboard.settings import PREFIX, Settings, read


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def failure(given: dict[str, object] | None = None) -> str:
    with pytest.raises(Failure) as caught:
        read(given)
    return str(caught.value)


def test_without_flags_the_packages_defaults_hold() -> None:
    settings = read()
    ingest = settings.ingest()
    assert (ingest.port, ingest.max_events, ingest.kafka, ingest.topics) == (
        IngestSettings().port,
        IngestSettings().max_events,
        IngestSettings().kafka,
        IngestSettings().topics,
    )
    assert settings.rollup() == RollupSettings()
    assert settings.dashboard() == DashboardSettings()


def test_a_flag_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOARD_INGEST_PORT", "18080")
    assert read().ingest().port == 18080
    assert read({"ingest_port": 28080, "host": None}).ingest().port == 28080


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_variable_is_not_given(monkeypatch: pytest.MonkeyPatch, empty: str | None) -> None:
    if empty is not None:
        monkeypatch.setenv("TALLYBOARD_KAFKA", empty)
    assert read().kafka is None


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("INGEST_PORT", "eighty", "TALLYBOARD_INGEST_PORT: input should be a valid integer"),
        ("ROLLUP_PORT", "70000", "TALLYBOARD_ROLLUP_PORT: input should be less than or equal to 65535"),
        ("KAFKA", "broker", "TALLYBOARD_KAFKA: “broker” is not HOST:PORT"),
        ("KAFKA", "a:9092,b", "TALLYBOARD_KAFKA: “b” is not HOST:PORT"),
        ("DEDUPE_HOURS", "0", "TALLYBOARD_DEDUPE_HOURS: input should be greater than 0"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS", "TALLYBOARD_KAFKA_SECURITY_PROTOCOL: string should match"),
        ("TOPIC_PREFIX", "a/b", "TALLYBOARD_TOPIC_PREFIX: string should match"),
    ],
)
def test_a_bad_variable_names_itself(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str) -> None:
    monkeypatch.setenv(PREFIX + variable, value)
    assert failure().startswith(words)


def test_a_bad_flag_names_itself_and_what_it_got() -> None:
    assert failure({"kafka_port": 0}) == "--kafka-port: input should be greater than or equal to 1 (got “0”)."


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOARD_INGEST_PROT", "1")
    assert failure() == "TALLYBOARD_INGEST_PROT is not a setting; did you mean TALLYBOARD_INGEST_PORT."


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_the_network_is_refused_without_keys(host: str, tmp_path: Path) -> None:
    settings = read({"host": host, "workspace": tmp_path})
    for bind in (settings.ingest, settings.rollup, settings.dashboard):
        with pytest.raises(Failure, match=rf"^--host {host} would open \S+( \S+)? to the network"):
            bind()
    assert read({"host": host, "insecure_bind": True}).ingest().host == host


def test_with_an_active_key_that_may_only_write_the_dashboard_stays_closed(tmp_path: Path) -> None:
    ran = CliRunner().invoke(cli.app, ["key", "create", "shop", "--workspace", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    settings = read({"host": "0.0.0.0", "workspace": tmp_path})
    assert settings.ingest().host == "0.0.0.0"
    with pytest.raises(Failure, match="would open the dashboard"):
        settings.dashboard()
    assert CliRunner().invoke(cli.app, ["key", "revoke", "shop", "--workspace", str(tmp_path)]).exit_code == 0
    with pytest.raises(Failure, match="tallyboard key create"):
        read({"host": "0.0.0.0", "workspace": tmp_path}).ingest()


@pytest.mark.parametrize("scope", ["read", "admin"])
def test_with_an_active_key_that_may_read_all_may_be_open(tmp_path: Path, scope: str) -> None:
    made = CliRunner().invoke(cli.app, ["key", "create", "wall", "--scope", scope, "--workspace", str(tmp_path)])
    assert made.exit_code == 0, made.output
    settings = read({"host": "0.0.0.0", "workspace": tmp_path})
    assert {settings.ingest().host, settings.rollup().host, settings.dashboard().host} == {"0.0.0.0"}
    assert CliRunner().invoke(cli.app, ["key", "revoke", "wall", "--workspace", str(tmp_path)]).exit_code == 0
    with pytest.raises(Failure, match="--scope read"):
        read({"host": "0.0.0.0", "workspace": tmp_path}).dashboard()


def test_standing_behind_a_proxy_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOARD_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    dashboard = read({"base_path": "/tally/"}).dashboard()
    assert (dashboard.base_path, dashboard.trusted_proxies) == ("/tally", ("10.0.0.0/8", "::1"))
    assert "--base-path: /api is an address of the dashboard itself" in failure({"base_path": "/api"})
    monkeypatch.setenv("TALLYBOARD_TRUSTED_PROXIES", "proxy.example")
    assert failure().startswith("TALLYBOARD_TRUSTED_PROXIES: 'proxy.example' does not appear to be")


def test_a_secret_that_is_too_short_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOARD_SESSION_SECRET", "too short")
    assert failure().startswith("TALLYBOARD_SESSION_SECRET: ")
    assert "got" not in failure()
    monkeypatch.setenv("TALLYBOARD_SESSION_SECRET", "s" * 32)
    assert read().dashboard().session_secret == b"s" * 32
    assert "sss" not in repr(read()) + repr(read().dashboard())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_is_always_allowed(host: str) -> None:
    assert read({"host": host}).dashboard().host == host


def test_kafka_sasl_and_tls_reach_every_role(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "SCRAM-SHA-256", "SASL_USERNAME": "u"}
    for name, value in {**values, "SASL_PASSWORD": "p", "SSL_CAFILE": "ca.pem"}.items():
        monkeypatch.setenv(f"TALLYBOARD_KAFKA_{name}", value)
    settings = read({"kafka": "k1:9092,k2:9092"})
    options = settings.connection.client_options()
    assert options["bootstrap_servers"] == ["k1:9092", "k2:9092"]
    assert (options["sasl_plain_password"], options["ssl_cafile"]) == ("p", "ca.pem")
    assert settings.ingest().kafka == settings.rollup().kafka == settings.connection
    assert settings.dashboard().read_model.kafka == settings.connection


def test_the_password_is_not_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOARD_KAFKA_SASL_PASSWORD", "hunter2")
    assert "hunter2" not in repr(read())


names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
changes = st.fixed_dictionaries(
    {},
    optional={
        "data": names.map(Path),
        "metrics": st.lists(names.map(Path), max_size=3).map(tuple),
        "hosts": st.lists(names, max_size=3).map(tuple),
        "ingest_port": st.integers(1, 65535),
        "kafka": st.just("a:1,b:2"),
        "kafka_sasl_password": names,
        "dedupe_hours": st.floats(0.1, 100),
        "insecure_bind": st.booleans(),
    },
)


@given(changes)
def test_another_process_gets_the_same_settings(changed: dict[str, object]) -> None:
    settings = read(changed)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.as_environment().items():
            environment.setenv(name, value)
        assert read() == settings


def test_every_flag_of_a_role_is_a_setting() -> None:
    own = {"demo", "as_json", "listen_fd"}
    for command in (cli.up, cli.ingest, cli.rollup, cli.dashboard, cli.kafka, cli.status):
        assert set(inspect.signature(command).parameters) - own <= set(Settings.model_fields)


def test_every_command_has_help() -> None:
    commands = [*cli.app.registered_commands, *demo_app.registered_commands]
    assert all(command.callback is not None and command.callback.__doc__ for command in commands)
    assert isinstance(cli.app, typer.Typer)


def test_the_registry_is_the_workspaces_and_the_further_files(tmp_path: Path) -> None:
    (tmp_path / "metrics.toml").write_text('[metrics."a"]\nkind = "counter"\n')
    further = tmp_path / "more.toml"
    further.write_text('[metrics."b"]\nunit = "s"\n')
    registry = read({"workspace": tmp_path, "metrics": (further,)}).registry().value
    assert registry.metrics["b"] == MetricDefinition("b", unit="s")
    assert set(registry.metrics) == {"a", "b"}


def test_a_wrong_or_missing_registry_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.toml").write_text('[metrics."a"]\nkind = "meter"\n')
    with pytest.raises(Failure, match=r"metrics\.toml:2: metrics\.a\.kind: expected one of"):
        read({"workspace": tmp_path}).registry()
    with pytest.raises(Failure, match=r"TALLYBOARD_METRICS: there is no file .*gone\.toml"):
        read({"metrics": (tmp_path / "gone.toml",)}).registry()
