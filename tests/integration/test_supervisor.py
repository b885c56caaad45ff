"""The supervisor over stand-in roles that really run, die and refuse to die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tallyboard import data_folder

REPOSITORY = Path(__file__).parents[2]
SLEEP = "import time; time.sleep(120)"
SLEEP_WITH_CHILD = "import subprocess, time; subprocess.Popen(['sleep', '120']); time.sleep(120)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(120)"
)
READY = "import sys, time, pathlib; pathlib.Path(sys.argv[1], 'ready').touch(); time.sleep(120)"
BROKEN = "import sys; print('starting', flush=True); sys.exit('ValueError: the answer is 41')"
FULL_DISK = "print('x', file=open('/dev/full', 'w'), flush=True)"
CHATTY = "import time\nfor n in range(3000): print('line', n, 'x' * 100)\nprint('done', flush=True); time.sleep(120)"

Plan = dict[str, Any]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Poll until the condition holds or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


class Run:
    """A supervisor process under test."""

    def __init__(self, data: Path, plan: Plan) -> None:
        self.data = data
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.standins", str(data), json.dumps(plan)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def said(self, part: str) -> str:
        """The next line that contains `part`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if part in line:
                return line.strip()
        raise AssertionError(f"never said: {part}")

    def rest(self) -> str:
        output, _ = self.process.communicate(timeout=30)
        return output

    def roles(self) -> dict[str, Any]:
        return dict((data_folder.read_state(self.data) or {}).get("roles", {}))

    def everything(self) -> list[psutil.Process]:
        """Every process that runs under this supervisor."""
        return list(psutil.Process(self.process.pid).children(recursive=True))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[Plan], Run]]:
    runs: list[Run] = []

    def start(plan: Plan) -> Run:
        runs.append(Run(tmp_path / "data", plan))
        return runs[-1]

    (tmp_path / "data").mkdir()
    yield start
    for one in runs:
        one.process.kill()
        one.process.communicate(timeout=30)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_stages_start_in_order_and_sigterm_stops_all(run: Callable[[Plan], Run]) -> None:
    log = "import sys, pathlib; print(pathlib.Path(sys.argv[1], 'ready').exists(), flush=True); "
    supervisor = run(
        {"stages": [[{"name": "first", "code": READY, "ready": "ready"}], [{"name": "second", "code": log + SLEEP}]]}
    )
    supervisor.said("started")
    children = supervisor.everything()
    assert len(children) == 2
    assert {name: role["phase"] for name, role in supervisor.roles().items()} == {"first": "ready", "second": "ready"}
    assert until(lambda: (supervisor.data / "logs" / "second.log").read_text() == "True\n")
    supervisor.process.terminate()
    assert supervisor.process.wait(10) == 0
    assert gone(children)
    assert {role["phase"] for role in supervisor.roles().values()} == {"stopped"}


def test_kill_9_of_the_supervisor_leaves_nothing(run: Callable[[Plan], Run]) -> None:
    supervisor = run({"stages": [[{"name": "first", "code": STUBBORN}], [{"name": "second", "code": SLEEP}]]})
    supervisor.said("started")
    children = supervisor.everything()
    supervisor.process.kill()
    supervisor.process.wait()
    assert len(children) == 2
    assert until(lambda: gone(children), 5.0)


def test_a_role_that_ignores_sigterm_is_killed_with_its_children(run: Callable[[Plan], Run]) -> None:
    plan: Plan = {
        "stages": [[{"name": "stubborn", "code": STUBBORN}], [{"name": "parent", "code": SLEEP_WITH_CHILD}]],
        "patience": {"stop_s": 1.0, "first_stage_stop_s": 0.4},
    }
    supervisor = run(plan)
    supervisor.said("started")
    assert until(lambda: len(supervisor.everything()) == 3)
    children = supervisor.everything()
    supervisor.process.terminate()
    supervisor.process.wait(10)
    assert gone(children)


def test_a_role_that_dies_is_said_and_started_again(run: Callable[[Plan], Run]) -> None:
    supervisor = run({"stages": [[{"name": "rollup", "code": SLEEP}]], "patience": {"backoff_first_s": 0.1}})
    supervisor.said("started")
    first = supervisor.roles()["rollup"]["pid"]
    os.kill(first, signal.SIGKILL)
    assert supervisor.said("died") == "rollup died: signal SIGKILL. Restart 1 in 0.1 s."
    supervisor.said("rollup is ready again.")
    assert until(lambda: supervisor.roles()["rollup"]["phase"] == "ready")
    role = supervisor.roles()["rollup"]
    assert (role["restarts"], role["last_error"]) == (1, "signal SIGKILL")
    assert psutil.pid_exists(role["pid"])
    assert role["pid"] != first


def test_back_off_grows(run: Callable[[Plan], Run]) -> None:
    once = "import sys, time, pathlib; p = pathlib.Path(sys.argv[1], 'ready'); was = p.exists(); p.touch()\n"
    plan: Plan = {
        "stages": [[{"name": "role", "code": once + "time.sleep(0.3); sys.exit('Error: no')", "ready": "ready"}]],
        "patience": {"backoff_first_s": 0.05},
    }
    supervisor = run(plan)
    waits = [supervisor.said("Restart").rsplit("in ", 1)[1] for _ in range(3)]
    assert waits == ["0.05 s.", "0.1 s.", "0.2 s."]


def test_a_role_that_cannot_start_ends_everything_with_its_last_words(run: Callable[[Plan], Run]) -> None:
    supervisor = run(
        {"stages": [[{"name": "first", "code": SLEEP}], [{"name": "ingest", "code": BROKEN, "ready": "never"}]]}
    )
    output = supervisor.rest()
    assert supervisor.process.returncode == 1
    log = supervisor.data / "logs" / "ingest.log"
    assert output.splitlines()[-1] == (
        f"ingest does not start: exit code 1: ValueError: the answer is 41 (log: {log})."
    )


def test_a_role_that_is_never_ready_ends_everything(run: Callable[[Plan], Run]) -> None:
    plan: Plan = {"stages": [[{"name": "ingest", "code": SLEEP, "ready": "never"}]], "patience": {"start_s": 0.5}}
    supervisor = run(plan)
    assert "ingest was not ready within 0.5 s: never is missing" in supervisor.rest()
    assert supervisor.process.returncode == 1


def test_a_full_disk_ends_everything_with_one_sentence(run: Callable[[Plan], Run]) -> None:
    supervisor = run({"stages": [[{"name": "kafka", "code": FULL_DISK, "ready": "never"}]]})
    last = supervisor.rest().splitlines()[-1]
    assert supervisor.process.returncode == 1
    assert last.startswith(
        "The disk is full: kafka ended with “exit code 1: OSError: [Errno 28] No space left on device”"
    )


def test_a_second_supervisor_on_the_same_data_is_refused(run: Callable[[Plan], Run]) -> None:
    plan: Plan = {"stages": [[{"name": "first", "code": SLEEP}]]}
    first = run(plan)
    first.said("started")
    second = run(plan)
    assert f"already runs on {second.data} (process {first.process.pid})" in second.rest()
    assert second.process.returncode == 1
    assert data_folder.is_locked(first.data)
    first.process.kill()
    first.process.wait()
    assert not data_folder.is_locked(first.data)


def test_logs_are_rotated_and_whole(run: Callable[[Plan], Run]) -> None:
    supervisor = run({"stages": [[{"name": "chatty", "code": CHATTY}]], "log_bytes": 50_000})
    supervisor.said("started")
    logs = supervisor.data / "logs"
    assert until(lambda: "done" in (logs / "chatty.log").read_text())
    sizes = {path.name: path.stat().st_size for path in logs.iterdir()}
    assert set(sizes) == {"chatty.log", "chatty.log.1", "chatty.log.2", "chatty.log.3"}
    assert max(sizes.values()) <= 50_000
    kept = "".join((logs / name).read_text() for name in sorted(sizes, reverse=True)).splitlines()
    numbers = [int(line.split()[1]) for line in kept[:-1]]
    assert numbers == list(range(numbers[0], 3000))
