"""What a made-up world sends next: history and what happens now, after any stop, each second once."""

from __future__ import annotations

import json
from pathlib import Path

from tallyboard.demo.happened import Demo, Second, event
from tallyboard.demo.player import _kept, _remember
from tallyboard.demo.progress import Progress, history, resume, totals
from tallyboard.demo.sender import Event

NOW = 100_000


class Steady:
    """Ten events a second."""

    def __init__(self, seed: int, start: int) -> None:
        self._second = start

    def next(self) -> Second:
        at, self._second = self._second, self._second + 1
        right = [event("m", 1, at * 1000, {}, f"{at}-{n}") for n in range(9)]
        return Second(right, [event("late", 1, at * 1000, {}, f"{at}")], right[:1], [{"metric": "bad"}])


def running(seed: int, second: int) -> list[Event]:
    return [event("total", second, second * 1000, {}, f"{second}")] if second % 15 == 0 else []


STEADY = Demo("steady", Steady, running)


def test_a_first_start_sends_the_history_and_what_happens_from_now_on() -> None:
    assert resume(None, 1, NOW, 3600) == Progress(1, ((NOW - 3600, NOW),), NOW)
    assert resume(None, 1, NOW, 9000).missing == (
        (NOW - 3600, NOW),
        (NOW - 7200, NOW - 3600),
        (NOW - 9000, NOW - 7200),
    )
    assert resume(None, 1, NOW, 0) == Progress(1, (), NOW)


def test_a_later_start_sends_what_is_missing() -> None:
    kept = Progress(1, (), NOW - 100)
    assert resume(kept, 1, NOW, 3600) == Progress(1, ((NOW - 100, NOW),), NOW)
    interrupted = Progress(1, ((NOW - 5000, NOW - 400),), NOW - 100)
    assert resume(interrupted, 1, NOW, 3600).missing == ((NOW - 100, NOW), (NOW - 3600, NOW - 400))
    assert resume(interrupted, 1, NOW + 9000, 3600).missing == ((NOW + 5400, NOW + 9000),)
    assert resume(kept, 2, NOW, 60).missing == ((NOW - 60, NOW),)  # another world
    ahead = Progress(1, (), NOW + 50)  # the clock was set back
    assert resume(ahead, 1, NOW, 3600) == Progress(1, (), NOW)


def test_history_holds_every_missing_second_once_and_nothing_wrong() -> None:
    progress = Progress(1, ((1000, 1950), (3000, 3001)), NOW)
    sent: list[Event] = []
    for events, (start, end) in history(STEADY, progress):
        assert progress.missing[0][0] == start
        assert len(events) == 10 * (end - start) <= 4010
        sent += events
        progress = progress.sent(end)
    assert progress == Progress(1, (), NOW)
    assert len(sent) == len({(e["metric"], e["id"]) for e in sent}) == 9510
    assert {e["metric"] for e in sent} == {"m", "late"}


def test_running_totals_come_in_the_order_of_time() -> None:
    times = [e["timestamp"] for e in totals(STEADY, Progress(1, ((3000, 3031), (1000, 1100)), NOW))]
    assert times == [*range(1_005_000, 1_100_000, 15_000), 3_000_000, 3_015_000, 3_030_000]


def test_the_state_file_is_read_back_and_a_broken_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "demo-shop.json"
    assert _kept(path) is None
    progress = Progress(1, ((5, 9), (20, 30)), 40)
    _remember(path, progress)
    assert _kept(path) == progress
    for broken in ("{", "[]", "{}", json.dumps({"seed": 1, "missing": 3, "live": 4})):
        path.write_text(broken)
        assert _kept(path) is None
