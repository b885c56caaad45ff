"""The judgement on one run: a pure function of what clients saw and what stands in the log.

The rule. A send is acknowledged (ok), refused for certain (fail) or unknown. In the topic `events` an accepted event
stands at least as often as it was acknowledged, and at most as often as it was acknowledged or its send is unknown;
so an event sent once and acknowledged stands there exactly once, a refused one never, an unknown one at most once a
send. The same holds for rejected events in the topic `rejected`. Nothing else stands in either topic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.chaos.history import TIMEOUT, Attempt, History, Kind, Outcome, Request, value_of

SIGTERM = "ingest SIGTERM"
SIGKILL = "ingest SIGKILL"
EXPECTED = frozenset({202, 400, 408, 413, 415, 422, 503})
"""Statuses that the requests of these tests may get."""
_SHOWN = 3


@dataclass(slots=True)
class Place:
    """Where an event stands in the topic `events`, and its value there."""

    partition: int
    offset: int
    value: float


@dataclass(slots=True)
class Letter:
    """One dead letter: `id` is `<request id>/<index>`, `event_id` the id its event carries."""

    id: str
    event_id: str
    reason: str


@dataclass(slots=True)
class Found:
    """What stands in the log after a run."""

    topic_id: str
    """Id of the topic `events`."""
    ends: dict[int, int]
    """Partition of `events` → offset of the record that would come next."""
    events: dict[str, list[Place]] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)


@dataclass(slots=True)
class _Bounds:
    """How often something has to be and may be in a topic."""

    least: int = 0
    most: int = 0

    def add(self, outcome: Outcome) -> None:
        self.least += outcome is Outcome.OK
        self.most += outcome is not Outcome.FAIL


def violations(history: History, found: Found) -> list[str]:
    """Everything that is wrong, in sentences: of each kind how many, and the first few."""
    kinds: dict[str, list[str]] = {}
    for kind, example in [*_answers(history), *_counts(history, found), *_letters(history, found)]:
        kinds.setdefault(kind, []).append(example)
    for kind, example in [*_positions(history, found), *_orderly_ends(history)]:
        kinds.setdefault(kind, []).append(example)
    return [f"{kind}: {len(all_)}, such as {'; '.join(all_[:_SHOWN])}" for kind, all_ in kinds.items()]


def _sends(history: History) -> Iterator[tuple[Request, Attempt]]:
    return ((request, attempt) for request in history.requests for attempt in request.attempts)


def _answers(history: History) -> Iterator[tuple[str, str]]:
    """Answers that no request may get, whatever happens around it."""
    for request, attempt in _sends(history):
        name = f"{_named(request, attempt)}, {_near(history, request, attempt)}"
        if attempt.error == TIMEOUT:
            yield "requests without an answer in time", name
        if attempt.status is not None and attempt.status not in EXPECTED:
            yield "answers that no request may get", name
        if attempt.status == 503 and not (attempt.retry_after.isdigit() and int(attempt.retry_after) >= 1):
            yield "503 without Retry-After", name
        if attempt.outcome is Outcome.OK:
            rejected = {index for index in range(len(request.ids)) if request.is_rejected(index)}
            if set(attempt.rejected) != rejected or attempt.accepted != len(request.ids) - len(rejected):
                yield "verdicts that are wrong", f"{name}: {attempt.accepted} accepted, {attempt.rejected}"
            if request.kind in (Kind.REFUSED, Kind.CUT):
                yield "requests that had to be refused and were taken", name


def _counts(history: History, found: Found) -> Iterator[tuple[str, str]]:
    """Accepted events: how often they stand in `events`."""
    bounds: dict[str, _Bounds] = {}
    last: dict[str, tuple[Request, Attempt]] = {}
    for request, attempt in _sends(history):
        for index, id_ in enumerate(request.ids):
            bound = bounds.setdefault(id_, _Bounds())
            if not request.is_rejected(index):
                bound.add(attempt.outcome)
            if attempt.outcome is Outcome.OK or id_ not in last:
                last[id_] = (request, attempt)
    for id_, bound in bounds.items():
        count = len(found.events.get(id_, ()))
        if not bound.least <= count <= bound.most:
            request, attempt = last[id_]
            name = f"{id_} ({count} times; {_named(request, attempt)}, {_near(history, request, attempt)})"
            yield _wrong_count("event", "the log", count, bound), name
    for id_, places in found.events.items():
        if id_ not in bounds:
            yield "events in the log that nobody sent", f"{id_} at {places}"
        elif any(place.value != value_of(id_) for place in places):
            yield "events in the log with another's value", f"{id_} at {places} instead of {value_of(id_)}"


def _letters(history: History, found: Found) -> Iterator[tuple[str, str]]:
    """Rejected events: how often they stand in `rejected`, and whether under the id and reason that was answered."""
    bounds: dict[str, _Bounds] = {}
    answered: dict[str, str] = {}
    for request, attempt in _sends(history):
        for index, id_ in enumerate(request.ids):
            bound = bounds.setdefault(id_, _Bounds())
            if request.is_rejected(index):
                bound.add(attempt.outcome)
        if attempt.outcome is Outcome.OK:
            answered |= {f"{attempt.request_id}/{index}": code for index, code in attempt.rejected.items()}
    counts = Counter(letter.event_id for letter in found.letters)
    for id_, bound in bounds.items():
        if not bound.least <= counts[id_] <= bound.most:
            yield _wrong_count("dead letter", "`rejected`", counts[id_], bound), f"{id_} ({counts[id_]} times)"
    for id_ in counts.keys() - bounds.keys():
        yield "dead letters of events that nobody sent", id_
    reasons: dict[str, list[str]] = {}
    for letter in found.letters:
        reasons.setdefault(letter.id, []).append(letter.reason)
    for name, code in answered.items():
        if reasons.get(name) != [code]:
            yield "dead letters that are not as answered", f"{name}: {reasons.get(name)} instead of {code}"


def _wrong_count(what: str, where: str, count: int, bound: _Bounds) -> str:
    if count < bound.least:
        return f"acknowledged {what}s that are missing in {where}"
    if not bound.most:
        return f"refused {what}s that stand in {where}"
    return f"{what}s that stand in {where} more often than they were sent with effect"


def _positions(history: History, found: Found) -> Iterator[tuple[str, str]]:
    """What a client that asks with `min_position` relies on: its events stand before that position."""
    for request, attempt in _sends(history):
        if attempt.outcome is not Outcome.OK:
            continue
        name = f"{attempt.position} of {_named(request, attempt)}"
        topic, _, rest = attempt.position.partition(";")
        reached = {int(p): int(offset) for p, _, offset in (part.partition(":") for part in rest.split(",") if part)}
        if reached and (not topic or not found.topic_id.startswith(topic)):
            yield "positions of another topic", name
        if any(offset > found.ends.get(partition, 0) for partition, offset in reached.items()):
            yield "positions behind the log's end", name
        for index, id_ in enumerate(request.ids):
            places = found.events.get(id_, [])
            if index in attempt.rejected or not places:
                continue
            if not any(place.offset < reached.get(place.partition, 0) for place in places):
                yield "positions that do not cover their events", f"{name}: {id_} at {places}"
                break


def _orderly_ends(history: History) -> Iterator[tuple[str, str]]:
    """SIGTERM: whoever had sent a whole request before gets an answer, and the process ends by itself."""
    for strike in history.strikes:
        if strike.fault == SIGTERM and strike.exit_code != 0:
            yield "ingest did not end in good order", f"{strike.lane} at {strike.at_s:.2f} s: {strike.exit_code}"
    for request, attempt in _sends(history):
        if attempt.status is not None or attempt.sent_s is None or attempt.error == TIMEOUT:
            continue
        during = [s for s in history.strikes if s.lane == request.lane and s.at_s <= attempt.ended_s]
        if any(s.fault == SIGKILL and s.until_s >= attempt.began_s for s in during):
            continue
        asked = [s for s in during if s.fault == SIGTERM and attempt.sent_s < s.at_s and s.exit_code == 0]
        if asked:
            yield "requests sent before SIGTERM that got no answer", f"{_named(request, attempt)}, {asked[-1]}"
        elif not any(s.fault == SIGTERM and s.until_s >= attempt.began_s for s in during):
            yield "connections lost without any signal to ingest", _named(request, attempt)


def _named(request: Request, attempt: Attempt) -> str:
    came = f"{attempt.status} {attempt.code}".strip() if attempt.status else attempt.error
    return f"request {request.number} to {request.lane}, {came} at {attempt.ended_s:.2f} s"


def _near(history: History, request: Request, attempt: Attempt) -> str:
    """The faults around it that can have touched it, for whoever looks for the cause."""
    own = [s for s in history.strikes if s.lane in (request.lane, "broker")]
    near = [s for s in own if s.at_s - 0.5 <= attempt.ended_s and s.until_s >= attempt.began_s - 6.0]
    last = sorted(near, key=lambda s: s.at_s)[-_SHOWN:]
    shown = ", ".join(f"{s.fault} of {s.lane} {s.at_s:.2f}–{s.until_s:.2f}" for s in last)
    return f"near {shown}" if shown else "near no fault"
