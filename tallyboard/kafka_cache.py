"""The jars of Apache Kafka, fetched once and kept: never half a download, never a silently damaged one.

A folder of the cache is either absent or complete: jars are fetched into a sibling folder that is renamed when its
manifest (size and SHA-256 of every jar) is on disk. A complete folder is used without touching the network.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from tallyboard.failure import Failure

KAFKA_VERSION = "4.3.1"
# Kafka logs through slf4j 1.7 and brings no binding for it: slf4j-simple writes to stderr, which is all that is needed.
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
DOWNLOAD_BYTES = 45_000_000
PINS = Path(__file__).with_name("kafka_jars.sha256")
"""Name and SHA-256 of every jar; renewed together with `KAFKA_VERSION`."""
_PARALLEL_DOWNLOADS = 6

Progress = Callable[[int, int, str], None]
"""Called with (jars fetched, jars in all, name of the last one); jars in all is 0 while that is being found out."""


class DamagedCache(Failure):
    """A jar is missing or is not the one that was fetched."""


def ensure_jars(cache: Path, progress: Progress, say: Callable[[str], None]) -> Path:
    """The folder with Kafka's jars, fetched if need be. Says why when a damaged cache is fetched again.

    Raises `Failure` when the jars have to be fetched and cannot be.
    """
    folder = cache / f"kafka-{KAFKA_VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"kafka-{KAFKA_VERSION}.lock"):
        damage = None
        if folder.exists():
            damage = verify(folder)
            if damage is None:
                return folder
            say(f"The Kafka cache {folder} is damaged ({damage}); fetching it again.")
        _replace(folder, cache, progress, damage)
    return folder


def verify(folder: Path) -> str | None:
    """What is wrong with a cached folder, or None.

    Sizes are compared, and bytes where the modification time differs: quick at each start, and a changed jar is seen.
    """
    manifest = folder / "manifest.json"
    try:
        jars = json.loads(manifest.read_text())["jars"]
    except (OSError, ValueError, KeyError, TypeError):
        return "its manifest cannot be read"
    present = {path.name for path in folder.glob("*.jar")}
    if present != set(jars):
        return f"{len(set(jars) ^ present)} jars are missing or foreign"
    for name, expected in jars.items():
        found = (folder / name).stat()
        if found.st_size != expected["size"]:
            return f"{name} has another size than when it was fetched"
        if found.st_mtime_ns != expected["mtime_ns"] and _sha256(folder / name) != expected["sha256"]:
            return f"{name} has other bytes than when it was fetched"
    return None


def _replace(folder: Path, cache: Path, progress: Progress, damage: str | None) -> None:
    """Fetch into a sibling folder, then put it in the place of `folder`."""
    part = Path(tempfile.mkdtemp(prefix=f".kafka-{KAFKA_VERSION}-", dir=cache))
    try:
        jars = part / "jars"
        jars.mkdir()
        _fetch(part / "repository", jars, progress)
        require_published(jars)
        _write_manifest(jars)
        if folder.exists():
            folder.rename(part / "damaged")
        jars.rename(folder)
    except Failure as failure:
        if damage is None:
            raise
        raise DamagedCache(f"The Kafka cache {folder} is damaged ({damage}), and {_lower(failure)}") from failure
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fetch(repository: Path, jars: Path, progress: Progress) -> None:
    """Resolve and download every jar of `COORDINATES`; copies (hard links) end up in `jars`."""
    import requests
    from jgo.maven import MavenContext

    logging.getLogger("jgo").setLevel(logging.ERROR)
    progress(0, 0, "")
    try:
        context = MavenContext(repo_cache=repository, local_repos=[], timeout=30)
        wanted = [context.create_dependency(coordinate) for coordinate in COORDINATES]
        direct, transitive = context.resolver.resolve(wanted)
        needed = [*direct, *(d for d in transitive if d.scope in ("compile", "runtime"))]
        progress(0, len(needed), "")
        for done, jar in enumerate(_in_parallel([d.artifact.resolve for d in needed]), start=1):
            os.link(jar, jars / jar.name)
            progress(done, len(needed), jar.name)
    except OSError as error:  # requests' own errors are OSErrors too
        if isinstance(error, requests.RequestException):
            raise Failure(_no_network(error)) from error
        raise Failure(f"Apache Kafka could not be stored in the cache: {error}.") from error
    except (
        RuntimeError,
        ValueError,
        AssertionError,
    ) as error:  # what jgo raises for an artifact it does not get
        raise Failure(_no_network(error)) from error


def _in_parallel(downloads: Sequence[Callable[[], Path]]) -> Iterator[Path]:
    """The results in the order in which they come; the first failure drops what has not begun."""
    with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
        try:
            for future in as_completed([pool.submit(download) for download in downloads]):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def require_published(jars: Path) -> None:
    """Raise `Failure` unless these are, byte by byte, the jars this version of Tallyboard was tested with."""
    expected = {}
    for line in PINS.read_text().splitlines():
        digest, name = line.split()
        expected[name] = digest
    found = {path.name: _sha256(path) for path in jars.glob("*.jar")}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise Failure(
            f"What was downloaded is not Apache Kafka {KAFKA_VERSION} as it was published: {wrong[0]} differs, "
            "so nothing of it was kept."
        )


def _no_network(error: Exception) -> str:
    return (
        f"Apache Kafka {KAFKA_VERSION} could not be downloaded (about {DOWNLOAD_BYTES // 1_000_000} MB, needed once): "
        f"is there a network? The first reason given: {_first_reason(error)}."
    )


def _first_reason(error: BaseException) -> str:
    """The innermost cause, on one line: the outer ones repeat it inside long wrappings."""
    text = " ".join(str(error).split())
    return text.rsplit("Caused by ", 1)[-1][:200].rstrip(".") or type(error).__name__


def _write_manifest(jars: Path) -> None:
    listed = {}
    for path in sorted(jars.glob("*.jar")):
        with path.open("rb") as jar:
            os.fsync(jar.fileno())
        found = path.stat()
        listed[path.name] = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": _sha256(path)}
    manifest = jars / "manifest.json"
    with manifest.open("w") as out:
        json.dump({"version": 1, "coordinates": COORDINATES, "jars": listed}, out, indent=1)
        out.flush()
        os.fsync(out.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lower(failure: Failure) -> str:
    text = str(failure)
    return text if text.startswith("Apache") else text[:1].lower() + text[1:]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two commands that find the cache cold fetch it once: the second waits for the first."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
