"""What can be sent to `/v1/events`, one example for every way to send it: bodies, and commands to copy. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from ingest.protocols.cloudevents import BATCHED, STRUCTURED

EVENT: Final[dict[str, Any]] = {
    "metric": "orders.revenue",
    "value": 12.5,
    "dimensions": {"country": "NL", "product": "p17"},
    "id": "order-1",
}
OTHER: Final[dict[str, Any]] = {"metric": "orders.visitors", "value": "visitor-7", "dimensions": {"country": "DE"}}
CLOUDEVENT: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "order-1",
    "source": "/shop/nl",
    "type": "orders.revenue",
    "data": {"value": 12.5, "dimensions": {"country": "NL"}},
}
LINES: Final = "\n".join(json.dumps(event) for event in (EVENT, OTHER)) + "\n"


@dataclass(frozen=True, slots=True)
class Sample:
    """A shell command for `curl`; the address of the server stands for itself in it as `BASE`."""

    label: str
    command: str


BASE: Final = "http://127.0.0.1:8080"
_NEXT: Final = " \\\n  "
"""Goes on with the command in the next line."""


def _curl(label: str, content_type: str, body: object, *more: str, query: str = "") -> Sample:
    text = body if isinstance(body, str) else json.dumps(body)
    headers = "".join(f"{_NEXT}-H '{header}'" for header in (f"Content-Type: {content_type}", *more))
    return Sample(label, f"curl '{BASE}/v1/events{query}'{headers}{_NEXT}--data-binary '{text}'")


SAMPLES: Final[tuple[Sample, ...]] = (
    _curl("One event", "application/json", EVENT),
    _curl("An array of events, all or none", "application/json", [EVENT, OTHER], query="?atomic=true"),
    _curl("An event a line", "application/x-ndjson", LINES),
    _curl("Ids made from a key", "application/json", [OTHER, OTHER], "Idempotency-Key: job-7"),
    _curl("A CloudEvent", STRUCTURED, CLOUDEVENT),
    _curl("CloudEvents", BATCHED, [CLOUDEVENT]),
    _curl(
        "A CloudEvent in binary mode",
        "application/json",
        CLOUDEVENT["data"],
        "ce-specversion: 1.0",
        "ce-id: order-2",
        "ce-source: /shop/nl",
        "ce-type: orders.revenue",
    ),
    *(
        Sample(
            f"Compressed with {tool}",
            f"printf '%s' '{json.dumps(EVENT)}' | {tool} -c | curl '{BASE}/v1/events'"
            f"{_NEXT}-H 'Content-Type: application/json' -H 'Content-Encoding: {tool}'{_NEXT}--data-binary @-",
        )
        for tool in ("gzip", "zstd")
    ),
    Sample(
        "With a key",
        f"curl '{BASE}/v1/events'{_NEXT}-H \"Authorization: Bearer $TALLYBOARD_KEY\""
        f"{_NEXT}-H 'Content-Type: application/json'{_NEXT}--data-binary '{json.dumps(EVENT)}'",
    ),
)
