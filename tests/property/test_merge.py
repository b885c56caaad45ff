"""Merging partials: any split, order and grouping gives the same rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregates.merge import NO_TIME, Partials, concat, merge

ROW = st.tuples(
    st.integers(0, 3),
    st.sampled_from([-60, 0, 1, 59, 60, 1_795_428_000, 10**11]),
    st.integers(0, 5),
    st.integers(0, 5),
    st.one_of(st.none(), st.integers(-100, 100)),
    st.sampled_from([0, 1, 1_795_428_000_000]),
    st.integers(0, 2**50),
)


def partials(rows: list[tuple[int, int, int, int, int | None, int, int]]) -> Partials:
    values = np.array([np.nan if row[4] is None else row[4] for row in rows], np.float64)
    last_times = [NO_TIME if row[4] is None else row[5] for row in rows]
    ids, times, counts, duplicates = (np.array([row[i] for row in rows], np.int64) for i in range(4))
    places = np.array([row[6] for row in rows], np.int64)
    return Partials(
        ids, times, counts, duplicates, values, values, values, values, np.array(last_times, np.int64), places
    )


def plain(rows: Partials) -> list[tuple[object, ...]]:
    return [tuple(column.values()) for column in rows.table().to_pylist()]


def by_hand(rows: Partials) -> list[tuple[object, ...]]:
    groups: dict[tuple[int, int], list[dict[str, object]]] = {}
    for row in rows.table().to_pylist():
        groups.setdefault((row["id"], row["time"]), []).append(row)
    merged: list[tuple[object, ...]] = []
    for key, found in sorted(groups.items()):
        numeric = [row for row in found if row["sum"] is not None]
        newest = max(numeric, key=lambda row: (row["last_time"], row["last_place"]), default=None)
        merged.append(
            (
                *key,
                sum(row["count"] for row in found),  # type: ignore[misc]
                sum(row["duplicates"] for row in found),  # type: ignore[misc]
                float(sum(row["sum"] for row in numeric)) if numeric else None,  # type: ignore[misc]
                min((row["min"] for row in numeric), default=None),  # type: ignore[type-var]
                max((row["max"] for row in numeric), default=None),  # type: ignore[type-var]
                newest["last"] if newest else None,
                newest["last_time"] if newest else None,
                newest["last_place"] if newest else None,
            )
        )
    return merged


UNIQUE_PLACES = st.lists(ROW, min_size=1, max_size=60, unique_by=lambda row: row[6])


@given(UNIQUE_PLACES)
def test_merging_is_a_plain_group_by(rows: list[tuple[int, int, int, int, int | None, int, int]]) -> None:
    columns = partials(rows)
    assert [row[:9] for row in plain(merge(columns))] == [row[:9] for row in by_hand(columns)]


@given(UNIQUE_PLACES, st.integers(0, 60), st.randoms(use_true_random=False))
def test_split_and_order_do_not_matter(
    rows: list[tuple[int, int, int, int, int | None, int, int]], cut: int, random: object
) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = [partials(part) for part in (shuffled[:cut], shuffled[cut:]) if part]
    in_steps = merge(concat([merge(part) for part in parts]))
    assert [row[:9] for row in plain(in_steps)] == [row[:9] for row in plain(merge(partials(rows)))]


def test_nothing_merges_to_nothing() -> None:
    assert len(merge(partials([]))) == 0
