"""The corpus of bad inputs over raw sockets: each gets its exact answer, and harms nothing beside it.

Every case meets the same running server. While it is sent, good events are sent beside it; afterwards another one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.registry import load
from ingest.settings import IngestSettings
from tests.corpus import bodies, heads, keys
from tests.corpus.case import EVENT, REGISTRY, Case
from tests.corpus.check import check_answer, send_good
from tests.corpus.left_out import LEFT_OUT, ROWS
from tests.corpus.worlds import HEALTHY, world
from tests.ingest_server import IngestServer, serving
from tests.raw_http import chunked, request, talk

CASES = [*heads.CASES, *keys.CASES, *bodies.CASES]
PIECES = [
    request(EVENT),
    request(EVENT)[:40],
    request(EVENT)[-60:],
    chunked([EVENT.encode()]),
    chunked([EVENT.encode()])[:-3],
    b"Content-Length: 5\r\n\r\n",
    b"GET / HTTP/1.1\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
]
"""Of requests, to be put together with anything."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestServer]:
    path = tmp_path_factory.mktemp("workspace") / "metrics.toml"
    path.write_text(REGISTRY)
    settings = IngestSettings(body_timeout_s=1.0, queue_events=20_000)
    with serving(settings, load(path)) as running:
        yield running


def test_cases_and_the_list_of_those_left_out_are_all_rows() -> None:
    covered = {case.row for case in CASES}
    assert not covered & LEFT_OUT.keys()
    assert covered | LEFT_OUT.keys() == set(ROWS)
    assert all(LEFT_OUT.values())


def test_no_two_cases_have_one_name() -> None:
    assert [name for name, count in Counter(map(str, CASES)).items() if count > 1] == []


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_bad_input(case: Case, server: IngestServer) -> None:
    async with world(case.world, server):
        if case.before:
            assert (await talk(server.port, case.before)).answer.status == 202
        stored, letters = len(server.ids()), len(server.letters())
        beside = [asyncio.create_task(send_good(server.port)) for _ in range(3 if case.world in HEALTHY else 0)]
        heard = await talk(server.port, case.raw, finish=case.finish)
        good = [await each for each in beside]
        if case.world in HEALTHY:
            taken = len(server.ids()) - stored
            assert taken == len(good) + case.accepted, "what is refused is not stored, what is taken is"
    check_answer(case, heard)
    if not case.rejected and case.world != "full":
        assert len(server.letters()) == letters
    if case.check is not None:
        case.check(server, heard)
    good.append(await send_good(server.port))
    kept = Counter(server.ids())
    assert [kept[id_] for id_ in good] == [1] * len(good)


async def test_where_the_bytes_are_cut_changes_nothing(server: IngestServer) -> None:
    """Heads that arrive in two pieces get the answers of heads that arrive at once."""
    cases = [case for case in heads.CASES if case.world == "plain" and case.closes and len(case.raw) < 10_000]
    assert len(cases) > 50
    for case in cases:
        assert isinstance(case.raw, bytes)
        cuts = range(1, len(case.raw), max(1, len(case.raw) // 6))
        pieces = [talk(server.port, [case.raw[:cut], case.raw[cut:]], finish=case.finish) for cut in cuts]
        for heard in await asyncio.gather(*pieces):
            check_answer(case, heard)


def test_garbage_is_answered_and_never_with_500(server: IngestServer) -> None:
    spliced = st.tuples(st.sampled_from([b"", *PIECES]), st.binary(max_size=200), st.sampled_from([b"", *PIECES]))

    @settings(max_examples=300)
    @given(spliced.map(b"".join))
    def answered(raw: bytes) -> None:
        heard = asyncio.run(talk(server.port, raw, finish=True, answers=100))
        assert all(status < 500 for status in heard.statuses), raw
        assert heard.closed, raw

    answered()
