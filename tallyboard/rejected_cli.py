"""`tallyboard rejected …`: rejected events listed, shown, and sent again, over a dashboard's API."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import typer

from tallyboard.failure import Failure
from tallyboard.rejected_edits import edits_of
from tallyboard.settings import read

PAGE = 200
"""Letters sent in one request."""
ASK_ABOVE = 20
"""More letters than this are sent again after a question."""
_GOOD = frozenset({"accepted", "already_replayed", "would_send"})
_SHOWN = 20

app = typer.Typer(
    no_args_is_help=True, help="Rejected events: kept whole, to be looked at, mended and sent again, never twice."
)

_Reason = Annotated[list[str] | None, typer.Option("--reason", help="A verdict code, such as ts_future; repeatable.")]
_Metric = Annotated[str | None, typer.Option("--metric", help="Name of a metric.")]
_From = Annotated[str | None, typer.Option("--from", help="Arrived at or after: -90m, -7d, RFC 3339, epoch ms.")]
_To = Annotated[str | None, typer.Option("--to", help="Arrived before.")]
_KeyId = Annotated[str | None, typer.Option("--key-id", help="Sent with this API key (its id, not its secret).")]
_Request = Annotated[str | None, typer.Option("--request", help="Of one request, by its request_id.")]
_Url = Annotated[str | None, typer.Option("--url", help="Address of the dashboard; default: the one running here.")]
_Key = Annotated[
    str | None,
    typer.Option(
        "--key", help="Key with the scope read, to replay write too; TALLYBOARD_KEY does not show it in `ps`."
    ),
]
_Data = Annotated[Path | None, typer.Option("--data", help="Data folder; default .tallyboard.")]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("list")
def list_letters(
    reason: _Reason = None,
    metric: _Metric = None,
    start: _From = None,
    to: _To = None,
    key_id: _KeyId = None,
    request: _Request = None,
    replayed: Annotated[str | None, typer.Option(help="yes, no or all: accepted by a replay, or not.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest first.")] = 20,
    url: _Url = None,
    key: _Key = None,
    data: _Data = None,
    as_json: _Json = False,
) -> None:
    """List rejected events, newest first, and count them by reason."""
    fields = _filter(reason, metric, start, to, key_id, request) | {"replayed": replayed, "limit": limit}
    found = _Api(url, data, key).get("", {name: value for name, value in fields.items() if value is not None})
    if as_json:
        _print_json(found)
    else:
        _print_table(found)


@app.command()
def show(
    letter: Annotated[str, typer.Argument(help="Id of a rejected event, as `list` shows it.")],
    url: _Url = None,
    key: _Key = None,
    data: _Data = None,
) -> None:
    """Print one rejected event whole, as JSON: what was sent, when, and why it was refused."""
    if not _ID.fullmatch(letter):
        raise Failure(f"{letter} is no id of a rejected event: <request id>/<index> is expected.")
    _print_json(_Api(url, data, key).get(f"/{letter}", {}))


@app.command()
def replay(
    letters: Annotated[list[str] | None, typer.Argument(help="Ids; without any, those a filter finds.")] = None,
    reason: _Reason = None,
    metric: _Metric = None,
    start: _From = None,
    to: _To = None,
    key_id: _KeyId = None,
    request: _Request = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest first; default all.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="dimensions.country=NL or value=12.5; repeatable.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="dimensions.x: leave it out; repeatable.")] = None,
    rename: Annotated[
        list[str] | None, typer.Option(help="dimensions.land=dimensions.country: old=new; repeatable.")
    ] = None,
    history: Annotated[bool, typer.Option("--import", help="Take event times of any age.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Send letters of unknown outcome too: they may then count twice.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: _Url = None,
    key: _Key = None,
    data: _Data = None,
    as_json: _Json = False,
) -> None:
    """Send rejected events again, mended. What was accepted once is never sent again. Exit code 1 unless all are in."""
    api = _Api(url, data, key)
    how = edits_of(changes or (), drop or (), rename or ()) | {"import": history, "dry_run": dry_run, "force": force}
    chosen = _filter(reason, metric, start, to, key_id, request)
    if bool(letters) == bool(chosen):
        raise Failure("Name the rejected events to send again by their ids, or by a filter such as --reason.")
    if letters:
        count, requests = len(letters), _by_ids(letters, how)
    else:
        # What a replay rejects is a new letter: those of this run stand behind its end.
        chosen.setdefault("to", time.time_ns() // 1_000_000)
        count = int(api.get("", chosen | {"limit": 1, "replayed": "no"})["total"])
        count, requests = min(count, limit or count), _by_filter(api, chosen, how, limit)
    if count > ASK_ABOVE and not (yes or dry_run):
        _ask_first(count)
    answers = [letter for body in requests for letter in api.replay(body)["letters"]]
    if as_json:
        _print_json({"counts": _counts(answers), "letters": answers})
    else:
        _print_outcomes(answers)
    raise typer.Exit(0 if all(answer["outcome"] in _GOOD for answer in answers) else 1)


def _filter(
    reason: Sequence[str] | None,
    metric: str | None,
    start: str | None,
    to: str | None,
    key_id: str | None,
    request: str | None,
) -> dict[str, Any]:
    fields = {"reason": reason or None, "metric": metric, "from": start, "to": to, "key": key_id, "request_id": request}
    return {name: value for name, value in fields.items() if value is not None}


def _by_ids(letters: Sequence[str], how: Mapping[str, object]) -> Iterator[dict[str, object]]:
    for first in range(0, len(letters), PAGE):
        yield {"ids": list(letters[first : first + PAGE]), **how}


def _by_filter(
    api: _Api, chosen: Mapping[str, object], how: Mapping[str, object], limit: int | None
) -> Iterator[dict[str, object]]:
    """Page after page, each behind the one before; ends with the last page, or at the limit."""
    left = limit
    cursor: str | None = None
    while left is None or left > 0:
        page = PAGE if left is None else min(PAGE, left)
        place = {} if cursor is None else {"cursor": cursor}
        yield {"filter": dict(chosen), "limit": page, **place, **how}
        left = None if left is None else left - page
        cursor = api.following
        if cursor is None:
            return


_ID = re.compile(r"[\w-]+/[0-9]+", re.ASCII)
_PIPE_COLUMNS = 400


def _ask_first(count: int) -> None:
    try:
        sure = typer.confirm(f"Send up to {count:,} rejected events again?")
    except typer.Abort:
        raise Failure("Nobody answered; nothing was sent. --yes answers beforehand.") from None
    if not sure:
        raise Failure("Nothing was sent.")


class _Api:
    """A dashboard's `/api/v1/rejected`."""

    def __init__(self, url: str | None, data: Path | None, key: str | None) -> None:
        settings = read({"data": data, "key": key})
        self._url = (url or settings.dashboard_url()).rstrip("/")
        self._headers = settings.authorization()
        self.following: str | None = None
        """Where the next page of the last replay begins."""

    def get(self, path: str, parameters: Mapping[str, Any]) -> Any:
        return self._ask("GET", path, params=dict(parameters))

    def replay(self, body: Mapping[str, object]) -> Any:
        found = self._ask("POST", "/replay", json=dict(body))
        self.following = found["next"]
        if not found["recorded"] and found["replay"]:
            raise Failure(
                f"Replay {found['replay']} was sent ({_counts(found['letters'])}), but its outcome could not be "
                "journalled: the same command within 24 hours finishes it."
            )
        return found

    def _ask(self, method: str, path: str, **how: Any) -> Any:
        address = f"{self._url}/api/v1/rejected{path}"
        try:
            answer = httpx.request(method, address, headers=self._headers, timeout=120.0, trust_env=False, **how)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Failure(f"The dashboard at {self._url} does not answer: {error}.") from error
        try:
            found = answer.json()
        except ValueError:
            found = None
        if answer.is_error or not isinstance(found, dict):
            said = found.get("message") if isinstance(found, dict) else None
            raise Failure(f"{self._url} answers {answer.status_code}: {(said or answer.reason_phrase).rstrip('.')}.")
        return found


def _print_json(found: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(found)))


def _print_table(found: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("time", "id", "metric", "reason", "field", "message", "replayed"):
        table.add_column(name, overflow="fold", no_wrap=name == "id")
    for letter in found["rejected"]:
        cells = ("time", "id", "metric", "reason", "field", "message", "replayed")
        table.add_row(*(escape(str(letter[name] or "–")) for name in cells))
    # In a pipe a line is a letter, however long.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
    if found["rejected"]:
        console.print(table)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in found["by_reason"].items())
    total = f"{len(found['rejected'])} of {found['total']:,} rejected events" + (f": {reasons}" if reasons else "")
    console.print(f"[dim]{total}; as of {found['freshness']['watermark']}[/]")
    if found["freshness"]["stopped"]:
        console.print(f"[red]{escape(found['freshness']['stopped'])}[/]")


def _counts(answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for answer in answers:
        counts[answer["outcome"]] = counts.get(answer["outcome"], 0) + 1
    return counts


def _print_outcomes(answers: Sequence[Mapping[str, Any]]) -> None:
    told = [answer for answer in answers if answer["outcome"] != "accepted"]
    for answer in told[:_SHOWN]:
        why = " ".join(filter(None, (answer["code"], answer["message"])))
        became = f" (now {answer['became']})" if answer["became"] else ""
        event = f" {msgspec.json.encode(answer['event']).decode()}" if "event" in answer else ""
        typer.echo(f"{answer['id']}  {answer['outcome']}{': ' + why if why else ''}{became}{event}")
    if len(told) > _SHOWN:
        typer.echo(f"… and {len(told) - _SHOWN:,} more")
    typer.echo(", ".join(f"{count:,} {outcome}" for outcome, count in _counts(answers).items()) or "nothing to send")
