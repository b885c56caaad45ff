"""Merging partials: any split, order and grouping gives the same rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregates.merge import NO_TIME, BinRows, CellRows, Partials, concat, merge, merge_bins, merge_cells

ROW = st.tuples(
    st.integers(0, 3),
    st.sampled_from([-60, 0, 1, 59, 60, 1_795_428_000, 10**11]),
    st.integers(0, 5),
    st.integers(0, 5),
    st.one_of(st.none(), st.integers(-100, 100)),
    st.sampled_from([0, 1, 1_795_428_000_000]),
    st.integers(0, 2**50),
    st.sampled_from([0, 0, 60, 1_795_428_000]),
)
Row = tuple[int, int, int, int, int | None, int, int, int]


def partials(rows: list[Row]) -> Partials:
    values = np.array([np.nan if row[4] is None else row[4] for row in rows], np.float64)
    last_times = [NO_TIME if row[4] is None else row[5] for row in rows]
    ids, times, counts, duplicates, places, known = (
        np.array([r[i] for r in rows], np.int64) for i in (0, 1, 2, 3, 6, 7)
    )
    newest = np.array(last_times, np.int64)
    return Partials(ids, times, known, counts, duplicates, values, values, values, values, newest, places)


def plain(rows: Partials) -> list[tuple[object, ...]]:
    return sorted((tuple(column.values()) for column in rows.table().to_pylist()), key=lambda row: row[:3])


def by_hand(rows: Partials) -> list[tuple[object, ...]]:
    groups: dict[tuple[int, int, int], list[dict[str, object]]] = {}
    for row in rows.table().to_pylist():
        groups.setdefault((row["id"], row["time"], row["known"]), []).append(row)
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
def test_merging_is_a_plain_group_by(rows: list[Row]) -> None:
    columns = partials(rows)
    assert [row[:10] for row in plain(merge(columns))] == [row[:10] for row in by_hand(columns)]


@given(UNIQUE_PLACES, st.integers(0, 60), st.randoms(use_true_random=False))
def test_split_and_order_do_not_matter(rows: list[Row], cut: int, random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = [partials(part) for part in (shuffled[:cut], shuffled[cut:]) if part]
    in_steps = merge(concat([merge(part) for part in parts]))
    assert [row[:10] for row in plain(in_steps)] == [row[:10] for row in plain(merge(partials(rows)))]


def test_nothing_merges_to_nothing() -> None:
    assert len(merge(partials([]))) == 0


CODED = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 60, 10**11]), st.sampled_from([0, 60]), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


@given(CODED)
def test_bins_are_added_up_and_codes_are_a_set(rows: list[tuple[int, int, int, int]]) -> None:
    ids, times, known, codes = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    bins = merge_bins(BinRows(ids, times, known, (codes - 1).astype(np.int16), codes + 1)).table().to_pylist()
    added: dict[tuple[int, int, int, int], int] = {}
    for number, time, when, code in rows:
        added[number, time, when, code - 1] = added.get((number, time, when, code - 1), 0) + code + 1
    assert {(row["id"], row["time"], row["known"], row["bin"]): row["n"] for row in bins} == added
    assert len(bins) == len(added)
    cells = merge_cells(CellRows(ids, times, known, codes.astype(np.uint64))).table().to_pylist()
    assert sorted(tuple(row.values()) for row in cells) == sorted(set(rows))
