"""`tallyboard query`: one question to a dashboard's API, printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from tallyboard.failure import Failure


def ask(url: str, fields: Sequence[tuple[str, str]], output: str, headers: Mapping[str, str]) -> None:
    """Print the answer to a query as `table`, `json` or `csv`. Raises `Failure` with what the API complains of."""
    form = "csv" if output == "csv" else "json"
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}/api/v1/query",
            params=[*fields, ("format", form)],
            headers=dict(headers),
            timeout=30.0,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise Failure(f"The dashboard at {url} does not answer: {error}.") from error
    if answer.is_error:
        raise Failure(f"{url} answers {answer.status_code}: {_complaint(answer)}")
    if output == "table":
        _print_table(answer.json())
    else:
        typer.echo(answer.text.rstrip("\n"))


def _complaint(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.reason_phrase
    return str(body.get("detail") or body.get("message") or body) if isinstance(body, dict) else str(body)


def _print_table(result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = result["columns"]
    for column in columns:
        numeric = column["type"] in ("integer", "number")
        unit = f" ({column['unit']})" if column.get("unit") else ""
        table.add_column(f"{column['name']}{unit}", justify="right" if numeric else "left")
    for row in result["rows"]:
        table.add_row(*(_cell(value, column["type"]) for value, column in zip(row, columns, strict=True)))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"[dim]{len(result['rows'])} rows; shown as of {result['freshness'].get('watermark')}[/]")


def _cell(value: object, kind: str) -> str:
    if value is None:
        return "–"
    if kind == "time" and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and kind == "integer" else str(value)
