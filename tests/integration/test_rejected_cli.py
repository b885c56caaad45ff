"""`tallyboard rejected` against a served API."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from tallyboard.failure import Failure
from tallyboard.rejected_cli import app
from tests.desk import Desk, Replica


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def replica(desk: Desk, tmp_path: Path) -> AsyncIterator[Replica]:
    async with desk.replica(tmp_path) as found:
        yield found


@pytest.fixture
async def url(replica: Replica) -> AsyncIterator[str]:
    """The replica's API behind a real socket."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        inner: Any = replica.client._transport
        server = uvicorn.Server(uvicorn.Config(inner.app, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


async def run(*arguments: str, answer: str = "") -> Result:
    """Run the command in a thread: its requests are answered by this loop."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), answer)


async def rejected(desk: Desk, replica: Replica, count: int) -> list[str]:
    answer = await desk.send(*({"metric": "orders", "value": -1 - n} for n in range(count)), status=422)
    await replica.caught_up(desk)
    return [f"{answer['request_id']}/{index}" for index in range(count)]


async def test_a_list_shows_letters_and_their_number(desk: Desk, replica: Replica, url: str) -> None:
    assert "0 of 0 rejected events" in (await run("list", "--url", url)).output
    ids = await rejected(desk, replica, 3)
    await desk.send({"metric": "orders[red]"}, status=422)
    await replica.caught_up(desk)
    found = await run("list", "--url", url, "--limit", "2")
    assert found.exit_code == 0
    assert "2 of 4 rejected events: out_of_range 3, missing_field 1" in " ".join(found.output.split())
    listed = json.loads((await run("list", "--url", url, "--json", "--reason", "out_of_range")).output)
    assert [letter["id"] for letter in listed["rejected"]] == ids
    one = await run("show", ids[0], "--url", url)
    assert (one.exit_code, json.loads(one.output)["event"]) == (0, {"metric": "orders", "value": -1})


async def test_letters_are_mended_and_sent_again(desk: Desk, replica: Replica, url: str) -> None:
    first, second = await rejected(desk, replica, 2)
    would = await run("replay", first, "--set", "value=2", "--dry-run", "--url", url)
    assert (would.exit_code, '"value":2' in would.output, desk.plant.accepted()) == (0, True, [])
    edits = ["--set", "value=2.5", "--set", "dimensions.x=1", "--rename", "dimensions.x=dimensions.y"]
    done = await run("replay", first, *edits, "--url", url)
    assert (done.exit_code, done.output) == (0, "1 accepted\n")
    refused = await run("replay", first, second, "none/0", "--url", url)
    assert refused.exit_code == 1
    assert "1 already_replayed, 1 rejected, 1 not_found" in refused.output.splitlines()[-1]
    assert desk.plant.accepted() == [('{"x":"1"}', 2.5, first)]


async def test_a_filter_goes_through_all_pages_after_a_question(
    desk: Desk, replica: Replica, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallyboard.rejected_cli.PAGE", 10)
    await rejected(desk, replica, 25)
    command = ["replay", "--reason", "out_of_range", "--url", url, "--json"]
    said_no = await run(*command, "--set", "value=-5", answer="n\n")
    assert (said_no.exit_code, "25 rejected events" in said_no.output) == (1, True)
    twelve = json.loads((await run(*command, "--set", "value=1", "--limit", "12")).output)
    assert twelve["counts"] == {"accepted": 12}
    again = json.loads((await run(*command, "--set", "value=-5")).output)
    assert again["counts"] == {"rejected": 13}
    await replica.caught_up(desk)
    rest = await run(*command, "--set", "value=5", "--yes")
    assert (rest.exit_code, json.loads(rest.output)["counts"]) == (0, {"accepted": 13})
    assert len(desk.plant.accepted()) == 25


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay"], "by their ids, or by a filter"),
        (["replay", "a/0", "--reason", "ts_future"], "by their ids, or by a filter"),
        (["replay", "a/0", "--set", "value"], "PATH=VALUE is expected"),
        (["replay", "a/0", "--rename", "a="], "OLD=NEW is expected"),
        (["list", "--reason", "nothing"], "answers 400: there is no reason 'nothing'"),
        (["list", "--limit", "5000"], "limit must be"),
        (["show", "none/0"], "answers 404: there is no letter none/0"),
    ],
)
async def test_a_mistake_is_one_sentence(url: str, arguments: list[str], words: str) -> None:
    failed = await run(*arguments, "--url", url)
    assert failed.exit_code == 1
    assert isinstance(failed.exception, Failure)
    assert words in str(failed.exception)


async def test_a_dashboard_that_is_not_there_is_said() -> None:
    failed = await run("list", "--url", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1 does not answer" in str(failed.exception)


async def test_the_key_of_the_environment_goes_with_every_request(
    desk: Desk, replica: Replica, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (letter,) = await rejected(desk, replica, 1)
    monkeypatch.setenv("TALLYBOARD_KEY", "tb_k1_secret")
    desk.wire.seen.clear()
    assert (await run("replay", letter, "--set", "value=1", "--url", url)).exit_code == 0
    assert desk.wire.seen == ["Bearer tb_k1_secret"]
