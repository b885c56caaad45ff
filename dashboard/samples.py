"""What can be asked of the dashboard, one example for every way to ask: commands to copy. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from dashboard.arrow import MEDIA_TYPE

BASE: Final = "http://127.0.0.1:8050"
API: Final = f"{BASE}/api/v1"
_NEXT: Final = " \\\n  "


@dataclass(frozen=True, slots=True)
class Sample:
    """A shell command for `curl`; the address of the server stands for itself in it as `BASE`."""

    label: str
    command: str


def _get(label: str, path: str, *headers: str) -> Sample:
    return Sample(label, f"curl '{API}/{path}'" + "".join(f"{_NEXT}-H '{header}'" for header in headers))


def _post(label: str, body: object) -> Sample:
    return Sample(
        label, f"curl '{API}/query'{_NEXT}-H 'Content-Type: application/json'{_NEXT}--data-binary '{json.dumps(body)}'"
    )


GET_QUERY: Final = (
    _get("The last hour by country", "query?metric=orders.revenue&measures=count,sum&by=country"),
    _get("A course, as CSV", "query?metric=orders.revenue&measures=sum,p99&step=1m&from=-15m&format=csv"),
    _get("As an Arrow stream", "query?metric=orders.revenue&measures=avg&step=auto&from=-24h", f"Accept: {MEDIA_TYPE}"),
    _get(
        "Some countries, without a product",
        "query?metric=orders.revenue&where=country:NL&where=country:DE&where=!product:p3",
    ),
    _get(
        "The largest, against the range before",
        "query?metric=orders.revenue&measures=sum&by=product&top=10&compare=previous",
    ),
    _get("Local days", "query?metric=orders.visitors&measures=uniques&step=1d&from=-7d&timezone=Europe/Amsterdam"),
    _get("What was known a minute ago", "query?metric=orders.revenue&from=-1h&as_of=-1m"),
    Sample(
        "With a key", f"curl '{API}/query?metric=orders.revenue'{_NEXT}-H \"Authorization: Bearer $TALLYBOARD_KEY\""
    ),
)
POST_QUERY: Final = (
    _post(
        "Everything but one country",
        {
            "metric": "orders.revenue",
            "measures": ["count", "avg"],
            "step": "auto",
            "where": {"country": {"not": ["DE"]}},
        },
    ),
    _post(
        "A histogram of each of two countries",
        {
            "metric": "orders.revenue",
            "measures": ["histogram"],
            "by": ["country"],
            "where": {"country": ["NL", "DE"]},
        },
    ),
)
CATALOGUE: Final = (_get("All metrics", "catalogue"),)
SERIES: Final = (
    _get("Series of a metric", "series?metric=orders.revenue&limit=10"),
    _get("Those of one country", "series?metric=orders.revenue&where=country:NL"),
)
FRESHNESS: Final = (_get("How current answers are", "freshness"),)
LEDGER: Final = (_get("The last quarter of an hour", "ledger?metric=orders.revenue&from=-15m"),)
RECEIPTS: Final = (_get("The first record of partition 0", "receipts?position=0:0"),)
ANNOTATE: Final = (
    Sample(
        "Say what happened",
        f"curl '{API}/annotations'{_NEXT}-H 'Content-Type: application/json'{_NEXT}"
        f"-H 'Idempotency-Key: deploy 7'{_NEXT}"
        """--data-binary '{"text": "Version 7 went out", "at": "-10m"}'""",
    ),
)
ANNOTATIONS: Final = (_get("What was said of a metric", "annotations?metric=orders.revenue&from=-1d"),)
SAMPLES: Final = (*ANNOTATE, *ANNOTATIONS, *GET_QUERY, *POST_QUERY, *CATALOGUE, *SERIES, *FRESHNESS, *LEDGER, *RECEIPTS)
