"""SIGKILL at every change of a file: `python -m tests.chaos.read_model_sweep` (all), `--sample 20` (some).

The life of `read_model_run` is traced once: so many times it writes, syncs, truncates, renames, removes. Then it is
killed at each of these calls, by strace, on entering it: what stands in the file is what the calls before it left.
Every file has to open, to hold exactly the events below its positions, and to end right when it is gone on with. The
calls up to the moment the new file gets its name are always all tried.

DuckDB gets one thread for the run: `when=N` of strace, which counts by thread, is exact then. Exit code 1 when anything
was violated, 2 when strace cannot be used.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import duckdb

from tests.chaos.read_model_run import Life, healed
from tests.chaos.read_model_strace import CALLS, MISSING, NoStrace, injected, is_missing

FILE = "dashboard.duckdb"
_PR_SET_PTRACER, _ANYBODY = 0x59616D61, -1
_LINE = re.compile(rf"^(\d+) +({'|'.join(CALLS)})\(")
Point = tuple[str, int]
"""Name of a call, and which one of that name."""


def forked(work: Callable[[], None], ready: int | None = None) -> int:
    """Do work in a child process, after a byte from the pipe `ready`; its pid. It exits with 0, or 1 and a traceback.
    Only for a process of one thread."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if ready is not None:
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)  # strace is a sibling, where only parents may
            os.read(ready, 1)
        work()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def lived(life: Life, folder: Path, faults: Sequence[str], trace: Path | None = None) -> int:
    """Live in a child with faults; its wait status."""
    reader, writer = os.pipe()
    pid = forked(lambda: _live(life, folder), reader)
    try:
        with injected(pid, faults, trace=trace):
            os.write(writer, b"!")
            return os.waitpid(pid, 0)[1]
    except NoStrace:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(reader)
        os.close(writer)


def _live(life: Life, folder: Path) -> None:
    duckdb.connect = partial(duckdb.connect, config={"threads": 1})  # of this child process alone
    store = life.opened(folder / FILE)
    life.go_on(store, folder / FILE)
    store.close()


def points(life: Life, folder: Path) -> tuple[list[Point], int]:
    """Every call of a whole life in its order, and how many of them until the new file has its name."""
    trace = folder / "trace"
    if status := lived(life, folder, (), trace):
        raise AssertionError(f"undisturbed, the run ended with status {status}")
    found: list[Point] = []
    threads: set[str] = set()
    seen: Counter[str] = Counter()
    created = 0
    for line in trace.read_text(errors="replace").splitlines():
        if (match := _LINE.match(line)) is not None:
            thread, call = match.groups()
            threads.add(thread)
            seen[call] += 1
            found.append((call, seen[call]))
            created = created or (len(found) if call == "rename" else 0)
    assert len(threads) == 1, f"{len(threads)} threads write: the points are not in one order"
    return found, created


def broken_off(life: Life, folder: Path, point: Point) -> dict[str, object]:
    """Kill a life at a point, heal it; what happened."""
    call, number = point
    status = lived(life, folder, [f"{call}:signal=SIGKILL:when={number}"])
    verdict = folder / "verdict.json"
    judged = forked(lambda: _judge(life, folder, verdict))
    ended = os.waitpid(judged, 0)[1]
    wrong = json.loads(verdict.read_text()) if not ended else [f"the check ended with status {ended}"]
    if left := [path.name for path in folder.iterdir() if ".new" in path.name]:
        wrong.append(f"half-made files are left: {left}")
    return {"point": f"{call} {number}", "killed": os.WIFSIGNALED(status), "wrong": wrong}


def _judge(life: Life, folder: Path, verdict: Path) -> None:
    verdict.write_text(json.dumps(healed(life, folder / FILE)))


def sweep(life: Life, wanted: Sequence[Point], lanes: int) -> list[dict[str, object]]:
    """Break off at every wanted point, so many beside each other."""
    with tempfile.TemporaryDirectory(prefix="tallyboard-sweep-") as folder:
        files = [Path(folder) / f"lane-{lane}" for lane in range(lanes)]
        work = [partial(_lane, life, wanted[lane::lanes], file) for lane, file in enumerate(files)]
        pids = [forked(one) for one in work]
        ends = [os.waitpid(pid, 0)[1] for pid in pids]
        if any(ends):
            raise AssertionError(f"the lanes ended with {ends}")
        return [result for file in files for result in json.loads(file.read_text())]


def _lane(life: Life, wanted: Sequence[Point], file: Path) -> None:
    results = []
    for point in wanted:
        folder = file.with_name(f"{file.name}-run")
        folder.mkdir()
        results.append(broken_off(life, folder, point))
        shutil.rmtree(folder)
    file.write_text(json.dumps(results))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.read_model_sweep")
    parser.add_argument("--sample", type=int, help="so many points behind the creation of the file; default: all")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--lanes", type=int, default=2, help="runs beside each other")
    given = parser.parse_args(arguments)
    if is_missing():
        print(MISSING)
        return 2
    life = Life.made()
    try:
        with tempfile.TemporaryDirectory(prefix="tallyboard-sweep-") as folder:
            found, created = points(life, Path(folder))
    except NoStrace as missing:
        print(missing)
        return 2
    rest = found[created:]
    if given.sample is not None:
        rest = random.Random(given.seed).sample(rest, min(given.sample, len(rest)))
    results = [*sweep(Life.made(1), found[:created], given.lanes), *sweep(life, rest, given.lanes)]
    wrong = [f"killed at {result['point']}: {one}" for result in results for one in result["wrong"]]  # type: ignore[attr-defined]
    killed = sum(bool(result["killed"]) for result in results)
    calls = ", ".join(f"{count} {call}" for call, count in Counter(call for call, _ in found).most_common())
    print(
        f"{len(found)} calls ({calls}), {created} until the file has its name; tried {len(results)}, "
        f"killed at {killed}; {len(wrong)} violations"
    )
    print("\n".join(wrong[:40]))
    return 1 if wrong or killed < len(results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
