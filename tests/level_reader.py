"""Reading the level tables by hand: what is stored, without the planner of queries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from aggregates.families import FIRST_LEVEL, closed, table_of
from aggregates.levels import LEVELS, Piece
from aggregates.store import Store
from tests.recorded import Answer


def ids_of(store: Store, family: str, metric: str, dimensions: Mapping[str, str]) -> list[int]:
    """Ids of a family that hold the events of a metric with the given dimensions."""
    with store.reader() as cursor:
        if family == "series":
            sql = "SELECT series_id, dimensions FROM series WHERE metric = ?"
            series = cursor.execute(sql, [metric]).fetchall()
            return [number for number, text in series if dimensions.items() <= json.loads(text).items()]
        view = ",".join(sorted(dimensions))
        labels = [dimensions[name] for name in sorted(dimensions)]
        sql = "SELECT group_id FROM groups WHERE metric = ? AND view = ? AND labels = ?"
        return [row[0] for row in cursor.execute(sql, [metric, view, labels]).fetchall()]


def read(store: Store, family: str, ids: list[int], pieces: Iterable[Piece], sketched: Iterable[Piece]) -> Answer:
    """What the rows in the pieces come to; bins and codes are read from `sketched`."""
    answer = Answer()
    newest: tuple[int, int] | None = None
    for cells in _rows(store, family, "", "count, sum, min, max, last, last_time, last_place", ids, pieces):
        count, total, least, most, last, last_time, last_place = cells
        answer.count += count
        if total is None:
            continue
        answer.total += total
        answer.least = least if answer.least is None else min(answer.least, least)
        answer.most = most if answer.most is None else max(answer.most, most)
        if newest is None or (last_time, last_place) > newest:
            newest, answer.last = (last_time, last_place), last
    sketched = list(sketched)
    for code, number in _rows(store, family, "bins", "bin, n", ids, sketched):
        answer.bins[code] += number
    answer.hashes = {code for (code,) in _rows(store, family, "cells", "code", ids, sketched)}
    return answer


def _rows(
    store: Store, family: str, what: str, columns: str, ids: list[int], pieces: Iterable[Piece]
) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    with store.reader() as cursor:
        for piece in pieces:
            sql = (
                f"SELECT {columns} FROM {table_of(family, what, piece.level)} WHERE list_contains(?, id) "  # noqa: S608
                "AND time >= ? AND time < ? AND (?::BIGINT IS NULL OR known <= ?)"
            )
            found += cursor.execute(sql, [ids, piece.start, piece.end, piece.known, piece.known]).fetchall()
    return found


def repeated(store: Store) -> dict[str, int]:
    """Table → keys that have more than one row where their level is sealed and the time of knowing is over. Seconds are
    merged for totals alone, those of views, bins and codes where that is worth it."""
    found: Counter[str] = Counter()
    with store.reader() as cursor:
        for (family, what), first in FIRST_LEVEL.items():
            for level in LEVELS[LEVELS.index(first) :]:
                if level == "1s" and (family != "total" or what):
                    continue
                key = {"": "id, time, known", "bins": "id, time, known, bin", "cells": "id, time, known, code"}[what]
                until = store.kept.sealed_until["1m" if level == "1s" else level]
                table = table_of(family, what, level)
                sql = f"SELECT {key} FROM {table} WHERE time < ? AND known <= ? GROUP BY ALL HAVING count(*) > 1"  # noqa: S608
                if number := len(cursor.execute(sql, [until, closed(store.kept)[level]]).fetchall()):
                    found[table] = number
    return dict(found)
