"""A read model that holds a `benchmarks.history`, filled through the store's own apply and kept in a cache folder.

One process makes records, folds them to deltas and writes the Parquet file; this one applies, and seals and deletes as
the projector does: it looks once a second, at the append time of what it applied last. At half of the history the file
is copied, so that one run gives both.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import duckdb
import platformdirs

from aggregates.database import SCHEMA_VERSION
from aggregates.deltas import decode
from aggregates.levels import DAY, sealable
from aggregates.positions import Position
from aggregates.settings import ReadModelSettings
from aggregates.store import GRACE_S, Input, Store
from benchmarks import history
from benchmarks.history import DURATION, END_S, ORDERS, PAGES, SLICE_S, Deltas, History, RawFile, Sums, add_up

VIEWS = {
    ORDERS: [["country"], ["channel"], ["country", "channel"]],
    DURATION: [["route"], ["region"]],
    PAGES: [["page"]],
}
ROLLUPS = "1" * 32
_AT_ONCE = 8
_WAITING = 64
_LOOK_S = 1.0
Message = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill was: seconds, events and delta rows, and bytes of the files. `sums` are the generator's."""

    events: int
    rows: int
    seconds: float
    end_s: int
    file_bytes: int
    raw_bytes: int
    record_bytes: int
    delta_bytes: int
    sums: Sums


@dataclass(frozen=True, slots=True)
class State:
    """A read model and the same events as Parquet, both from a cache folder, and what they hold."""

    model: Path
    raw: tuple[Path, ...]
    filled: Filled


def cached(wanted: History) -> tuple[State, State]:
    """Half of the history and all of it, filled if they are not in the cache. Raises `AssertionError` when a read model
    does not hold what was generated."""
    folder = _cache() / f"history-{wanted.events}-{_key(wanted)}"
    if not (folder / "filled.json").exists():
        for old in folder.parent.glob(f"history-{wanted.events}-*"):  # of another schema, or not finished
            shutil.rmtree(old)
        half_done = folder.with_name(folder.name + ".new")
        half_done.mkdir(parents=True)
        found = [asdict(each) for each in _fill(wanted, half_done)]
        (half_done / "filled.json").write_text(json.dumps(found))
        half_done.replace(folder)
    half, whole = (Filled(**each) for each in json.loads((folder / "filled.json").read_text()))
    raw = folder / "events-1.parquet", folder / "events-2.parquet"
    return State(folder / "half.duckdb", raw[:1], half), State(folder / "whole.duckdb", raw, whole)


def _cache() -> Path:
    return Path(os.environ.get("TALLYBOARD_CACHE") or platformdirs.user_cache_dir("tallyboard")) / "benchmarks"


def _key(wanted: History) -> str:
    """Another file for other parameters, another schema or DuckDB, another generator."""
    sources = [Path(found).read_bytes() for found in (history.__file__, __file__)]
    said = json.dumps([asdict(wanted), SCHEMA_VERSION, duckdb.__version__]).encode()
    return hashlib.blake2b(b"\0".join([said, *sources]), digest_size=8).hexdigest()


# --- the process that makes events ------------------------------------------------------------------------------------


@contextmanager
def tied_to_parent() -> Iterator[None]:
    """What is done meanwhile ends with the process that started this one, however that ends."""
    parent, done = multiprocessing.parent_process(), threading.Event()
    assert parent is not None

    def watch() -> None:
        while not done.wait(0.5):
            if not parent.is_alive():
                os._exit(1)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


@tied_to_parent()
def _make(wanted: History, folder: Path, out: Queue[Message]) -> None:
    """Deltas, and at the end of either half (record bytes, delta bytes, sums) of all so far."""
    deltas, sums, at_s = Deltas(), Sums(), wanted.start_s
    raw = RawFile(folder / "events-1.parquet")
    for ends, found in history.chunks(wanted):
        add_up(sums, found)
        raw.write(found)
        start = 0
        for end in ends.tolist():
            at_s += SLICE_S
            value = deltas.take(found.part(start, end), 1000 * at_s)
            start = end
            if value is not None:
                out.put(("delta", value))
        if at_s in (wanted.half_s, END_S):
            out.put(("delta", deltas.flush()))
            raw.close()
            out.put(("half", (deltas.record_bytes, deltas.delta_bytes, dict(sums))))
            raw = RawFile(folder / "events-2.parquet") if at_s < END_S else raw


# --- the process that applies -----------------------------------------------------------------------------------------


def _fill(wanted: History, folder: Path) -> list[Filled]:
    """Both halves: the read models and Parquet files in the folder."""
    context = multiprocessing.get_context("spawn")
    messages: Queue[Message] = context.Queue(_WAITING)
    maker = context.Process(target=_make, args=(wanted, folder, messages), daemon=True)
    maker.start()
    path = folder / "whole.duckdb"
    began, found = time.perf_counter(), []
    filler = Filler(Store(path, VIEWS))
    spent = 0.0
    for name in ("half", "whole"):
        record_bytes, delta_bytes, sums = filler.apply_half(messages)
        filler.look()
        filler.store.close()  # a checkpoint: what stands in the write-ahead log is in the file
        seconds = time.perf_counter() - began - spent
        store = Store(path, VIEWS)
        check(store, sums)
        if name == "half":
            store.close()
            shutil.copy(path, folder / "half.duckdb")
            store = Store(path, VIEWS)
        filler.store = store
        spent = time.perf_counter() - began - seconds
        raw_bytes = sum(file.stat().st_size for file in folder.glob("events-*.parquet") if file.stat().st_size > 4)
        events = sum(count for count, _ in sums.values())
        end_s = filler.mark_ms // 1000
        sizes = path.stat().st_size, raw_bytes, record_bytes, delta_bytes
        found.append(Filled(events, filler.rows, seconds, end_s, *sizes, sums))
        print(f"{events:,} events, {filler.rows:,} delta rows in {seconds:.0f} s", flush=True)
    filler.store.close()
    maker.join()
    return found


class Filler:
    """Applies deltas in the order they come, a few at once."""

    def __init__(self, store: Store) -> None:
        self.store, self.rows, self.mark_ms = store, 0, 0
        self._keep_s = ReadModelSettings().keep_s
        self._number = 0
        self._looked = time.monotonic()

    def apply_half(self, messages: Queue[Message]) -> Any:
        """Apply up to the end of a half; returns what is said of it."""
        waiting: list[bytes] = []
        while True:
            name, said = messages.get()
            if name == "delta" and said is not None:
                waiting.append(said)
            if waiting and (name == "half" or len(waiting) == _AT_ONCE):
                self._apply(waiting)
                waiting = []
            if name == "half":
                return said

    def _apply(self, values: list[bytes]) -> None:
        inputs = []
        for value in values:
            self._number += 1
            inputs.append(Input(decode(value), Position(ROLLUPS, 0, self._number, 0)))
        self.store.apply(inputs)
        self.rows += sum(item.delta.rows.num_rows for item in inputs)
        self.mark_ms = inputs[-1].delta.header.records[-1].timestamp_ms
        if time.monotonic() >= self._looked + _LOOK_S:
            self.look()
            self._looked = time.monotonic()

    def look(self) -> None:
        """Seal and delete what can be by now."""
        if self.store.seal(sealable(self.mark_ms, GRACE_S)):
            self.store.retain(self.mark_ms // 1000, self._keep_s)


def check(store: Store, sums: Sums) -> None:
    """Sealed days, and the days by country, hold every event; the ledger agrees with itself."""
    with store.reader() as cursor:
        until = store.kept.sealed_until[DAY]
        found = cursor.execute(
            "SELECT metric, CASE WHEN view = 'country' THEN labels[1] END, time, sum(count)::BIGINT, sum(sum) "
            "FROM (FROM total_1d UNION ALL FROM view_1d) JOIN groups ON id = group_id WHERE view IN ('', 'country') "
            "GROUP BY ALL"
        ).fetchall()
        accepted = cursor.execute("SELECT sum(accepted), sum(applied), sum(duplicates) FROM ledger").fetchone()
    wanted: dict[tuple[str, str | None, int], tuple[int, float]] = {}
    for key, (count, total) in sums.items():
        *names, day = key.split("|")
        if int(day) < until:
            for of in {(names[0], None), (names[0], names[1] if names[1:] else None)}:
                before = wanted.get((*of, int(day)), (0, 0.0))
                wanted[*of, int(day)] = before[0] + count, before[1] + total
    assert len(found) == len(wanted), (len(found), len(wanted))
    for metric, country, day, count, total in found:
        expected = wanted[metric, country, day]
        assert count == expected[0], (metric, country, day, count, expected)
        assert abs(total - expected[1]) <= 1e-9 * abs(total), (metric, country, day, total, expected)
    events = sum(count for count, _ in sums.values())
    assert accepted == (events, events, 0), (accepted, events)
