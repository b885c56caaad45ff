"""The queue of a client: its bounds, its batches, and the account of every event."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.client.answers import Refusal, Rejection, Verdicts
from ingest.client.delivery import Settled
from ingest.client.outbox import OVERHEAD, Offer, Outbox, Ticket
from ingest.client.settings import BatchResult, EventsLost, Options, Settings, WhenFull
from ingest.client.wire import OutgoingEvent

TEXT = b"x" * 50
GONE = Refusal(400, "no", "why")


class Owner:
    """Whoever sends: a thread, a task."""


ME = Owner()


def outbox(**settings: Any) -> Outbox:
    return Outbox(Settings(**{"batch_events": 3, "queue_events": 10, "batch_bytes": 1_000, **settings}))


def events(count: int, first: int = 0) -> list[OutgoingEvent]:
    return [OutgoingEvent(f"e{first + n}", TEXT) for n in range(count)]


def offer(box: Outbox, count: int, first: int = 0, now_s: float = 0.0) -> list[Offer]:
    return [box.offer([event], None, ME, now_s) for event in events(count, first)]


def ids(batch: list[OutgoingEvent]) -> list[str]:
    return [event.id for event in batch]


def accept(box: Outbox, batch: list[OutgoingEvent]) -> None:
    box.settle(Settled(batch, Verdicts(len(batch))))


def test_a_batch_is_due_when_it_is_full_or_its_first_event_has_waited() -> None:
    box = outbox(linger_s=0.5)
    assert box.due_s(0.0) is None
    offer(box, 2, now_s=10.0)
    assert box.due_s(10.2) == pytest.approx(0.3)
    assert box.due_s(10.5) == 0.0
    offer(box, 1, now_s=10.3)
    assert box.due_s(10.3) == 0.0
    assert ids(box.take()) == ["e0", "e1", "e0"]


def test_a_batch_ends_at_its_bytes_and_has_one_event_at_least() -> None:
    box = outbox(batch_bytes=120, queue_bytes=10_000)
    offer(box, 3)
    assert len(box.take()) == 2
    single = outbox(batch_bytes=10, queue_bytes=10_000)
    offer(single, 2)
    assert len(single.take()) == 1


def test_flushing_makes_what_is_queued_due() -> None:
    box = outbox(linger_s=100.0)
    offer(box, 1)
    number = box.hurry()
    assert box.due_s(0.0) == 0.0
    batch = box.take()
    assert not box.has_settled(number)
    offer(box, 1)
    accept(box, batch)
    assert box.has_settled(number)
    assert box.due_s(0.0) == 100.0


@pytest.mark.parametrize("bound", [{"queue_events": 4}, {"queue_bytes": 4 * (50 + OVERHEAD), "batch_bytes": 200}])
def test_the_newest_is_dropped_when_there_is_no_room(bound: dict[str, int]) -> None:
    box = outbox(when_full="drop_newest", **bound)
    assert offer(box, 6) == [Offer.TAKEN] * 4 + [Offer.DROPPED] * 2
    assert ids(box.take()) == ["e0", "e1", "e2"]
    assert offer(box, 1) == [Offer.DROPPED]  # what is on its way takes room too
    assert box.stats().dropped == 3


def test_the_oldest_that_waits_is_dropped_never_what_is_on_its_way() -> None:
    box = outbox(when_full="drop_oldest", queue_events=4)
    offer(box, 3)
    batch = box.take()
    assert offer(box, 3, 10) == [Offer.TAKEN] * 3
    accept(box, batch)
    assert ids(box.take()) == ["e12"]
    assert dataclasses.asdict(box.stats()) | {"accepted": 3, "dropped": 2, "queued": 1} == dataclasses.asdict(
        box.stats()
    )


def test_the_oldest_stay_when_dropping_them_would_not_help() -> None:
    box = outbox(when_full="drop_oldest", queue_events=4)
    offer(box, 3)
    box.take()
    offer(box, 1, 10)
    assert box.offer(events(2, 20), None, ME, 0.0) is Offer.DROPPED
    assert len(box) == 4


@pytest.mark.parametrize("policy", ["block", "raise"])
def test_nothing_is_done_when_the_caller_decides(policy: str) -> None:
    box = outbox(when_full=policy, queue_events=3)
    assert offer(box, 4) == [Offer.TAKEN] * 3 + [Offer.FULL]
    assert box.stats().dropped == 0


def test_what_is_larger_than_the_queue_fits_into_an_empty_one() -> None:
    box = outbox(queue_bytes=1_000)
    assert box.offer([OutgoingEvent("e", b"x" * 5_000)], None, ME, 0.0) is Offer.TAKEN
    assert offer(box, 1) == [Offer.DROPPED]


def test_the_events_of_a_batch_get_one_result() -> None:
    box, results = outbox(), list[BatchResult | EventsLost]()
    ticket = Ticket(5, results.append)
    box.offer(events(5), ticket, ME, 0.0)
    verdict = Rejection(1, "e1", "wrong_type", "value", "no")
    box.settle(Settled(box.take(), Verdicts(2, (verdict,), "t;0:5")))
    assert not box.finished()
    box.settle(Settled(box.take(), Verdicts(1, (dataclasses.replace(verdict, index=0),), "t;1:2")))
    assert box.finished() == [ticket]
    outcome = ticket.outcome()
    assert isinstance(outcome, BatchResult)
    assert (outcome.accepted, [r.index for r in outcome.rejected], outcome.position) == (3, [1, 3], "t;0:5,1:2")
    assert not box.finished()


def test_lost_events_of_a_batch_are_an_error() -> None:
    box = outbox()
    ticket = Ticket(4, lambda _: None)
    box.offer(events(4), ticket, ME, 0.0)
    accept(box, box.take())
    box.settle(Settled(box.take(), GONE))
    outcome = ticket.outcome()
    assert isinstance(outcome, EventsLost)
    assert (outcome.lost, outcome.refusal, outcome.result.accepted) == (1, GONE, 3)


def test_everyone_who_sent_is_told_of_a_loss_once() -> None:
    box, other = outbox(queue_events=3), Owner()
    assert box.told(ME)
    offer(box, 4)
    assert not box.told(ME)
    assert box.told(ME)
    box.offer(events(1), None, other, 0.0)  # its first event is dropped
    assert not box.told(other)
    assert not box.told(ME)
    assert not box.told(Owner())  # who never sent hears of everything


def test_what_is_abandoned_stays_abandoned() -> None:
    box = outbox()
    offer(box, 4)
    batch = box.take()
    assert len(box.abandon()) == 4
    assert not box.settle(Settled(batch, Verdicts(3)))
    assert (box.stats().dropped, box.stats().accepted, len(box)) == (4, 0, 0)


@given(st.lists(st.sampled_from(["offer", "two", "take", "accept", "refuse"]), max_size=60), st.sampled_from(
    ["drop_newest", "drop_oldest", "block"]))  # fmt: skip
def test_every_event_is_accounted_for_once(actions: list[str], policy: WhenFull) -> None:
    box, given_, batch = outbox(when_full=policy, queue_events=5), 0, list[OutgoingEvent]()
    for action in actions:
        if action in ("offer", "two"):
            count = 1 if action == "offer" else 2
            given_ += count if box.offer(events(count), None, ME, 0.0) is not Offer.FULL else 0
        elif action == "take" and not batch:
            batch = box.take()
        elif batch and action in ("accept", "refuse"):
            part, batch = batch[:2], batch[2:]
            box.settle(Settled(part, Verdicts(len(part)) if action == "accept" else GONE))
        stats = box.stats()
        assert given_ == stats.queued + stats.accepted + stats.rejected + stats.refused + stats.dropped
        assert stats.queued == len(box) <= 5


def test_options_are_the_settings() -> None:
    hints = typing.get_type_hints(Options)
    assert hints == {field.name: typing.get_type_hints(Settings)[field.name] for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize(
    "wrong", [{"batch_events": 0}, {"batch_events": 20_000}, {"batch_bytes": 0}, {"when_full": "x"}, {"timeout_s": 0}]
)
def test_settings_that_cannot_be_are_said_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)
