"""`tallyboard send` as a process of its own: killed, stopped and called again, against a real ingest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from ingest.client.delivery import Patience
from tallyboard.cli import app
from tallyboard.failure import Failure
from tallyboard.sending.columns import Columns
from tallyboard.sending.run import Shipment, Wanted
from tests.write_site import PATIENCE_S, WriteSite, eventually, problem, scripted, write_site

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tallyboard", "send")


class Sender:
    """The command with a cache folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.env = {**os.environ, "TALLYBOARD_CACHE": str(folder / "cache")}

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C reaches it also where whoever started the tests ignores it, as a shell's background job does.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread forks here
        )

    def run(self, *arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=ROOT,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE_S,
        )


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


def csv_of(path: Path, count: int) -> Path:
    now_ms = time.time_ns() // 1_000_000
    path.write_text("time,shop,eur\n" + "".join(f"{now_ms - n},s{n % 7},{n}\n" for n in range(1, count + 1)))
    return path


MAPPING = ("--metric", "sales", "--value-column", "eur")


def values_by_id(site: WriteSite) -> dict[str, float]:
    """One value for each id: repeated events are the same events."""
    found: dict[str, float] = {}
    for event in site.events():
        assert found.setdefault(event["id"], event["value"]) == event["value"]
    return found


def test_kill_9_anywhere_and_every_row_counts_once(sender: Sender, tmp_path: Path) -> None:
    file, rows, batch = csv_of(tmp_path / "a.csv", 3_000), 3_000, 50
    with write_site() as site:
        for seen in (300, 900, 1_700):
            process = sender.start(file, *MAPPING, "--url", site.url, "--batch", batch, "--rate", 3_000)
            eventually(lambda seen=seen: len(set(site.ids())) >= seen)  # type: ignore[misc]
            process.kill()
            process.communicate()
        done = sender.run(file, *MAPPING, "--url", site.url, "--batch", batch)
        assert (done.returncode, done.stdout) == (0, "3,000 accepted, 0 rejected\n"), done.stderr
        assert "going on behind row" in done.stderr
        found = values_by_id(site)
        assert len(site.ids()) <= rows + 3 * batch
    assert len(found) == rows
    assert {int(id_.rpartition("/")[2]): value for id_, value in found.items()} == {n: n for n in range(1, rows + 1)}


def test_ctrl_c_says_how_to_go_on(sender: Sender, tmp_path: Path) -> None:
    file = csv_of(tmp_path / "a.csv", 40_000)
    with write_site() as site:
        process = sender.start(file, *MAPPING, "--url", site.url, "--batch", 20, "--rate", 1_000)
        eventually(lambda: len(site.ids()) >= 100)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        assert "rows are answered for; the same command goes on behind them." in said
        assert sender.run(file, *MAPPING, "--url", site.url).returncode == 0
        assert len(values_by_id(site)) == 40_000


def test_a_lost_state_doubles_nothing(sender: Sender, tmp_path: Path) -> None:
    file = csv_of(tmp_path / "a.csv", 100)
    with write_site() as site:
        assert sender.run(file, *MAPPING, "--url", site.url).returncode == 0
        again = sender.run(file, *MAPPING, "--url", site.url)
        assert (again.returncode, len(site.ids())) == (0, 100)
        assert "was sent before" in again.stdout
        assert sender.run(file, *MAPPING, "--url", site.url, "--restart").returncode == 0
        assert len(site.ids()) == 200
        (tmp_path / "cache" / "send").rename(tmp_path / "lost")
        assert sender.run(file, *MAPPING, "--url", site.url).returncode == 0
        assert (len(site.ids()), len(values_by_id(site))) == (300, 100)


def test_rejected_rows_are_summed_up_by_code(sender: Sender, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    good = [json.dumps({"metric": "m", "value": n}) for n in range(5)]
    file.write_text("\n".join([*good, '{"metric":"m","value":"3"}', "", "{nothing", *good, '{"metric":"m"}', "[]"]))
    with write_site() as site:
        done = sender.run(file, "--url", site.url)
        assert done.returncode == 2
        assert done.stdout.splitlines()[0] == "10 accepted, 4 rejected"
        for line in ("  wrong_type: 1", "    row 6: ", "    row 8: ", "    row 14: ", "    row 15: "):
            assert line in done.stdout
        assert len(site.dead()) == 4


def test_parquet_and_standard_input(sender: Sender, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    now = pa.array([time.time_ns() // 1000] * 3, pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {"metric": ["a", "b", "c"], "value": [1, 2.5, 3], "ts": now, "shop": ["x", None, "z"]}
    pa.parquet.write_table(pa.table(columns), path)
    with write_site() as site:
        assert sender.run(path, "--url", site.url).returncode == 0
        assert {event["metric"]: event["dimensions"] for event in site.events()} == {
            "a": {"shop": "x"},
            "b": {},
            "c": {"shop": "z"},
        }
        piped = '{"metric":"d","value":1}\n{"metric":"d","value":2,"id":"own"}\n'
        done = sender.run("-", "--url", site.url, stdin=piped)
        assert done.stdout == "2 accepted, 0 rejected\n"
        assert "own" in site.ids()


def test_history_is_taken_as_history(sender: Sender, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("metric,value,date\nm,1,2013-01-01T00:00:00Z\n")
    with write_site() as site:
        assert sender.run(file, "--url", site.url).returncode == 2
        assert sender.run(file, "--url", site.url, "--import").returncode == 0
        assert [event["timestamp"] for event in site.events()] == [1_356_998_400_000]


def test_the_key_may_come_from_the_environment(sender: Sender, tmp_path: Path) -> None:
    file = csv_of(tmp_path / "a.csv", 1)
    sender.env["TALLYBOARD_KEY"] = "tb_from_env"
    with scripted() as server:
        assert sender.run(file, *MAPPING, "--url", server.url).returncode == 0
        assert sender.run(file, *MAPPING, "--url", server.url, "--restart", "--key", "tb_flag").returncode == 0
        assert [request.headers["authorization"] for request in server.requests] == [
            "Bearer tb_from_env",
            "Bearer tb_flag",
        ]


def test_a_dry_run_sends_nothing(sender: Sender, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("metric,value\nm,1\nm,x\n")
    with scripted() as server:
        done = sender.run(file, "--url", server.url, "--dry-run")
        assert (done.returncode, server.requests) == (0, [])
    assert done.stdout.splitlines()[1] == "row 2: not sent: wrong_type: value is no number: 'x' (--text sends texts)"


# --- without a process of its own ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.csv"], "Which metric is it?"),
        (["a.csv", *MAPPING, "--timezone", "Mars"], "'Mars' is no time zone"),
        (["a.csv", *MAPPING, "--url", "nowhere"], "is no address"),
        (["none.csv", *MAPPING], "none.csv cannot be read: No such file or directory"),
        (["-", "--format", "csv"], "Standard input is read as NDJSON"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    csv_of(tmp_path / "a.csv", 1)
    where = [str(tmp_path / word) if word.endswith(".csv") else word for word in arguments]
    outcome = CliRunner().invoke(app, ["send", *where], env={"TALLYBOARD_CACHE": str(tmp_path / "cache")})
    assert isinstance(outcome.exception, Failure)
    assert sentence in str(outcome.exception)


def wanted(file: Path, url: str, **fields: Any) -> Wanted:
    return Wanted(file, url, Columns("sales", value="eur"), **fields)


def test_the_key_and_the_wishes_go_along(tmp_path: Path) -> None:
    file = csv_of(tmp_path / "a.csv", 1)
    with scripted() as server:
        with closing(Shipment(wanted(file, server.url, key="tb_k", history=True, atomic=True), tmp_path, print)) as one:
            one.send(lambda _: None)
        assert server.requests[0].path == "/v1/events?import=true&atomic=true"
        assert server.requests[0].headers["authorization"] == "Bearer tb_k"


def test_an_ingest_that_stays_away_leaves_a_place_to_go_on(tmp_path: Path) -> None:
    file, said = csv_of(tmp_path / "a.csv", 100), list[str]()
    with write_site() as site:
        plan = wanted(file, site.url, batch=10, patience=Patience(give_up_s=0.5))

        def progressed(done: int) -> None:
            if len(site.ids()) == 30:
                site.stop()

        with closing(Shipment(plan, tmp_path, said.append)) as first, pytest.raises(Failure, match="behind row 30"):
            first.send(progressed)
        site.start()
        with closing(Shipment(plan, tmp_path, said.append)) as second:
            assert second.send(lambda _: None).accepted == 100
        assert len(site.ids()) == len(values_by_id(site)) == 100
    assert said[-1] == "going on behind row 30, where the last call ended"


def test_a_refused_key_ends_it_at_once(tmp_path: Path) -> None:
    file = csv_of(tmp_path / "a.csv", 1)
    with (
        scripted(problem(401, "unauthorized")) as server,
        closing(Shipment(wanted(file, server.url), tmp_path, print)) as shipment,
        pytest.raises(Failure, match="401 unauthorized"),
    ):
        shipment.send(lambda _: None)
    assert len(server.requests) == 1


def test_a_row_that_is_too_large_is_rejected_alone(tmp_path: Path) -> None:
    file = csv_of(tmp_path / "a.csv", 2)
    with (
        scripted(problem(413, "body_too_large"), problem(413, "body_too_large")) as server,
        closing(Shipment(wanted(file, server.url), tmp_path, print)) as shipment,
    ):
        tally = shipment.send(lambda _: None)
    assert (tally.accepted, tally.refused["body_too_large"].examples) == (1, [(1, "not now")])
