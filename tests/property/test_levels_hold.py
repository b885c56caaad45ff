"""The level tables against one plain fold over the single events, whatever the order of work on them.

Any order of applying, sealing, deleting, sending again and crashing; late events, imports, two partitions.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, tzinfo
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.deltas import Delta
from aggregates.levels import MINUTE, SECOND, floor, plan, plan_as_of, widen
from aggregates.store import GRACE_S, Input, Store
from tests.builders import Event, inputs_of
from tests.level_reader import ids_of, read, repeated
from tests.recorded import Answer, Recorded

NOON = 1_792_929_600
"""2026-10-25T12:00:00Z, the day on which Amsterdam puts its clocks back."""
ZONES = [UTC, ZoneInfo("Europe/Amsterdam"), ZoneInfo("Asia/Kathmandu")]
LAGS_S = (0, 0, 0, 5, 30, 300, 4000, 90_000, 200_000, -500)
"""How far event times lie behind their record."""
FAMILIES = [("total", {}), ("view", {"country": "NL"}), ("series", {"country": "NL"})]
EVERYTHING = {"1s": 7200, "1m": 86_400, "15m": None, "1d": None}


class World:
    """A store, what was sent, and what of it the store has been given."""

    def __init__(self, folder: Path, random: Random, zone: tzinfo) -> None:
        self.random, self.zone, self._folder = random, zone, folder
        self._path = folder / "dashboard.duckdb"
        self.store = Store(self._path, {}, zone)
        self.log = Recorded()
        self.clock = 1000 * (NOON - 100_000)
        self._deltas: list[Delta] = []

    def write(self) -> None:
        """Append a record and give its delta to the store, some of the earlier ones with it."""
        random = self.random
        self.clock += random.choice((0, 700, 20_000, 400_000, 20_000_000))
        history = random.random() < 0.15
        events = [self._event() for _ in range(random.randint(1, 8))]
        self._deltas.append(self.log.append(random.randint(0, 1), self.clock, events, history))
        again = random.sample(self._deltas[:-1], min(len(self._deltas) - 1, random.choice((0, 0, 2))))
        inputs: list[Input] = inputs_of([*again, self._deltas[-1]])
        self.store.apply(inputs)

    def _event(self) -> Event:
        random = self.random
        dimensions = {"country": random.choice(("NL", "DE"))}
        if random.random() < 0.5:
            dimensions["product"] = "p1"
        at = self.clock - 1000 * random.choice(LAGS_S) - random.randint(0, 70_000)
        if random.random() < 0.3:
            return ("visits", dimensions, at, f"u{random.randint(0, 20)}", None)
        event_id = f"i{random.randint(0, 3)}" if random.random() < 0.2 else None
        return ("orders", dimensions, at, float(random.randint(-50, 50)), event_id)

    def work(self) -> None:
        """Seal, delete or crash."""
        random = self.random
        until = floor(self.clock // 1000 - GRACE_S, 60)
        match random.choice(("seal", "seal", "early", "retain", "crash", "nothing")):
            case "seal":
                self.store.seal(until)
            case "early":
                self.store.seal(until - 60 * random.randint(1, 2000))
            case "retain":
                self.store.retain(self.clock // 1000, EVERYTHING)
            case "crash":
                self.crash()

    def crash(self) -> None:
        """Go on with the files as they are at this moment, nothing closed in order."""
        self._folder = self._folder / "copy"
        self._folder.mkdir()
        for file in (self._path, self._path.with_name(self._path.name + ".wal")):
            if file.exists():
                shutil.copy(file, self._folder)
        self.store.close()
        self._path = self._folder / self._path.name
        self.store = Store(self._path, {}, self.zone)

    def ledger(self) -> dict[tuple[str, int], tuple[int, int, int]]:
        with self.store.reader() as cursor:
            rows = cursor.execute(
                "SELECT metric, minute, sum(accepted), sum(applied), sum(duplicates) FROM ledger GROUP BY ALL"
            ).fetchall()
        return {(metric, minute): (int(a), int(b), int(c)) for metric, minute, a, b, c in rows}

    def some_range(self, step: int | None) -> tuple[int, int]:
        start = NOON + self.random.randint(-300_000, 40_000)
        end = start + self.random.choice((60, 3600, 100_000, 400_000))
        return widen(start, end, step, self.store.kept, self.zone, MINUTE)


@contextmanager
def world(random: Random, zone: tzinfo = UTC) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        made = World(Path(folder), random, zone)
        try:
            yield made
        finally:
            made.store.close()


RANDOMS = st.builds(Random, st.integers(0, 2**32))


@settings(max_examples=15)
@given(RANDOMS, st.sampled_from(ZONES))
def test_levels_hold_what_the_events_come_to(random: Random, zone: tzinfo) -> None:
    with world(random, zone) as found:
        for _ in range(random.randint(1, 12)):
            found.write()
            if random.random() < 0.7:
                found.work()
        assert found.ledger() == found.log.ledger() or found.store.kept.kept_from[MINUTE]
        for family, dimensions in FAMILIES:
            for metric in ("orders", "visits"):
                step = random.choice([None, 60, 3600, 86_400])
                start, end = found.some_range(step)
                pieces = plan(start, end, step, found.store.kept, zone)
                sketched = plan(start, end, step, found.store.kept, zone, MINUTE) if family == "series" else pieces
                answer = read(found.store, family, ids_of(found.store, family, metric, dimensions), pieces, sketched)
                expected = found.log.fold(
                    lambda e, m=metric, d=dimensions, s=start, u=end: (  # type: ignore[misc]
                        e.metric == m and d.items() <= e.dimensions.items() and 1000 * s <= e.ms < 1000 * u
                    )
                )
                assert answer == expected, (family, metric, pieces)


@settings(max_examples=15)
@given(RANDOMS, st.sampled_from(ZONES), st.booleans())
def test_as_of_answers_what_was_known_then(random: Random, zone: tzinfo, whole_quarter: bool) -> None:
    with world(random, zone) as found:
        for _ in range(random.randint(2, 12)):
            found.write()
            if random.random() < 0.7:
                found.work()
        late = [e for e in found.log.events if e.record_ms - e.ms > 1_000_000 and not e.history]
        about = random.choice(late or found.log.events)  # ask when this one was just known, or just not
        limit = about.record_ms // 1000 - GRACE_S + random.choice((-900, -60, 0, 60, 900))
        limit = floor(limit, 900) if whole_quarter else floor(limit, 60)
        start = about.ms // 1000 - random.choice((100, 2000, 100_000))
        end = about.ms // 1000 + random.choice((100, 2000, 100_000))
        start, end = widen(start, end, None, found.store.kept, zone)
        pieces = plan_as_of(start, end, None, found.store.kept, zone, limit)
        end = pieces[-1].end if pieces else start
        ids = ids_of(found.store, "total", "orders", {})
        answer = read(found.store, "total", ids, pieces, pieces)

        def by(known: int) -> Answer:
            return found.log.fold(
                lambda e: (
                    e.metric == "orders" and 1000 * start <= e.ms < 1000 * end and e.known_by(1000 * (known + GRACE_S))
                )
            )

        if limit % 900 == 0 or all(piece.level in (SECOND, MINUTE) for piece in pieces):
            assert answer == by(limit)
        else:
            assert by(floor(limit, 900)).count <= answer.count <= by(limit).count


@settings(max_examples=10)
@given(RANDOMS)
def test_every_bucket_has_one_row_and_one_per_time_of_knowing(random: Random) -> None:
    with world(random) as found:
        for _ in range(random.randint(2, 12)):
            found.write()
            if random.random() < 0.7:
                found.work()
        for _ in range(3):  # touched buckets are merged when they were quiet for a minute
            found.clock += 60_000
            found.store.seal(floor(found.clock // 1000, 60))
        quarter = floor(found.clock // 1000, 900) + 900
        found.store.seal(quarter)
        assert repeated(found.store) == {}


@settings(max_examples=10)
@given(RANDOMS)
def test_the_ledger_is_exact_after_every_step(random: Random) -> None:
    with world(random) as found:
        for _ in range(random.randint(1, 8)):
            found.write()
            assert found.ledger() == found.log.ledger()
            found.store.seal(floor(found.clock // 1000 - GRACE_S, 60))
            assert found.ledger() == found.log.ledger()
            assert all(accepted == applied + again for accepted, applied, again in found.ledger().values())
