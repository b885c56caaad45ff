"""Opening the read model's file after an accident."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest

from aggregates.checkpoints import Checkpoints
from aggregates.database import SCHEMA_VERSION, StoreError, open_file
from aggregates.store import Store
from tests.builders import inputs_of, log_records, rollup_of

EVENTS = [[("orders", {"country": "NL"}, 1000 * n, float(n), None)] for n in range(40)]


def run_killed(body: str, path: Path) -> None:
    """Run Python code that ends by killing its own process, so that nothing is closed in order."""
    code = textwrap.dedent(body) + "\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False, env={**os.environ, "PYTHONPATH": "."})
    assert ended.returncode == -signal.SIGKILL


APPLY = """
    import sys, pathlib
    from aggregates.store import Store
    from tests.integration.test_database import EVENTS, deltas
    store = Store(pathlib.Path(sys.argv[1]), {})
    for item in deltas():
        store.apply([item])
"""


def deltas() -> list[object]:
    rollup = rollup_of()
    found = [rollup.add([record]) for record in log_records(EVENTS)]  # type: ignore[arg-type]
    return list(inputs_of([delta for delta in found if delta]))


def counted(path: Path) -> tuple[int, int]:
    """Events in the tables, and the position beside them."""
    store = Store(path, {})
    with store.reader() as cursor:
        row = cursor.execute("SELECT coalesce(sum(count), 0) FROM total_1s").fetchone()
    position = max((source.next_offset for source in store.sources.values()), default=0)
    store.close()
    return int((row or (0,))[0]), position


def test_a_killed_writer_leaves_rows_and_position_of_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.duckdb"
    run_killed(APPLY, path)
    assert counted(path) == (40, 40)


@pytest.mark.parametrize("cut", [1, 1000, 5000, 20_000])
def test_a_torn_log_goes_back_to_an_earlier_moment(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "dashboard.duckdb"
    run_killed(APPLY, path)
    wal = path.with_name(path.name + ".wal")
    os.truncate(wal, max(0, wal.stat().st_size - cut))
    events, position = counted(path)
    assert events == position < 40


def test_an_unreadable_log_is_set_aside_and_filled_from_the_deltas(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.duckdb"
    run_killed(APPLY, path)
    wal = path.with_name(path.name + ".wal")
    content = bytearray(wal.read_bytes())
    content[len(content) // 2] ^= 1
    wal.write_bytes(content)
    store = Store(path, {})
    assert store.sources == {}
    assert list(tmp_path.glob("*.corrupt-*"))
    assert store.apply(deltas()) == 40  # type: ignore[arg-type]
    store.close()
    assert counted(path) == (40, 40)


def test_a_file_that_was_never_finished_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.duckdb"
    half = path.with_name(f"{path.name}.{'0123' * 8}.new")
    half.write_bytes(b"half a file")
    assert counted(path) == (0, 0)
    assert not half.exists()


def test_a_second_process_is_told_who_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.duckdb"
    open_file(path).close()
    hold = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match="in use by another process"):
            Store(path, {})
        assert holder.stdin
        holder.stdin.close()


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("version", ["1", "2", str(int(SCHEMA_VERSION) + 1)])
def test_a_file_of_another_version_is_set_aside_and_made_again(tmp_path: Path, version: str, killed: bool) -> None:
    path = tmp_path / "dashboard.duckdb"
    run_killed(APPLY, path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", [version])
    if killed:
        run_killed("import sys, pathlib\nfrom aggregates.database import open_file\n"
                   "open_file(pathlib.Path(sys.argv[1]))", path)  # fmt: skip
    store = Store(path, {})
    assert store.meta("schema_version") == SCHEMA_VERSION
    assert store.sources == {}
    assert store.apply(deltas()) == 40  # type: ignore[arg-type]
    store.close()
    assert counted(path) == (40, 40)
    (aside,) = tmp_path.glob(f"dashboard.schema-{version}-*.duckdb")
    with duckdb.connect(str(aside), read_only=True) as connection:
        assert connection.execute("SELECT sum(count) FROM total_1s").fetchone() == (40,)


def test_a_log_is_set_aside_for_nothing_but_its_content(tmp_path: Path) -> None:
    path = tmp_path / "blocked" / "dashboard.duckdb"  # a folder whose name has "lock" in it is not a locked file
    path.parent.mkdir()
    run_killed(APPLY, path)
    path.write_bytes(b"no database")
    with pytest.raises(StoreError, match="could not be read or written"):
        Store(path, {})
    assert path.with_name(path.name + ".wal").exists()
    assert not list(path.parent.glob("*.corrupt-*"))


def test_a_checkpoint_is_taken_when_the_log_is_old_and_there_is_room(tmp_path: Path) -> None:
    path, now_s = tmp_path / "dashboard.duckdb", 0.0
    wal = path.with_name(path.name + ".wal")
    store = Store(path, {})
    store._checkpoints = Checkpoints(path, lambda: now_s)
    first, second, *_ = deltas()
    now_s = 299.0
    store.apply([first])  # type: ignore[list-item]
    assert wal.stat().st_size
    now_s = 301.0
    store.apply([second])  # type: ignore[list-item]
    assert not wal.exists()
    store.close()


def test_what_is_no_read_model_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE somebody_elses (i INTEGER)")
    with pytest.raises(StoreError, match="no read model"):
        Store(path, {})
    assert list(tmp_path.glob("*.duckdb")) == [path]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY meta TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ],
)
def test_the_file_is_closed_to_the_outside(tmp_path: Path, statement: str) -> None:
    connection = open_file(tmp_path / "dashboard.duckdb")
    with pytest.raises(duckdb.Error):
        connection.execute(statement)
    connection.close()
