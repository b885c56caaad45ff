"""`tallyboard init` and `tallyboard check`: a fresh workspace is right, and every mistake has its place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer

from ingest.accept import Draft, Rules, judge
from ingest.metric_tables import DERIVED_FIELDS, DIMENSION_FIELDS, METRIC_FIELDS
from ingest.protocols import native
from ingest.registry import TOP_FIELDS, load
from ingest.series import Kind
from ingest.verdicts import Rejected
from tallyboard.failure import Failure
from tallyboard.workspace_cli import FILES, TEMPLATES, check, init
from tests.documents import API, README

NOW = 1_795_428_000_000


def test_init_writes_a_workspace_that_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "workspace"
    init(folder)
    said = capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {"tallyboard.toml", "metrics.toml", "README.md", ".gitignore"}
    assert all(f"wrote  {folder / name}" in said for _, name in FILES)
    check(folder, ())
    assert capsys.readouterr().out == (
        "All right: 6 metrics, 1 derived, metrics that are not listed are taken; no keys, nobody is asked for one.\n"
    )


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.toml").write_text("[metrics.mine]\n")
    init(tmp_path)
    assert (tmp_path / "metrics.toml").read_text() == "[metrics.mine]\n"
    said = capsys.readouterr().out
    assert f"kept   {tmp_path / 'metrics.toml'}, which was there already" in said
    assert f"wrote  {tmp_path / 'README.md'}" in said
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    init(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "wrote" not in capsys.readouterr().out


def test_init_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="file"):
        init(tmp_path / "file")


def test_the_template_shows_every_field() -> None:
    document = tomllib.loads((TEMPLATES / "metrics.toml").read_text())
    metrics = document["metrics"].values()
    assert set(document) == TOP_FIELDS
    assert {field for metric in metrics for field in metric} == METRIC_FIELDS
    rules = [
        rule
        for metric in metrics
        if isinstance(metric.get("dimensions"), dict)
        for rule in metric["dimensions"].values()
    ]
    assert {field for rule in rules for field in rule} == DIMENSION_FIELDS
    assert {field for derived in document["derived"].values() for field in derived} | {"unit"} == DERIVED_FIELDS
    assert {metric["kind"] for metric in metrics} == set(Kind)


def test_the_examples_of_the_documents_are_taken_in_a_fresh_workspace() -> None:
    rules = Rules(load(TEMPLATES / "metrics.toml"))
    events = re.findall(r'\{"metric": "orders\.revenue", "value"[^{}]*\{[^{}]*\}[^{}]*\}', README + API)
    assert len(events) >= 3
    for text in events:
        event = native.decode_one(text.encode())
        assert not isinstance(event, Rejected), text
        assert isinstance(judge(event, native.parse_dimensions, rules, NOW), Draft), text


def test_check_prints_every_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("metrics.toml").write_text("[metrics.a]\nunits = 's'\n\n[metrics.b]\nkind = 'guage'\n")
    Path("further.toml").write_text("[metrics.c\n")
    Path("keys.toml").write_text("[keys.k]\nhash = 'x'\n")
    Path("keys.toml").chmod(0o600)
    with pytest.raises(typer.Exit) as left:
        check(Path(), [Path("further.toml"), Path("gone.toml")])
    assert left.value.exit_code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "gone.toml: there is no such file"
    assert lines[1].startswith("metrics.toml:2: metrics.a.units: unknown field; did you mean unit; known: ")
    assert lines[2].startswith("metrics.toml:5: metrics.b.kind: ")
    assert lines[2].endswith("did you mean gauge")
    assert lines[3].startswith("further.toml:1: not TOML: ")
    assert lines[4].startswith("keys.toml:")


def test_check_says_what_deserves_a_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.toml").write_text("[metrics.a]\n[derived.r]\nnumerator = 'b:sum'\ndenominator = 'b:count'\n")
    check(tmp_path, ())
    note, summary = capsys.readouterr().out.splitlines()
    assert note == "note: derived.r: b is not listed"
    assert summary.startswith("All right: 1 metric, 1 derived, ")


def test_an_empty_workspace_is_right_and_a_missing_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(tmp_path, ())
    assert capsys.readouterr().out.startswith("All right: 0 metrics, ")
    with pytest.raises(Failure, match="no folder"):
        check(tmp_path / "gone", ())
