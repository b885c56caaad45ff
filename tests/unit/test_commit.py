"""Group commit: what shares a flush, who is told what, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from ingest.commit import Committed, GroupCommit, NotCommitted
from ingest.deadletters import DeadLetters
from ingest.events import MAX_RECORD_EVENTS, NO_START, DecodedEvents, EventColumns, decode
from ingest.log import Topics
from ingest.publish import MemoryPublisher, Message, Outcome, Undelivered
from ingest.series import Kind, Series, SeriesTable, partition_of

TOPICS = Topics(partitions=4)


class GatedPublisher(MemoryPublisher):
    """A log whose acknowledgements wait for `open`; partitions in `failing` are not acknowledged at all."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Sequence[Message]] = []
        self.failing: dict[int, Undelivered] = {}
        self.open = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        self.calls.append(messages)
        await self.open.wait()
        outcomes = await super().publish(messages)
        return [self.failing.get(m.partition, o) for m, o in zip(messages, outcomes, strict=True)]


def columns(*numbers: int, table: SeriesTable | None = None, ids: bool = False) -> EventColumns:
    """One event for every number; the number is series, time and value."""
    table = SeriesTable() if table is None else table
    series = [table.intern(Series(f"m{number}", Kind.COUNTER)) for number in numbers]
    values = np.array(numbers, np.float64)
    names: list[str | None] | None = [str(number) for number in numbers] if ids else None
    return EventColumns(table, np.array(series, np.int32), np.array(numbers, np.int64), values, None, names)


def partitions_of(*numbers: int) -> set[int]:
    return {partition_of(Series(f"m{number}", Kind.COUNTER).key, TOPICS.partitions) for number in numbers}


def commit_of(publisher: MemoryPublisher, *, flush_events: int = 1000, queue_events: int = 1000) -> GroupCommit:
    return GroupCommit(publisher, TOPICS, 0.001, flush_events, queue_events)


def stored(publisher: MemoryPublisher) -> list[float]:
    values: list[float] = []
    for (topic, _), records in publisher.records.items():
        if topic == TOPICS.events:
            for record in records:
                decoded = decode(record.value)
                assert isinstance(decoded, DecodedEvents)
                assert record.headers == [("events", str(len(decoded)).encode())]
                values += decoded.values.tolist()
    return sorted(values)


async def until(condition: object) -> None:
    """Wait for a callable to become true, at most 5 s."""
    assert callable(condition)
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_requests_in_flight_share_records() -> None:
    publisher = MemoryPublisher()
    commit = commit_of(publisher)
    table = SeriesTable()
    answers = await asyncio.gather(*(commit.commit(columns(n, n + 100, table=table), ()) for n in range(50)))
    assert stored(publisher) == sorted([*range(50), *range(100, 150)])
    assert sum(len(records) for records in publisher.records.values()) == TOPICS.partitions
    for n, answer in enumerate(answers):
        assert answer == Committed(dict.fromkeys(partitions_of(n, n + 100), 1))


async def test_requests_with_and_without_start_times_share_records() -> None:
    publisher = MemoryPublisher()
    commit = commit_of(publisher)
    table = SeriesTable()
    plain, started = columns(1, table=table), columns(1, table=table)
    started.starts = np.array([77])
    answers = await asyncio.gather(*(commit.commit(c, ()) for c in (plain, started)))
    assert all(isinstance(answer, Committed) for answer in answers)
    (records,) = publisher.records.values()
    (record,) = records
    decoded = decode(record.value)
    assert isinstance(decoded, DecodedEvents)
    assert decoded.starts is not None
    assert decoded.starts.tolist() == [NO_START, 77]


async def test_while_a_flush_is_under_way_the_next_one_gathers() -> None:
    publisher = GatedPublisher()
    commit = commit_of(publisher)
    tasks = [asyncio.create_task(commit.commit(columns(0), ()))]
    await until(lambda: publisher.calls)
    tasks += [asyncio.create_task(commit.commit(columns(n, ids=n % 2 == 0), ())) for n in range(1, 20)]
    await asyncio.sleep(0.01)
    assert len(publisher.calls) == 1
    assert commit.queued_events == 20
    publisher.open.set()
    answers = await asyncio.gather(*tasks)
    assert len(publisher.calls) == 2
    assert all(isinstance(answer, Committed) for answer in answers)
    assert stored(publisher) == [*range(20)]
    assert commit.queued_events == 0


async def test_enough_events_do_not_wait_for_the_flush_before() -> None:
    publisher = GatedPublisher()
    commit = commit_of(publisher, flush_events=10)
    tasks = [asyncio.create_task(commit.commit(columns(*range(10)), ())) for _ in range(4)]
    await until(lambda: len(publisher.calls) == 2)
    await asyncio.sleep(0.01)
    assert len(publisher.calls) == 2  # and no more than two at a time
    publisher.open.set()
    await asyncio.gather(*tasks)
    assert len(stored(publisher)) == 40


async def test_the_queue_is_bounded() -> None:
    publisher = GatedPublisher()
    commit = commit_of(publisher, queue_events=10)
    tasks = [asyncio.create_task(commit.commit(columns(*range(5)), ())) for _ in range(2)]
    await until(lambda: commit.queued_events == 10)
    refused = await commit.commit(columns(1), ())
    assert isinstance(refused, NotCommitted)
    assert refused.code == "busy"
    publisher.open.set()
    assert all(isinstance(answer, Committed) for answer in await asyncio.gather(*tasks))
    assert isinstance(await commit.commit(columns(1), ()), Committed)


async def test_a_request_larger_than_the_queue_is_taken_alone() -> None:
    commit = commit_of(MemoryPublisher(), queue_events=10)
    assert isinstance(await commit.commit(columns(*range(50)), ()), Committed)


@pytest.mark.parametrize(("unknown", "code"), [(True, "outcome_unknown"), (False, "unavailable")])
async def test_only_requests_of_a_failed_partition_fail(unknown: bool, code: str) -> None:
    publisher = GatedPublisher()
    commit = commit_of(publisher)
    (failing,) = partitions_of(0)
    publisher.failing[failing] = Undelivered(unknown, "no answer")
    other = next(n for n in range(1, 100) if failing not in partitions_of(n))
    publisher.open.set()
    hit, spared, both = await asyncio.gather(
        commit.commit(columns(0), ()), commit.commit(columns(other), ()), commit.commit(columns(0, other), ())
    )
    assert hit == NotCommitted(code, "no answer")
    assert isinstance(spared, Committed)
    assert both == NotCommitted("outcome_unknown", "no answer")  # a part of it is durable


async def test_dead_letters_are_awaited_too() -> None:
    publisher = MemoryPublisher()
    letters = [DeadLetters(b"{}", 3)]
    assert await commit_of(publisher).commit(None, letters) == Committed({})
    (record,) = [r for (topic, _), rs in publisher.records.items() if topic == TOPICS.rejected for r in rs]
    assert (record.value, record.headers) == (b"{}", [("events", b"3")])

    gated = GatedPublisher()
    gated.failing = dict.fromkeys(range(4), Undelivered(True, "gone"))
    gated.open.set()
    assert await commit_of(gated).commit(None, letters) == NotCommitted("outcome_unknown", "gone")


async def test_kafka_away_is_said_at_once() -> None:
    publisher = MemoryPublisher()
    publisher.away = "nobody there"
    assert await commit_of(publisher).commit(columns(1), ()) == NotCommitted("unavailable", "nobody there")


async def test_close_answers_what_was_taken_and_refuses_the_rest() -> None:
    publisher = GatedPublisher()
    commit = commit_of(publisher)
    first = asyncio.create_task(commit.commit(columns(1), ()))
    await until(lambda: publisher.calls)
    second = asyncio.create_task(commit.commit(columns(2), ()))
    await until(lambda: commit.queued_events == 2)
    closing = asyncio.create_task(commit.close())
    await asyncio.sleep(0)
    refused = await commit.commit(columns(3), ())
    assert isinstance(refused, NotCommitted)
    assert refused.code == "draining"
    publisher.open.set()
    await closing
    assert isinstance(await first, Committed)
    assert isinstance(await second, Committed)
    assert stored(publisher) == [1, 2]


async def test_a_cancelled_request_hinders_nobody() -> None:
    publisher = GatedPublisher()
    commit = commit_of(publisher)
    tasks = [asyncio.create_task(commit.commit(columns(n), ())) for n in range(2)]
    await until(lambda: publisher.calls)
    tasks[0].cancel()
    publisher.open.set()
    assert isinstance(await tasks[1], Committed)
    assert commit.queued_events == 0
    assert stored(publisher) == [0, 1]


class Scripted(MemoryPublisher):
    """A log that gives these outcomes, in the order of the messages; None: durable."""

    def __init__(self, *given: Undelivered | None) -> None:
        super().__init__()
        self.given = given

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        return [self._append(m) if given is None else given for m, given in zip(messages, self.given, strict=True)]


async def test_one_of_several_records_of_a_partition_makes_the_outcome_unknown() -> None:
    publisher = Scripted(None, Undelivered(False, "full"))
    many = MAX_RECORD_EVENTS + 1  # two records of one partition
    answer = await commit_of(publisher, flush_events=many, queue_events=many).commit(columns(*([1] * many)), ())
    assert answer == NotCommitted("outcome_unknown", "full")


async def test_requests_that_share_no_record_do_not_share_an_outcome() -> None:
    publisher = Scripted(None, Undelivered(False, "full"))
    commit = commit_of(publisher)
    tables = SeriesTable(), SeriesTable()
    first, second = await asyncio.gather(*(commit.commit(columns(1, table=table), ()) for table in tables))
    assert isinstance(first, Committed)
    assert second == NotCommitted("unavailable", "full")
    assert stored(publisher) == [1.0]


async def test_history_never_shares_a_record_with_the_present() -> None:
    publisher = MemoryPublisher()
    commit = commit_of(publisher)
    present = columns(1)
    past = dataclasses.replace(present, history=True)
    await asyncio.gather(commit.commit(present, ()), commit.commit(past, ()))
    found = [decode(record.value) for records in publisher.records.values() for record in records]
    assert [record.history for record in found if isinstance(record, DecodedEvents)] == [False, True]
