"""`tallyboard key …`: makes, lists and revokes the API keys of a workspace."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ingest.keys import MAX_KEYS, Key, KeyRing, KeysError, NewKey, Scope, StoredKey, mint
from ingest.keys_edit import edit, rfc3339
from ingest.keys_file import EPOCH, FILE_NAME, MAX_COUNT, MAX_NAME, MAX_RATE, MAX_TIME_MS, is_name, load, warnings
from tallyboard.failure import Failure
from tallyboard.settings import read

app = typer.Typer(
    no_args_is_help=True, help="API keys: who may send events, and how many. Kept as hashes in keys.toml."
)

_Number = TypeVar("_Number", int, float)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_Workspace = Annotated[Path | None, typer.Option("--workspace", help="Folder with keys.toml; default here.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, such as shop.")],
    scope: Annotated[list[Scope] | None, typer.Option("--scope", help="Repeatable; default write.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="90d, 12h, 4w, a date or a time with zone; default never.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Events a second, per ingest process; default no limit.")] = None,
    burst: Annotated[int | None, typer.Option(help="Events at once; default those of one second.")] = None,
    series_limit: Annotated[int | None, typer.Option(help="Series it may make, per ingest process.")] = None,
    workspace: _Workspace = None,
) -> None:
    """Make a key. The key alone goes to stdout, once: it is stored nowhere."""
    path = _file(workspace)
    now_ms = _now_ms()
    wanted = Key(
        id="",
        name=_name(name),
        scopes=frozenset(scope or [Scope.WRITE]),
        expires_ms=_expiry(expires, now_ms),
        rate=_within("--rate", rate, MAX_RATE),
        burst=_within("--burst", burst, MAX_COUNT),
        series_limit=_within("--series-limit", series_limit, MAX_COUNT),
    )
    if wanted.burst is not None and wanted.rate is None:
        raise Failure("--burst has no meaning without --rate.")
    made = _add(path, wanted, now_ms)
    lasts = "never expires" if wanted.expires_ms is None else f"expires {rfc3339(wanted.expires_ms)}"
    typer.echo(made.text)
    _say(f"Key {made.stored.key.id} for {wanted.name} ({_listed(wanted.scopes)}) {lasts}.")
    _say("It is shown this once: keep it.")
    for warning in warnings(path):
        _say(warning)


@app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    workspace: _Workspace = None,
) -> None:
    """Show all keys, revoked ones too."""
    path = _file(workspace)
    now_ms = _now_ms()
    ring = _load(path)
    keys = [] if ring is None else [_document(stored, now_ms) for stored in ring.keys.values()]
    if as_json:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode({"keys": keys})))
        return
    if ring is None:
        _say(f"There is no {path}: nobody is asked for a key.")
    else:
        _show(keys)
        if not ring.active(now_ms):
            _say(f"No key of {path} is active: no event is taken.")
    for warning in warnings(path):
        _say(warning)


@app.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="ID", help="Id, the beginning of one, or name of the key.")],
    workspace: _Workspace = None,
) -> None:
    """End a key. A running ingest refuses it within 5 seconds; it stays listed."""
    path = _file(workspace)
    if _load(path) is None:
        raise Failure(f"There is no {path}, so there are no keys.")
    now_ms = _now_ms()
    found: list[StoredKey] = []

    def change(ring: KeyRing) -> KeyRing:
        found.append(_one(ring, which, now_ms))
        return ring.revoking(found[0].key.id, now_ms)

    _edit(path, change)
    (stored,) = found
    before = stored.revoked_ms
    said = "is revoked" if before is None else f"was revoked already, {rfc3339(before)}"
    _say(f"Key {stored.key.id} of {stored.key.name} {said}.")


# --- the file -----------------------------------------------------------------------------------------------------


def _file(workspace: Path | None) -> Path:
    folder = read({"workspace": workspace}).workspace
    if not folder.is_dir():
        raise Failure(f"There is no folder {folder}.")
    return folder / FILE_NAME


def _load(path: Path) -> KeyRing | None:
    try:
        return load(path)
    except KeysError as error:
        raise Failure(f"{error}.") from error


def _edit(path: Path, change: Callable[[KeyRing], KeyRing]) -> None:
    try:
        edit(path, change)
    except KeysError as error:
        raise Failure(f"{error}.") from error


def _add(path: Path, wanted: Key, now_ms: int) -> NewKey:
    made: list[NewKey] = []

    def change(ring: KeyRing) -> KeyRing:
        if len(ring.keys) >= MAX_KEYS:
            raise Failure(f"{path} holds {MAX_KEYS} keys, and no more fit: remove revoked ones from the file.")
        made.append(mint(ring, wanted, now_ms, secrets.token_bytes))
        return ring.including(made[0].stored)

    _edit(path, change)
    return made[0]


def _one(ring: KeyRing, which: str, now_ms: int) -> StoredKey:
    """The key that is meant: by its id, else by the beginning of its id or its name. Active ones go before others."""
    if which in ring.keys:
        return ring.keys[which]
    meant = [key for key in ring.keys.values() if which and (key.key.id.startswith(which) or key.key.name == which)]
    active = [key for key in meant if key.state(now_ms) == "active"]
    found = active or meant
    if not found:
        raise Failure("No key has this id or name; `tallyboard key list` shows them.")
    if len(found) > 1:
        ids = ", ".join(key.key.id for key in found[:5]) + (", …" if len(found) > 5 else "")
        raise Failure(f"“{which}” could be any of {ids}: say the id.")
    return found[0]


# --- what is given ------------------------------------------------------------------------------------------------


def _name(name: str) -> str:
    if not is_name(name):
        raise Failure(f"The name of a key has 1 to {MAX_NAME} printable characters, and no space around them.")
    return name


def _within(flag: str, given: _Number | None, most: float) -> _Number | None:
    if given is not None and not (0 < given <= most):
        raise Failure(f"{flag}: expected a number above 0 and at most {most:g} (got “{given}”).")
    return given


def _expiry(given: str | None, now_ms: int) -> int | None:
    """Epoch milliseconds of a duration from now, a day (its beginning, in UTC) or a time with zone."""
    if given is None:
        return None
    duration = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", given)
    if duration is not None:
        return now_ms + int(duration[1]) * (_UNITS[duration[2]] // timedelta(milliseconds=1))
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise Failure(f"--expires: “{given}” is none of 90d, 12h, 4w, 2027-01-31, 2027-01-31T12:00:00Z.") from None
    if re.fullmatch(r"\d{4}-\d\d-\d\d", given):
        at = at.replace(tzinfo=UTC)
    if at.tzinfo is None:
        raise Failure(f"--expires: “{given}” needs a zone, such as {given}Z.")
    expires_ms = (at - EPOCH) // timedelta(milliseconds=1)
    if expires_ms <= now_ms or expires_ms > MAX_TIME_MS:
        raise Failure(f"--expires: {given} is {'past' if expires_ms <= now_ms else 'too far away'}.")
    return expires_ms


def _now_ms() -> int:
    """To the second: the file is read by people."""
    return int(time.time()) * 1000


# --- what is shown ------------------------------------------------------------------------------------------------


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _listed(scopes: Iterable[Scope]) -> str:
    return ", ".join(scope for scope in Scope if scope in scopes)


def _document(stored: StoredKey, now_ms: int) -> dict[str, Any]:
    key = stored.key
    return {
        "id": key.id,
        "name": key.name,
        "scopes": [scope.value for scope in Scope if scope in key.scopes],
        "created": rfc3339(stored.created_ms),
        "expires": rfc3339(key.expires_ms),
        "rate": key.rate,
        "burst": key.burst,
        "series_limit": key.series_limit,
        "state": stored.state(now_ms),
        "revoked": rfc3339(stored.revoked_ms),
    }


def _show(keys: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "name", "scopes", "created", "expires", "rate", "state"):
        table.add_column(
            column, justify="right" if column == "rate" else "left", overflow="fold", no_wrap=column == "id"
        )
    for key in keys:
        rate = "–" if key["rate"] is None else f"{key['rate']:,g}/s"
        colour = "green" if key["state"] == "active" else "red"
        days = [str(key[field] or "never")[:10] for field in ("created", "expires")]
        cells = (key["id"], key["name"], ", ".join(key["scopes"]), *days, rate)
        table.add_row(*map(Text, cells), Text(key["state"], colour))
    Console(highlight=False).print(table)
