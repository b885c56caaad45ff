"""The dashboard: viewers of the push, first view, click to chart, and browsers that stop reading.

`python -m benchmarks.dashboard [part …] [--file READ_MODEL] [--viewers N] [--seconds S]`; parts are viewers,
first_view, clicks and stopped. Each part checks what it gets before it prints a number.
"""

from __future__ import annotations

import argparse
import base64
import os
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from benchmarks import pages
from benchmarks.board import Board, board
from benchmarks.viewers import Seen, watch

STOPPED_S = 60
STOPPED = 50
VIEWS = ("", "by={dimension}", "from=-1h&by={dimension}", "from=-24h")


def metric_of(running: Board) -> tuple[str, str]:
    """The metric of most series that has dimensions, and its first dimension."""
    known = httpx.get(f"{running.url}/api/v1/catalogue").json()["metrics"]
    name, dimensions = max(((m["name"], m["dimensions"]) for m in known if m["dimensions"]), key=lambda m: len(m[1]))
    return name, dimensions[0]


def watches_of(running: Board, viewers: int) -> list[str | None]:
    """Half of the viewers on the overview, the others on four views."""
    metric, dimension = metric_of(running)
    views = [f"metric={metric}&{view.format(dimension=dimension)}".rstrip("&") for view in VIEWS]
    return [None if n % 2 == 0 else views[n // 2 % len(views)] for n in range(viewers)]


def viewers(running: Board, count: int, seconds: float) -> None:
    """One viewer for each view, then all of them with two real pages among them: what the others cost."""
    wanted = watches_of(running, count)
    few = [None, *dict.fromkeys(w for w in wanted if w is not None)]
    base_cpu, base_mb, _ = _watched(running, few, seconds)
    with pages.chromium() as browser:
        opened = [browser.new_page() for _ in range(2)]
        metric, _ = metric_of(running)
        opened[0].goto(running.url + "/")
        opened[1].goto(f"{running.url}/explore?metric={metric}")
        opened[1].locator("#plot .js-line").first.wait_for(state="attached", timeout=pages.PATIENCE_MS)
        before = [page.evaluate("() => window.tallyboard.ticks") for page in opened]
        cpu, memory, seen = _watched(running, wanted[: count - 2], seconds)
        ticks = [page.evaluate("() => window.tallyboard.ticks") - had for page, had in zip(opened, before, strict=True)]
    assert min(ticks) >= seconds / 2, f"a page got {min(ticks)} ticks in {seconds} s"
    late = sorted(ms for one in seen for ms in one.late_ms)
    missed = sum(one.missed for one in seen)
    print(f"\n{count} viewers, two of them pages, {seconds:.0f} s, a tick a second; few: one for each view\n")
    print("| | few | all | for 100 viewers more |\n|---|---|---|---|")
    more = 100 / (count - len(few))
    print(f"| CPU of the dashboard, % of a core | {base_cpu:.1f} | {cpu:.1f} | {(cpu - base_cpu) * more:.1f} |")
    print(f"| resident MB | {base_mb:.0f} | {memory:.0f} | {(memory - base_mb) * more:.1f} |")
    print("\n| bytes a tick and viewer | sent (compressed) | JSON |\n|---|---|---|")
    for name, group in (("overview", [s for s, w in zip(seen, wanted, strict=False) if w is None]),
                        ("explore", [s for s, w in zip(seen, wanted, strict=False) if w is not None])):  # fmt: skip
        number = sum(len(one.late_ms) for one in group)
        wire, text = sum(one.wire for one in group) / number, sum(one.text for one in group) / number
        print(f"| {name} | {wire:,.0f} | {text:,.0f} |")
    p50, p99 = _quantiles(late, (0.5, 0.99))
    print(f"\nfrom the clock in a message to its arrival: p50 {p50:.0f} ms, p99 {p99:.0f} ms; {missed} ticks left out")


def _watched(running: Board, wanted: Sequence[str | None], seconds: float) -> tuple[float, float, list[Seen]]:
    """% of a core, MB at the end, and what the viewers saw."""
    cpu, _ = running.usage()
    began = time.monotonic()
    seen = watch(running.url, running.ahead_ms, wanted, seconds)
    after, memory = running.usage()
    return 100 * (after - cpu) / (time.monotonic() - began), memory, seen


def first_view(running: Board, runs: int) -> None:
    """From the start of a navigation to the first numbers, and to the first chart."""
    metric, dimension = metric_of(running)
    print("\n| first view on a warm server | median ms | p95 ms |\n|---|---|---|")
    with pages.chromium() as browser:
        for name, path, what in (
            ("overview: first numbers", "/", "numbers"),
            ("explore: first chart", f"/explore?metric={metric}&by={dimension}", "chart"),
        ):
            for keeps, words in ((False, "nothing in the browser's cache"), (True, "files in the browser's cache")):
                found = pages.first_view(browser, running.url + path, what, runs, keeps)
                middle, high = _quantiles(found, (0.5, 0.95))
                print(f"| {name}, {words} | {middle:.0f} | {high:.0f} |", flush=True)


def clicks(running: Board, runs: int) -> None:
    """From a click on a leaderboard's row to the painted chart."""
    metric, _ = metric_of(running)
    with pages.chromium() as browser:
        found = pages.clicks(browser, running.url, metric, runs)
    middle, high = _quantiles(found, (0.5, 0.95))
    print(f"\n{len(found)} clicks on rows of {metric}: to the painted chart median {middle:.0f} ms, p95 {high:.0f} ms")


def stopped(running: Board, seconds: float) -> None:
    """Browsers that connect, ask for a chart and then read nothing."""
    metric, dimension = metric_of(running)
    watch(running.url, running.ahead_ms, [None, f"metric={metric}&by={dimension}"], 5)  # warm
    _, before = running.usage()
    held = [_silent(running, f"metric={metric}&by={dimension}") for _ in range(STOPPED)]
    most, until = before, time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(1)
        most = max(most, running.usage()[1])
    left = int(float(_metric(running, "tallyboard_dashboard_browsers")))
    assert left == 0, f"{left} of {STOPPED} are still there"
    for one in held:
        one.close()
    each = (most - before) / STOPPED
    print(f"\n{STOPPED} browsers read nothing for {seconds:.0f} s: at most {each:.2f} MB each; all were cut")


def _silent(running: Board, search: str) -> socket.socket:
    host, port = running.url.removeprefix("http://").split(":")
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    found.connect((host, int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    found.sendall(
        f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    body = f'{{"watch":"{search}"}}'.encode()
    assert len(body) < 126
    found.sendall(bytes([0x81, 0x80 | len(body), 0, 0, 0, 0]) + body)
    return found


def _metric(running: Board, name: str) -> str:
    lines = httpx.get(f"{running.url}/metrics").text.splitlines()
    return next(line.split()[-1] for line in lines if line.startswith(name + " "))


def _quantiles(found: Sequence[float], wanted: Sequence[float]) -> list[float]:
    cuts = statistics.quantiles(found, n=1000, method="inclusive")
    return [cuts[round(1000 * each) - 1] for each in wanted]


def main(arguments: Sequence[str] = ()) -> None:
    """Run the parts asked for, all of them without a name."""
    parser = argparse.ArgumentParser("python -m benchmarks.dashboard")
    parser.add_argument("parts", nargs="*", metavar="part")
    parser.add_argument("--file", type=Path, help="a read model to serve a copy of; default: a small one made now")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--runs", type=int, default=20, help="page loads of each kind, and a tenth of the clicks")
    given = parser.parse_args(arguments)
    parts: dict[str, Callable[[Board], None]] = {
        "viewers": lambda running: viewers(running, given.viewers, given.seconds),
        "first_view": lambda running: first_view(running, given.runs),
        "clicks": lambda running: clicks(running, 10 * given.runs),
        "stopped": lambda running: stopped(running, STOPPED_S),
    }
    if unknown := [name for name in given.parts if name not in parts]:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(parts)}")
    with board(given.file) as running:
        for name in given.parts or parts:
            parts[name](running)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
