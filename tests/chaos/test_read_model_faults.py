"""What becomes of the read model when its process is killed, its disk fails or is full, or its file is damaged.

Every fault is injected into a real process or done to a real file. Afterwards nothing may be missing or twice: answers
are those of the plain oracle over the log, and positions stand where the rows do.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka.errors import CommitFailedError
from websockets.sync.client import connect

from aggregates.checkpoints import Checkpoints
from aggregates.store import Store
from aggregates.writer import Writer
from ingest.log import KafkaConnection, Topics
from tallyboard.supervisor import Patience, Role, Stage, Supervisor, Surroundings
from tests.chaos.read_model_role import Filler, Replica, until
from tests.chaos.read_model_run import TOPICS, Life
from tests.chaos.read_model_strace import MISSING, injected, is_missing
from tests.conftest import unavailable

pytestmark = pytest.mark.chaos
SEED = 20_261_123
CUTS = FLIPS = 10
SAMPLE = 12
FILE = "dashboard.duckdb"


@pytest.fixture
def strace() -> None:
    """Without strace there is nothing to test: in CI that is a failure."""
    if is_missing():
        unavailable(MISSING)


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--chaos-seed") or SEED)


@pytest.fixture
def scale(pytestconfig: pytest.Config) -> float:
    return float(pytestconfig.getoption("--chaos-scale"))


@pytest.fixture
def replica(kafka_connection: KafkaConnection, topics: Topics, tmp_path: Path, seed: int) -> Iterator[Replica]:
    """A dashboard that is not started yet, and some of what it will read."""
    filler = Filler(kafka_connection, topics, seed)
    filler.fill()
    found = Replica(tmp_path, kafka_connection, topics, filler)
    yield found
    found.kill()
    filler.close()


# --- the process ----------------------------------------------------------------------------------------------------


def test_killed_between_both_commits_it_goes_on_from_the_file_and_ignores_the_broker(
    strace: None, replica: Replica
) -> None:
    for _ in range(4):  # what is committed first may also be a minute that is sealed
        replica.start()
        assert replica.violations() == []
        with injected(replica.pid, ["fdatasync:signal=SIGKILL:when=1"], [replica.wal]):
            replica.filler.fill(1)  # the transaction is written, and no more
            assert replica.ended() == -signal.SIGKILL
        sources, inputs = replica.positions()
        assert sources == inputs, "every record has one delta"
        committed = replica.group_offsets(group := replica.group())
        if any(inputs[partition] > committed[partition] for partition in inputs):
            break
    else:
        pytest.fail("the file never was ahead of the group's offsets")
    replica.filler.fill(4)
    # Of the offsets that were committed last, some are made to point far behind the file's and some before them.
    planted = {p: 0 if p % 2 else offset + 3 for p, offset in inputs.items()}
    until(lambda: _planted(replica, group, planted), "the broker takes the planted offsets")
    replica.start()
    assert replica.violations() == []


def _planted(replica: Replica, group: str, planted: dict[int, int]) -> bool:
    """Possible only when the killed process is no member any more."""
    try:
        return replica.group_offsets(group, planted) == planted
    except CommitFailedError:
        return False


def test_a_log_with_a_flipped_bit_is_set_aside_and_counted_again(replica: Replica) -> None:
    replica.start()
    assert replica.violations() == []
    replica.kill()
    content = bytearray(replica.wal.read_bytes())
    content[len(content) // 2] ^= 8
    replica.wal.write_bytes(content)
    replica.filler.fill(1)
    replica.start()
    assert replica.violations() == []
    assert list(replica.wal.parent.glob("*.wal.corrupt-*"))


def test_a_failed_fsync_ends_the_process_with_a_sentence(strace: None, replica: Replica) -> None:
    with supervised(replica) as (supervisor, said):
        until(replica.ready, "the dashboard is ready")
        assert replica.violations() == []
        pid = supervisor.states["dashboard"].pid
        assert pid
        with injected(pid, ["fdatasync:error=EIO"], [replica.wal, replica.file]):
            replica.filler.fill(3)
            until(lambda: supervisor.states["dashboard"].restarts == 1, "the dashboard has died and was started again")
        until(lambda: supervisor.states["dashboard"].phase == "ready", "it is ready again")
        assert replica.violations() == []
        assert supervisor.states["dashboard"].restarts == 1
    (died,) = [line for line in said if "died" in line]
    assert "exit code 1: " in died
    assert f"the read model cannot go on: {replica.file} could not be written (fsync failed!)" in died
    assert "Traceback" not in (replica.folder / "dashboard.log").read_text()


@contextmanager
def supervised(replica: Replica) -> Iterator[tuple[Supervisor, list[str]]]:
    """The dashboard under a supervisor, as `tallyboard up` runs it; what the supervisor says."""
    said: list[str] = []

    async def ready() -> str | None:
        health = await asyncio.to_thread(replica.health)
        return None if health["ready"] else "; ".join(health["reasons"])

    around = Surroundings(
        replica.folder, said.append, lambda states: None, replica.environment, patience=Patience(backoff_first_s=0.1)
    )
    supervisor = Supervisor([Stage((Role("dashboard", replica.command, ready),))], around)
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(supervisor.run(stop),))
    thread.start()
    try:
        yield supervisor, said
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


# --- a full disk ----------------------------------------------------------------------------------------------------


def test_a_full_disk_pauses_counting_until_there_is_room(strace: None, replica: Replica) -> None:
    replica.start()
    assert replica.violations() == []
    faults = ["write:error=ENOSPC", "pwrite64:error=ENOSPC"]
    with injected(replica.pid, faults, [replica.wal, replica.file]):
        replica.filler.fill(3)
        reason = f"counting is paused: no room is left in {replica.file.parent}"
        until(lambda: reason in replica.health()["reasons"], "the dashboard says that it is paused")
        with connect(replica.url.replace("http", "ws") + "/live") as socket:
            assert reason in json.loads(socket.recv(10))["reasons"]
        assert httpx.get(f"{replica.url}/api/v1/catalogue", trust_env=False).status_code == 200
        replica.filler.fill(3)
    until(replica.ready, "counting goes on")
    assert replica.violations() == []
    assert replica.said.count("counting is paused") == 1
    assert replica.said.count("counting goes on") == 1


async def test_a_small_disk_that_fills_up_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        await _filled(disk)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def _filled(disk: Path) -> None:
    life, path, writer = Life.made(6), disk / FILE, Writer(disk)
    store = life.opened(path)
    later_s = itertools.count(step=1000.0)  # a checkpoint is due with every commit, and there is no room for any
    store._checkpoints = Checkpoints(path, lambda: next(later_s))
    await writer.write(store.apply, list(life.inputs(store, 0)))
    with (disk / "others").open("wb") as others:
        os.posix_fallocate(others.fileno(), 0, shutil.disk_usage(disk).free - 24_000)
    rest = asyncio.create_task(_applied(life, store, writer))
    await _until_paused(writer, rest)
    reached = {p: position.next_offset for p, position in store.inputs.items()}
    assert reached != life.log.end_offsets(TOPICS.rollups)
    (disk / "others").unlink()
    async with asyncio.timeout(30):
        await rest
    writer.close()
    assert life.violations(store, ended=True) == []
    store.close()
    store = life.opened(path)
    assert life.violations(store, ended=True) == []
    store.close()


async def _until_paused(writer: Writer, rest: asyncio.Task[None]) -> None:
    async with asyncio.timeout(30):
        while writer.paused is None:
            assert not rest.done(), f"it ended instead: {rest.exception()}"
            await asyncio.sleep(0.01)


async def _applied(life: Life, store: Store, writer: Writer) -> None:
    for number in range(1, len(life.arrivals_ms)):
        await writer.write(store.apply, list(life.inputs(store, number)))


# --- the file -------------------------------------------------------------------------------------------------------


def test_a_kill_at_any_write_leaves_a_file_to_go_on_with(strace: None, seed: int, scale: float) -> None:
    """All calls until the new file has its name, and some of the rest; `python -m tests.chaos.read_model_sweep` takes
    them all."""
    command = [sys.executable, "-m", "tests.chaos.read_model_sweep"]
    command += ["--sample", str(round(SAMPLE * scale)), "--seed", str(seed)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, Path]:
    """A life, and the folder with what SIGKILL leaves at its end: a file as of its first third, and a log."""
    life, folder = Life.made(5), tmp_path_factory.mktemp("left")
    live = tmp_path_factory.mktemp("live")
    store = life.opened(live / FILE)
    life.go_on(store, live / FILE, checkpoints_at=(1,))
    for path in live.iterdir():
        shutil.copy(path, folder)
    store.close()
    assert (folder / f"{FILE}.wal").stat().st_size > 20_000
    return life, folder


def after_damage(life: Life, folder: Path, tmp_path: Path) -> tuple[list[str], dict[int, int]]:
    """Violations as the file is found, and after it was gone on with and left by SIGKILL once more; how far it held."""
    found, killed = tmp_path / "found", tmp_path / "killed"
    shutil.copytree(folder, found)
    store = life.opened(found / FILE)
    held = {partition: position.next_offset for partition, position in store.inputs.items()}
    wrong = life.violations(store, ended=False)
    life.go_on(store, found / FILE, checkpoints_at=())
    shutil.copytree(found, killed)
    store.close()
    store = life.opened(killed / FILE)
    wrong += life.violations(store, ended=True)
    store.close()
    shutil.rmtree(found)
    shutil.rmtree(killed)
    return wrong, held


def test_a_torn_log_goes_back_and_is_counted_again(
    left: tuple[Life, Path], tmp_path: Path, seed: int, scale: float
) -> None:
    life, folder = left
    torn = tmp_path / "torn"
    shutil.copytree(folder, torn)
    wal = torn / f"{FILE}.wal"
    content = wal.read_bytes()
    draw = random.Random(f"{seed}/torn")
    cuts = [0, 1, len(content) - 1, *(draw.randrange(len(content)) for _ in range(round(CUTS * scale)))]
    held: set[tuple[int, ...]] = set()
    for cut in cuts:
        wal.write_bytes(content[:cut])
        wrong, reached = after_damage(life, torn, tmp_path)
        assert wrong == [], f"cut at {cut} of {len(content)}"
        held.add(tuple(reached.values()))
    assert len(held) > 2, "the cuts hit different moments"


def test_a_flipped_bit_anywhere_in_the_log_is_found(
    left: tuple[Life, Path], tmp_path: Path, seed: int, scale: float, caplog: Any
) -> None:
    life, folder = left
    flipped = tmp_path / "flipped"
    shutil.copytree(folder, flipped)
    wal = flipped / f"{FILE}.wal"
    content = wal.read_bytes()
    draw = random.Random(f"{seed}/flipped")
    bits = [draw.randrange(8 * 64), *(draw.randrange(8 * len(content)) for _ in range(round(FLIPS * scale)))]
    for bit in bits:
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        wal.write_bytes(changed)
        wrong, _ = after_damage(life, flipped, tmp_path)
        assert wrong == [], f"bit {bit} of {8 * len(content)}"
    assert caplog.text.count("was set aside as") > len(bits) // 2
