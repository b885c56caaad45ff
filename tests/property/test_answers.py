"""Whole answers against one SQL query over the raw events: every kind and measure, through all levels and views,
whatever is sealed when, with late and imported events, as of any moment, in local days."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aggregates.measures import measures_of, tenths
from aggregates.queries import Filter, Previous, Query, Result, TooManyRows, UnknownMetric
from aggregates.rolling import WINDOWS
from ingest.registry import DerivedMetric, MetricDefinition, Registry
from ingest.series import Kind
from tests.raw_events import Raw, Sent, expected

AUTUMN = 1_792_886_400
"""25 Oct 2026, 00:00 UTC: Amsterdam puts its clocks back an hour later."""
SPRING = 1_774_742_400
"""29 Mar 2026, 00:00 UTC: and forward."""
KINDS = tuple(Kind)
COUNTRIES = ("NL", "DE", "it's; DROP TABLE groups", "other", "")
VIEWS = (("country",),)
"""Declared for half of the metrics: of these products are answered by the single series."""
DERIVED = (
    DerivedMetric("share", ("counter.few", "sum"), ("counter.all", "count"), "ratio"),
    DerivedMetric("each", ("distribution.few", "p90"), ("unique.all", "uniques")),
)
HEADLINES = {"distribution.few": "p90", "distribution.all": "max", "gauge.few": "last", "counter.all": "rate"}
REGISTRY = Registry(
    {name: MetricDefinition(name, views=VIEWS if name.endswith(".few") else None, measure=HEADLINES.get(name))
     for kind in KINDS for name in (f"{kind}.few", f"{kind}.all")},
    derived={one.name: one for one in DERIVED},
)  # fmt: skip
NAMES = [f"{kind}.{views}" for kind in KINDS for views in ("few", "all")]
STEPS = st.sampled_from([None, 1, 10, 60, 300, 900, 3600, 86_400])
ZONES = st.sampled_from(["UTC", "Europe/Amsterdam", "Asia/Kathmandu", "America/St_Johns"])


class World:
    """Batches of events that reach the log over three days, most of them soon, some late, some imported."""

    def __init__(self, raw: Raw, random: Random, begin: int) -> None:
        self.raw, self.random = raw, random
        self.now = begin
        self._points: dict[tuple[str, str], tuple[int, float]] = {}
        self._serial = 0

    def happen(self, records: int) -> None:
        random = self.random
        for _ in range(records):
            history = random.random() < 0.1
            events = [self._event(history) for _ in range(random.randint(1, 12))]
            arrival = 1000 * self.now + random.randint(0, 999)
            self.raw.append([event for event in events if event], arrival, history)
            self.now += random.choice((1, 5, 40, 400, 4000, 20_000))
            if random.random() < 0.6:
                self.raw.seal(1000 * self.now)

    def _event(self, history: bool) -> Sent | None:
        random = self.random
        kind = random.choice(KINDS)
        dimensions = {"country": random.choice(COUNTRIES)}
        if random.random() < 0.5:
            dimensions["product"] = random.choice(("p1", "p2"))
        metric = f"{kind}.{random.choice(('few', 'all'))}"
        named = tuple(sorted(dimensions.items()))
        back = random.choice((0, 0, 3, 12, 70, 500, 5000, 90_000 if history else 1000))
        ms = 1000 * (self.now - back) + random.randint(0, 999)
        if kind is Kind.CUMULATIVE:
            last, total = self._points.get((metric, str(named)), (0, 0.0))
            # A series' points are compared while its newest is remembered, by append time: they come soon.
            ms, total = (
                max(1000 * self.now + random.randint(0, 999), last + 1),
                random.choice((total + random.randint(0, 9), 2.0)),
            )
            self._points[metric, str(named)] = ms, total
            return Sent(metric, kind, named, ms, total)
        value = f"user-{random.randint(1, 30)}" if kind is Kind.UNIQUE else self._number()
        self._serial += 1
        copied = random.random() < 0.2 and self._serial > 3
        id_ = f"id-{random.randint(1, 5) if copied else self._serial}" if random.random() < 0.5 else None
        return Sent(metric, kind, named, ms, value, id_)

    def _number(self) -> float:
        random = self.random
        return random.choice(
            (0.0, 2.0, -3.5, round(random.lognormvariate(3, 2), 3), -round(random.expovariate(0.1), 2))
        )


@contextmanager
def worlds(random: Random, begin: int, zone: str) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        raw = Raw(Path(folder), REGISTRY, zone)
        world = World(raw, random, begin)
        world.happen(random.randint(3, 25))
        yield world
        raw.store.close()


def asked(random: Random, world: World, begin: int) -> Query:
    """Any query about what happened."""
    name = random.choice(NAMES)
    measures = [m for m in measures_of(name.partition(".")[0]) if m not in ("rate", "histogram")]
    start = begin - random.choice((0, 100, 5000, 90_000)) + random.randint(0, 3000)
    length = random.choice((1, 50, 700, 8000, 40_000, 300_000))
    return Query(
        name,
        tuple(measures),
        1000 * start,
        1000 * (start + length),
        by=random.choice(((), ("country",), ("product",), ("product", "country"))),
        where=random.choice(((), (Filter("country", ("NL", "other")),), (Filter("product", ("p1",), negate=True),))),
    )


def rows_of(query: Query, result: Result) -> dict[tuple[object, ...], tuple[object, ...]]:
    """(time of the bucket, labels…) → measures, of the rows with events."""
    width = len(query.by) + bool(query.step_s)
    front = () if query.step_s else (result.start_ms,)
    place = width + query.measures.index("count")
    return {(*front, *row[:width]): row[width:] for row in result.rows if row[place]}


def assert_equal(
    query: Query,
    found: Mapping[tuple[object, ...], tuple[object, ...]],
    wanted: Mapping[tuple[object, ...], tuple[object, ...]],
) -> None:
    """The same groups, counts, sums, newest values; percentiles within their bound."""
    assert found.keys() == wanted.keys()
    for key, values in found.items():
        for name, value, exact in zip(query.measures, values, wanted[key], strict=True):
            bound = 0.01 * abs(exact) + 1e-12 if tenths(name) is not None and isinstance(exact, float) else 1e-9
            assert is_close(value, exact, bound), (name, key)


def is_close(value: object, exact: object, bound: float) -> bool:
    """Both nothing, or numbers that differ by rounding or within the bound."""
    if isinstance(value, int | float) and isinstance(exact, int | float):
        return abs(value - exact) <= max(bound, 1e-9 * abs(exact))
    return value is exact


def checked(world: World, query: Query) -> Result | None:
    try:
        result = world.raw.model.query(query)
    except (UnknownMetric, TooManyRows):
        return None
    query = replace(query, step_s=result.step_s)  # a coarser one where what was asked for is not kept
    wanted = expected(world.raw, query, result.start_ms, result.end_ms, query.measures)
    assert_equal(query, rows_of(query, result), wanted)
    return result


SEEDED = settings(max_examples=4, phases=(Phase.explicit, Phase.reuse, Phase.generate))
"""A seed does not shrink."""
AROUND = st.sampled_from([AUTUMN, SPRING])


@SEEDED
@given(st.integers(0, 2**32), AROUND, ZONES, STEPS)
def test_answers_are_those_of_the_raw_events(seed: int, around: int, zone: str, step: int | None) -> None:
    random = Random(seed)
    begin = around - 86_400 + random.randint(0, 3600)
    with worlds(random, begin, zone) as world:
        for _ in range(12):
            checked(world, replace(asked(random, world, begin), step_s=step))


@SEEDED
@given(st.integers(0, 2**32), AROUND, ZONES, STEPS)
def test_as_of_a_moment_answers_from_what_was_known_then(seed: int, around: int, zone: str, step: int | None) -> None:
    random = Random(seed)
    begin = around - 86_400 + random.randint(0, 3600)
    with worlds(random, begin, zone) as world:
        for _ in range(12):
            as_of = 1000 * random.randint(begin, world.now)
            checked(world, replace(asked(random, world, begin), step_s=step, as_of_ms=as_of))


@SEEDED
@given(st.integers(0, 2**32), AROUND, ZONES, ZONES)
def test_days_of_any_time_zone(seed: int, around: int, zone: str, own: str) -> None:
    random = Random(seed)
    begin = around - 86_400 + random.randint(0, 3600)
    with worlds(random, begin, zone) as world:
        for _ in range(12):
            result = checked(world, replace(asked(random, world, begin), step_s=86_400, timezone=own))
            assert result is None or result.level != "1d" or own == zone


@SEEDED
@given(st.integers(0, 2**32), STEPS, st.sampled_from(DERIVED))
def test_a_derived_metric_is_a_ratio_of_merged_parts(seed: int, step: int | None, said: DerivedMetric) -> None:
    random = Random(seed)
    with worlds(random, AUTUMN, "UTC") as world:
        for _ in range(6):
            query = replace(asked(random, world, AUTUMN), metric=said.name, measures=(), step_s=step)
            try:
                result = world.raw.model.query(query)
            except (UnknownMetric, TooManyRows):
                continue
            parts = []
            for metric, measure in (said.numerator, said.denominator):
                part = replace(query, metric=metric, step_s=result.step_s)
                parts.append(expected(world.raw, part, result.start_ms, result.end_ms, [measure]))
            width = len(query.by) + bool(step)
            front = () if step else (result.start_ms,)
            found = {(*front, *row[:width]): row[width] for row in result.rows}
            assert {key[1:] for key in found if query.by} == {key[1:] for part in parts for key in part if query.by}
            for key, value in found.items():
                above, below = (part.get(key, (None,))[0] for part in parts)
                if said.name == "share":
                    above = above or 0.0
                wanted = above / below if isinstance(above, float) and isinstance(below, int) and below else None
                assert is_close(value, wanted, 1e-9 + (0.011 * abs(wanted or 0.0) if said.name == "each" else 0.0)), key
            assert result.error_bound == ({"ratio": 0.01} if said.name == "each" else None)


@SEEDED
@given(st.integers(0, 2**32), st.sampled_from([None, 60, 3600, 86_400]), st.sampled_from(["previous", 86_400]), ZONES)
def test_a_comparison_is_the_same_query_about_another_range(
    seed: int, step: int | None, compare: Previous | int, zone: str
) -> None:
    random = Random(seed)
    with worlds(random, AUTUMN, zone) as world:
        for _ in range(6):
            query = replace(asked(random, world, AUTUMN), metric="distribution.all", step_s=step)
            query = replace(query, measures=("count", "p50"))
            try:
                result = world.raw.model.query(replace(query, compare=compare))
            except (UnknownMetric, TooManyRows):
                continue
            width = len(query.by) + bool(step)
            assert [c.name for c in result.columns[width:]] == [
                "count", "count_previous", "count_change", "p50", "p50_previous", "p50_change"
            ]  # fmt: skip
            # Without a step both ranges are widened alike: what is compared is what is kept of both.
            same = query if step else replace(query, start_ms=result.start_ms, end_ms=result.end_ms)
            own = {row[:width]: row[width:] for row in world.raw.model.query(same).rows}
            for row in result.rows:
                count, before, change, p50 = row[width : width + 4]
                assert (count, p50) == own.get(row[:width], (0, None))
                assert isinstance(count, int)
                assert isinstance(before, int)
                assert change == (pytest.approx((count - before) / before) if before else None)
            if step is None:
                start_ms, end_ms = before_of(result, compare, zone)
                earlier = replace(query, start_ms=start_ms, end_ms=end_ms)
                wanted = {row[:width]: row[width:] for row in world.raw.model.query(earlier).rows}
                found = {row[:width]: (row[width + 1], row[width + 4]) for row in result.rows}
                assert {k: v for k, v in found.items() if v[0]} == {k: v for k, v in wanted.items() if v[0]}
            elif step == 86_400 and result.rows:
                check_days(world, query, result, len({row[0] for row in result.rows}), compare, zone)


def before_of(result: Result, compare: Previous | int, zone: str) -> tuple[int, int]:
    """The range before: as long, or as many local days where it is made of whole ones."""
    own, length = ZoneInfo(zone), result.end_ms - result.start_ms if compare == "previous" else 86_400_000
    edges = [datetime.fromtimestamp(ms / 1000, own) for ms in (result.start_ms, result.end_ms)]
    if any(edge.time() != time() for edge in edges):
        return result.start_ms - length, result.end_ms - length
    days = timedelta((edges[1].date() - edges[0].date()).days if compare == "previous" else 1)
    start, end = (round(1000 * datetime.combine(edge.date() - days, time(), own).timestamp()) for edge in edges)
    return start, end


def check_days(world: World, query: Query, result: Result, days: int, compare: Previous | int, zone: str) -> None:
    """Days of any length are compared with days: what was before is what so many days earlier were together."""
    own = ZoneInfo(zone)
    first = datetime.fromtimestamp(result.start_ms / 1000, own).date() - timedelta(days if compare == "previous" else 1)
    edges = [datetime.combine(day, time(), own).timestamp() for day in (first, first + timedelta(days))]
    start_ms, end_ms = (round(1000 * edge) for edge in edges)
    rows = world.raw.model.query(replace(query, step_s=None, start_ms=start_ms, end_ms=end_ms)).rows
    assert counted(result.rows, len(query.by) + 2) == counted(rows, len(query.by))


def counted(rows: list[tuple[object, ...]], place: int) -> int:
    return sum(cell for cell in (row[place] for row in rows) if isinstance(cell, int))


@settings(SEEDED, max_examples=3)
@given(st.integers(0, 2**32))
def test_tiles_are_the_answers_about_their_windows(seed: int) -> None:
    random = Random(seed)
    with worlds(random, AUTUMN, "UTC") as world:
        for now in sorted(random.randint(AUTUMN, world.now + 90_000) for _ in range(2)):
            for tile in world.raw.model.tiles(1000 * now):
                for name, width in WINDOWS.items():
                    for value, end in ((tile.windows[name].value, now), (tile.windows[name].previous, now - width)):
                        query = Query(tile.metric.name, (tile.metric.measure,), 1000 * (end - width), 1000 * end)
                        assert is_close(value, world.raw.model.query(query).rows[0][0], 1e-9), (query, name)
                assert len(tile.spark) == 60
                first = now // 60 * 60 - 59 * 60
                query = Query(tile.metric.name, (tile.metric.measure,), 1000 * first, 1000 * (first + 3600), 60)
                minutes = [row[1] for row in world.raw.model.query(query).rows]
                assert all(is_close(*pair, 1e-9) for pair in zip(tile.spark, minutes, strict=True))


@SEEDED
@given(st.integers(0, 2**32), STEPS)
def test_the_largest_groups_and_the_rest(seed: int, step: int | None) -> None:
    random = Random(seed)
    with worlds(random, AUTUMN, "UTC") as world:
        for _ in range(12):
            query = asked(random, world, AUTUMN)
            order = random.choice((None, "count"))
            query = replace(query, step_s=step, by=query.by or ("country",), top=random.randint(1, 4), order=order)
            checked_top(world, query)


def checked_top(world: World, query: Query) -> None:
    """The groups of the whole range are ordered here; in the raw events those of the rest get its labels."""
    try:
        result = world.raw.model.query(query)
    except (UnknownMetric, TooManyRows):
        return
    assert query.top is not None
    query = replace(query, step_s=result.step_s)
    order = query.order or query.measures[0]
    totals = expected(world.raw, replace(query, step_s=None), result.start_ms, result.end_ms, [order])

    def place(labels: tuple[object, ...]) -> tuple[object, ...]:
        value = totals[(result.start_ms, *labels)][0]
        assert isinstance(value, int | float)
        return (-value, *((label is None, label or "") for label in labels))

    ranked = sorted((key[1:] for key in totals), key=place)
    top, rest = ranked[: query.top], ranked[query.top :]
    assert result.others == len(rest)
    wanted = expected(world.raw, query, result.start_ms, result.end_ms, query.measures, rest)
    width = len(query.by) + bool(query.step_s)
    rows = [row for row in result.rows if row[width + query.measures.index("count")]]
    found = {
        (row[0] if query.step_s else result.start_ms, *named(row, result, query, top)): row[width:] for row in rows
    }
    assert len(found) == len(rows)
    assert_equal(query, found, wanted)
    order_of = {(*labels, False): place for place, labels in enumerate(top)} | {REST: len(top)}
    places = [(time, order_of[tuple(key)]) for time, *key in found]
    assert places == sorted(places)


REST = ("the rest", True)


def named(row: tuple[object, ...], result: Result, query: Query, top: list[tuple[object, ...]]) -> tuple[object, ...]:
    """The labels of a row, and whether it is that of the rest: the last one of its bucket."""
    front = bool(query.step_s)
    labels = row[front : front + len(query.by)]
    is_rest = set(labels) == {"other"} and (
        tuple(labels) not in top
        or (row is [r for r in result.rows if not front or r[0] == row[0]][-1] and bool(result.others))
    )
    return REST if is_rest else (*labels, False)
