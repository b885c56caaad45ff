"""Whatever stands in a field, over HTTP: it is an answer or a refusal in words, never a fault, and never executed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.query_fields import FIELDS
from dashboard import series
from tests.asked import EVENTS, Board, board
from tests.ingest_server import ThreadedServer

SEED = 20_261_123
SERIES = len({(metric, *dimensions.items()) for metric, dimensions, *_ in EVENTS})
HOSTILE_TEXTS = [
    "'",
    '"',
    "';",
    "--",
    "/*",
    "\\",
    "?",
    "$1",
    "%s",
    "{0}",
    "{{7*7}}",
    "' OR '1'='1",
    "'; DROP TABLE series; --",
    '"; DROP TABLE series; --',
    "x'); ATTACH '/tmp/stolen.duckdb' AS stolen; --",
    "orders.revenue' UNION SELECT * FROM duckdb_settings() --",
    "read_csv('/etc/passwd')",
    "COPY series TO '/tmp/stolen.csv'",
    "PRAGMA database_list",
    "../../etc/passwd",
    "orders.revenue\0",
    "\0",
    "\x1b[31m",
    "\r\nX-Injected: yes",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "\u202eNL",
    "é" * 500,
    "💥" * 100,
    "\U0010ffff",
    "a" * 5000,
    ",".join("abcdefgh"),
    "a:b:c",
    "!",
    "!:",
    ":",
    "*",
    "1e400",
    "-1e400",
    "nan",
    "inf",
    "9" * 400,
    "-" + "9" * 30,
    "0x10",
    "1_000",
    "٣",
    "-9999999999w",
    "-999999999w",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "2026-02-30T00:00:00Z",
    "2026-W10-3T00:00Z",
    "",
    " ",
    "null",
    "true",
    "[]",
    "{}",
]
HOSTILE_VALUES: list[Any] = [
    *HOSTILE_TEXTS,
    None,
    True,
    False,
    0,
    -1,
    1.5,
    -0.0,
    1e308,
    2**31,
    2**63,
    -(2**63) - 1,
    2**64,
    10**100,
    [],
    {},
    [[]],
    [{}],
    [None],
    [""],
    [1],
    ["a", "a"],
    ["a"] * 10_000,
    [f"d{n}" for n in range(10_000)],
    [f"p{n}" for n in range(1, 99)],
    {"": ""},
    {"not": "x"},
    {"country": {"not": {"not": "NL"}}},
    {"country": {"not": [], "or": 1}},
    {"'; DROP TABLE series; --": "'; DROP TABLE series; --"},
    {"country'": ["NL'", '"']},
    {"a/b~c": "x"},
    {"\0": "\0"},
    {"country": [f"v{n}" for n in range(5_000)]},
    {f"d{n}": "x" for n in range(2_000)},
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Board, ThreadedServer, httpx.Client]]:
    with board(tmp_path_factory.mktemp("board")) as (found, server):
        base = f"http://127.0.0.1:{server.port}/api/v1"
        with httpx.Client(base_url=base, trust_env=False, timeout=30) as client:
            yield found, server, client


def check(answer: httpx.Response, what: object) -> None:
    assert answer.status_code in (200, 400, 404, 413, 414, 431), (what, answer.status_code, answer.text[:300])
    assert "x-injected" not in answer.headers
    if answer.status_code != 200:
        said = answer.json()
        assert said["code"] not in ("internal", ""), what
        assert len(said.get("message", "")) < 2000


def check_intact(found: Board, client: httpx.Client) -> None:
    with found.store.reader() as cursor:
        assert cursor.execute("SELECT count(*) FROM series").fetchall() == [(SERIES,)]
        assert [row[1] for row in cursor.execute("PRAGMA database_list").fetchall()] == ["dashboard"]
    answer = client.get("/query", params={"metric": "orders.revenue", "from": "-1h"})
    assert answer.json()["rows"] == [[sum(event[0] == "orders.revenue" for event in EVENTS)]]


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_hostile_values_in_a_body(running: tuple[Board, ThreadedServer, httpx.Client], field: str) -> None:
    found, _, client = running
    for value in HOSTILE_VALUES:
        fields = {"metric": "orders.revenue", "by": ["country"], "from": "-1h", "timeout": 0, field: value}
        check(client.post("/query", content=json.dumps(fields)), value)
        check(
            client.post("/query", content=json.dumps({**fields, "step": "1d", "measures": ["sum"], field: value})),
            value,
        )
    check_intact(found, client)


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_hostile_values_in_a_parameter(running: tuple[Board, ThreadedServer, httpx.Client], field: str) -> None:
    found, _, client = running
    for value in HOSTILE_TEXTS:
        fields = {"metric": "orders.revenue", "from": "-1h", "timeout": "0", field: value}
        check(client.get("/query", params=fields), value)
    check_intact(found, client)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/series", series.FIELDS),
        ("/ledger", ("metric", "from", "to")),
        ("/receipts", ("position",)),
        ("/catalogue", ("x",)),
        ("/freshness", ("x",)),
    ],
)
def test_hostile_values_elsewhere(
    running: tuple[Board, ThreadedServer, httpx.Client], path: str, fields: tuple[str, ...]
) -> None:
    found, _, client = running
    for field in fields:
        for value in HOSTILE_TEXTS:
            check(client.get(path, params={"metric": "orders.revenue", field: value}), (field, value))
            check(client.get(path, params={field: value}), (field, value))
            check(client.get(path, params={value: field}), (field, value))
    check_intact(found, client)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"[" * 60_000,
        b'{"where":' * 7000,
        b'{"metric": "orders.revenue", "where": ' + b'{"not":' * 3000 + b"1" + b"}" * 3001,
        b'{"metric": "\\ud800"}',
        b'{"metric": "\\ud800\\udc00"}',
        b'{"metric": "orders.revenue", "top": 1' + b"0" * 5000 + b"}",
        b'{"metric": "orders.revenue", "top": 1e400}',
        b'{"metric": "orders.revenue", "timeout": 1' + b"0" * 400 + b"}",
        b'{"metric": "orders.revenue", "metric": 5}',
        b'{"metric": NaN}',
        b'{"metric": "orders.revenue"}' + b" " * 70_000,
        b"{" + b",".join(b'"%d": 1' % n for n in range(5000)) + b"}",
    ],
    ids=range(15),
)
def test_hostile_bodies(running: tuple[Board, ThreadedServer, httpx.Client], body: bytes) -> None:
    found, _, client = running
    check(client.post("/query", content=body), body[:60])
    check_intact(found, client)


@pytest.mark.parametrize(
    "target",
    [
        b"/api/v1/query?metric=%ff%fe&from=-1h",
        b"/api/v1/query?metric=orders.revenue&where=%00:%00",
        b"/api/v1/query?metric=orders.revenue&metric=orders.revenue",
        b"/api/v1/query?" + b"&".join([b"where=a:b"] * 400) + b"&metric=orders.revenue",
        b"/api/v1/query?metric=%ed%a0%80",
        b"/api/v1/query?metric=orders.revenue&by=%E2%80%AE",
        b"/api/v1/query?;--",
    ],
)
def test_hostile_addresses(running: tuple[Board, ThreadedServer, httpx.Client], target: bytes) -> None:
    found, server, client = running
    with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
        raw.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        status = int(raw.makefile("rb").readline().split()[1])
    assert status in (200, 400, 404, 414), target
    check_intact(found, client)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=12,
)
LIKELY = st.sampled_from(
    [
        "orders.revenue",
        "country",
        ["country"],
        "1d",
        "1m",
        "auto",
        "-1h",
        "now",
        "previous",
        "-7d",
        ["sum", "p99"],
        5,
        "UTC",
    ]
)


@hypothesis.seed(SEED)
@hypothesis.settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
@given(st.dictionaries(st.sampled_from(sorted(FIELDS - {"min_position"})), LIKELY | JSON, max_size=8))
def test_any_json_in_any_field(running: tuple[Board, ThreadedServer, httpx.Client], fields: dict[str, Any]) -> None:
    _, _, client = running
    check(client.post("/query", content=json.dumps({"metric": "orders.revenue", **fields})), fields)


@pytest.mark.parametrize(
    ("field", "meant"), [("mesures", "measures"), ("From", "from"), ("group_by", "by"), ("time_zone", "timezone")]
)
def test_a_misspelt_field_is_named_with_the_nearest(
    running: tuple[Board, ThreadedServer, httpx.Client], field: str, meant: str
) -> None:
    _, _, client = running
    for answer in (
        client.get("/query", params={"metric": "orders.revenue", field: "x"}),
        client.post("/query", json={"metric": "orders.revenue", field: "x"}),
    ):
        assert answer.status_code == 400
        assert answer.json()["field"] == field
        assert meant in answer.json()["message"]
