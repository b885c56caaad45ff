"""Claims and results in any order, with crashes anywhere: an accepted event is never sent under two edits."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.replays import (
    CLAIM,
    FINISH_MS,
    LEASE_MS,
    RESULT,
    Claim,
    Entry,
    Grant,
    Outcome,
    Result,
    digest,
    entries_of,
    fold,
    granted,
)

DAY_MS = 24 * 3_600_000


@dataclass
class World:
    """A journal, an ingest, and the replays at work. Each replay claims, looks, may send, and may record, with the
    others and the clock moving in between; it may stop anywhere."""

    entries: list[Entry] = field(default_factory=list)
    now_ms: int = 0
    sends: list[tuple[str, str, int, bool]] = field(default_factory=list)
    """Letter, edits, time, accepted."""

    def claim(self, replay: str, letter: str, edits: str, force: bool) -> None:
        self.entries.append(Claim(len(self.entries), self.now_ms, replay, "root", letter, edits, force))

    def may_send(self, replay: str, letter: str) -> bool:
        return granted(self.entries, replay, letter) is Grant.GRANTED

    def record(self, replay: str, letter: str, outcome: Outcome) -> None:
        self.entries.append(Result(len(self.entries), self.now_ms, replay, "root", letter, outcome))


@dataclass
class Replay:
    """One run of the protocol, a step at a time."""

    name: str
    letter: str
    edits: str
    force: bool
    fate: str
    """What happens: accepted, rejected, lost (accepted, answer lost), dropped (not accepted, answer lost), refused."""
    stops: int
    """Steps before it crashes."""
    at: int = 0
    claimed_ms: int = 0

    def step(self, world: World) -> None:
        self.at += 1
        if self.at > self.stops or self.at > 3:
            return
        if self.at == 1:
            self.claimed_ms = world.now_ms
            world.claim(self.name, self.letter, self.edits, self.force)
        elif not world.may_send(self.name, self.letter):
            self.stops = 0
        elif self.at == 2:
            if world.now_ms - self.claimed_ms > LEASE_MS // 2:
                self.fate = "refused"  # too late: it does not send
            if self.fate != "refused":
                world.sends.append((self.letter, self.edits, world.now_ms, self.fate in ("accepted", "lost")))
        else:
            world.record(self.name, self.letter, OUTCOMES[self.fate])


OUTCOMES = {
    "accepted": Outcome.ACCEPTED,
    "rejected": Outcome.REJECTED,
    "lost": Outcome.UNKNOWN,
    "dropped": Outcome.UNKNOWN,
    "refused": Outcome.NOT_SENT,
}


def replays(force: st.SearchStrategy[bool]) -> st.SearchStrategy[list[Replay]]:
    one = st.tuples(
        st.sampled_from(["root", "root", "child"]),
        st.sampled_from(["a", "b"]),
        force,
        st.sampled_from(sorted(OUTCOMES)),
        st.sampled_from([3, 3, 2, 1]),
    )
    return st.lists(one, min_size=3, max_size=5).map(
        lambda found: [Replay(f"replay-{number}", *values) for number, values in enumerate(found)]
    )


WAITS = [0, 0, 0, LEASE_MS // 2 + 1, LEASE_MS, LEASE_MS, DAY_MS // 2, DAY_MS]
MOVES = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(WAITS)), min_size=12, max_size=24)


@settings(max_examples=3000)
@given(replays(st.just(False)), MOVES)
def test_an_accepted_event_is_never_sent_under_two_edits(found: list[Replay], moves: list[tuple[int, int]]) -> None:
    world = World()
    for number, wait_ms in moves:
        world.now_ms += wait_ms
        found[number % len(found)].step(world)
    accepted = [(letter, edits, at) for letter, edits, at, taken in world.sends if taken]
    # Under one id and in one series: only the first of them is counted, as long as its id is remembered.
    assert len({(letter, edits) for letter, edits, _ in accepted}) <= 1
    assert all(at - accepted[0][2] < DAY_MS for _, _, at in accepted)
    certain = [entry.number for entry in world.entries if isinstance(entry, Result) and entry.outcome == "accepted"]
    if certain:
        assert fold(world.entries).accepted_by is not None


@settings(max_examples=300)
@given(replays(st.booleans()), MOVES)
def test_after_a_recorded_acceptance_nothing_is_sent_even_by_force(
    found: list[Replay], moves: list[tuple[int, int]]
) -> None:
    world = World()
    for number, wait_ms in moves:
        world.now_ms += wait_ms
        replay = found[number % len(found)]
        done = fold(world.entries).accepted_by is not None
        before = len(world.sends)
        late = replay.at == 0
        replay.step(world)
        if done and late:
            replay.step(world)
            assert len(world.sends) == before


@given(replays(st.booleans()), MOVES)
def test_every_reader_of_the_journal_decides_alike(found: list[Replay], moves: list[tuple[int, int]]) -> None:
    world = World()
    decided: dict[tuple[str, str], Grant | None] = {}
    for number, wait_ms in moves:
        world.now_ms += wait_ms
        replay = found[number % len(found)]
        replay.step(world)
        place = replay.name, replay.letter
        if replay.at == 1:
            decided[place] = granted(world.entries, *place)
    for place, grant in decided.items():
        assert granted(world.entries, *place) == grant, "what came later changed a decision"


def claim(number: int, at_ms: int, replay: str, edits: str = "a", letter: str = "root", force: bool = False) -> Claim:
    return Claim(number, at_ms, replay, "root", letter, edits, force)


def result(number: int, replay: str, outcome: str) -> Result:
    return Result(number, number, replay, "root", "root", outcome)


def test_the_first_claim_wins() -> None:
    entries: list[Entry] = [claim(0, 0, "one"), claim(1, 1, "two", "b"), claim(2, 2, "three")]
    grants = [granted(entries, replay, "root") for replay in ("one", "two", "three", "none")]
    assert grants == [Grant.GRANTED, Grant.IN_PROGRESS, Grant.IN_PROGRESS, None]


def test_a_certain_refusal_frees_the_letter() -> None:
    for outcome in (Outcome.REJECTED, Outcome.NOT_SENT):
        entries: list[Entry] = [claim(0, 0, "one"), result(1, "one", outcome), claim(2, 2, "two", "b")]
        assert granted(entries, "two", "root") is Grant.GRANTED


def test_a_refusal_after_doubt_frees_nothing() -> None:
    """The first send may have been accepted: that the second was rejected does not tell."""
    entries: list[Entry] = [
        claim(0, 0, "one"),
        claim(1, LEASE_MS, "two"),
        result(2, "two", Outcome.REJECTED),
        claim(3, LEASE_MS + 1, "three", "b"),
        claim(4, LEASE_MS + 2, "four"),
    ]
    assert granted(entries, "two", "root") is Grant.GRANTED
    assert granted(entries, "three", "root") is Grant.UNKNOWN
    assert granted(entries, "four", "root") is Grant.GRANTED


def test_the_time_to_finish_runs_from_the_first_attempt() -> None:
    entries: list[Entry] = [claim(0, 0, "one"), claim(1, FINISH_MS - 1, "two"), claim(2, FINISH_MS + LEASE_MS, "three")]
    assert granted(entries, "two", "root") is Grant.GRANTED
    assert granted(entries, "three", "root") is Grant.UNKNOWN
    entries.append(claim(3, FINISH_MS + 2 * LEASE_MS, "four", "b", force=True))
    assert granted(entries, "four", "root") is Grant.GRANTED


def test_entries_are_read_from_the_journal_and_junk_is_none() -> None:
    body = b'{"type":"x","replay":"r","letters":[{"id":"a/1","root":"a/0","outcome":"accepted"}],"edits":{"b":1,"a":2}}'
    assert entries_of(7, 5, CLAIM, body) == [Claim(7, 5, "r", "a/0", "a/1", digest({"a": 2, "b": 1}))]
    assert entries_of(7, 5, RESULT, body) == [Result(7, 5, "r", "a/0", "a/1", "accepted")]
    for kind, junk in (("annotation", body), (CLAIM, b"{}"), (CLAIM, b"junk"), (RESULT, b"\xff"), (RESULT, b"[]")):
        assert entries_of(7, 5, kind, junk) == []
