"""`tallyboard key …`: what it prints where, what it takes, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ingest.keys import Key, Scope, StoredKey
from ingest.keys_file import FILE_NAME, load
from tallyboard.failure import Failure
from tallyboard.keys_cli import app
from tallyboard.settings import PREFIX


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def key(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--workspace", str(folder)])


def failure(folder: Path, *arguments: str) -> str:
    error = key(folder, *arguments).exception
    assert isinstance(error, Failure), error
    assert str(error).endswith(".")
    assert "\n" not in str(error)
    return str(error)


def create(folder: Path, *arguments: str) -> StoredKey:
    """A new key as the file has it."""
    result = key(folder, "create", *arguments)
    assert result.exit_code == 0, result.output
    ring = load(folder / FILE_NAME)
    assert ring is not None
    return ring.keys[result.stdout.split("_")[1]]


def listed(folder: Path) -> list[dict[str, object]]:
    found = json.loads(key(folder, "list", "--json").stdout)["keys"]
    assert isinstance(found, list)
    return found


def test_the_key_alone_goes_to_stdout_and_opens(tmp_path: Path) -> None:
    result = key(tmp_path, "create", "shop")
    text = result.stdout.removesuffix("\n")
    ring = load(tmp_path / FILE_NAME)
    assert ring is not None
    found = ring.authenticate(f"Bearer {text}".encode(), 0)
    assert found is not None
    assert found == Key(found.id, "shop", frozenset({Scope.WRITE}))
    assert found.id in result.stderr


def test_the_secret_stands_nowhere_else(tmp_path: Path) -> None:
    made = key(tmp_path, "create", "shop")
    _, key_id, secret = made.stdout.strip().split("_")
    later = [key(tmp_path, "list"), key(tmp_path, "list", "--json"), key(tmp_path, "revoke", key_id)]
    shown = [made.stderr, *(text for result in later for text in (result.stdout, result.stderr))]
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(secret not in text for text in (*shown, *files))


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    said = ["--scope", "read", "--scope", "admin", "--rate", "0.5", "--burst", "20000", "--series-limit", "10000"]
    made = create(tmp_path, "Jo's shop", *said, "--expires", "90d").key
    scopes = frozenset({Scope.READ, Scope.ADMIN})
    assert made == Key(made.id, "Jo's shop", scopes, made.expires_ms, rate=0.5, burst=20_000, series_limit=10_000)
    (shown,) = listed(tmp_path)
    created, expires = (datetime.fromisoformat(str(shown[field])) for field in ("created", "expires"))
    assert expires - created == timedelta(days=90)
    assert shown == {
        "id": made.id,
        "name": "Jo's shop",
        "scopes": ["read", "admin"],
        "created": shown["created"],
        "expires": shown["expires"],
        "rate": 0.5,
        "burst": 20_000,
        "series_limit": 10_000,
        "state": "active",
        "revoked": None,
    }


@pytest.mark.parametrize(
    ("given", "expires_ms"),
    [
        ("2190-01-31", 6_945_177_600_000),
        ("2190-01-31T00:00:00.250Z", 6_945_177_600_250),
        ("2190-01-31T02:00:00+02:00", 6_945_177_600_000),
    ],
)
def test_a_day_begins_in_utc_and_a_time_has_a_zone(given: str, expires_ms: int, tmp_path: Path) -> None:
    assert create(tmp_path, "a", "--expires", given).key.expires_ms == expires_ms


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--expires", "soon"], "--expires: “soon” is none of"),
        (["--expires", "0d"], "--expires: “0d” is none of"),
        (["--expires", ""], "--expires: “” is none of"),
        (["--expires", "2020-01-01"], "--expires: 2020-01-01 is past."),
        (["--expires", "9999-12-31T23:00:00Z"], "is too far away."),
        (["--expires", "2190-01-01T00:00:00"], "needs a zone"),
        (["--rate", "0"], "--rate: expected a number above 0"),
        (["--rate", "nan"], "--rate: expected a number above 0"),
        (["--rate", "-1"], "--rate: expected a number above 0"),
        (["--rate", "1e10"], "--rate: expected a number above 0 and at most 1e+09"),
        (["--burst", "5"], "--burst has no meaning without --rate."),
        (["--rate", "5", "--burst", "0"], "--burst: expected"),
        (["--series-limit", "0"], "--series-limit: expected"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    assert sentence in failure(tmp_path, "create", "shop", *arguments)
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31mred", "a" * 101, " a"])
def test_a_name_is_fit_to_be_read(name: str, tmp_path: Path) -> None:
    assert "printable" in failure(tmp_path, "create", name)


def test_an_unknown_scope_is_refused(tmp_path: Path) -> None:
    assert key(tmp_path, "create", "shop", "--scope", "owner").exit_code == 2
    assert not (tmp_path / FILE_NAME).exists()


def test_a_file_with_mistakes_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text("[keys.x]\nname = 5\n")
    for arguments in (["create", "shop"], ["list"], ["revoke", "x"]):
        assert failure(tmp_path, *arguments).startswith(f"{path}:1: keys.x: ")
    assert path.read_text() == "[keys.x]\nname = 5\n"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for arguments in (["create", "shop"], ["list"], ["revoke", "x"]):
        assert failure(tmp_path / "no", *arguments) == f"There is no folder {tmp_path / 'no'}."


def test_the_workspace_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOARD_WORKSPACE", str(tmp_path))
    assert CliRunner().invoke(app, ["create", "shop"]).exit_code == 0
    assert (tmp_path / FILE_NAME).is_file()


# --- list ---------------------------------------------------------------------------------------------------------


def test_the_list_is_a_table(tmp_path: Path) -> None:
    made = create(tmp_path, "shop", "--rate", "5000", "--expires", "90d").key
    create(tmp_path, "[red]app[/]", "--scope", "read")
    key(tmp_path, "revoke", "[red]app[/]")
    lines = key(tmp_path, "list").stdout.splitlines()
    assert lines[0].split() == ["id", "name", "scopes", "created", "expires", "rate", "state"]
    assert lines[1].split()[:3] == [made.id, "shop", "write"]
    assert lines[1].split()[-2:] == ["5,000/s", "active"]
    assert "[red]app[/]" in lines[2], "a name is no markup"
    assert lines[2].split()[-3:] == ["never", "–", "revoked"]


def test_no_keys_are_said_on_stderr(tmp_path: Path) -> None:
    result = key(tmp_path, "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nobody is asked for a key" in result.stderr
    assert listed(tmp_path) == []
    create(tmp_path, "shop")
    key(tmp_path, "revoke", "shop")
    assert "No key" in key(tmp_path, "list").stderr


def test_a_file_others_can_read_is_said(tmp_path: Path) -> None:
    create(tmp_path, "shop")
    (tmp_path / FILE_NAME).chmod(0o640)
    assert "mode 0640" in key(tmp_path, "list").stderr


# --- revoke -------------------------------------------------------------------------------------------------------


def states(folder: Path) -> dict[object, object]:
    return {found["id"]: found["state"] for found in listed(folder)}


@pytest.mark.parametrize("length", [8, 6])
def test_a_key_is_revoked_by_its_id_or_the_beginning_of_it(length: int, tmp_path: Path) -> None:
    made, other = create(tmp_path, "shop").key.id, create(tmp_path, "app").key.id
    result = key(tmp_path, "revoke", made[:length])
    assert result.exit_code == 0
    assert f"{made} of shop is revoked" in result.stderr
    assert states(tmp_path) == {made: "revoked", other: "active"}


def test_a_key_is_revoked_by_its_name_when_one_active_key_has_it(tmp_path: Path) -> None:
    first = create(tmp_path, "shop").key.id
    assert key(tmp_path, "revoke", "shop").exit_code == 0
    second = create(tmp_path, "shop").key.id
    assert key(tmp_path, "revoke", "shop").exit_code == 0, "the revoked one is not meant"
    create(tmp_path, "shop")
    create(tmp_path, "shop")
    assert "say the id." in failure(tmp_path, "revoke", "shop")
    assert list(states(tmp_path).values()) == ["revoked", "revoked", "active", "active"]
    assert list(states(tmp_path))[:2] == [first, second]


def test_revoking_again_changes_nothing(tmp_path: Path) -> None:
    made = create(tmp_path, "shop").key.id
    key(tmp_path, "revoke", made)
    before = (tmp_path / FILE_NAME).read_bytes()
    result = key(tmp_path, "revoke", made)
    assert result.exit_code == 0
    assert "was revoked already" in result.stderr
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    assert failure(tmp_path, "revoke", "shop") == f"There is no {tmp_path / FILE_NAME}, so there are no keys."
    create(tmp_path, "shop")
    for which in ("nobody", ""):
        assert "No key has this id or name" in failure(tmp_path, "revoke", which)


# --- at once ------------------------------------------------------------------------------------------------------


def test_commands_at_once_lose_no_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from tallyboard.keys_cli import app; app()", "create", "shop"]
    running = [
        subprocess.Popen([*command, "--workspace", str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    texts = [process.communicate(timeout=60)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0]
    ring = load(tmp_path / FILE_NAME)
    assert ring is not None
    assert len(ring.keys) == 4
    assert all(ring.authenticate(f"Bearer {text}".encode(), 0) is not None for text in texts)
