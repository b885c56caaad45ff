"""Running totals against a fold in plain Python, and their independence of restarts: bytes, not only numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates import deltas
from aggregates.cumulative import BASELINE_MS, HOLD_MS, NO_START, PointRecord, RunningTotals
from aggregates.duplicates import DuplicateWindow
from aggregates.newest import NewestPoints, Points
from aggregates.rollup import PartitionRollup, Source
from ingest.events import MAX_RECORD_EVENTS, EventColumns, encode
from ingest.log import LogRecord
from ingest.series import Kind, Series, SeriesTable
from tests.builders import TOPIC_ID

MINUTE = 60_000
Point = tuple[int, int, float, int]
"""series key, event time, value, start time."""
NO = NO_START


def take(totals: RunningTotals, records: list[tuple[int, list[Point]]], first: int = 0) -> list[list[object]]:
    """Feed (record time, points) at consecutive offsets, together; the increase of each point, "dup" for those that
    are not later."""
    points = [point for _, found in records for point in found]
    keys, times, values, starts = zip(*points, strict=True) if points else ((), (), (), ())
    columns = Points(
        np.array(keys, np.uint64), np.array(times, np.int64), np.array(values, np.float64), np.array(starts, np.int64)
    )
    described = [PointRecord(first + i, time, len(found)) for i, (time, found) in enumerate(records)]
    increases, later = totals.take(described, columns)
    flat: list[object] = [x if ok else "dup" for x, ok in zip(increases.tolist(), later.tolist(), strict=True)]
    sizes = np.cumsum([0, *(len(found) for _, found in records)]).tolist()
    return [flat[a:b] for a, b in pairwise(sizes)]


def one(points: list[Point]) -> list[object]:
    return take(RunningTotals(), [(0, points)])[0]


# --- the rules, one by one --------------------------------------------------------------------------------------------


def test_the_first_point_is_a_baseline_and_the_next_add_what_they_grew() -> None:
    assert one([(1, 0, 5.0, NO), (1, 1, 7.0, NO), (2, 0, 100.0, NO), (1, 2, 7.0, NO)]) == [0, 2, 0, 0]


def test_a_smaller_value_is_a_reset_and_adds_all_of_itself() -> None:
    assert one([(1, 0, 50.0, NO), (1, 1, 3.0, NO), (1, 2, 4.0, NO)]) == [0, 3, 1]


def test_a_new_start_is_a_reset_even_when_the_value_is_larger() -> None:
    assert one([(1, 0, 50.0, 10), (1, 1, 60.0, 20), (1, 2, 61.0, 20)]) == [0, 60, 1]


def test_an_earlier_or_unknown_start_is_no_reset() -> None:
    assert one([(1, 0, 50.0, 10), (1, 1, 60.0, NO), (1, 2, 61.0, 5), (1, 3, 63.0, NO), (1, 4, 66.0, 9)]) == [
        0,
        10,
        1,
        2,
        3,
    ]


def test_points_not_later_than_the_newest_are_duplicates_never_resets() -> None:
    sent = [(1, 10, 50.0, NO), (1, 10, 50.0, NO), (1, 9, 3.0, NO), (1, 10, 70.0, NO), (1, 11, 51.0, NO)]
    assert one(sent) == [0, "dup", "dup", "dup", 1]


def test_a_point_after_fifteen_silent_minutes_is_a_baseline() -> None:
    assert one([(1, 0, 5.0, NO), (1, BASELINE_MS, 8.0, NO), (1, 2 * BASELINE_MS + 1, 20.0, NO)]) == [0, 3, 0]


def test_a_value_that_is_no_number_is_passed_over() -> None:
    found = one([(1, 0, 5.0, NO), (1, 1, math.inf, NO), (1, 2, math.nan, NO), (1, 1, 6.0, NO)])
    assert [found[0], found[3]] == [0, 1]
    assert all(isinstance(x, float) and math.isnan(x) for x in found[1:3])


def test_totals_never_shrink_what_they_add() -> None:
    assert one([(1, 0, -5.0, NO), (1, 1, -7.0, NO), (1, 2, -6.0, NO), (1, 3, 1e308, NO)]) == [0, 0, 1, 1e308]
    assert one([(1, 0, -1e308, NO), (1, 1, 1e308, NO)]) == [0, math.inf]


def test_times_from_one_end_of_an_integer_to_the_other() -> None:
    end = 2**62
    sent = [(k, t, 1.0 + k, NO) for t in (-end, 0, -5, end, 7) for k in range(5)]
    assert one(sent) == [0] * 10 + ["dup"] * 5 + [0] * 5 + ["dup"] * 5


def test_a_point_is_remembered_for_half_an_hour_of_append_time() -> None:
    for time in (0, HOLD_MS - 1):
        totals = RunningTotals()
        take(totals, [(0, [(2, 0, 1.0, NO)]), (time, [(1, 0, 5.0, NO)])])
        assert take(totals, [(time + HOLD_MS - 1, [(1, 1, 8.0, NO)])], 2) == [[3]]
    assert take(totals, [(9 * HOLD_MS, [(1, 2, 9.0, NO)])], 3) == [[0]]


def test_state_goes_away_when_no_points_come() -> None:
    totals, starts = RunningTotals(), []
    for offset, time in enumerate((0, 5, HOLD_MS, 2 * HOLD_MS)):
        take(totals, [(time, [] if offset else [(1, 0, 1.0, NO)])], offset)
        starts.append(totals.starts_at)
    assert starts == [0, 0, 0, None]
    assert totals.bytes == 0


def test_a_million_series_are_known_again() -> None:
    newest, keys = NewestPoints(), np.random.default_rng(1).integers(0, 2**63, 1_000_000).astype(np.uint64)
    keys = np.unique(keys)
    times = np.arange(len(keys))
    values = (times * 2).astype(np.float64)
    newest.put(Points(keys, times, values, times - 1))
    newest.put(Points(keys[::2], times[::2] - 1, np.zeros_like(values[::2]), times[::2]))
    found = newest.find(keys[::-1])
    assert np.array_equal(found.times, times[::-1])
    assert np.array_equal(found.values, values[::-1])
    assert (newest.find(np.array([1, 2, 3], np.uint64)).times == NO).all()
    assert newest.bytes <= 84 * len(keys)


# --- against a plain fold ---------------------------------------------------------------------------------------------


@dataclass
class Stretch:
    offset: int
    time: int
    points: int
    newest: dict[int, Point]


class PlainTotals:
    """The definition, point by point."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open: Stretch | None = None
        self.before: Stretch | None = None

    def record(self, offset: int, time: int, points: list[Point]) -> list[object]:
        if self.open and (abs(time - self.open.time) >= HOLD_MS or self.open.points >= self.most):
            self.open, self.before = None, self.open
        if self.before and abs(time - self.before.time) >= 2 * HOLD_MS:
            self.before = None
        if points and self.open is None:
            self.open = Stretch(offset, time, 0, {})
        return [self.point(point) for point in points]

    def point(self, point: Point) -> object:
        assert self.open
        self.open.points += 1
        key, time, value, start = point
        known = [s.newest[key] for s in (self.before, self.open) if s and key in s.newest]
        newest = max(known, key=lambda p: p[1], default=None)  # the first of equals
        mine = self.open.newest.get(key)
        if mine is None or time > mine[1]:
            self.open.newest[key] = point
        if newest is None:
            return 0.0
        if time <= newest[1]:
            return "dup"
        if time - newest[1] > BASELINE_MS:
            return 0.0
        if value < newest[2] or (NO not in (start, newest[3]) and start > newest[3]):
            return value
        return value - newest[2]


TIMES = st.one_of(st.integers(0, 20), st.integers(0, 60).map(lambda m: m * MINUTE))
POINT = st.tuples(st.integers(1, 3), TIMES, st.integers(0, 30).map(float), st.one_of(st.just(NO), st.integers(0, 3)))
PAUSES = st.sampled_from([0, 0, 1000, 10 * MINUTE, 29 * MINUTE, 40 * MINUTE, 3 * HOLD_MS, -5000, -2 * HOLD_MS])
RECORDS = st.lists(st.tuples(PAUSES, st.lists(POINT, max_size=8)), min_size=1, max_size=12)


def timed(records: list[tuple[int, list[Point]]]) -> list[tuple[int, list[Point]]]:
    times = np.cumsum([pause for pause, _ in records]).tolist()
    return [(time, points) for time, (_, points) in zip(times, records, strict=True)]


@settings(max_examples=150)
@given(RECORDS, st.sampled_from([3, 10, 1000]), st.data())
def test_increases_are_those_of_a_plain_fold(
    records: list[tuple[int, list[Point]]], most: int, data: st.DataObject
) -> None:
    """In whatever runs the records are read, and with the state rebuilt from `starts_at` anywhere."""
    found = timed(records)
    totals, plain, start = RunningTotals(most), PlainTotals(most), 0
    while start < len(found):
        end = start + data.draw(st.integers(1, len(found) - start))
        expected = [plain.record(i, *found[i]) for i in range(start, end)]
        assert take(totals, found[start:end], start) == expected
        start = end
        if data.draw(st.booleans()):
            again, rebuilt = totals.starts_at, RunningTotals(most)
            if again is not None:
                take(rebuilt, found[again:end], again)
            assert rebuilt.starts_at == again
            totals = rebuilt


@pytest.mark.parametrize("seed", range(10))
def test_increases_of_a_long_history(seed: int) -> None:
    draw = np.random.default_rng(seed)
    totals, plain, now_ms = RunningTotals(40), PlainTotals(40), 0
    for offset in range(120):
        now_ms += int(draw.choice([0, 1000, 10 * MINUTE, 29 * MINUTE, 31 * MINUTE, -MINUTE, -HOLD_MS]))
        times = draw.choice([0, MINUTE, 10 * MINUTE], 6) * int(draw.integers(0, 4)) + draw.integers(0, 3, 6)
        columns = draw.integers(1, 3, 6), times, draw.integers(0, 9, 6), draw.choice([NO, 1, 2], 6)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        points: list[Point] = [(key, time, float(value), start) for key, time, value, start in rows]
        points = points[: int(draw.integers(0, 7))]
        assert take(totals, [(now_ms, points)], offset) == [plain.record(offset, now_ms, points)]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 100)), min_size=1, max_size=60), st.data())
def test_a_steady_total_adds_up_however_it_is_sent(grown: list[tuple[int, int]], data: st.DataObject) -> None:
    """Points in order, some sent again, cut anywhere: the increases are the last value less the first."""
    value, time = dict.fromkeys((1, 2, 3), 1000), 0
    sent: list[Point] = []
    for key, step in grown:
        value[key] += step
        time += 1000
        sent.append((key, time, float(value[key]), NO))
        if data.draw(st.booleans()):
            sent.append(data.draw(st.sampled_from(sent)))
    totals, total, offset = RunningTotals(), 0.0, 0
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        (found,) = take(totals, [(offset * 1000, sent[:size])], offset)
        total += sum(x for x in found if isinstance(x, float))
        sent, offset = sent[size:], offset + 1
    firsts = {key: step + 1000 for key, step in reversed(grown)}
    assert total == sum(value[key] - first for key, first in firsts.items())


# --- through the worker's fold ----------------------------------------------------------------------------------------

SERIES = (
    Series("requests", Kind.CUMULATIVE, (("pod", "a"),)),
    Series("requests", Kind.CUMULATIVE, (("pod", "b"),)),
    Series("delay", Kind.DISTRIBUTION),
    Series("cpu", Kind.GAUGE),
)
EVENT = st.tuples(
    st.integers(0, 3),
    TIMES,
    st.integers(0, 30).map(float),
    st.sampled_from([None, None, "1", "2", "3"]),
    st.sampled_from([NO, NO, 1, 2]),
)
BATCHES = st.lists(st.tuples(PAUSES, st.lists(EVENT, min_size=1, max_size=8)), min_size=1, max_size=10)
Batches = list[tuple[int, list[tuple[int, int, float, str | None, int]]]]
"""Pause before the record, and its events: series, time, value, id, start."""


def log_of(batches: Batches) -> list[LogRecord]:
    records, now_ms = [], 10**12
    for offset, (pause, events) in enumerate(batches):
        now_ms += pause
        table = SeriesTable()
        numbers = [table.intern(SERIES[event[0]]) for event in events]
        columns = EventColumns(
            table,
            np.array(numbers, np.int32),
            np.array([event[1] for event in events], np.int64),
            np.array([event[2] for event in events]),
            ids=[event[3] for event in events],
            starts=np.array([event[4] for event in events], np.int64),
        )
        (record,) = encode(columns, 1)
        records.append(LogRecord(offset, now_ms, b"junk" if events[0][2] == 13.0 else record.value))
    return records


def test_a_row_of_running_totals_is_one_of_increases() -> None:
    sent: list[tuple[int, int, float, str | None, int]] = [
        (0, 0, 5.0, "1", NO),
        (0, 10, 9.0, "2", NO),
        (0, 20, 10.0, None, NO),
        (0, 15, 9.5, None, NO),
        (0, 30, 12.0, "2", NO),
    ]
    delta = PartitionRollup(Source(TOPIC_ID, 0), 0, 0, DuplicateWindow()).add(log_of([(0, sent)]))
    assert delta
    (row,) = delta.rows.to_pylist()
    assert [row[n] for n in ("count", "sum", "min", "max", "last", "duplicates")] == [3, 5, 0, 4, 1, 2]
    assert row["bins"] is row["hashes"] is None
    assert row["series"]["kind"] == "cumulative"
    assert delta.header.totals_from == 0


def test_a_new_start_time_is_a_reset_although_the_total_grew() -> None:
    """Across records, one of which names no start at all."""
    sent = [(0.0, 100), (5.0, 100), (9.0, 700), (12.0, 700), (12.5, NO), (15.0, 700), (16.0, 900)]
    batches: Batches = [(1000, [(0, 1000 * n, value, None, start)]) for n, (value, start) in enumerate(sent)]
    delta = PartitionRollup(Source(TOPIC_ID, 0), 0, 0, DuplicateWindow()).add(log_of(batches))
    assert delta
    assert delta.rows.column("sum").to_pylist() == [0, 5, 9, 3, 0.5, 2.5, 16]


WINDOWS = st.sampled_from(
    [DuplicateWindow(), DuplicateWindow(age_ms=20 * MINUTE), DuplicateWindow(MAX_RECORD_EVENTS, 1000)]
)


@settings(max_examples=60)
@given(BATCHES, WINDOWS, st.data())
def test_a_worker_that_starts_anywhere_writes_the_same_bytes(
    batches: Batches, window: DuplicateWindow, data: st.DataObject
) -> None:
    """`state_from` and `totals_from` cover the state: ids, running totals, and what the next header says of them."""
    records = log_of(batches)
    source = Source(TOPIC_ID, 0)
    worker = PartitionRollup(source, 0, 0, window)
    while worker.next_offset < len(records):
        start = worker.next_offset
        end = start + data.draw(st.integers(1, len(records) - start))
        delta = worker.add(records[start:end])
        assert delta
        if end == len(records):
            break
        header = delta.header
        other = PartitionRollup(source, header.next_offset, header.state_from, window, header.totals_from)
        while other.replaying:
            size = data.draw(st.integers(1, end - other.next_offset))
            assert other.add(records[other.next_offset : other.next_offset + size]) is None
        following = end + data.draw(st.integers(1, len(records) - end))
        expected = whole(records, end, following, window)
        found = other.add(records[end:following])
        assert found
        assert found.rows.equals(deltas.decode(expected).rows)
        assert deltas.encode(found) == expected


@pytest.mark.parametrize("seed", range(8))
def test_restarts_in_a_long_history(seed: int) -> None:
    """Ids that reach further back than running totals, and the other way round."""
    draw = np.random.default_rng(seed)
    pauses = [1000, 4 * MINUTE, 7 * MINUTE, 7 * MINUTE, 13 * MINUTE, -5000]
    batches: Batches = [
        (
            int(draw.choice(pauses)),
            [
                (
                    int(draw.choice([0, 0, 1, 2])) if draw.random() < 0.7 else 2,
                    int(draw.integers(0, 60)) * MINUTE,
                    float(draw.integers(0, 40)),
                    str(draw.integers(0, 9)) if draw.random() < 0.3 else None,
                    int(draw.choice([NO, 1, 2])),
                )
                for _ in range(int(draw.integers(1, 5)))
            ],
        )
        for _ in range(40)
    ]
    records = log_of(batches)
    window = DuplicateWindow(age_ms=int(draw.choice([MINUTE, 75 * MINUTE, 100 * MINUTE])))
    worker = PartitionRollup(Source(TOPIC_ID, 0), 0, 0, window)
    for end in range(1, 40):
        delta = worker.add(records[end - 1 : end])
        assert delta
        header = delta.header
        other = PartitionRollup(worker.source, end, header.state_from, window, header.totals_from)
        if header.state_from < end:
            assert other.add(records[header.state_from : end]) is None
        found = other.add(records[end:])
        assert found
        assert deltas.encode(found) == whole(records, end, 40, window)


def whole(records: list[LogRecord], start: int, end: int, window: DuplicateWindow) -> bytes:
    """The delta of some records, by a worker that has read everything."""
    worker = PartitionRollup(Source(TOPIC_ID, 0), 0, 0, window)
    worker.add(records[:start])
    delta = worker.add(records[start:end])
    assert delta
    return deltas.encode(delta)


@pytest.mark.parametrize("pods", [3000])
def test_many_series_in_one_record(pods: int) -> None:
    table = SeriesTable()
    numbers = [table.intern(Series("requests", Kind.CUMULATIVE, (("pod", str(n)),))) for n in range(pods)]
    records = []
    for offset in range(3):
        columns = EventColumns(
            table,
            np.array(numbers, np.int32),
            np.full(pods, 1000 * offset),
            np.linspace(0, (pods - 1) * (offset + 1), pods),
        )
        (record,) = encode(columns, 1)
        records.append(LogRecord(offset, 1000 * offset, record.value))
    delta = PartitionRollup(Source(TOPIC_ID, 0), 0, 0, DuplicateWindow()).add(records)
    assert delta
    sums = delta.rows.column("sum").to_numpy()
    assert sums[:pods].sum() == 0
    assert sums[pods : 2 * pods].sum() == sums[2 * pods :].sum() == pods * (pods - 1) / 2
