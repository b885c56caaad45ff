"""`tallyboard.toml`: what it says holds behind flags and variables, and a mistake names its place."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tallyboard import cli
from tallyboard.failure import Failure
from tallyboard.settings import PREFIX, Settings, read
from tallyboard.workspace_cli import TEMPLATES
from tallyboard.workspace_file import ENTRIES, FILE_NAME, TABLES, mistakes, settings_of
from tests.documents import OPERATIONS, rows, section

FULL = """
timezone = "Europe/Amsterdam"
[retention]
1s = "90m"
1m = "30d"
15m = "1y"
1d = "forever"
as_of = "12h"
rejected = "1w"
[limits]
past = "36h"
future = "90s"
max_body_bytes = 1000
max_events = 10
max_connections = 20
queue_events = 30
dedupe_events = 40
dedupe = "90m"
grace = "0s"
rejected_mb = 50
rejected_rows = 60
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def workspace(folder: Path, text: str) -> Path:
    (folder / FILE_NAME).write_text(text)
    return folder


def test_everything_the_file_knows(tmp_path: Path) -> None:
    found = settings_of(workspace(tmp_path, FULL) / FILE_NAME)
    assert found.keys() == {"timezone", *(entry.setting for entry in ENTRIES)}
    settings = read({"workspace": tmp_path})
    model = settings.dashboard().read_model
    assert model.timezone == "Europe/Amsterdam"
    assert model.keep_s == {"1s": 5400, "1m": 30 * 86_400, "15m": 365 * 86_400, "1d": None}
    assert (model.as_of_days, model.retention_rejected_days, model.grace_s) == (0.5, 7, 0)
    assert (model.rejected_mb, model.rejected_rows) == (50, 60)
    ingest, rollup = settings.ingest(), settings.rollup()
    assert (ingest.past_days, ingest.future_minutes) == (1.5, 1.5)
    assert (ingest.max_body_bytes, ingest.max_events, ingest.max_connections, ingest.queue_events) == (1000, 10, 20, 30)
    assert (rollup.dedupe_events, rollup.dedupe_hours) == (40, 1.5)


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(tmp_path, "[limits]\nmax_events = 10\nqueue_events = 20\n[retention]\n1d = '5d'")
    monkeypatch.setenv("TALLYBOARD_QUEUE_EVENTS", "21")
    monkeypatch.setenv("TALLYBOARD_WORKSPACE", str(tmp_path))
    found = read({"max_events": None})
    assert (found.max_events, found.queue_events, found.retention_1d_days) == (10, 21, 5)
    assert found.max_connections == Settings.model_fields["max_connections"].default
    assert read({"max_events": 12, "queue_events": 22}).max_events == 12
    assert read({"queue_events": 22}).queue_events == 22
    assert read(workspace_file=False).max_events == Settings.model_fields["max_events"].default


def test_another_process_gets_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read({"workspace": workspace(tmp_path, FULL), "max_events": 7})
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert read() == settings


def test_days_may_be_kept_for_ever_although_less_is_the_default(tmp_path: Path) -> None:
    text = "[retention]\n1s = '1d'\n1m = 'forever'\n15m = 'forever'"
    model = read({"workspace": workspace(tmp_path, text)}).dashboard().read_model
    assert model.keep_s == {"1s": 86_400, "1m": None, "15m": None, "1d": None}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("timezone = 'Europe/Londen'", "1: timezone: 'Europe/Londen' is not the name of a time zone, such as "),
        ("timezone = 'Europe/Amsterdm'", "1: timezone: 'Europe/Amsterdm' is not the name of a time zone"),
        ("timezone = 5", "1: timezone: expected a text"),
        ("time_zone = 'UTC'", "1: time_zone: unknown field; did you mean timezone; known: limits, retention, timezone"),
        ("ingest_port = 1", "1: ingest_port: unknown field; known: "),
        ("limits = 5", "1: limits: expected a table"),
        ("[limits]\n\nmax_event = 5", "3: limits.max_event: unknown field; did you mean max_events; known: "),
        ("[limits]\nmax_events = 0", "2: limits.max_events: expected a whole number from 1"),
        ("[limits]\nmax_events = 1.5", "2: limits.max_events: expected a whole number"),
        ("[limits]\npast = 7", "2: limits.past: expected a time span"),
        ("[limits]\npast = '0d'", "2: limits.past: a time above 0 is expected"),
        ("[limits]\ngrace = 'soon'", "2: limits.grace: expected a time span"),
        ("[retention]\n1h = '7d'", "2: retention.1h: unknown field"),
        ("[retention]\n1s = '10s'", '2: retention.1s: at least "1m" is expected'),
        ("[retention]\n1s = '3d'\n1m = '2d'", "3: retention.1m: '2d' is less than 1s is kept, '3d'"),
        ("[retention]\nas_of = 'forever'", "2: retention.as_of: expected a time span"),
        ("[retention", "1: not TOML: "),
    ],
)  # fmt: skip
def test_a_mistake_names_file_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    path = workspace(tmp_path, text) / FILE_NAME
    (found,) = mistakes(path)
    assert "Londen" not in text or str(found).endswith("; did you mean Europe/London")
    assert str(found).startswith(f"{path}:{told}")
    with pytest.raises(Failure) as caught:
        read({"workspace": tmp_path})
    assert str(caught.value) == f"{found}."
    ran = CliRunner().invoke(cli.app, ["check", "--workspace", str(tmp_path)])
    assert (ran.exit_code, ran.output.splitlines()[0]) == (1, str(found))


def test_all_mistakes_are_told_and_a_right_file_is_counted(tmp_path: Path) -> None:
    workspace(tmp_path, "timezone = 'x'\n[limits]\ngrace = 1\nrejected_mb = 'x'")
    assert [found.line for found in mistakes(tmp_path / FILE_NAME)] == [1, 3, 4]
    workspace(tmp_path, "timezone = 'UTC'\n[limits]\ngrace = '5s'")
    ran = CliRunner().invoke(cli.app, ["check", "--workspace", str(tmp_path)])
    assert ran.output.startswith("All right: 2 settings in tallyboard.toml; 0 metrics, ")


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert settings_of(tmp_path / FILE_NAME) == {}
    assert mistakes(tmp_path / FILE_NAME) == []


def test_the_template_shows_every_field_with_its_default(tmp_path: Path) -> None:
    template = (TEMPLATES / FILE_NAME).read_text()
    assert settings_of(workspace(tmp_path, template) / FILE_NAME) == {}
    found = settings_of(workspace(tmp_path, re.sub(r"^#(?=\w)", "", template, flags=re.MULTILINE)) / FILE_NAME)
    assert found == {name: Settings.model_fields[name].default for name in found}
    assert found.keys() == {"timezone", *(entry.setting for entry in ENTRIES)}


def test_the_page_lists_every_field_with_its_setting() -> None:
    listed = {(row[0], row[1]) for row in rows(section(OPERATIONS, "## The workspace")) if row[1].startswith("`TALLY")}
    settings = {f"{entry.table}.{entry.name}": entry.setting for entry in ENTRIES} | {"timezone": "timezone"}
    assert listed == {(f"`{name}`", f"`{PREFIX}{setting.upper()}`") for name, setting in settings.items()}
    assert {"retention", "limits"} == set(TABLES)
