"""From a query to SQL: which view answers it, and the statements with their parameters.

Pure. Values are always bound; table names come from the closed sets of `aggregates.levels`. Which ids are wanted, and
the slot that each is counted in, stands in a table `WANTED`; few ids of one slot are named in the statement instead,
which is faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aggregates.catalogue import SERIES_VIEW, TOTAL_VIEW, MetricEntry
from aggregates.exact import exact_sum
from aggregates.frames import Frame
from aggregates.levels import MINUTE, SECOND, WIDTH, Piece
from aggregates.merge import NEWEST
from aggregates.queries import Filter

WANTED = "wanted"
"""Columns id (INTEGER) and slot (INTEGER): the group of an answer that the id belongs to."""
FEW_IDS = 16
Ids = Sequence[int] | None
"""A few ids, all counted in slot 0; None: those in `WANTED`."""
MERGES = {
    "count": "sum(count)::BIGINT",
    "numbers": "coalesce(sum(count) FILTER (WHERE sum IS NOT NULL), 0)::BIGINT",
    "sum": exact_sum("sum"),
    "min": "min(min)",
    "max": "max(max)",
    "last": f"arg_max(last, {NEWEST})",
}
"""Part → SQL that merges partials. `numbers` counts the events with a numeric value; avg and rate are made of parts."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and its parameters."""

    sql: str
    parameters: list[object]


def choose_view(entry: MetricEntry, dimensions: frozenset[str], kept_from: int = 0) -> str:
    """The smallest view that answers: the total, a view that holds the dimensions and covers every series, else the
    single series.

    Args:
        kept_from: from when on seconds are kept of the metric, epoch s.
    """
    if not dimensions:
        return TOTAL_VIEW
    usable = [view for view in entry.covered if dimensions <= set(view.split(",")) and entry.answers(view, kept_from)]
    return min(usable, key=lambda view: (view.count(","), view), default=SERIES_VIEW)


def family_of(view: str) -> str:
    """The family of tables that keeps a view."""
    return {TOTAL_VIEW: "total", SERIES_VIEW: "series"}.get(view, "view")


def groups(metric: str, view: str, by: Sequence[str], where: Sequence[Filter]) -> Statement:
    """Columns id, slot and the labels (l0, l1, … in the order of `by`) of every id that answers for a metric.

    Slots count the groups from 0 in the order of their labels, none behind all others. They depend on what was ever
    counted, not on the range.
    """
    names = sorted({*by, *(found.dimension for found in where)})
    picked, parameters = _picked(metric, view, names)
    conditions = [_condition(names, found, parameters) for found in where]
    chosen = " WHERE " + " AND ".join(conditions) if conditions else ""
    labels = [f"d{names.index(name)}" for name in by]
    slot = f"dense_rank() OVER (ORDER BY {', '.join(f'{c} NULLS LAST' for c in labels)}) - 1" if by else "0"
    shown = "".join(f", {column} AS l{place}" for place, column in enumerate(labels))
    sql = f"WITH picked AS ({picked}) SELECT id, ({slot})::INTEGER AS slot{shown} FROM picked{chosen}"
    return Statement(sql, parameters)


def rows(frame: Frame, family: str, ids: Ids, parts: Iterable[str], limit: int | None = None) -> Statement:
    """Columns bucket (its place in the frame), slot and the parts (of `MERGES`), one row for each of both that has
    events."""
    parameters: list[object] = []
    merged = "".join(f", {MERGES[part]} AS {part}" for part in MERGES if part in {*parts, "count"})
    read = _read(f"{family}_", frame.pieces, ids, parameters)
    most = f" LIMIT {limit}" if limit is not None else ""
    sql = (
        f"SELECT {bucket_of(frame)} AS bucket, {_from(ids, read, f'slot{merged}')} "
        f"GROUP BY ALL HAVING sum(count) > 0{most}"
    )
    return Statement(sql, parameters)


def bins(frame: Frame, family: str, ids: Ids, limit: int) -> Statement:
    """Columns bucket, slot, bin and n."""
    parameters: list[object] = []
    read = _read(f"{family}_bins_", _estimating(frame, family), ids, parameters)
    sql = (
        f"SELECT {bucket_of(frame)} AS bucket, {_from(ids, read, 'slot, bin, sum(n)::BIGINT AS n')} "
        f"GROUP BY ALL LIMIT {limit}"
    )
    return Statement(sql, parameters)


def codes(frame: Frame, family: str, ids: Ids, limit: int) -> Statement:
    """Columns bucket, slot and code."""
    parameters: list[object] = []
    read = _read(f"{family}_cells_", _estimating(frame, family), ids, parameters)
    sql = f"SELECT DISTINCT {bucket_of(frame)} AS bucket, {_from(ids, read, 'slot, code')} LIMIT {limit}"
    return Statement(sql, parameters)


def restated(frame: Frame, family: str, ids: Ids) -> Statement:
    """A row if an event came later than the grace after the end of its bucket; without a step: of its minute, or of
    the finest bucket that is kept. So the answer does not depend on which level keeps the event."""
    parameters: list[object] = []
    late: list[str] = []
    for piece in frame.judged:
        if frame.step is not None:
            ended = _end_of_bucket(frame)
        else:
            width = WIDTH[MINUTE] if piece.level == SECOND else WIDTH[piece.level]
            ended = "0" if piece.level not in (SECOND, MINUTE) else f"time // {width} * {width} + {width}"
        late.append(f"{_piece(f'{family}_', piece, ids, parameters)} AND known > 0 AND known > {ended}")
    if not late:
        return Statement("SELECT 1 WHERE false", [])
    return Statement(f"SELECT {_from(ids, ' UNION ALL '.join(late), '1')} LIMIT 1", parameters)


def bucket_of(frame: Frame) -> str:
    """The place in the frame of the bucket that holds `time`."""
    if frame.step is None:
        return "0"
    arms = [f"WHEN time >= {start} THEN {_place(start, first, step)}" for start, first, step in _strides(frame)]
    return f"CASE {' '.join(reversed(arms))} END" if len(arms) > 1 else _place(frame.start, 0, frame.step)


def _end_of_bucket(frame: Frame) -> str:
    arms: list[str] = []
    for start, _, step in _strides(frame):
        end = f"(time - {start}) // {abs(step)} * {abs(step)} + {start + abs(step)}" if step > 0 else f"{start - step}"
        arms.append(f"WHEN time >= {start} THEN {end}")
    return f"CASE {' '.join(reversed(arms))} END" if arms else "0"


def _place(start: int, first: int, step: int) -> str:
    return f"{first} + (time - {start}) // {step}" if step > 0 else str(first)


def _strides(frame: Frame) -> list[tuple[int, int, int]]:
    """Runs of buckets of equal length: start of the first, its place, and the length; of a day that is longer or
    shorter than the step its negative length: it is a run of its own."""
    step = frame.step or 1
    found: list[tuple[int, int, int]] = []
    lengths = (frame.ends - frame.starts).tolist()
    for place, (start, length) in enumerate(zip(frame.starts.tolist(), lengths, strict=True)):
        if length != step:
            found.append((start, place, -length))
        elif not found or found[-1][2] < 0:
            found.append((start, place, step))
    return found


def _picked(metric: str, view: str, names: Sequence[str]) -> tuple[str, list[object]]:
    """Ids and wanted labels (d0, d1, … by name) of the groups, or series, that a view keeps for the metric."""
    if family_of(view) == "series":
        labels = "".join(f", json_extract_string(dimensions, ?) AS d{i}" for i in range(len(names)))
        return f"SELECT series_id AS id{labels} FROM series WHERE metric = ?", [*map(_pointer, names), metric]
    order = view.split(",")
    labels = "".join(f", labels[{order.index(name) + 1}] AS d{i}" for i, name in enumerate(names))
    return f"SELECT group_id AS id{labels} FROM groups WHERE metric = ? AND view = ?", [metric, view]


def _pointer(name: str) -> str:
    """The JSON pointer (RFC 6901) of a member."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _condition(names: Sequence[str], found: Filter, parameters: list[object]) -> str:
    column = f"d{names.index(found.dimension)}"
    parameters.extend(found.values)
    marks = ", ".join("?" * len(found.values))
    if found.negate:
        return f"({column} IS NULL OR {column} NOT IN ({marks}))"
    return f"{column} IN ({marks})"


def _estimating(frame: Frame, family: str) -> Sequence[Piece]:
    return frame.minutes if family == "series" else frame.pieces


def _from(ids: Ids, read: str, columns: str) -> str:
    """The columns of the rows that are read, with their slot."""
    if ids is None:
        return f"{columns} FROM ({read}) JOIN {WANTED} USING (id)"
    return f"{columns} FROM (SELECT *, 0 AS slot FROM ({read}))"


def _read(prefix: str, pieces: Sequence[Piece], ids: Ids, parameters: list[object]) -> str:
    if not pieces:
        return f"SELECT * FROM {prefix}{MINUTE} WHERE false"
    return " UNION ALL ".join(_piece(prefix, piece, ids, parameters) for piece in pieces)


def _piece(prefix: str, piece: Piece, ids: Ids, parameters: list[object]) -> str:
    parameters += [piece.start, piece.end]
    known = chosen = ""
    if piece.known is not None:
        parameters.append(piece.known)
        known = " AND known <= ?"
    if ids is not None:
        parameters += ids
        chosen = f" AND id IN ({', '.join('?' * len(ids))})"
    return f"SELECT * FROM {prefix}{piece.level} WHERE time >= ? AND time < ?{known}{chosen}"
