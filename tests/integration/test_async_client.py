"""`AsyncClient`: the same promises on an event loop."""

from __future__ import annotations

import asyncio

import pytest

from ingest.client import AsyncClient, BatchResult, ClientClosed, EventsLost, QueueFull, Rejection
from tests.write_site import PATIENCE_S, Reply, WriteSite, problem, scripted, write_site


async def test_events_arrive() -> None:
    with write_site() as site:
        async with AsyncClient(site.url) as client:
            await client.send("orders", 12.5, id="o1", country="NL")
            assert await client.flush(PATIENCE_S)
            assert site.events()[0]["dimensions"] == {"country": "NL"}
            await client.send("orders", 1, id="o2")
        assert sorted(site.ids()) == ["o1", "o2"]  # the end of the block has sent it


async def test_many_tasks_send_batches_and_hear_of_their_own() -> None:
    async def task(client: AsyncClient, number: int) -> BatchResult:
        events = [{"metric": "m", "value": "1" if n == 3 else n, "id": f"{number}-{n}"} for n in range(10)]
        return await client.send_batch(events)

    with write_site() as site:
        async with AsyncClient(site.url, batch_events=7) as client:
            results = await asyncio.gather(*(task(client, number) for number in range(20)))
            assert await client.send_batch([]) == BatchResult(0, (), "")
        assert len(set(site.ids())) == len(site.ids()) == 180
    assert all(result.accepted == 9 for result in results)
    for number, result in enumerate(results):
        assert [(rejection.index, rejection.id) for rejection in result.rejected] == [(3, f"{number}-3")]


async def test_an_outage_is_outlasted_with_the_same_ids() -> None:
    with scripted(Reply(how="reset"), problem(503, "busy", Retry_After="0")) as server:
        async with AsyncClient(server.url) as client:
            result = await client.send_batch([{"metric": "m", "value": n} for n in range(3)])
    assert result.accepted == 3
    assert [request.ids for request in server.requests] == [server.requests[0].ids] * 3
    assert client.stats().retries == 2


async def test_what_is_refused_is_an_error_and_a_false_flush() -> None:
    with scripted(problem(400, "bad"), problem(400, "bad")) as server:
        async with AsyncClient(server.url, on_error=lambda *_: None) as client:
            with pytest.raises(EventsLost, match="400 bad"):
                await client.send_batch([{"metric": "m", "value": 1}])
            await client.send("m", 2)
            assert not await client.flush(PATIENCE_S)
            assert await client.flush(PATIENCE_S)


async def test_a_full_queue_blocks_raises_or_drops() -> None:
    with scripted() as server:
        server.may_answer.clear()
        async with (
            AsyncClient(server.url, queue_events=2, batch_events=2, when_full="raise") as raising,
            AsyncClient(server.url, queue_events=2, batch_events=2, when_full="block") as blocking,
            AsyncClient(server.url, queue_events=2, batch_events=2) as dropping,
        ):
            for client in (raising, blocking, dropping):
                assert await client.send("m", 1)
                assert await client.send("m", 2)
            with pytest.raises(QueueFull):
                await raising.send("m", 3)
            assert not await dropping.send("m", 3)
            waiting = asyncio.create_task(blocking.send("m", 3))
            await asyncio.sleep(0)
            assert not waiting.done()
            server.may_answer.set()
            assert await waiting


async def test_closing_in_vain_loses_and_says_so() -> None:
    client = AsyncClient(WriteSite().url)
    waiting = asyncio.create_task(client.send_batch([{"metric": "m", "value": 1}]))
    await asyncio.sleep(0)
    assert not await client.close(timeout=0.2)
    with pytest.raises(EventsLost, match="closed"):
        await waiting
    with pytest.raises(ClientClosed):
        await client.send("m", 2)


async def test_rejections_are_handed_over() -> None:
    heard: list[Rejection] = []
    with write_site() as site:
        async with AsyncClient(site.url, on_rejected=lambda rejection, _: heard.append(rejection)) as client:
            await client.send("m", "12", id="x")
    assert [(rejection.id, rejection.code) for rejection in heard] == [("x", "wrong_type")]
