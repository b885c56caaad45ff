"""The questions of the benchmark: as a query of the API, and as SQL over the raw events."""

# ruff: noqa: S608  (the SQL holds names of this benchmark alone)

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import httpx

from aggregates.queries import Query, Result
from aggregates.query_fields import parse_query
from benchmarks.history import DURATION, ORDERS, PAGES

PAUSE_S = 0.03
Rows = Sequence[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Question:
    """`fields` are the JSON of a query; `sql` has the parameters start, end (of the range that was answered) and
    gives the same rows, in any order."""

    name: str
    fields: Mapping[str, object]
    sql: str

    def query(self, now_ms: int) -> Query:
        found = parse_query(dict(self.fields), now_ms)
        assert isinstance(found, Query), found
        return found


_RANGE = "time >= make_timestamp_ms($start) AND time < make_timestamp_ms($end)"
QUESTIONS = (
    Question(
        "total at 1 min over 24 h",
        {"metric": ORDERS, "measures": ["count", "sum"], "from": "-24h", "to": "now", "step": "1m"},
        "SELECT epoch_ms(time_bucket(INTERVAL 1 minute, time)), count(*), sum(value) FROM events "
        f"WHERE metric = '{ORDERS}' AND {_RANGE} GROUP BY 1",
    ),
    Question(
        "by country over 30 days",
        {"metric": ORDERS, "measures": ["count", "sum"], "from": "-30d", "to": "now", "by": ["country"]},
        f"SELECT country, count(*), sum(value) FROM events WHERE metric = '{ORDERS}' AND {_RANGE} GROUP BY 1",
    ),
    Question(
        "by country and day over 30 days",
        {"metric": ORDERS, "measures": ["sum"], "from": "-30d", "to": "now", "by": ["country"], "step": "1d"},
        "SELECT epoch_ms(date_trunc('day', time)), country, sum(value) FROM events "
        f"WHERE metric = '{ORDERS}' AND {_RANGE} GROUP BY 1, 2",
    ),
    Question(
        "top 10 of 10,000 over 1 h",
        {"metric": PAGES, "measures": ["count"], "from": "-1h", "to": "now", "by": ["page"], "top": 10},
        "WITH pages AS (SELECT page, count(*) AS n FROM events "
        f"WHERE metric = '{PAGES}' AND {_RANGE} GROUP BY 1), "
        "best AS (FROM pages ORDER BY n DESC, page LIMIT 10) "
        "SELECT page, n FROM best UNION ALL "
        "SELECT 'other', ((SELECT sum(n) FROM pages) - (SELECT sum(n) FROM best))::BIGINT",
    ),
    Question(
        "p99 over 7 days",
        {"metric": DURATION, "measures": ["p99"], "from": "-7d", "to": "now"},
        f"SELECT quantile_disc(value, 0.99) FROM events WHERE metric = '{DURATION}' AND {_RANGE}",
    ),
)


def timed(asks: int, ask: Callable[[], object], pause_s: float = PAUSE_S) -> list[float]:
    """Milliseconds of each of `asks` calls, sorted; a fifth as many are made before, to warm up."""
    spent: list[float] = []
    for number in range(-(asks // 5), asks):
        began = time.perf_counter()
        ask()
        if number >= 0:
            spent.append(1000 * (time.perf_counter() - began))
        time.sleep(pause_s)
    return sorted(spent)


def over_http(url: str, asks: int, out: Connection) -> None:
    """In a process of its own: the milliseconds of each question, over one keep-alive connection."""
    with httpx.Client(base_url=url, timeout=30) as client:

        def ask(fields: Mapping[str, object]) -> None:
            answer = client.post("/api/v1/query", json=dict(fields))
            assert answer.status_code == 200, answer.text

        for question in QUESTIONS:
            out.send(timed(asks, lambda fields=question.fields: ask(fields)))  # type: ignore[misc]


def same(question: Question, result: Result, raw: Rows) -> None:
    """The read model's answer is that of the raw events: counts equal, sums to 1e-9, percentiles within their bound."""
    key = sum(column.type in ("time", "string") for column in result.columns)
    bound = max((result.error_bound or {}).values(), default=1e-9)
    found = {row[:key]: row[key:] for row in result.rows if any(row[key:])}
    wanted = {row[:key]: row[key:] for row in raw}
    assert found.keys() == wanted.keys(), (question.name, len(found), len(wanted))
    for place, values in wanted.items():
        for own, expected in zip(found[place], values, strict=True):
            assert abs(float(own) - float(expected)) <= bound * abs(float(expected)), (question.name, place, own)  # type: ignore[arg-type]
