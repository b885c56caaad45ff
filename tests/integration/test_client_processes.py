"""The client at the edges of a process: its imports, its end, its forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.write_site import PATIENCE_S, write_site

ROOT = Path(__file__).parents[2]

ALONE = """
import sys

KNOWN = set(sys.stdlib_module_names) | {"ingest"} | HTTPX


class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in KNOWN:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)


sys.meta_path.insert(0, Nothing())
import ingest.client

assert "httpx" not in sys.modules, "httpx is imported when it is needed"
with ingest.client.Client(sys.argv[1]) as client:
    client.send("m", 1, id="alone")
    assert client.flush(20)
import asyncio


async def main():
    async with ingest.client.AsyncClient(sys.argv[1]) as client:
        await client.send("m", 2, id="async")


asyncio.run(main())
print(*sorted({name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)))
"""
HTTPX = {"httpx", "httpcore", "h11", "anyio", "sniffio", "idna", "certifi", "typing_extensions", "exceptiongroup"}
"""httpx, and what it cannot do without."""


def run(code: str, *arguments: str) -> str:
    """What a program of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=4 * PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_works_with_nothing_but_httpx() -> None:
    with write_site() as site:
        used = run(ALONE.replace("HTTPX", repr(HTTPX)), site.url).split()
        assert sorted(site.ids()) == ["alone", "async"]
    assert set(used) - {"__main__"} <= {"ingest", *HTTPX, "_distutils_hack", "sitecustomize", "usercustomize"}


AT_EXIT = """
import sys
from ingest.client import Client

client = Client(sys.argv[1], linger_s=60.0)
for n in range(1000):
    client.send("m", n, id=f"e{n}")
if sys.argv[2] == "raise":
    raise SystemExit(0)
"""


def test_the_end_of_a_program_sends_what_is_queued() -> None:
    for way in ("return", "raise"):
        with write_site() as site:
            run(AT_EXIT, site.url, way)
            assert sorted(site.ids()) == sorted(f"e{n}" for n in range(1000))


FORK = """
import os, sys, warnings
from ingest.client import Client

warnings.simplefilter("ignore")  # that threads run is what this is about
client = Client(sys.argv[1], linger_s=60.0, queue_events=50, batch_events=50)
client.send("m", 0, id="before")
assert client.flush(20)  # its thread runs, its connection is open
for n in range(20):
    client.send("m", n, id=f"parent-{n}")
child = os.fork()
if child == 0:
    assert client.stats().queued == client.stats().accepted == 0
    for n in range(20):
        client.send("m", n, id=f"child-{n}")
    sys.exit(0 if client.flush(20) else 1)  # runs what is registered for the end, too
_, status = os.waitpid(child, 0)
assert status == 0, status
client.send("m", 1, id="after")
assert client.flush(20)
assert client.stats().accepted == 22, client.stats()
"""


def test_a_forked_child_sends_its_own_events_and_not_its_parents() -> None:
    with write_site() as site:
        run(FORK, site.url)
        expected = {"before", "after", *(f"parent-{n}" for n in range(20)), *(f"child-{n}" for n in range(20))}
        assert sorted(site.ids()) == sorted(expected)


POOL = """
import multiprocessing, sys
from ingest.client import Client

client = None


def work(n):
    client.send("m", n, id=f"work-{n}")
    return client.flush(20)


if __name__ == "__main__":
    client = Client(sys.argv[1])
    client.send("m", 0, id="parent")
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert all(pool.map(work, range(30)))
"""


def test_worker_processes_share_a_client_made_before_them() -> None:
    with write_site() as site:
        run(POOL, site.url)
        assert sorted(site.ids()) == sorted(["parent", *(f"work-{n}" for n in range(30))])
