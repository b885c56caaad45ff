"""One bad input, and exactly what it is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.ingest_server import IngestServer
from tests.raw_http import Talk, request

JSON = "application/json"
LINES = "application/x-ndjson"
EVENT = '{"metric":"orders","value":1}'
PRESENT = "*"
"""A header that must be there, whatever it says."""
REGISTRY = """
[metrics.declared]
kind = "counter"
max = 100
[metrics.texts]
kind = "unique"
"""
"""The `metrics.toml` of the server that is to answer."""
RETRY = {"retry-after": PRESENT}


@dataclass(frozen=True)
class Case:
    """`row` is the row of the table of bad inputs, `name` what makes it this case.

    `accepted`, `rejected`, `reasons` and `indices` are those of a receipt; `code` is that of a problem.
    """

    row: int
    name: str
    raw: bytes | Sequence[bytes]
    status: int
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    accepted: int = 0
    rejected: int | None = None
    reasons: tuple[str, ...] = ()
    indices: tuple[int, ...] = ()
    fields: tuple[str | None, ...] = ()
    detail: str | None = None
    closes: bool = False
    finish: bool = False
    interim: tuple[int, ...] = ()
    before: bytes = b""
    """A request that is sent first, by itself, and is taken."""
    world: str = "plain"
    """The state the server is in: see `tests.corpus.worlds`."""
    check: Callable[[IngestServer, Talk], None] | None = None

    def __str__(self) -> str:
        return f"row-{self.row:02}-{self.name}"


def body_case(row: int, name: str, body: str | bytes, status: int, code: str | None = None, **more: Any) -> Case:
    """A JSON body in an ordinary request."""
    return Case(row, name, request(body), status, code, **more)


def lines_case(row: int, name: str, body: str | bytes, status: int, code: str | None = None, **more: Any) -> Case:
    """An NDJSON body in an ordinary request."""
    return Case(row, name, request(body, LINES), status, code, **more)


def rejected_case(row: int, name: str, event: str, reason: str, field_name: str | None = None) -> Sequence[Case]:
    """An event that is rejected: alone (422), and beside a good one, which is taken (202)."""
    alone = body_case(row, name, event, 422, rejected=1, reasons=(reason,), fields=(field_name,))
    beside = body_case(
        row, f"{name}-beside", f"[{EVENT},{event}]", 202, accepted=1, rejected=1, reasons=(reason,), indices=(1,)
    )
    return (alone, beside)
